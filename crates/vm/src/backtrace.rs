//! Walks the compiled frames on a store's stacks.
//!
//! What it relies on: compiled code and trampolines keep frame pointers; a frame pointer points at the caller's, and
//! beside it lies the return address. The outermost compiled frame of an entry returns to the entry stub, whose frame
//! holds the [`EntryRecord`]. So a walk that starts in compiled code reads stack memory only, and ends at a record.

use std::fmt;
use std::sync::Arc;

use crate::arch;
use crate::code::{self, CodeKind, CodeObject};
use crate::context::{EntryRecord, StoreContext};
use crate::fiber;
use crate::trap::Frames;

/// Frames that a backtrace holds at most.
const MAX_FRAMES: usize = 100;

/// A running function of a guest.
#[derive(Clone)]
pub struct Frame {
    code: Arc<CodeObject>,
    function: u32,
    wasm_offset: Option<u32>,
}

impl Frame {
    fn at(address: usize) -> Option<Frame> {
        let code = code::find(address)?;
        let CodeKind::Module(info) = code.kind() else { return None };
        let function = code.function_at(address)?.checked_add(info.imported_functions)?;
        let wasm_offset = code.wasm_offset_at(address);
        Some(Frame { function, wasm_offset, code })
    }

    /// The name of its module, from the name section.
    pub fn module_name(&self) -> Option<&str> {
        match self.code.kind() {
            CodeKind::Module(info) => info.name.as_deref(),
            CodeKind::Trampoline => None,
        }
    }

    /// The function's index in its module.
    pub fn function_index(&self) -> u32 {
        self.function
    }

    /// The function's name from the name section, as it is there.
    pub fn function_name(&self) -> Option<&str> {
        match self.code.kind() {
            CodeKind::Module(info) => info.function_names.get(&self.function).map(String::as_str),
            CodeKind::Trampoline => None,
        }
    }

    /// The instruction that trapped or called, as an offset in the module's file.
    pub fn wasm_offset(&self) -> Option<u32> {
        self.wasm_offset
    }

    /// The code that it runs.
    pub fn code(&self) -> &Arc<CodeObject> {
        &self.code
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(offset) = self.wasm_offset {
            write!(f, "{offset:#8x} - ")?;
        }
        write!(f, "{}!", self.module_name().unwrap_or("<unknown>"))?;
        match self.function_name() {
            // Without the hash at the end.
            Some(name) => write!(f, "{:#}", rustc_demangle::demangle(name)),
            None => write!(f, "<wasm function {}>", self.function),
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The words at a frame pointer: the caller's frame pointer, and the return address.
///
/// # Safety
/// `fp` is the frame pointer of a compiled frame that is on a stack now.
pub(crate) unsafe fn frame_words(fp: usize) -> (usize, usize) {
    let words = fp as *const usize;
    // SAFETY: the caller's promise: these words are stack memory.
    unsafe { (*words, *words.add(1)) }
}

/// The record of the entry that the compiled frame `fp` belongs to; `None` if the chain is broken.
///
/// # Safety
/// `fp` is the frame pointer of a compiled frame that is on a stack now.
pub(crate) unsafe fn entry_of(mut fp: usize) -> Option<*mut EntryRecord> {
    loop {
        // SAFETY: the caller's promise for the first; the chain leads to further compiled frames up to the stub.
        let (caller, return_address) = unsafe { frame_words(fp) };
        if arch::is_entry_return(return_address) {
            return Some(arch::record_of_frame(caller));
        }
        // The stack grows down, and only compiled frames come before the stub.
        if caller <= fp || caller % size_of::<usize>() != 0 || !code::is_guest_code(return_address) {
            return None;
        }
        fp = caller;
    }
}

/// Where a walk is: in a function at `pc`, whose frame pointer is `fp`.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    /// The address of the instruction, or one after it for calls.
    pub(crate) pc: usize,
    pub(crate) fp: usize,
    /// Whether `pc` is a return address.
    pub(crate) returns: bool,
}

/// Records the compiled frames of a store from `from` outwards: through the host functions to the outer entries, and
/// from a fiber on to what resumed it.
///
/// # Safety
/// `from` is a position in a compiled frame that is on the stack of the running store `store`, above its innermost
/// entry.
pub(crate) unsafe fn capture(store: *mut StoreContext, from: Position) -> Frames {
    let mut frames = Frames::default();
    // SAFETY: the store is live, and its chain of entries is that of the stacks.
    let mut record = unsafe { (*store).entry };
    // SAFETY: as above.
    let mut fiber = unsafe { fiber::current(store) };
    let mut position = from;
    loop {
        // SAFETY: for the innermost by the caller's promise; for outer ones the exit was recorded by compiled code
        // that still waits for the host to return.
        if !unsafe { capture_entry(position, &mut frames.frames) } {
            return frames;
        }
        // SAFETY: a record in the chain is on a stack that still exists.
        let (previous, exit_fp, exit_pc) =
            unsafe { ((*record).previous, (*record).exit_fp, (*record).exit_pc) };
        let (next, fp, pc) = if !previous.is_null() {
            (previous, exit_fp, exit_pc)
        } else {
            // SAFETY: `fiber` is null or a running fiber of the store.
            match unsafe { fiber::resumed_from(&mut fiber) } {
                Some(outer) => outer,
                None => {
                    frames.complete = true;
                    return frames;
                }
            }
        };
        record = next;
        position = Position { pc, fp, returns: true };
    }
}

/// Records the frames of one entry; `false` if they were too many.
///
/// # Safety
/// `position` is in a compiled frame that is on a stack now.
unsafe fn capture_entry(mut position: Position, frames: &mut Vec<Frame>) -> bool {
    loop {
        // A return address may be the first byte of another instruction, or function.
        let address = if position.returns { position.pc.wrapping_sub(1) } else { position.pc };
        if let Some(frame) = Frame::at(address) {
            if frames.len() >= MAX_FRAMES {
                return false;
            }
            frames.push(frame);
        }
        // SAFETY: the caller's promise for the first; the chain leads to further compiled frames up to the stub.
        let (caller, return_address) = unsafe { frame_words(position.fp) };
        if arch::is_entry_return(return_address) {
            return true;
        }
        if caller <= position.fp || !code::is_guest_code(return_address) {
            // Not a chain that compiled code makes. What was found is still worth showing.
            return true;
        }
        position = Position { pc: return_address, fp: caller, returns: true };
    }
}
