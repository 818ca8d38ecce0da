//! An instance's handles (CanonicalABI.md, "Table State").
//!
//! Invariants: every entry names a live entity of this instance; a subtask, an end and a set are each named
//! by one entry, which they know; lookups check the kind before anything happens.

use std::sync::Arc;

use crate::embedder::Embedder;
use crate::error_context::ErrorContext;
use crate::id::{EndId, InstanceId, SetId, SubtaskId};
use crate::resource::ResourceHandle;
use crate::store::Store;
use crate::trap::{HandleKind, Trap};
use crate::waitable::WaitableId;

/// An entry of an instance's handle table.
pub(crate) enum Handle<E: Embedder> {
    Resource(ResourceHandle<E>),
    Subtask(SubtaskId),
    End(EndId),
    Set(SetId),
    ErrorContext(Arc<ErrorContext<E::ErrorContext>>),
}

impl<E: Embedder> Store<E> {
    /// Says what a handle refers to.
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown.
    pub fn handle_kind(&self, inst: InstanceId, index: u32) -> Result<HandleKind, Trap> {
        self.kind_of(self.handle(inst, index)?)
    }

    pub(crate) fn kind_of(&self, handle: &Handle<E>) -> Result<HandleKind, Trap> {
        Ok(match handle {
            Handle::Resource(_) => HandleKind::Resource,
            Handle::Subtask(_) => HandleKind::Subtask,
            Handle::End(end) => self.ends.get(*end)?.kind.handle_kind(),
            Handle::Set(_) => HandleKind::WaitableSet,
            Handle::ErrorContext(_) => HandleKind::ErrorContext,
        })
    }

    /// Finds a waitable by its handle.
    pub(crate) fn waitable_handle(&self, inst: InstanceId, index: u32) -> Result<WaitableId, Trap> {
        match self.handle(inst, index)? {
            Handle::Subtask(subtask) => Ok((*subtask).into()),
            Handle::End(end) => Ok((*end).into()),
            _ => Err(self.wrong_handle(inst, index, HandleKind::Waitable)),
        }
    }

    /// Finds a waitable set by its handle.
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown or not a waitable set's.
    #[inline]
    pub fn set_handle(&self, inst: InstanceId, index: u32) -> Result<SetId, Trap> {
        match self.handle(inst, index)? {
            Handle::Set(set) => Ok(*set),
            _ => Err(self.wrong_handle(inst, index, HandleKind::WaitableSet)),
        }
    }

    /// Finds a subtask by its handle.
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown or not a subtask's.
    #[inline]
    pub fn subtask_handle(&self, inst: InstanceId, index: u32) -> Result<SubtaskId, Trap> {
        match self.handle(inst, index)? {
            Handle::Subtask(subtask) => Ok(*subtask),
            _ => Err(self.wrong_handle(inst, index, HandleKind::Subtask)),
        }
    }
}
