//! Finding the references to exceptions that a store's guests will use.
//!
//! Compiled code says for each call where in its frame the references lie that it uses after the call. A collection
//! happens only when an exception is thrown, so every compiled frame of the store is in a call then: those of the entry
//! that throws, those of the entries further out, those of the stacks that resumed each other, and those of suspended
//! fibers. What crosses between frames (arguments, results, the exception that is being thrown) is in no frame only
//! while nothing is thrown.

use super::heap::{TagAddress, references};
use crate::backtrace::{Position, frame_words};
use crate::code::{self, CodeObject};
use crate::context::{EntryRecord, StoreContext};
use crate::{RawVal, Store, arch, fiber};

use std::sync::Arc;

impl Store {
    /// Frees the exceptions that nobody refers to any more, before one with a tag and values is made.
    ///
    /// # Safety
    /// Compiled code of the store, which this thread runs, called the caller at `position`, and uses no reference but
    /// `values` before that call ends.
    pub(super) unsafe fn collect_exceptions(&self, tag: TagAddress, values: &[RawVal], position: Position) {
        let types = self.trampolines().registry();
        // SAFETY: tags live as long as their store.
        let tag = types.get(unsafe { (*tag.read()).ty });
        // SAFETY: these are all places where a guest can have a reference; the caller's promise.
        unsafe {
            self.inner().exceptions.collect(types, |found| {
                if let Some(tag) = tag {
                    references(&tag, values).for_each(&mut *found);
                }
                self.exceptions_in_stores_things(found);
                self.exceptions_on_stacks(position, found);
            });
        }
    }

    /// Shows the references to exceptions in tables, globals and element segments.
    fn exceptions_in_stores_things(&self, found: &mut dyn FnMut(u64)) {
        self.each_table(|table| {
            if table.holds_exceptions() {
                table.each_element(found);
            }
        });
        self.each_global(|global| {
            if global.ty.value.is_exception() {
                // SAFETY: the cell lives as long as the store, and the guest does not write it meanwhile.
                found(unsafe { global.cell.read() }.u64());
            }
        });
        self.each_instance(|instance| instance.each_exception_element(found));
    }

    /// Shows the references to exceptions in the frames of compiled code.
    ///
    /// # Safety
    /// As for [`Store::collect_exceptions`].
    unsafe fn exceptions_on_stacks(&self, position: Position, found: &mut dyn FnMut(u64)) {
        let context: *mut StoreContext = self.context().as_ptr();
        // SAFETY: the store is live, and its chains of entries are those of its stacks; what a fiber saved is of a stack
        // that still exists.
        unsafe {
            in_entries((*context).entry, position, found);
            let mut running = fiber::current(context);
            while let Some((record, fp, pc)) = fiber::resumed_from(&mut running) {
                in_entries(record, Position { pc, fp, returns: true }, found);
            }
            self.each_suspended_fiber(|record, fp, pc| {
                in_entries(record, Position { pc, fp, returns: true }, found);
            });
        }
    }
}

/// Shows the references in the frames of an entry, from a call in it outwards, and in those of the entries around it on
/// the same stack.
///
/// # Safety
/// `record` is an entry on a stack that exists, and `position` a call in a compiled frame of it.
unsafe fn in_entries(mut record: *mut EntryRecord, mut position: Position, found: &mut dyn FnMut(u64)) {
    loop {
        // SAFETY: for the innermost by the caller's promise; for outer ones the exit was recorded by compiled code that
        // still waits for the host to return.
        unsafe {
            in_frames(position, found);
            if (*record).previous.is_null() {
                return;
            }
            position = Position { pc: (*record).exit_pc, fp: (*record).exit_fp, returns: true };
            record = (*record).previous;
        }
    }
}

/// # Safety
/// `position` is a call in a compiled frame that is on a stack now.
unsafe fn in_frames(position: Position, found: &mut dyn FnMut(u64)) {
    let Position { mut pc, mut fp, .. } = position;
    let mut object: Option<Arc<CodeObject>> = None;
    loop {
        if !object.as_ref().is_some_and(|object| object.contains(pc)) {
            object = code::find(pc.wrapping_sub(1));
        }
        for (_, below) in object.as_ref().map_or(&[][..], |object| object.exception_refs_at(pc)) {
            // SAFETY: compiled code keeps a reference there during this call.
            found(unsafe { (fp.wrapping_sub(*below as usize) as *const u64).read() });
        }
        // SAFETY: the caller's promise for the first; the chain leads to further compiled frames up to the stub.
        let (caller, return_address) = unsafe { frame_words(fp) };
        if arch::is_entry_return(return_address) || caller <= fp || !code::is_guest_code(return_address) {
            return;
        }
        (pc, fp) = (return_address, caller);
    }
}
