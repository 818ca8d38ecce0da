//! Bulk operations on memories and tables (core specification, sections 4.4.6 and 4.4.7).
//!
//! Each checks all ranges first and then does its [`Work`]; `None` means that a range was out of bounds and nothing was
//! done. Work is done in pieces, so that it can be interrupted: whoever asked for it gets back how much is left, sees to
//! the interrupt, and asks again. The ranges are checked anew then; the pieces are the same.

use std::slice;

use crate::copy::copy_bytes;
use crate::instance::InstanceRecord;
use crate::{Store, Trap};

/// Bytes that are moved between two looks at the interrupt word: a fraction of a millisecond, if the system has to find
/// the memory first.
const PIECE: usize = 2 << 20;

/// The whole of an operation, and what is left to do of it, in bytes or elements.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    pub(crate) store: &'a Store,
    pub(crate) length: u64,
    pub(crate) left: u64,
}

impl Work<'_> {
    /// Copies between ranges of the work's length, which may overlap.
    ///
    /// # Safety
    /// The ranges are memories or tables of guests, which do not run now.
    unsafe fn copy<T>(self, to: *mut T, from: *const T) -> u64 {
        // As `memmove`: what is yet to be read must not be overwritten.
        let forwards = to.addr() <= from.addr();
        self.go_on::<T>(forwards, |start, count| {
            // SAFETY: the piece is in the ranges.
            unsafe { copy_bytes(from.add(start).cast(), to.add(start).cast(), count * size_of::<T>()) };
        })
    }

    /// Fills a range of the work's length.
    ///
    /// # Safety
    /// The range is a memory or table of a guest, which does not run now.
    unsafe fn fill<T: Copy>(self, to: *mut T, value: T) -> u64 {
        self.go_on::<T>(true, |start, count| {
            // SAFETY: the piece is in the range.
            unsafe { slice::from_raw_parts_mut(to.add(start), count) }.fill(value);
        })
    }

    /// Does pieces, of which `piece` gets start and length, until an interrupt is asked for. At least one is done.
    fn go_on<T>(self, forwards: bool, piece: impl Fn(usize, usize)) -> u64 {
        let length = self.length as usize;
        let mut left = length.min(self.left as usize);
        let most = if self.store.is_interruptible() { PIECE / size_of::<T>() } else { length };
        while left > 0 {
            let count = left.min(most);
            piece(if forwards { length - left } else { left - count }, count);
            left -= count;
            if self.store.interrupt_pending() {
                break;
            }
        }
        left as u64
    }
}

impl Store {
    /// Copies bytes between memories, or within one, and does what interrupts ask for in between. That may suspend the
    /// fiber.
    ///
    /// # Errors
    /// The trap that is to end the guest. A part of the bytes was copied then.
    ///
    /// # Safety
    /// The ranges are in memories of this store, or memory of the host that nobody else uses. Guests do not run meanwhile.
    pub unsafe fn copy(&self, from: *const u8, to: *mut u8, length: usize) -> Result<(), Trap> {
        // SAFETY: the caller's promise.
        self.do_all(length as u64, |work| Some(unsafe { work.copy(to, from) })).map(drop)
    }

    /// Does an operation of a length to its end, and what interrupts ask for in between.
    pub(crate) fn do_all(
        &self,
        length: u64,
        operation: impl Fn(Work<'_>) -> Option<u64>,
    ) -> Result<Option<()>, Trap> {
        let mut left = length;
        loop {
            match operation(Work { store: self, length, left }) {
                None => return Ok(None),
                Some(0) => return Ok(Some(())),
                Some(rest) => left = rest,
            }
            self.check_interrupt()?;
        }
    }
}

impl InstanceRecord {
    pub(crate) fn memory_copy(
        &self,
        to_memory: u32,
        to: u64,
        from_memory: u32,
        from: u64,
        work: Work<'_>,
    ) -> Option<u64> {
        let length = usize::try_from(work.length).ok()?;
        let to = self.memory(to_memory)?.range(to, length).ok()?;
        let from = self.memory(from_memory)?.range(from, length).ok()?;
        // SAFETY: both ranges are accessible memory of guests.
        Some(unsafe { work.copy(to, from) })
    }

    pub(crate) fn memory_fill(&self, memory: u32, to: u64, byte: u32, work: Work<'_>) -> Option<u64> {
        let length = usize::try_from(work.length).ok()?;
        let to = self.memory(memory)?.range(to, length).ok()?;
        // SAFETY: the range is accessible memory of a guest.
        Some(unsafe { work.fill(to, byte as u8) })
    }

    pub(crate) fn memory_init(
        &self,
        memory: u32,
        segment: u32,
        to: u64,
        from: u64,
        work: Work<'_>,
    ) -> Option<u64> {
        let segment = segment as usize;
        let dropped = self.data_dropped.borrow().get(segment).copied().unwrap_or(true);
        let data = if dropped { &[] } else { self.module.data(segment).unwrap_or_default() };
        let data = part(data, from, work.length)?;
        let to = self.memory(memory)?.range(to, data.len()).ok()?;
        // SAFETY: the range is accessible memory of a guest, and the data is as long.
        Some(unsafe { work.copy(to, data.as_ptr()) })
    }

    pub(crate) fn data_drop(&self, segment: u32) {
        if let Some(dropped) = self.data_dropped.borrow_mut().get_mut(segment as usize) {
            *dropped = true;
        }
    }

    pub(crate) fn table_copy(
        &self,
        to_table: u32,
        to: u64,
        from_table: u32,
        from: u64,
        work: Work<'_>,
    ) -> Option<u64> {
        let to = self.table(to_table)?.range(to, work.length)?;
        let from = self.table(from_table)?.range(from, work.length)?;
        // SAFETY: both ranges are elements of tables.
        Some(unsafe { work.copy(to, from) })
    }

    pub(crate) fn table_fill(&self, table: u32, to: u64, value: u64, work: Work<'_>) -> Option<u64> {
        let to = self.table(table)?.range(to, work.length)?;
        // SAFETY: the range is elements of a table.
        Some(unsafe { work.fill(to, value) })
    }

    pub(crate) fn table_init(
        &self,
        table: u32,
        segment: u32,
        to: u64,
        from: u64,
        work: Work<'_>,
    ) -> Option<u64> {
        let elements = self.elements.borrow();
        let items = elements.get(segment as usize).map_or(&[][..], |items| items);
        let items = part(items, from, work.length)?;
        let to = self.table(table)?.range(to, work.length)?;
        // SAFETY: the range is elements of a table, and the items are as many.
        Some(unsafe { work.copy(to, items.as_ptr()) })
    }

    pub(crate) fn elem_drop(&self, segment: u32) {
        if let Some(items) = self.elements.borrow_mut().get_mut(segment as usize) {
            *items = Box::default();
        }
    }
}

fn part<T>(items: &[T], from: u64, length: u64) -> Option<&[T]> {
    let start = usize::try_from(from).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    items.get(start..end)
}
