//! Bulk operations on memories and tables (core specification, sections 4.4.6 and 4.4.7).
//!
//! Each checks all ranges first and then copies; `false` means that a range was out of bounds and nothing was done.

use std::ptr;

use crate::instance::InstanceRecord;

impl InstanceRecord {
    pub(crate) fn memory_copy(
        &self,
        to_memory: u32,
        to: u64,
        from_memory: u32,
        from: u64,
        length: u64,
    ) -> bool {
        let (Some(to_memory), Some(from_memory)) = (self.memory(to_memory), self.memory(from_memory)) else {
            return false;
        };
        let Ok(length) = usize::try_from(length) else { return false };
        let (Ok(to), Ok(from)) = (to_memory.range(to, length), from_memory.range(from, length)) else {
            return false;
        };
        // SAFETY: both ranges are accessible memory of guests; they may overlap.
        unsafe { ptr::copy(from, to, length) };
        true
    }

    pub(crate) fn memory_fill(&self, memory: u32, to: u64, byte: u8, length: u64) -> bool {
        let (Some(memory), Ok(length)) = (self.memory(memory), usize::try_from(length)) else { return false };
        let Ok(to) = memory.range(to, length) else { return false };
        // SAFETY: the range is accessible memory of a guest.
        unsafe { ptr::write_bytes(to, byte, length) };
        true
    }

    pub(crate) fn memory_init(&self, memory: u32, segment: u32, to: u64, from: u64, length: u64) -> bool {
        let segment = segment as usize;
        let dropped = self.data_dropped.borrow().get(segment).copied().unwrap_or(true);
        let data = if dropped { &[] } else { self.module.data(segment).unwrap_or_default() };
        let Some(data) = slice(data, from, length) else { return false };
        let Some(Ok(to)) = self.memory(memory).map(|memory| memory.range(to, data.len())) else {
            return false;
        };
        // SAFETY: the range is accessible memory of a guest, in which modules' segments do not lie.
        unsafe { ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
        true
    }

    pub(crate) fn data_drop(&self, segment: u32) {
        if let Some(dropped) = self.data_dropped.borrow_mut().get_mut(segment as usize) {
            *dropped = true;
        }
    }

    pub(crate) fn table_copy(&self, to_table: u32, to: u64, from_table: u32, from: u64, length: u64) -> bool {
        let (Some(to_table), Some(from_table)) = (self.table(to_table), self.table(from_table)) else {
            return false;
        };
        let (Some(to), Some(from)) = (to_table.range(to, length), from_table.range(from, length)) else {
            return false;
        };
        // SAFETY: both ranges are elements of tables; they may overlap.
        unsafe { ptr::copy(from, to, length as usize) };
        true
    }

    pub(crate) fn table_fill(&self, table: u32, to: u64, value: u64, length: u64) -> bool {
        let Some(Some(to)) = self.table(table).map(|table| table.range(to, length)) else { return false };
        for index in 0..length as usize {
            // SAFETY: the range is elements of a table.
            unsafe { to.add(index).write(value) };
        }
        true
    }

    pub(crate) fn table_init(&self, table: u32, segment: u32, to: u64, from: u64, length: u64) -> bool {
        let elements = self.elements.borrow();
        let items = elements.get(segment as usize).map_or(&[][..], |items| items);
        let Some(items) = slice(items, from, length) else { return false };
        let Some(Some(to)) = self.table(table).map(|table| table.range(to, length)) else { return false };
        // SAFETY: the range is elements of a table, in which segments do not lie.
        unsafe { ptr::copy_nonoverlapping(items.as_ptr(), to, items.len()) };
        true
    }

    pub(crate) fn elem_drop(&self, segment: u32) {
        if let Some(items) = self.elements.borrow_mut().get_mut(segment as usize) {
            *items = Box::default();
        }
    }
}

fn slice<T>(items: &[T], from: u64, length: u64) -> Option<&[T]> {
    let start = usize::try_from(from).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    items.get(start..end)
}
