//! The canonical built-ins (CanonicalABI.md, "Canonical Definitions").
//!
//! A built-in is a core function of the guest: of three integers at most, but for `task.return`.

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

pub(super) use self::resource::Destructor;
use super::core::StoreCore;
use super::env::Element;
use super::guest::Guest;
use crate::component::Switch;
use crate::error::{Error, Result};
use crate::resource::ResourceType;

/// A built-in as one instance uses it.
pub(crate) struct BuiltinFunc {
    pub instance: InstanceId,
    pub kind: BuiltinKind,
    /// How many parameters its core function has.
    pub params: usize,
}

/// What a built-in does, with the options it was declared with.
pub(crate) enum BuiltinKind {
    ResourceNew(ResourceType),
    ResourceRep(ResourceType),
    ResourceDrop(ResourceType, Option<Destructor>),
    BackpressureInc,
    BackpressureDec,
    TaskReturn {
        guest: Guest,
        result: Option<TypeRef>,
    },
    TaskCancel,
    /// `context.get` or `context.set`.
    Context(u32),
    ThreadYield,
    SubtaskDrop,
    SubtaskCancel {
        is_async: bool,
    },
    StreamNew(Element),
    FutureNew(Element),
    Copy {
        guest: Arc<Guest>,
        element: Element,
        kind: EndKind,
        is_async: bool,
    },
    CancelCopy {
        element: Element,
        kind: EndKind,
        is_async: bool,
    },
    DropEnd {
        element: Element,
        kind: EndKind,
    },
    Forward {
        element: Element,
        readable: EndKind,
        writable: EndKind,
    },
    ErrorContextNew(Guest),
    ErrorContextDebugMessage(Guest),
    ErrorContextDrop,
    ThreadIndex,
    ThreadNewIndirect {
        ty: TypeId,
        table: TableHandle,
    },
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
    /// Does what `resource.new`, `resource.rep` and `resource.drop` do, of a representation or an index: their result, or 0.
    #[inline]
    pub fn call_resource_builtin(&self, builtin: &BuiltinFunc, value: u64) -> Result<u64> {
        let (instance, index) = (builtin.instance, value as u32);
        Ok(match &builtin.kind {
            BuiltinKind::ResourceNew(ty) => {
                self.tasks.borrow_mut().resource_new(instance, *ty, value)?.into()
            }
            BuiltinKind::ResourceRep(ty) => self.tasks.borrow().resource_rep(instance, *ty, index)?,
            BuiltinKind::ResourceDrop(ty, destructor) => {
                self.resource_drop(instance, *ty, destructor.as_ref(), index).map(|()| 0)?
            }
            _ => return Err(another_form()),
        })
    }

    /// Does what a built-in does that is none of these, no `task.return` and none of `context.*`: its result, or 0.
    #[inline]
    pub fn call_builtin(&self, builtin: &BuiltinFunc, args: [u64; 3]) -> Result<u64> {
        let instance = builtin.instance;
        let [a, b, c] = args;
        let (index, second) = (a as u32, b as u32);
        let done = |()| 0;
        Ok(match &builtin.kind {
            BuiltinKind::BackpressureInc => self.tasks.borrow_mut().backpressure_inc(instance).map(done)?,
            BuiltinKind::BackpressureDec => self.tasks.borrow_mut().backpressure_dec(instance).map(done)?,
            BuiltinKind::TaskCancel => self.task_cancel(instance).map(done)?,
            BuiltinKind::ThreadYield => self.thread_yield()?.into(),
            BuiltinKind::SubtaskDrop => {
                let dropped = self.tasks.borrow_mut().subtask_drop(instance, index);
                dropped.map(drop).map(done)?
            }
            BuiltinKind::SubtaskCancel { is_async } => {
                self.subtask_cancel(instance, *is_async, index)?.into()
            }
            BuiltinKind::StreamNew(element) => self.stream_new(instance, element)?,
            BuiltinKind::FutureNew(element) => self.future_new(instance, element)?,
            BuiltinKind::Copy { guest, element, kind, is_async } => {
                self.copy(guest, element, *kind, *is_async, (index, b, c))?.into()
            }
            BuiltinKind::CancelCopy { element, kind, is_async } => {
                self.cancel_copy(instance, element, *kind, *is_async, index)?.into()
            }
            BuiltinKind::DropEnd { element, kind } => {
                self.drop_end(instance, element, *kind, index).map(done)?
            }
            BuiltinKind::Forward { element, readable, writable } => {
                self.forward(instance, element, (index, *readable), (second, *writable)).map(done)?
            }
            BuiltinKind::ErrorContextNew(guest) => self.error_context_new(guest, a, b)?.into(),
            BuiltinKind::ErrorContextDebugMessage(guest) => {
                self.error_context_debug_message(guest, index, b).map(done)?
            }
            BuiltinKind::ErrorContextDrop => {
                self.tasks.borrow_mut().error_context_drop(instance, index).map(done)?
            }
            BuiltinKind::ThreadIndex => {
                let thread = self.current_thread()?;
                self.tasks.borrow().thread_index(thread)?.into()
            }
            BuiltinKind::ThreadNewIndirect { ty, table } => {
                self.thread_new_indirect(*ty, *table, a, RawVal::from_u64(b))?.into()
            }
            BuiltinKind::ThreadResumeLater => {
                self.tasks.borrow_mut().thread_resume_later(instance, index).map(done)?
            }
            BuiltinKind::ThreadSuspend => self.thread_suspend()?.into(),
            BuiltinKind::ThreadSwitch(switch) => self.thread_switch(*switch, index)?.into(),
            BuiltinKind::WaitableSetNew => self.tasks.borrow_mut().waitable_set_new(instance)?.into(),
            BuiltinKind::WaitableSetWait(guest) => self.waitable_set_wait(guest, index, b)?.into(),
            BuiltinKind::WaitableSetPoll(guest) => self.waitable_set_poll(guest, index, b)?.into(),
            BuiltinKind::WaitableSetDrop => {
                self.tasks.borrow_mut().waitable_set_drop(instance, index).map(done)?
            }
            BuiltinKind::WaitableJoin => {
                self.tasks.borrow_mut().waitable_join(instance, index, second).map(done)?
            }
            BuiltinKind::ResourceNew(_)
            | BuiltinKind::ResourceRep(_)
            | BuiltinKind::ResourceDrop(..)
            | BuiltinKind::TaskReturn { .. }
            | BuiltinKind::Context(_) => return Err(another_form()),
        })
    }
}

#[cold]
fn another_form() -> Error {
    Error::usage("a built-in of another form was called")
}
