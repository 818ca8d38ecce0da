//! Tables.
//!
//! A table is an array of words: addresses of [`FuncRef`](crate::FuncRef)s of its store, or words of the host; 0 is null.
//! It has room for as many as it may come to have, so it never moves, and growing takes no time that depends on its size.
//! Most are small, or of a fixed size, and lie on the heap; what could grow far gets pages of its own, which the system
//! finds when they are first used.

use std::io;
use std::ptr::NonNull;

use tombolo_types::core::{TableType, ValType};

use crate::context::Definition;
use crate::group::{Group, GroupRef};
use crate::handle::handle;
use crate::os::{Reservation, page_size};
use crate::{LimitKind, ResourceError, Store, Val};

/// Elements that a table may have at most.
pub const MAX_TABLE_ELEMENTS: u64 = 10_000_000;

handle! {
    /// A table of a store.
    TableHandle => TableEntity
}

/// A table as the runtime sees it. Its definition, which compiled code reads, is elsewhere.
#[derive(Debug)]
pub(crate) struct TableEntity {
    definition: NonNull<Definition>,
    group: NonNull<Group>,
    ty: TableType,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    Heap(NonNull<[u64]>),
    Pages(Reservation),
}

/// Tables that will never have more elements than this lie on the heap.
const SMALL: usize = 512;

/// … and so do those of a fixed size, up to this many.
const FIXED: usize = 64 << 10;

/// Why a table or global could not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// There is no such element.
    #[error("index {index} is not within the table of {length} elements")]
    OutOfBounds {
        /// The index.
        index: u64,
        /// The table's length.
        length: u64,
    },
    /// The value is of another type.
    #[error("the value is of another type")]
    Type,
    /// The global cannot be set.
    #[error("the global is immutable")]
    Immutable,
}

impl TableHandle {
    /// The table's type. Its minimum is the length that it was made with.
    pub fn ty(self, store: &Store) -> TableType {
        self.entity(store).ty
    }

    /// Where base and length are, for compiled code. Valid while the store lives; the length changes when it grows.
    pub fn definition(self, store: &Store) -> NonNull<Definition> {
        self.entity(store).definition
    }

    /// How many elements it has.
    pub fn len(self, store: &Store) -> u64 {
        self.entity(store).len()
    }

    /// Whether it has no elements.
    pub fn is_empty(self, store: &Store) -> bool {
        self.len(store) == 0
    }

    /// An element; `None` if there is none at the index.
    pub fn get(self, store: &Store, index: u64) -> Option<Val> {
        let entity = self.entity(store);
        let element = entity.range(index, 1)?;
        // SAFETY: it is an element of the table, which the guest does not change meanwhile; and elements are null or
        // references of this store, of the table's type.
        Some(unsafe { store.reference(entity.ty.element, element.read()) })
    }

    /// Sets an element.
    ///
    /// # Errors
    /// When there is no such element, or the value is not of the table's type.
    pub fn set(self, store: &Store, index: u64, value: Val) -> Result<(), SetError> {
        let entity = self.entity(store);
        let value = store.word_of(entity.ty.element, value).ok_or(SetError::Type)?;
        let element = entity.range(index, 1).ok_or(SetError::OutOfBounds { index, length: entity.len() })?;
        // SAFETY: it is an element of the table, which the guest does not look at meanwhile.
        unsafe { element.write(value) };
        Ok(())
    }

    /// Grows the table by elements of one value; returns its old length, or `None` if the value is of another type, or
    /// the table's type, the store's limits or the system does not allow that.
    pub fn grow(self, store: &Store, delta: u64, value: Val) -> Option<u64> {
        let entity = self.entity(store);
        let value = store.word_of(entity.ty.element, value)?;
        let old = entity.grow(store, delta)?;
        entity.fill(old, delta, value);
        Some(old)
    }
}

impl TableEntity {
    /// Makes a table with null elements and writes its definition.
    ///
    /// # Safety
    /// `definition` can be written, and will live as long as the group; nobody else writes it.
    pub(crate) unsafe fn new(
        within: GroupRef<'_>,
        ty: TableType,
        definition: NonNull<Definition>,
    ) -> Result<TableEntity, ResourceError> {
        let refused = || ResourceError::Table { elements: ty.minimum };
        if ty.minimum > MAX_TABLE_ELEMENTS {
            return Err(refused());
        }
        let length = usize::try_from(ty.minimum).map_err(|_| refused())?;
        within.spend(LimitKind::Tables, 1)?;
        within.spend(LimitKind::TableElements, ty.minimum)?;
        let most = ty.maximum.unwrap_or(u64::MAX).clamp(ty.minimum, MAX_TABLE_ELEMENTS) as usize;
        let storage = Storage::new(length, most).map_err(|_| refused())?;
        let table = TableEntity { definition, group: within.pointer(), ty, storage };
        let definition = Definition { base: table.storage.base().cast(), length: ty.minimum };
        // SAFETY: the caller's promise.
        unsafe { table.definition.write(definition) };
        Ok(table)
    }

    pub(crate) fn ty(&self) -> &TableType {
        &self.ty
    }

    pub(crate) fn len(&self) -> u64 {
        // SAFETY: the definition lives as long as the store.
        unsafe { (*self.definition.as_ptr()).length }
    }

    /// The address of a range of elements, if all of it is within the table.
    pub(crate) fn range(&self, index: u64, count: u64) -> Option<*mut u64> {
        let end = index.checked_add(count)?;
        // SAFETY: the definition lives as long as the store.
        let base = unsafe { (*self.definition.as_ptr()).base };
        (end <= self.len()).then(|| base.cast::<u64>().wrapping_add(index as usize))
    }

    /// Whether its elements are references to exceptions.
    pub(crate) fn holds_exceptions(&self) -> bool {
        ValType::Ref(self.ty.element).is_exception()
    }

    /// Shows the words of its elements.
    pub(crate) fn each_element(&self, show: &mut dyn FnMut(u64)) {
        for index in 0..self.len() {
            if let Some(element) = self.range(index, 1) {
                // SAFETY: it is an element of the table, which the guest does not change meanwhile.
                show(unsafe { element.read() });
            }
        }
    }

    /// Sets elements for the host; none if they are not all within the table.
    pub(crate) fn fill(&self, index: u64, count: u64, value: u64) {
        if let Some(elements) = self.range(index, count) {
            // SAFETY: the range is elements of the table, which the guest does not look at meanwhile.
            unsafe { std::slice::from_raw_parts_mut(elements, count as usize) }.fill(value);
        }
    }

    /// Grows the table by null elements.
    pub(crate) fn grow(&self, store: &Store, delta: u64) -> Option<u64> {
        let current = self.len();
        if delta == 0 {
            return Some(current);
        }
        let desired = current.checked_add(delta)?;
        if desired > self.ty.maximum.unwrap_or(u64::MAX).min(MAX_TABLE_ELEMENTS) {
            return None;
        }
        let length = usize::try_from(desired).ok()?;
        // SAFETY: the table lives, and so does its group, which is one of the store's.
        let within = unsafe { Group::of(store, self.group) };
        within.spend(LimitKind::TableElements, delta).ok()?;
        if self.storage.grow(current as usize, length).is_err() {
            within.unspend(LimitKind::TableElements, delta);
            return None;
        }
        // SAFETY: the definition lives as long as the store.
        unsafe { (*self.definition.as_ptr()).length = desired };
        Some(current)
    }
}

impl Storage {
    /// Room for `most` elements, of which the first `length` are null, and can be read and written.
    fn new(length: usize, most: usize) -> io::Result<Storage> {
        if most <= SMALL || (length == most && most <= FIXED) {
            let mut elements = Vec::new();
            elements.try_reserve_exact(most).map_err(|_| io::ErrorKind::OutOfMemory)?;
            elements.resize(most, 0);
            return Ok(Storage::Heap(NonNull::from(Box::leak(elements.into_boxed_slice()))));
        }
        let storage = Storage::Pages(Reservation::new(most * size_of::<u64>())?);
        storage.grow(0, length)?;
        Ok(storage)
    }

    fn base(&self) -> *mut u64 {
        match self {
            Storage::Heap(elements) => elements.as_ptr().cast(),
            Storage::Pages(pages) => pages.base().as_ptr().cast(),
        }
    }

    /// Makes elements accessible; those that were not before are null.
    fn grow(&self, from: usize, to: usize) -> io::Result<()> {
        let Storage::Pages(pages) = self else { return Ok(()) };
        let page = page_size();
        let bytes = |elements: usize| (elements * size_of::<u64>()).next_multiple_of(page);
        pages.make_writable(bytes(from), bytes(to) - bytes(from))
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Storage::Heap(elements) = self {
            // SAFETY: it was leaked from a box, and the table whose it was is gone.
            drop(unsafe { Box::from_raw(elements.as_ptr()) });
        }
    }
}
