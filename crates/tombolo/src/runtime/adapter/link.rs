//! What is written into links after they were made: where they lead to, and which `task.return` fits them.
#![allow(unsafe_code, reason = "writes the words of links, which compiled code reads")]

use std::sync::Arc;

use tombolo_compile::vmctx::link;
use tombolo_vm::{CodeObject, HostContext};

use crate::runtime::activation::Link;
use crate::runtime::builtins::TaskReturn;

/// An adapter.
#[derive(Clone)]
pub(crate) struct AdapterCode {
    pub(super) call: Arc<CodeObject>,
    /// What the callee's `task.return` jumps to.
    pub(super) task_return: Option<Arc<CodeObject>>,
}

impl AdapterCode {
    /// Has a link lead here.
    ///
    /// # Safety
    /// The context is a link of the form that the adapter is for, and the store keeps this.
    pub unsafe fn install(&self, link: *mut HostContext) {
        let word = |offset: u32| link.wrapping_byte_add(offset as usize).cast::<*const u8>();
        // SAFETY: the caller's promise; a link has these words.
        unsafe {
            if let Some(code) = &self.task_return {
                word(link::RETURN).write(code.code());
            }
            word(link::CODE).write(self.call.code());
        }
    }
}

/// Notes that a `task.return` fits the callee of a link: its type and its options are the function's.
pub(in crate::runtime) fn fits(link: Link, builtin: &TaskReturn) {
    let word = link.0.as_ptr().wrapping_byte_add(link::TASK_RETURN as usize);
    // SAFETY: only adapters give activations a link, their own, and the store keeps it.
    unsafe { word.cast::<*const TaskReturn>().write(builtin) };
}
