//! Error contexts (CanonicalABI.md, "canon error-context.new" and after).
//!
//! An error context is immutable and shared: passing it to another instance adds a handle to the same value.

use std::sync::Arc;

use crate::embedder::Embedder;
use crate::handle_table::Handle;
use crate::id::InstanceId;
use crate::store::Store;
use crate::trap::{HandleKind, Trap};

/// An error context. Each handle to it is charged for its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorContext<T> {
    /// The embedder's value.
    pub value: T,
    /// How many bytes the value takes up.
    pub bytes: u64,
}

impl<E: Embedder> Store<E> {
    /// Creates an error context (`canon_error_context_new`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left or holds too much.
    pub fn error_context_new(
        &mut self,
        inst: InstanceId,
        context: impl Into<Arc<ErrorContext<E::ErrorContext>>>,
    ) -> Result<u32, Trap> {
        self.check_may_leave(inst)?;
        self.lower_error_context(inst, context.into())
    }

    /// Finds an error context (`lift_error_context`, `canon_error_context_debug_message`).
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown or not an error context's.
    pub fn lift_error_context(
        &self,
        inst: InstanceId,
        index: u32,
    ) -> Result<Arc<ErrorContext<E::ErrorContext>>, Trap> {
        match self.handle(inst, index)? {
            Handle::ErrorContext(context) => Ok(Arc::clone(context)),
            _ => Err(self.wrong_handle(inst, index, HandleKind::ErrorContext)),
        }
    }

    /// Adds a handle to an error context (`lower_error_context`).
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much.
    pub fn lower_error_context(
        &mut self,
        inst: InstanceId,
        context: Arc<ErrorContext<E::ErrorContext>>,
    ) -> Result<u32, Trap> {
        let (instance, bytes) = (self.instances.get_mut(inst)?, context.bytes);
        instance.charge(bytes)?;
        instance.add_handle(Handle::ErrorContext(context)).inspect_err(|_| instance.uncharge(bytes))
    }

    /// Removes a handle to an error context (`canon_error_context_drop`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the index is unknown or not an error context's.
    pub fn error_context_drop(&mut self, inst: InstanceId, index: u32) -> Result<(), Trap> {
        self.check_may_leave(inst)?;
        match self.handle(inst, index)? {
            Handle::ErrorContext(context) => {
                let bytes = context.bytes;
                let instance = self.instances.get_mut(inst)?;
                instance.remove_handle(index)?;
                instance.uncharge(bytes);
                Ok(())
            }
            _ => Err(self.wrong_handle(inst, index, HandleKind::ErrorContext)),
        }
    }
}
