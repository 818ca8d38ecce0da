//! Which core functions can block, and so need a stack of their own.
//!
//! Core code blocks where it calls a built-in or a lowered function that waits. Whether one of a component instance's
//! functions leads there is found out when the function is called for the first time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tombolo_vm::{FuncHandle, InstanceHandle};

use super::core::StoreCore;

/// The core code of a component instance.
#[derive(Debug)]
pub(crate) struct CoreCode {
    /// Whether there is anything in it that waits.
    waits: bool,
    instances: Mutex<Vec<InstanceHandle>>,
    /// Contexts of the core functions that may block whoever calls them.
    waiting: Mutex<HashSet<usize>>,
    /// Whether all its core instances are there.
    complete: AtomicBool,
}

impl CoreCode {
    pub fn new(waits: bool) -> Self {
        CoreCode {
            waits,
            instances: Mutex::default(),
            waiting: Mutex::default(),
            complete: AtomicBool::new(false),
        }
    }

    /// Adds a core instance.
    pub fn add(&self, instance: InstanceHandle) {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner).push(instance);
    }

    /// Notes that a core function of the host may block its caller.
    pub fn note_waiting(&self, core: &StoreCore, func: FuncHandle) {
        let context = core.vm.context_of(func);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(context as usize);
    }

    /// Notes that all core instances were added.
    pub fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Whether anything in it may block.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Whether one of `funcs` may block. The answer is kept in `known`.
    pub fn blocks(
        &self,
        core: &StoreCore,
        known: &OnceLock<bool>,
        funcs: impl IntoIterator<Item = FuncHandle>,
    ) -> bool {
        if !self.waits {
            return false;
        }
        if let Some(blocks) = known.get() {
            return *blocks;
        }
        if !self.complete.load(Ordering::Acquire) {
            return true;
        }
        let instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let stops = |context: *mut std::ffi::c_void| waiting.contains(&(context as usize));
        let blocks = funcs.into_iter().any(|func| core.vm.leads_to(func, &instances, &stops));
        *known.get_or_init(|| blocks)
    }
}
