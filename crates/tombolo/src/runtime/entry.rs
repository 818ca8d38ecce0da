//! Where guest code enters the host, and the host enters guest code.
#![allow(unsafe_code, reason = "turns the pointers that compiled code carries into references")]

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use tombolo_compile::vmctx::TrapCode;
use tombolo_types::TypeId;
use tombolo_types::component::MAX_FLAT_PARAMS;
use tombolo_types::core::ValType;
use tombolo_vm::{BuiltinCode, DirectResult, FuncHandle, HostContext, InstanceHandle, RawVal};

use super::builtins::TaskReturn;
use super::core::StoreCore;
use super::guest::Callable;
use super::{Island, LoweredFunc};
use crate::error::{Backtrace, Error, Result};

impl StoreCore {
    /// Notes where the store is, for its guests' checks to find it. It must not be moved while anything of it can run.
    pub fn is_in_place(&self) {
        self.vm.set_host_data(std::ptr::from_ref(self).cast_mut().cast());
    }

    /// Calls a core function; parameters and results share `values`.
    pub fn call(&self, callable: &Callable, values: &mut [RawVal]) -> Result<()> {
        self.check_running()?;
        let entered = self.vm.activation();
        // SAFETY: the trampoline is the one of the function's type, and `values` has the slots it needs: every
        // caller sizes it by the type that validation gave the function.
        unsafe { self.vm.call_raw(callable.func, &callable.trampoline, values) }
            .map_err(|trap| self.raised(trap, entered))
    }

    /// Runs a core instance's start function.
    pub fn start(&self, instance: InstanceHandle) -> Result<()> {
        let entered = self.vm.activation();
        self.vm.start(instance).map_err(|trap| self.raised(trap, entered))
    }

    /// A trap has cut off the guests' frames inside the call that was entered in an activation.
    #[cold]
    fn raised(&self, trap: tombolo_vm::Trap, entered: *mut c_void) -> Error {
        let error = Error::raised(trap);
        // What the guests linked was cut off with their frames.
        self.vm.set_activation(entered);
        self.cut_off(&error);
        error
    }

    /// A core function together with its entry trampoline.
    pub fn callable(&self, func: FuncHandle) -> Result<Callable> {
        let trampoline = self.vm.trampolines().entry(func.type_id(&self.vm)).map_err(Error::code)?;
        Ok(Callable { func, trampoline })
    }

    /// Makes a core function of a lowered one.
    pub fn lower_to_core(&self, lowered: LoweredFunc, ty: TypeId) -> Result<FuncHandle> {
        let lowered = Arc::new(lowered);
        let island = &lowered.guest.island;
        let group = self.vm.within(island.group);
        let data = [std::ptr::from_ref(self) as usize, Arc::as_ptr(&lowered) as usize];
        // SAFETY: `enter_lowered` reads just these words; the island keeps what they point to.
        let func = unsafe {
            match self.link_words(&lowered) {
                Some(words) => group.raw_link(ty, enter_lowered, data, &words),
                None if self.is_direct(ty) => group.raw_builtin(ty, BuiltinCode::Direct(enter_host), data),
                None => group.raw_host_func(ty, enter_lowered, &data),
            }
        };
        let func = func.map_err(Error::code)?;
        if let Some(adapter) = self.first_adapter(&lowered) {
            // SAFETY: the island was just added to; only links get adapters.
            unsafe { adapter.install(self.vm.context_of(func).cast()) };
        }
        self.add_part(island, |parts| parts.lowered.push(lowered.clone()));
        Ok(func)
    }

    /// Whether a function of the host of a core type can be called like a built-in.
    fn is_direct(&self, ty: TypeId) -> bool {
        let integers = |types: &[ValType], most: usize| {
            types.len() <= most && types.iter().all(|ty| matches!(ty, ValType::I32 | ValType::I64))
        };
        let ty = self.engine.registry().get(ty);
        ty.is_some_and(|ty| integers(&ty.params, 3) && integers(&ty.results, 1))
    }

    /// Makes a core function of a built-in: of three integers at most, and of one result or none, which is 0 then.
    pub fn builtin_to_core<F>(&self, island: &Island, builtin: F, ty: TypeId) -> Result<FuncHandle>
    where
        F: Fn(&StoreCore, [u64; 3]) -> Result<u64> + Send + Sync + 'static,
    {
        let code = BuiltinCode::Direct(enter_builtin::<F>);
        // SAFETY: the function is the one for such a closure.
        unsafe { self.raw_builtin(island, code, builtin, ty) }
    }

    /// Makes a core function of a `task.return`.
    pub fn task_return_to_core(
        &self,
        island: &Island,
        builtin: TaskReturn,
        ty: TypeId,
    ) -> Result<FuncHandle> {
        // SAFETY: the function is the one for it. Adapters fill in the activations that they give links.
        unsafe { self.raw_builtin(island, BuiltinCode::TaskReturn(enter_task_return), builtin, ty) }
    }

    /// Makes a core function of a `context.get` or `context.set`.
    pub fn context_to_core(&self, island: &Island, slot: u32, ty: TypeId) -> Result<FuncHandle> {
        // SAFETY: it calls nothing.
        unsafe { self.raw_builtin(island, BuiltinCode::Context(slot), (), ty) }
    }

    /// # Safety
    /// What the code calls is for such a built-in.
    unsafe fn raw_builtin<B: Send + Sync + 'static>(
        &self,
        island: &Island,
        code: BuiltinCode,
        builtin: B,
        ty: TypeId,
    ) -> Result<FuncHandle> {
        let builtin = Arc::new(builtin);
        let data = [std::ptr::from_ref(self) as usize, Arc::as_ptr(&builtin) as usize];
        let group = self.vm.within(island.group);
        // SAFETY: the caller's promise, and validation knows the types of built-ins. The functions read just these words; the
        // island keeps what they point to. Whatever calls into a guest has an activation.
        let func = unsafe { group.raw_builtin(ty, code, data) };
        self.add_part(island, |parts| parts.builtins.push(builtin));
        func.map_err(Error::code)
    }
}

/// What a guest's checks call when it is to be interrupted or its fuel is used up.
pub(super) fn interrupted(store: &tombolo_vm::Store, code: TrapCode) -> Result<(), tombolo_vm::Trap> {
    let core = store.host_data().cast::<StoreCore>();
    // SAFETY: before anything runs, `is_in_place` sets the word, to the store that owns this one.
    unsafe { core.as_ref() }.map_or(Ok(()), |core| core.interrupted(code))
}

/// What is called before a trap cuts frames of guests off.
pub(super) fn cutting(store: &tombolo_vm::Store, above: usize) {
    let core = store.host_data().cast::<StoreCore>();
    // SAFETY: as in `interrupted`.
    if let Some(core) = unsafe { core.as_ref() } {
        core.note_cut_off(above);
    }
}

/// What a lowered function's core function calls.
unsafe extern "sysv64" fn enter_lowered(host: *mut HostContext, values: *mut RawVal) -> usize {
    // SAFETY: compiled code passes the context that `lower_to_core` made, and an array as long as the larger of the
    // parameter and result lists; store and function outlive the code.
    unsafe {
        tombolo_vm::guard(host, |_| {
            let data = HostContext::data(host);
            let core = &*(*data as *const StoreCore);
            let pointer = *data.add(1) as *const LoweredFunc;
            // The store's own, lent.
            let lowered = ManuallyDrop::new(Arc::from_raw(pointer));
            let len = lowered.core_params.max(lowered.core_results);
            let values = std::slice::from_raw_parts_mut(values, len);
            let mut args = [0; MAX_FLAT_PARAMS + 1];
            for (arg, value) in args.iter_mut().zip(&*values) {
                *arg = value.u64();
            }
            let args = args.get(..lowered.core_params).unwrap_or(&args);
            if let Some(adapter) = core.adapter(&lowered) {
                // The interpreter makes this call still.
                adapter.install(host);
            }
            let result = core.call_lowered(&lowered, args).map_err(trap_of)?;
            core.check_current().map_err(trap_of)?;
            if let Some(value) = values.first_mut() {
                *value = RawVal::from_u64(result);
            }
            Ok(())
        })
    }
}

/// What the core function of a lowered function of the host calls, if it has few integers as parameters.
unsafe extern "sysv64" fn enter_host(host: *mut HostContext, a: u64, b: u64, c: u64) -> DirectResult {
    let mut result = 0;
    // SAFETY: as in `enter_lowered`.
    let failed = unsafe {
        tombolo_vm::guard(host, |_| {
            let data = HostContext::data(host);
            let core = &*(*data as *const StoreCore);
            // The store's own, lent.
            let lowered = ManuallyDrop::new(Arc::from_raw(*data.add(1) as *const LoweredFunc));
            let args = [a, b, c];
            let args = args.get(..lowered.core_params).unwrap_or(&args);
            let value = core.call_lowered(&lowered, args).map_err(trap_of)?;
            core.check_current().map_err(trap_of)?;
            result = value;
            Ok(())
        })
    };
    DirectResult { value: result, failed }
}

/// What the core function of a built-in calls that is an `F`.
unsafe extern "sysv64" fn enter_builtin<F>(host: *mut HostContext, a: u64, b: u64, c: u64) -> DirectResult
where
    F: Fn(&StoreCore, [u64; 3]) -> Result<u64>,
{
    let mut result = 0;
    // SAFETY: `builtin_to_core` made the context that compiled code passes; store and built-in outlive the code.
    let failed = unsafe {
        tombolo_vm::guard(host, |_| {
            let data = HostContext::data(host);
            let core = &*(*data as *const StoreCore);
            let builtin = &*(*data.add(1) as *const F);
            let value = builtin(core, [a, b, c]).map_err(trap_of)?;
            core.check_current().map_err(trap_of)?;
            result = value;
            Ok(())
        })
    };
    DirectResult { value: result, failed }
}

/// What the core function of a `task.return` calls if it cannot go to its caller straight away.
unsafe extern "sysv64" fn enter_task_return(host: *mut HostContext, values: *mut RawVal) -> usize {
    // SAFETY: as in `enter_builtin`, with `task_return_to_core`; the array is as long as the parameter list.
    unsafe {
        tombolo_vm::guard(host, |_| {
            let data = HostContext::data(host);
            let core = &*(*data as *const StoreCore);
            let builtin = &*(*data.add(1) as *const TaskReturn);
            let values = std::slice::from_raw_parts(values, builtin.params);
            core.task_return(builtin, values).and_then(|()| core.check_current()).map_err(trap_of)
        })
    }
}

/// Our error, to be raised through guest frames. A trap has a backtrace from where it was raised first, and other errors
/// have none: a guest may have an error raised through thousands of calls, and each time the whole stack would be walked.
pub(crate) fn trap_of(error: Error) -> tombolo_vm::Trap {
    let is_known = error.trap().is_none_or(|trap| !trap.backtrace().is_empty());
    let mut trap = tombolo_vm::Trap::host(error);
    if is_known {
        trap.set_backtrace(Backtrace::default());
    }
    trap
}
