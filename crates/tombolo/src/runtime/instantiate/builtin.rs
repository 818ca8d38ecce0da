//! Making core functions of the canonical built-ins.
//!
//! Each is a closure of what it was declared with, and each closure has a core function's code of its own: what is to be
//! done is decided here, not when it is called.

use std::sync::Arc;

use tombolo_tasks::EndKind;
use tombolo_types::TypeId;
use tombolo_types::component::{Def, DefId};
use tombolo_vm::{Extern, FuncHandle, RawVal};

use super::{Instantiator, at};
use crate::component::{Builtin, Side};
use crate::error::{Error, Result};
use crate::runtime::builtins::TaskReturn;
use crate::runtime::core::StoreCore;
use crate::runtime::env::Element;

impl Instantiator<'_> {
    /// Makes a core function of a built-in.
    pub(super) fn builtin(&self, builtin: &Builtin, ty: TypeId) -> Result<FuncHandle> {
        let instance = self.instance;
        match builtin {
            Builtin::ResourceNew(id) => {
                let resource = self.env.resource(*id)?;
                self.direct(ty, move |core, [rep, ..]| {
                    Ok(core.tasks.borrow_mut().resource_new(instance, resource, rep)?.into())
                })
            }
            Builtin::ResourceRep(id) => {
                let resource = self.env.resource(*id)?;
                self.direct(ty, move |core, [index, ..]| {
                    Ok(core.tasks.borrow().resource_rep(instance, resource, index as u32)?)
                })
            }
            Builtin::ResourceDrop(id) => {
                let resource = self.env.resource(*id)?;
                let destructor = self.core.destructor(resource);
                self.direct(ty, move |core, [index, ..]| {
                    done(core.resource_drop(instance, resource, destructor.as_ref(), index as u32))
                })
            }
            Builtin::BackpressureInc => {
                self.direct(ty, move |core, _| done(core.tasks.borrow_mut().backpressure_inc(instance)))
            }
            Builtin::BackpressureDec => {
                self.direct(ty, move |core, _| done(core.tasks.borrow_mut().backpressure_dec(instance)))
            }
            Builtin::TaskReturn { result, options } => {
                let params = self.core.engine.registry().get(ty).map_or(0, |ty| ty.params.len());
                let builtin = TaskReturn { guest: self.guest(options)?, result: *result, params };
                self.core.task_return_to_core(self.island, builtin, ty)
            }
            Builtin::TaskCancel => self.direct(ty, move |core, _| done(core.task_cancel(instance))),
            Builtin::ContextGet(slot) | Builtin::ContextSet(slot) => {
                self.core.context_to_core(self.island, *slot, ty)
            }
            Builtin::ThreadYield => self.direct(ty, |core, _| Ok(core.thread_yield()?.into())),
            Builtin::SubtaskDrop => self.direct(ty, move |core, [index, ..]| {
                let dropped = core.tasks.borrow_mut().subtask_drop(instance, index as u32);
                done(dropped.map(drop))
            }),
            Builtin::SubtaskCancel { is_async } => {
                let is_async = *is_async;
                self.direct(ty, move |core, [index, ..]| {
                    Ok(core.subtask_cancel(instance, is_async, index as u32)?.into())
                })
            }
            Builtin::New(def) => {
                let element = self.element(*def);
                match self.env.types.def(*def) {
                    Def::Future(_) => self.direct(ty, move |core, _| core.future_new(instance, &element)),
                    _ => self.direct(ty, move |core, _| core.stream_new(instance, &element)),
                }
            }
            Builtin::Copy { ty: def, side, options } => {
                let guest = Arc::new(self.guest(options)?);
                let (element, kind) = (self.element(*def), self.end_kind(*def, *side));
                let is_async = options.is_async;
                self.direct(ty, move |core, [index, ptr, length]| {
                    Ok(core.copy(&guest, &element, kind, is_async, (index as u32, ptr, length))?.into())
                })
            }
            Builtin::CancelCopy { ty: def, side, is_async } => {
                let (element, kind) = (self.element(*def), self.end_kind(*def, *side));
                let is_async = *is_async;
                self.direct(ty, move |core, [index, ..]| {
                    Ok(core.cancel_copy(instance, &element, kind, is_async, index as u32)?.into())
                })
            }
            Builtin::DropEnd { ty: def, side } => {
                let (element, kind) = (self.element(*def), self.end_kind(*def, *side));
                self.direct(ty, move |core, [index, ..]| {
                    done(core.drop_end(instance, &element, kind, index as u32))
                })
            }
            Builtin::Forward { ty: def } => {
                let element = self.element(*def);
                let readable = self.end_kind(*def, Side::Readable);
                let writable = self.end_kind(*def, Side::Writable);
                self.direct(ty, move |core, [from, to, _]| {
                    done(core.forward(instance, &element, (from as u32, readable), (to as u32, writable)))
                })
            }
            Builtin::ErrorContextNew { options } => {
                let guest = self.guest(options)?;
                self.direct(ty, move |core, [ptr, length, _]| {
                    Ok(core.error_context_new(&guest, ptr, length)?.into())
                })
            }
            Builtin::ErrorContextDebugMessage { options } => {
                let guest = self.guest(options)?;
                self.direct(ty, move |core, [index, out, _]| {
                    done(core.error_context_debug_message(&guest, index as u32, out))
                })
            }
            Builtin::ErrorContextDrop => self.direct(ty, move |core, [index, ..]| {
                done(core.tasks.borrow_mut().error_context_drop(instance, index as u32))
            }),
            Builtin::ThreadIndex => self.direct(ty, |core, _| {
                let thread = core.current_thread()?;
                Ok(core.tasks.borrow().thread_index(thread)?.into())
            }),
            Builtin::ThreadNewIndirect { ty: func, table } => {
                let Extern::Table(table) = *at(&self.core_tables, *table)? else {
                    return Err(Error::usage("something else stands where a table should"));
                };
                let func = *func;
                self.direct(ty, move |core, [index, argument, _]| {
                    Ok(core.thread_new_indirect(func, table, index, RawVal::from_u64(argument))?.into())
                })
            }
            Builtin::ThreadResumeLater => self.direct(ty, move |core, [index, ..]| {
                done(core.tasks.borrow_mut().thread_resume_later(instance, index as u32))
            }),
            Builtin::ThreadSuspend => self.direct(ty, |core, _| Ok(core.thread_suspend()?.into())),
            Builtin::ThreadSwitch(switch) => {
                let switch = *switch;
                self.direct(ty, move |core, [index, ..]| Ok(core.thread_switch(switch, index as u32)?.into()))
            }
            Builtin::WaitableSetNew => {
                self.direct(ty, move |core, _| Ok(core.tasks.borrow_mut().waitable_set_new(instance)?.into()))
            }
            Builtin::WaitableSetWait { options } => {
                let guest = self.guest(options)?;
                self.direct(ty, move |core, [set, out, _]| {
                    Ok(core.waitable_set_wait(&guest, set as u32, out)?.into())
                })
            }
            Builtin::WaitableSetPoll { options } => {
                let guest = self.guest(options)?;
                self.direct(ty, move |core, [set, out, _]| {
                    Ok(core.waitable_set_poll(&guest, set as u32, out)?.into())
                })
            }
            Builtin::WaitableSetDrop => self.direct(ty, move |core, [index, ..]| {
                done(core.tasks.borrow_mut().waitable_set_drop(instance, index as u32))
            }),
            Builtin::WaitableJoin => self.direct(ty, move |core, [waitable, set, _]| {
                done(core.tasks.borrow_mut().waitable_join(instance, waitable as u32, set as u32))
            }),
        }
    }

    fn direct<F>(&self, ty: TypeId, builtin: F) -> Result<FuncHandle>
    where
        F: Fn(&StoreCore, [u64; 3]) -> Result<u64> + Send + Sync + 'static,
    {
        self.core.builtin_to_core(self.island, builtin, ty)
    }

    fn element(&self, def: DefId) -> Element {
        Element::of(&self.env, self.env.types.def(def))
    }

    fn end_kind(&self, def: DefId, side: Side) -> EndKind {
        match (self.env.types.def(def), side) {
            (Def::Future(_), Side::Readable) => EndKind::FutureReadable,
            (Def::Future(_), Side::Writable) => EndKind::FutureWritable,
            (_, Side::Readable) => EndKind::StreamReadable,
            (_, Side::Writable) => EndKind::StreamWritable,
        }
    }
}

/// The result of a built-in that has none.
#[inline]
fn done<E>(done: Result<(), E>) -> Result<u64>
where
    Error: From<E>,
{
    Ok(done.map(|()| 0)?)
}
