//! Linear memories.
//!
//! A 32-bit memory with 64 KiB pages stays where it is: [`MEMORY_RESERVATION`] bytes of address space are its own, of
//! which the first `length` are accessible, and [`MEMORY_GUARD`] inaccessible bytes follow, so compiled code need not
//! compare addresses. Any other memory has address space for as much as it may come to have, or for [`ROOM`] if that is
//! less, and is bounds-checked by compiled code. So no memory ever moves, and growing takes no time that depends on size.
//!
//! All of it is fresh from the kernel, and so zero; nothing is used a second time.

use std::cell::RefCell;
use std::io;
use std::ptr::NonNull;

use tombolo_compile::vmctx::{MEMORY_GUARD, MEMORY_RESERVATION};
use tombolo_types::core::MemoryType;

use crate::context::Definition;
use crate::copy::copy_bytes;
use crate::group::{Group, GroupRef};
use crate::handle::handle;
use crate::os::{Reservation, round_to_pages};
use crate::{LimitKind, ResourceError, Store};

handle! {
    /// A memory of a store.
    MemoryHandle => MemoryEntity
}

/// A memory as the runtime sees it. Its definition, which compiled code reads, is elsewhere.
#[derive(Debug)]
pub(crate) struct MemoryEntity {
    definition: NonNull<Definition>,
    group: NonNull<Group>,
    ty: MemoryType,
    mapping: RefCell<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    reservation: Reservation,
    /// Bytes from the start that can be read and written.
    accessible: usize,
}

/// Bytes beyond which a memory that is bounds-checked does not grow.
const ROOM: usize = 64 << 30;

/// An address range that is not within a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes at address {address:#x} are not within the memory of {size} bytes")]
pub struct OutOfBounds {
    /// Where the range begins.
    pub address: u64,
    /// Its length.
    pub length: usize,
    /// The memory's size.
    pub size: usize,
}

impl MemoryHandle {
    /// The memory's type. Its minimum is the size that it was made with.
    pub fn ty(self, store: &Store) -> MemoryType {
        self.entity(store).ty
    }

    /// Where base and length are, for compiled code. Valid while the store lives; the length changes when it grows.
    pub fn definition(self, store: &Store) -> NonNull<Definition> {
        self.entity(store).definition
    }

    /// Address of its first byte, which does not change.
    pub fn base(self, store: &Store) -> *mut u8 {
        self.entity(store).base()
    }

    /// Its size in bytes.
    pub fn len(self, store: &Store) -> usize {
        self.entity(store).len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(self, store: &Store) -> bool {
        self.len(store) == 0
    }

    /// Its size in pages.
    pub fn pages(self, store: &Store) -> u64 {
        let entity = self.entity(store);
        entity.len() as u64 >> entity.ty.page_size_log2
    }

    /// Copies bytes out of the memory.
    ///
    /// # Errors
    /// When not all of them are within it; then nothing is copied.
    pub fn read(self, store: &Store, address: u64, to: &mut [u8]) -> Result<(), OutOfBounds> {
        let from = self.entity(store).range(address, to.len())?;
        // SAFETY: the range is accessible memory of the guest, which does not run now; `to` is the host's.
        unsafe { copy_bytes(from, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    /// Copies bytes into the memory.
    ///
    /// # Errors
    /// When not all of them would be within it; then nothing is copied.
    pub fn write(self, store: &Store, address: u64, from: &[u8]) -> Result<(), OutOfBounds> {
        let to = self.entity(store).range(address, from.len())?;
        // SAFETY: the range is accessible memory of the guest, which does not run now; `from` is the host's, for
        // whoever has a slice of the guest's memory promised not to write it.
        unsafe { copy_bytes(from.as_ptr(), to, from.len()) };
        Ok(())
    }

    /// The memory's bytes.
    ///
    /// # Safety
    /// While the slice is used, the guest does not run, and nothing writes to the memory or grows it.
    #[inline]
    pub unsafe fn bytes(self, store: &Store) -> &[u8] {
        let entity = self.entity(store);
        // SAFETY: that many bytes are accessible from there; the caller sees to the rest.
        unsafe { std::slice::from_raw_parts(entity.base(), entity.len()) }
    }

    /// The memory's bytes, to be changed.
    ///
    /// # Safety
    /// While the slice is used, the guest does not run, and nothing else reads or writes the memory or grows it.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "the caller promises that there is no other reference")]
    pub unsafe fn bytes_mut(self, store: &Store) -> &mut [u8] {
        let entity = self.entity(store);
        // SAFETY: that many bytes are accessible from there; the caller sees to the rest.
        unsafe { std::slice::from_raw_parts_mut(entity.base(), entity.len()) }
    }

    /// Grows the memory; returns its old size in pages, or `None` if its type, the store's limits or the system does
    /// not allow that.
    pub fn grow(self, store: &Store, pages: u64) -> Option<u64> {
        self.entity(store).grow(store, pages)
    }
}

impl MemoryEntity {
    /// Makes a memory and writes its definition.
    ///
    /// # Safety
    /// `definition` can be written, and will live as long as the group; nobody else writes it.
    pub(crate) unsafe fn new(
        within: GroupRef<'_>,
        ty: MemoryType,
        definition: NonNull<Definition>,
    ) -> Result<MemoryEntity, ResourceError> {
        let refused = |source| ResourceError::Memory { pages: ty.minimum, source };
        let bytes = bytes_of(&ty, ty.minimum).ok_or_else(|| refused(io::ErrorKind::OutOfMemory.into()))?;
        let maximum = ty.maximum.and_then(|pages| bytes_of(&ty, pages));
        within.spend(LimitKind::Memories, 1)?;
        within.spend(LimitKind::MemoryBytes, bytes as u64)?;
        let mapping = Mapping::new(&ty, bytes, maximum).map_err(refused)?;
        // SAFETY: the caller's promise.
        unsafe {
            definition.write(Definition { base: mapping.reservation.base().as_ptr(), length: bytes as u64 });
        }
        Ok(MemoryEntity { definition, group: within.pointer(), ty, mapping: RefCell::new(mapping) })
    }

    #[inline]
    pub(crate) fn base(&self) -> *mut u8 {
        // SAFETY: the definition lives as long as the store.
        unsafe { (*self.definition.as_ptr()).base }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        // SAFETY: the definition lives as long as the store.
        unsafe { (*self.definition.as_ptr()).length as usize }
    }

    pub(crate) fn ty(&self) -> &MemoryType {
        &self.ty
    }

    /// The address of a range, if all of it is within the memory.
    pub(crate) fn range(&self, address: u64, length: usize) -> Result<*mut u8, OutOfBounds> {
        let size = self.len();
        match address.checked_add(length as u64) {
            Some(end) if end <= size as u64 => Ok(self.base().wrapping_add(address as usize)),
            _ => Err(OutOfBounds { address, length, size }),
        }
    }

    /// Whether an address lies in the address space set aside for this memory.
    pub(crate) fn guards(&self, address: usize) -> bool {
        let mapping = self.mapping.borrow();
        address.wrapping_sub(mapping.reservation.base().as_ptr() as usize) < mapping.reservation.len()
    }

    pub(crate) fn grow(&self, store: &Store, delta: u64) -> Option<u64> {
        let current = self.len();
        let pages = current as u64 >> self.ty.page_size_log2;
        if delta == 0 {
            return Some(pages);
        }
        let desired = pages.checked_add(delta)?;
        if desired > self.ty.maximum.unwrap_or(u64::MAX) {
            return None;
        }
        let desired = bytes_of(&self.ty, desired)?;
        let more = (desired - current) as u64;
        // SAFETY: the memory lives, and so does its group, which is one of the store's.
        let within = unsafe { Group::of(store, self.group) };
        within.spend(LimitKind::MemoryBytes, more).ok()?;
        if self.mapping.borrow_mut().grow(desired).is_err() {
            within.unspend(LimitKind::MemoryBytes, more);
            return None;
        }
        // SAFETY: the definition lives as long as the store.
        unsafe { (*self.definition.as_ptr()).length = desired as u64 };
        Some(pages)
    }
}

/// Bytes of so many pages, if an allocation can be that large.
fn bytes_of(ty: &MemoryType, pages: u64) -> Option<usize> {
    if pages > ty.addressable_pages() {
        return None;
    }
    let bytes = pages.checked_mul(1 << ty.page_size_log2)?;
    usize::try_from(bytes).ok().filter(|bytes| *bytes <= isize::MAX as usize)
}

impl Mapping {
    fn new(ty: &MemoryType, bytes: usize, most: Option<usize>) -> io::Result<Mapping> {
        let room = match ty.memory64 || ty.page_size_log2 != 16 {
            true => most.unwrap_or(usize::MAX).min(ROOM).max(bytes),
            false => (MEMORY_RESERVATION + MEMORY_GUARD) as usize,
        };
        let mut mapping = Mapping { reservation: Reservation::new(room)?, accessible: 0 };
        mapping.grow(bytes)?;
        Ok(mapping)
    }

    fn grow(&mut self, bytes: usize) -> io::Result<()> {
        let accessible = round_to_pages(bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        if accessible > self.accessible {
            self.reservation.make_writable(self.accessible, accessible - self.accessible)?;
            self.accessible = accessible;
        }
        Ok(())
    }
}
