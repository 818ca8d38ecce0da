//! From the host into compiled code, and out again.
//!
//! [`enter`] calls an entry trampoline from a stub that saved the callee-saved registers and linked an
//! [`EntryRecord`](crate::context::EntryRecord) in the store's context. There are two ways out:
//!
//! * The trampoline returns; the stub unlinks the record.
//! * Something traps: compiled code (through a signal), or a host function whose error the exit trampoline raises. The
//!   trap is put into the store's `pending`, the compiled frames are recorded, and the stack is cut back to the stub's
//!   frame. What is cut off is compiled frames and the frames of [`raise`] and its like, which own nothing then: host
//!   functions have returned before. So every Rust frame is left by returning, and its destructors run.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::backtrace::{self, Position};
use crate::context::{HostContext, StoreContext};
use crate::store::{Store, StoreInner, StoreRef};
use crate::{RawVal, Trap, arch, exception, fiber, os};

/// The stack limit of a store that does not run: no compiled function would get past it.
pub(crate) const IDLE: usize = usize::MAX;

/// Calls compiled code through an entry trampoline.
///
/// The outermost entry on a thread's stack sets the store's stack limit; those inside it share it.
///
/// # Errors
/// The trap that ended the call. What it did before stays done.
///
/// # Safety
/// * `store` is a live store's context, and no other thread runs the store.
/// * `trampoline` is the entry trampoline of the type of the function at `code`, both published and kept so.
/// * `vmctx` is the callee context that belongs to `code`, of this store.
/// * `values` points to as many slots as the type has parameters or results, whichever are more; the parameters are in
///   it, and references among them are null or of this store.
#[inline]
pub unsafe fn enter(
    store: *mut StoreContext,
    trampoline: *const u8,
    vmctx: *mut c_void,
    code: *const u8,
    values: *mut RawVal,
) -> Result<(), Trap> {
    // SAFETY: the store is live, and this thread runs it.
    let outermost = unsafe { (*store).stack_limit } == IDLE;
    if outermost {
        // SAFETY: as above.
        unsafe { (*store).stack_limit = limit_here(store) };
    }
    // SAFETY: the caller's promises are what the stub, the trampoline and the function need.
    let status = unsafe { arch::enter(store, trampoline, vmctx, code, values) };
    if outermost {
        // SAFETY: as above.
        unsafe { (*store).stack_limit = IDLE };
    }
    // SAFETY: as above.
    if status == 0 { Ok(()) } else { Err(unsafe { take_pending(store) }) }
}

/// The limit for compiled code that is entered here from a stack of the thread: the configured depth, or less if the
/// stack is not that deep.
///
/// Not inlined, for the sake of `prepare_thread`.
///
/// # Safety
/// `store` is a live store's context.
#[inline(never)]
unsafe fn limit_here(store: *mut StoreContext) -> usize {
    let (low, high) = os::prepare_thread();
    let sp = arch::stack_pointer();
    // SAFETY: a store's context is the first field of the store.
    let (depth, host_stack) = unsafe {
        let store = store.cast::<StoreInner>();
        ((*store).max_wasm_stack, (*store).host_stack)
    };
    let limit = sp.saturating_sub(depth);
    let low = if low < sp && sp < high { Some(low) } else { fiber::stack_start(sp) };
    // On a stack that somebody else made, nothing is known but the stack pointer.
    low.map_or(limit, |low| limit.max(low.saturating_add(host_stack)))
}

/// # Safety
/// `store` is a live store's context, and this thread runs it.
unsafe fn take_pending(store: *mut StoreContext) -> Trap {
    // SAFETY: the caller's promise; a store's context is its first field.
    let pending = unsafe { (*store.cast::<StoreInner>()).pending.take() };
    pending.unwrap_or_else(|| Trap::host("a host function failed without saying why"))
}

/// Runs the body of a [`HostFn`](crate::HostFn): a panic or an error becomes the store's pending trap, and the result
/// is what the `HostFn` is to return.
///
/// # Safety
/// `host` is the first argument of a `HostFn` that compiled code called, and the `HostFn` returns the result.
#[inline]
pub unsafe fn guard(host: *mut HostContext, body: impl FnOnce(&Store) -> Result<(), Trap>) -> usize {
    // SAFETY: a host context points to its store, which runs, and so lives, as long as the body does.
    let store = unsafe { StoreRef::new((*host).store) };
    let trap = match catch_unwind(AssertUnwindSafe(|| body(&store))) {
        Ok(Ok(())) => return 0,
        Ok(Err(trap)) => trap,
        Err(payload) => Trap::panic(payload),
    };
    store.set_pending(trap);
    1
}

/// What exit trampolines call when a host function failed; see [`arch::raise_shim`]. If it did with an exception, that is
/// thrown on. `pc` is the return address into the trampoline, and `fp` the trampoline's frame pointer.
///
/// # Safety
/// Only compiled code may call it, through the shim.
pub(crate) unsafe extern "sysv64" fn raise(store: *mut StoreContext, pc: usize, fp: usize) -> ! {
    // SAFETY: compiled code of this store calls.
    unsafe {
        let trap = take_pending(store);
        exception::rethrow(store, trap, Position { pc, fp, returns: true })
    }
}

/// Leaves through the store's innermost entry with a trap that arose in compiled code at `position`.
///
/// # Safety
/// Compiled code of this store called the caller, or was interrupted in favour of it, at `position`. No frame between
/// here and there owns anything.
pub(crate) unsafe fn leave_with(store: *mut StoreContext, trap: Trap, position: Position) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        prepare_to_leave(store, trap, position);
        arch::leave((*store).entry)
    }
}

/// # Safety
/// As for [`leave_with`].
#[inline(never)]
unsafe fn prepare_to_leave(store: *mut StoreContext, mut trap: Trap, position: Position) {
    if !trap.has_backtrace() {
        // SAFETY: the position is above the innermost entry, in compiled code that is on the stack.
        trap.set_backtrace(unsafe { backtrace::capture(store, position) });
    }
    // SAFETY: the store is live, and this thread runs it; the record of its innermost entry is in the frame that is left
    // to.
    unsafe {
        if let Some(cutting) = (*store.cast::<StoreInner>()).cutting {
            cutting(&StoreRef::new(store), (*store).entry as usize);
        }
        (*store.cast::<StoreInner>()).pending.set(Some(trap));
    }
}
