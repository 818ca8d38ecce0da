//! Walks the compiled frames on a store's stacks.
//!
//! What it relies on: compiled code and trampolines keep frame pointers; a frame pointer points at the caller's, and
//! beside it lies the return address. The outermost compiled frame of an entry returns to the entry stub, whose frame
//! holds the [`EntryRecord`]. So a walk that starts in compiled code reads stack memory only, and ends at a record.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Backtrace, Frame};
use crate::arch;
use crate::code::{self, CodeKind, CodeObject};
use crate::context::{EntryRecord, StoreContext};
use crate::fiber;

/// Of a longer backtrace, so many of the innermost frames are kept …
const INNERMOST: usize = 20;
/// … and so many of the outermost.
const OUTERMOST: usize = 10;

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
pub(crate) unsafe fn capture(store: *mut StoreContext, from: Position) -> Backtrace {
    let mut capture = Capture::default();
    // SAFETY: the store is live, and its chain of entries is that of the stacks.
    let mut record = unsafe { (*store).entry };
    // SAFETY: as above.
    let mut fiber = unsafe { fiber::current(store) };
    let mut position = from;
    loop {
        // SAFETY: for the innermost by the caller's promise; for outer ones the exit was recorded by compiled code
        // that still waits for the host to return.
        unsafe { capture.entry(position) };
        // SAFETY: a record in the chain is on a stack that still exists.
        let (previous, exit_fp, exit_pc) =
            unsafe { ((*record).previous, (*record).exit_fp, (*record).exit_pc) };
        let (next, fp, pc) = if !previous.is_null() {
            (previous, exit_fp, exit_pc)
        } else {
            // SAFETY: `fiber` is null or a running fiber of the store.
            match unsafe { fiber::resumed_from(&mut fiber) } {
                Some(outer) => outer,
                None => return capture.finish(),
            }
        };
        record = next;
        position = Position { pc, fp, returns: true };
    }
}

/// What was recorded so far.
#[derive(Default)]
struct Capture {
    innermost: Vec<Frame>,
    /// The last ones behind those.
    outermost: VecDeque<Frame>,
    left_out: usize,
    /// Frames beside one another are mostly of one module.
    code: Option<Arc<CodeObject>>,
}

impl Capture {
    /// Records the frames of one entry.
    ///
    /// # Safety
    /// `position` is in a compiled frame that is on a stack now.
    unsafe fn entry(&mut self, mut position: Position) {
        loop {
            // A return address may be the first byte of another instruction, or function.
            self.frame(if position.returns { position.pc.wrapping_sub(1) } else { position.pc });
            // SAFETY: the caller's promise for the first; the chain leads to further compiled frames up to the stub.
            let (caller, return_address) = unsafe { frame_words(position.fp) };
            if arch::is_entry_return(return_address)
                // Not a chain that compiled code makes. What was found is still worth showing.
                || caller <= position.fp
                || !code::is_guest_code(return_address)
            {
                return;
            }
            position = Position { pc: return_address, fp: caller, returns: true };
        }
    }

    /// Records a frame at an address, if it is a guest's.
    fn frame(&mut self, address: usize) {
        if !self.code.as_ref().is_some_and(|code| code.contains(address)) {
            self.code = code::find(address);
        }
        let Some(code) = &self.code else { return };
        let CodeKind::Module { info, .. } = code.kind() else { return };
        let Some(defined) = code.function_at(address) else { return };
        let frame = Frame {
            function: info.imported_functions.saturating_add(defined),
            wasm_offset: code.wasm_offset_at(address),
            code: code.clone(),
        };
        if self.innermost.len() < INNERMOST {
            return self.innermost.push(frame);
        }
        if self.outermost.len() == OUTERMOST {
            self.outermost.pop_front();
            self.left_out += 1;
        }
        self.outermost.push_back(frame);
    }

    fn finish(self) -> Backtrace {
        let Capture { innermost: mut frames, outermost, left_out, .. } = self;
        let gap = frames.len();
        frames.extend(outermost);
        Backtrace::new(frames, gap, left_out)
    }
}
