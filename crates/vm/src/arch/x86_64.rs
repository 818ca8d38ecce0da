//! x86-64, System V.
//!
//! `tombolo_vm_enter` builds this frame, and `tombolo_vm_leave` cuts the stack back to it:
//!
//! ```text
//! rbp + 8   return address
//! rbp       caller's rbp
//! rbp - 40  rbx, r12, r13, r14, r15
//! rbp - 48  (padding)
//! rbp - 80  EntryRecord { previous, exit_fp, exit_pc, store }      <- rsp at the call
//! ```
//!
//! Compiled code keeps frame pointers, so the chain from any of its frames leads to a frame whose return address is
//! `tombolo_vm_entry_return`; the saved rbp beside that address is the rbp of the frame above.

use std::ffi::c_void;
use std::mem::offset_of;

use crate::RawVal;
use crate::context::{EntryRecord, StoreContext};

std::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".hidden tombolo_vm_0_1_enter",
    ".globl tombolo_vm_0_1_enter",
    ".type tombolo_vm_0_1_enter, @function",
    // rdi: *mut StoreContext, rsi: entry trampoline, rdx: vmctx, rcx: code, r8: values
    "tombolo_vm_0_1_enter:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "push rdi",
    "push qword ptr [rdi + {exit_pc}]",
    "push qword ptr [rdi + {exit_fp}]",
    "push qword ptr [rdi + {entry}]",
    "mov qword ptr [rdi + {entry}], rsp",
    "mov rax, rsi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "mov rdx, r8",
    "call rax",
    ".hidden tombolo_vm_0_1_entry_return",
    ".globl tombolo_vm_0_1_entry_return",
    "tombolo_vm_0_1_entry_return:",
    "xor eax, eax",
    "2:",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "mov qword ptr [rdi + {entry}], rcx",
    "mov qword ptr [rdi + {exit_fp}], rdx",
    "mov qword ptr [rdi + {exit_pc}], rsi",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    // rdi: the record of the entry to leave through
    ".hidden tombolo_vm_0_1_leave",
    ".globl tombolo_vm_0_1_leave",
    "tombolo_vm_0_1_leave:",
    "mov rsp, rdi",
    "lea rbp, [rdi + 80]",
    "mov eax, 1",
    "jmp 2b",
    ".cfi_endproc",
    ".size tombolo_vm_0_1_enter, . - tombolo_vm_0_1_enter",
    entry = const offset_of!(StoreContext, entry),
    exit_fp = const offset_of!(StoreContext, exit_fp),
    exit_pc = const offset_of!(StoreContext, exit_pc),
);

const _: () = {
    assert!(offset_of!(EntryRecord, previous) == 0);
    assert!(offset_of!(EntryRecord, exit_fp) == 8);
    assert!(offset_of!(EntryRecord, exit_pc) == 16);
    assert!(offset_of!(EntryRecord, store) == 24);
    assert!(size_of::<EntryRecord>() == 32);
};

unsafe extern "sysv64" {
    #[link_name = "tombolo_vm_0_1_enter"]
    pub(crate) fn enter(
        store: *mut StoreContext,
        trampoline: *const u8,
        vmctx: *mut c_void,
        code: *const u8,
        values: *mut RawVal,
    ) -> usize;
    #[link_name = "tombolo_vm_0_1_leave"]
    pub(crate) fn leave(entry: *mut EntryRecord) -> !;
    #[link_name = "tombolo_vm_0_1_entry_return"]
    safe fn entry_return();
}

/// Whether an address is where compiled code returns to the entry stub.
pub(crate) fn is_entry_return(address: usize) -> bool {
    address == entry_return as *const () as usize
}

/// The entry record of the stub's frame whose frame pointer is `fp`.
pub(crate) fn record_of_frame(fp: usize) -> *mut EntryRecord {
    (fp - 80) as *mut EntryRecord
}

/// The stack pointer, roughly.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// The built-in `Interrupt` as compiled code calls it: passes on its return address and the caller's frame pointer.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn interrupt_shim(_vmctx: *mut u8) {
    std::arch::naked_asm!(
        "mov rsi, qword ptr [rsp]",
        "mov rdx, rbp",
        "jmp {interrupt}",
        interrupt = sym crate::builtins::interrupt,
    )
}

/// The built-in `Throw` as compiled code calls it: passes on its return address and the caller's frame pointer.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn throw_shim() -> ! {
    std::arch::naked_asm!(
        "mov r8, qword ptr [rsp]",
        "mov r9, rbp",
        "jmp {throw}",
        throw = sym crate::exception::throw,
    )
}

/// The built-in `ThrowRef` as compiled code calls it, likewise.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn throw_ref_shim() -> ! {
    std::arch::naked_asm!(
        "mov rdx, qword ptr [rsp]",
        "mov rcx, rbp",
        "jmp {throw_ref}",
        throw_ref = sym crate::exception::throw_ref,
    )
}

/// Continues in a compiled frame, at a landing, with an exception.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn land(_exception: usize, _sp: usize, _fp: usize, _pc: *const u8) -> ! {
    std::arch::naked_asm!("mov rax, rdi", "mov rsp, rsi", "mov rbp, rdx", "jmp rcx")
}

/// `StoreContext.raise`: passes on its return address and the caller's frame pointer.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn raise_shim(_store: *mut StoreContext) -> ! {
    std::arch::naked_asm!(
        "mov rsi, qword ptr [rsp]",
        "mov rdx, rbp",
        "jmp {raise}",
        raise = sym crate::entry::raise,
    )
}

/// The registers of a thread that a signal interrupted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted {
    pub(crate) pc: usize,
    pub(crate) fp: usize,
}

/// What the thread goes on with: a function that takes pc, fp, fault address and signal, and does not return.
pub(crate) type Stub = unsafe extern "sysv64" fn(usize, usize, usize, usize) -> !;

impl Interrupted {
    /// # Safety
    /// `context` is the third argument of a signal handler that runs.
    pub(crate) unsafe fn of(context: *mut c_void) -> Interrupted {
        // SAFETY: the caller's promise; Linux passes a `ucontext_t`.
        let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        Interrupted {
            pc: registers[libc::REG_RIP as usize] as usize,
            fp: registers[libc::REG_RBP as usize] as usize,
        }
    }

    /// Lets a function begin again that has found too little stack for its frame, once the handler returns.
    ///
    /// Functions look for that right after `push rbp` and `mov rbp, rsp`, and change no register until then but one that is
    /// nobody's, r10. Returns whether the function is one that begins so.
    ///
    /// # Safety
    /// As for [`Interrupted::of`]; `start` is the first instruction of the function in whose frame check the thread was
    /// interrupted.
    pub(crate) unsafe fn restart(self, context: *mut c_void, start: *const u8) -> bool {
        const FRAME: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
        // SAFETY: the caller's promise; a function that makes a frame is longer than this. At the frame pointer lies what
        // was pushed.
        unsafe {
            if start.cast::<[u8; 4]>().read_unaligned() != FRAME {
                return false;
            }
            let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            registers[libc::REG_RSP as usize] = (self.fp + size_of::<usize>()) as i64;
            registers[libc::REG_RBP as usize] = *(self.fp as *const i64);
            registers[libc::REG_RIP as usize] = start as i64;
        }
        true
    }

    /// Lets the thread continue in `stub`, below its stack pointer, once the handler returns.
    ///
    /// # Safety
    /// As for [`Interrupted::of`]; and the thread's stack has room for `stub`.
    pub(crate) unsafe fn redirect(self, context: *mut c_void, stub: Stub, address: usize, signal: usize) {
        const DIRECTION: i64 = 1 << 10;
        /// Bytes below the stack pointer that a leaf function may use.
        const RED_ZONE: usize = 128;
        // SAFETY: the caller's promise; the handler owns the saved registers while it runs.
        let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        let sp = registers[libc::REG_RSP as usize] as usize;
        // As if `stub` had just been called.
        let sp = (sp.wrapping_sub(RED_ZONE) & !15).wrapping_sub(8);
        registers[libc::REG_RSP as usize] = sp as i64;
        registers[libc::REG_RIP as usize] = stub as usize as i64;
        registers[libc::REG_RDI as usize] = self.pc as i64;
        registers[libc::REG_RSI as usize] = self.fp as i64;
        registers[libc::REG_RDX as usize] = address as i64;
        registers[libc::REG_RCX as usize] = signal as i64;
        registers[libc::REG_EFL as usize] &= !DIRECTION;
    }
}
