//! Error contexts (CanonicalABI.md, "canon error-context.new" and after).
//!
//! An error context is immutable and shared: passing it to another instance adds a handle to the same value.

use std::sync::Arc;

use crate::embedder::Embedder;
use crate::handle_table::Handle;
use crate::id::InstanceId;
use crate::store::Store;
use crate::trap::{HandleKind, Trap};

impl<E: Embedder> Store<E> {
    /// Creates an error context (`canon_error_context_new`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left or holds too much.
    pub fn error_context_new(&mut self, inst: InstanceId, context: E::ErrorContext) -> Result<u32, Trap> {
        self.check_may_leave(inst)?;
        self.lower_error_context(inst, Arc::new(context))
    }

    /// Finds an error context (`lift_error_context`, `canon_error_context_debug_message`).
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown or not an error context's.
    pub fn lift_error_context(&self, inst: InstanceId, index: u32) -> Result<Arc<E::ErrorContext>, Trap> {
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
        context: Arc<E::ErrorContext>,
    ) -> Result<u32, Trap> {
        self.instances.get_mut(inst)?.add_handle(Handle::ErrorContext(context))
    }

    /// Removes a handle to an error context (`canon_error_context_drop`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left, the index is unknown or not an error context's.
    pub fn error_context_drop(&mut self, inst: InstanceId, index: u32) -> Result<(), Trap> {
        self.check_may_leave(inst)?;
        match self.handle(inst, index)? {
            Handle::ErrorContext(_) => {
                self.instances.get_mut(inst)?.remove_handle(index)?;
                Ok(())
            }
            _ => Err(self.wrong_handle(inst, index, HandleKind::ErrorContext)),
        }
    }
}
