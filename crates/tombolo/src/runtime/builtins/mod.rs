//! The canonical built-ins (CanonicalABI.md, "Canonical Definitions").
//!
//! A built-in is a core function of the guest; parameters and results share an array of values.

mod error_context;
mod resource;
mod stream;
mod task;
mod thread;
mod waitable;

use std::sync::Arc;

use tombolo_tasks::{EndKind, InstanceId};
use tombolo_types::TypeId;
use tombolo_types::component::TypeRef;
use tombolo_vm::{RawVal, TableHandle};

use super::call_host::set_result;
use super::core::StoreCore;
use super::env::Element;
use super::guest::Guest;
use crate::component::Switch;
use crate::error::Result;
use crate::resource::ResourceType;

/// A built-in as one instance uses it.
pub(crate) struct BuiltinFunc {
    pub instance: InstanceId,
    pub kind: BuiltinKind,
    /// The larger of the numbers of its parameters and results.
    pub slots: usize,
}

/// What a built-in does, with the options it was declared with.
pub(crate) enum BuiltinKind {
    ResourceNew(ResourceType),
    ResourceRep(ResourceType),
    ResourceDrop(ResourceType),
    BackpressureInc,
    BackpressureDec,
    TaskReturn { guest: Guest, result: Option<TypeRef> },
    TaskCancel,
    ContextGet(u32),
    ContextSet(u32),
    ThreadYield,
    SubtaskDrop,
    SubtaskCancel { is_async: bool },
    StreamNew(Element),
    FutureNew(Element),
    Copy { guest: Arc<Guest>, element: Element, kind: EndKind, is_async: bool },
    CancelCopy { element: Element, kind: EndKind, is_async: bool },
    DropEnd { element: Element, kind: EndKind },
    Forward { element: Element, readable: EndKind, writable: EndKind },
    ErrorContextNew(Guest),
    ErrorContextDebugMessage(Guest),
    ErrorContextDrop,
    ThreadIndex,
    ThreadNewIndirect { ty: TypeId, table: TableHandle },
    ThreadResumeLater,
    ThreadSuspend,
    ThreadSwitch(Switch),
    WaitableSetNew,
    WaitableSetWait(Guest),
    WaitableSetPoll(Guest),
    WaitableSetDrop,
    WaitableJoin,
}

impl StoreCore {
    /// Does what a built-in does.
    pub fn call_builtin(&self, builtin: &BuiltinFunc, values: &mut [RawVal]) -> Result<()> {
        let instance = builtin.instance;
        let arg = |i: usize| values.get(i).map_or(0, |value: &RawVal| value.u32());
        let result = match &builtin.kind {
            BuiltinKind::ResourceNew(ty) => self.tasks.borrow_mut().resource_new(instance, *ty, arg(0))?,
            BuiltinKind::ResourceRep(ty) => self.tasks.borrow().resource_rep(instance, *ty, arg(0))?,
            BuiltinKind::ResourceDrop(ty) => return self.resource_drop(instance, *ty, arg(0)),
            BuiltinKind::BackpressureInc => return Ok(self.tasks.borrow_mut().backpressure_inc(instance)?),
            BuiltinKind::BackpressureDec => return Ok(self.tasks.borrow_mut().backpressure_dec(instance)?),
            BuiltinKind::TaskReturn { guest, result } => {
                return self.task_return(builtin, guest, *result, values);
            }
            BuiltinKind::TaskCancel => return self.task_cancel(instance),
            BuiltinKind::ContextGet(slot) => return self.context_get(*slot, values),
            BuiltinKind::ContextSet(slot) => return self.context_set(*slot, values),
            BuiltinKind::ThreadYield => self.thread_yield()?,
            BuiltinKind::SubtaskDrop => {
                let data = self.tasks.borrow_mut().subtask_drop(instance, arg(0))?;
                drop(data);
                return Ok(());
            }
            BuiltinKind::SubtaskCancel { is_async } => self.subtask_cancel(instance, *is_async, arg(0))?,
            BuiltinKind::StreamNew(element) => return self.stream_new(instance, element, values),
            BuiltinKind::FutureNew(element) => return self.future_new(instance, element, values),
            BuiltinKind::Copy { guest, element, kind, is_async } => {
                self.copy(guest, element, *kind, *is_async, values)?
            }
            BuiltinKind::CancelCopy { element, kind, is_async } => {
                self.cancel_copy(instance, element, *kind, *is_async, arg(0))?
            }
            BuiltinKind::DropEnd { element, kind } => return self.drop_end(instance, element, *kind, arg(0)),
            BuiltinKind::Forward { element, readable, writable } => {
                return self.forward(instance, element, (arg(0), *readable), (arg(1), *writable));
            }
            BuiltinKind::ErrorContextNew(guest) => self.error_context_new(guest, values)?,
            BuiltinKind::ErrorContextDebugMessage(guest) => {
                return self.error_context_debug_message(guest, values);
            }
            BuiltinKind::ErrorContextDrop => {
                return Ok(self.tasks.borrow_mut().error_context_drop(instance, arg(0))?);
            }
            BuiltinKind::ThreadIndex => {
                let thread = self.current_thread()?;
                self.tasks.borrow().thread_index(thread)?
            }
            BuiltinKind::ThreadNewIndirect { ty, table } => self.thread_new_indirect(*ty, *table, values)?,
            BuiltinKind::ThreadResumeLater => {
                return Ok(self.tasks.borrow_mut().thread_resume_later(instance, arg(0))?);
            }
            BuiltinKind::ThreadSuspend => self.thread_suspend()?,
            BuiltinKind::ThreadSwitch(switch) => self.thread_switch(*switch, arg(0))?,
            BuiltinKind::WaitableSetNew => self.tasks.borrow_mut().waitable_set_new(instance)?,
            BuiltinKind::WaitableSetWait(guest) => self.waitable_set_wait(guest, arg(0), values)?,
            BuiltinKind::WaitableSetPoll(guest) => self.waitable_set_poll(guest, arg(0), values)?,
            BuiltinKind::WaitableSetDrop => {
                return Ok(self.tasks.borrow_mut().waitable_set_drop(instance, arg(0))?);
            }
            BuiltinKind::WaitableJoin => {
                return Ok(self.tasks.borrow_mut().waitable_join(instance, arg(0), arg(1))?);
            }
        };
        set_result(values, result);
        Ok(())
    }
}
