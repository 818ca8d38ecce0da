//! Faults of compiled code.
//!
//! The handler asks one thing, whether the interrupted instruction lies where guest code does, and if so lets the
//! thread continue in [`trapped`], on the same stack, as if the instruction had called it. Everything else happens
//! there, in ordinary context: compiled code holds no lock and owns nothing of the host, and below its stack limit
//! there are [`HOST_STACK`](tombolo_compile::vmctx::HOST_STACK) bytes. Faults of other code go to the handler that was
//! there before.
//!
//! One thing more it does itself: a function that finds its stack used up [begins again](begins_again) if there is more of
//! it. That takes locks, which no signal handler may, if it does not know what the thread was doing: this one was at an
//! instruction of a guest's, and holds none.
//!
//! A fault in guest code that is not a trap, because the compiler did not announce one there or because the address is
//! not near any memory of the store, means that the sandbox failed. Then the process ends.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Once;

use libc::{c_int, sigaction, siginfo_t};
use tombolo_compile::vmctx::TrapCode;

use crate::arch::Interrupted;
use crate::backtrace::{self, Position};
use crate::context::StoreContext;
use crate::store::StoreRef;
use crate::{Trap, code, entry, fiber};

/// The signals of faults.
const SIGNALS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// Addresses below this are never mapped. Compiled code reaches for them when it was told to trap rather than to
/// guess: null references, and bounds that speculation must not pass.
const LOW_ADDRESSES: usize = 64 << 10;

/// What was installed for each signal before.
struct Previous([UnsafeCell<MaybeUninit<sigaction>>; SIGNALS.len()]);

// SAFETY: written once, before the handler that reads it is installed.
unsafe impl Sync for Previous {}

static PREVIOUS: Previous = Previous([const { UnsafeCell::new(MaybeUninit::uninit()) }; SIGNALS.len()]);

/// Installs the handler, once per process.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS.0) {
            // SAFETY: zeroes are a valid `sigaction`.
            let mut new: sigaction = unsafe { std::mem::zeroed() };
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = handle;
            new.sa_sigaction = handler as usize;
            new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: nobody reads `previous` yet, for the handler is installed after it; the handler is one.
            unsafe {
                libc::sigemptyset(&mut new.sa_mask);
                sigaction(signal, std::ptr::null(), (*previous.get()).as_mut_ptr());
                sigaction(signal, &new, std::ptr::null_mut());
            }
        }
    });
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel calls with three valid arguments.
    let (interrupted, by_kernel) = unsafe { (Interrupted::of(context), (*info).si_code > 0) };
    if by_kernel && code::is_guest_code(interrupted.pc) {
        // SAFETY: `info` is of a fault, and the guest's stack has room below its limit.
        unsafe {
            if signal == libc::SIGILL && begins_again(interrupted, context) {
                return;
            }
            let address = (*info).si_addr() as usize;
            interrupted.redirect(context, trapped, address, signal as usize);
        }
    } else {
        // SAFETY: the arguments are the kernel's.
        unsafe { pass_on(signal, info, context) }
    }
}

/// Lets a guest's function begin again that found too little stack, if its fiber may [become deep](fiber::deepen).
///
/// # Safety
/// The thread was interrupted by a fault of guest code; `context` is the handler's.
unsafe fn begins_again(interrupted: Interrupted, context: *mut c_void) -> bool {
    let Some(code) = code::find(interrupted.pc) else { return false };
    if code.trap_at(interrupted.pc) != Some(TrapCode::StackOverflow) {
        return false;
    }
    let Some(start) = code.start_of(interrupted.pc) else { return false };
    // SAFETY: the function has made its frame, so the frame pointer is one of compiled code's, above a live entry. Frames
    // are checked at the beginning of a function.
    unsafe {
        let Some(record) = backtrace::entry_of(interrupted.fp) else { return false };
        fiber::deepen((*record).store) && interrupted.restart(context, start)
    }
}

/// Does what would have happened without this handler.
///
/// # Safety
/// The arguments are those of a signal handler that runs.
unsafe fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let Some((_, previous)) = SIGNALS.iter().zip(&PREVIOUS.0).find(|(known, _)| **known == signal) else {
        return;
    };
    // SAFETY: it was written before this handler was installed, and not since.
    let previous = unsafe { (*previous.get()).assume_init_ref() };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // The instruction is executed again, or the signal sent again, and the process ends as it should.
            // SAFETY: resets a handler; zeroes are a valid `sigaction` that means the default.
            unsafe {
                let default: sigaction = std::mem::zeroed();
                sigaction(signal, &default, std::ptr::null_mut());
                if (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: whoever installed it said that it is a handler with three arguments.
            unsafe {
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = std::mem::transmute(handler);
                handler(signal, info, context);
            }
        }
        handler => {
            // SAFETY: whoever installed it said that it is a handler with one argument.
            unsafe {
                let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

/// Where a thread continues whose compiled code faulted at `pc`.
///
/// # Safety
/// Only the signal handler lets threads continue here.
unsafe extern "sysv64" fn trapped(pc: usize, fp: usize, address: usize, signal: usize) -> ! {
    // SAFETY: `pc` is in guest code, which keeps its frame pointer in that register.
    let Some(record) = (unsafe { backtrace::entry_of(fp) }) else {
        fatal("guest code that nobody entered", pc, address)
    };
    // SAFETY: the record is in the frame of an entry that is on this stack.
    let store = unsafe { (*record).store };
    // SAFETY: a store with an entry on the stack is alive, and this thread runs it.
    if unsafe { (*store).entry } != record {
        fatal("guest code outside the innermost entry", pc, address);
    }
    // SAFETY: as above; nothing in this frame or `trap_of`'s needs dropping by now.
    unsafe {
        let trap = trap_of(store, pc, address, signal as c_int);
        entry::leave_with(store, trap, Position { pc, fp, returns: false })
    }
}

/// # Safety
/// This thread runs the store, whose code faulted at `pc`.
#[inline(never)]
unsafe fn trap_of(store: *mut StoreContext, pc: usize, address: usize, signal: c_int) -> Trap {
    let Some(code) = code::find(pc).and_then(|code| code.trap_at(pc)) else {
        fatal("fault at an instruction that cannot trap", pc, address)
    };
    let mut trap = Trap::new(code);
    if matches!(signal, libc::SIGSEGV | libc::SIGBUS) {
        // SAFETY: the caller's promise.
        let store = unsafe { StoreRef::new(store) };
        if address >= LOW_ADDRESSES && !(code == TrapCode::MemoryOutOfBounds && store.guards(address)) {
            fatal("fault outside the guest's memories", pc, address);
        }
        trap.set_fault_address(address);
    }
    trap
}

/// Ends the process: guest code did what it must not be able to do.
#[cold]
fn fatal(what: &str, pc: usize, address: usize) -> ! {
    eprintln!("tombolo: internal error: {what} (at {pc:#x}, address {address:#x}); ending the process");
    std::process::abort()
}
