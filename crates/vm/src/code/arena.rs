//! Address space for machine code, for the whole process.
//!
//! Code lies in a few large regions, so that a signal handler can tell by a handful of loads whether an address is
//! guest code. Invariants:
//!
//! * A region, once listed in [`REGIONS`], is never unmapped, and its bounds never change. The count is raised after
//!   the bounds are written.
//! * A page is free, or belongs to one [`CodePages`]. Pages are handed out whole: a page that holds code which may run
//!   is never made writable.
//! * No page is writable and executable at once.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::CodeError;
use crate::os::{self, Reservation};

/// Bytes of address space in a region.
const REGION: usize = 1 << 30;

/// What is tried where address space is limited.
const SMALL_REGION: usize = 64 << 20;

struct Bounds {
    start: AtomicUsize,
    end: AtomicUsize,
}

static REGIONS: [Bounds; 64] =
    [const { Bounds { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; 64];
static REGION_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Whether an address lies where guest code does. Can be asked in a signal handler.
pub(crate) fn is_guest_code(address: usize) -> bool {
    let count = REGION_COUNT.load(Ordering::Acquire);
    REGIONS.iter().take(count).any(|region| {
        region.start.load(Ordering::Relaxed) <= address && address < region.end.load(Ordering::Relaxed)
    })
}

/// Executable pages that hold one piece of code.
#[derive(Debug)]
pub(super) struct CodePages {
    region: usize,
    offset: usize,
    len: usize,
    address: usize,
}

impl CodePages {
    /// Copies `code` into pages of its own and makes them executable.
    pub(super) fn publish(code: &[u8]) -> Result<CodePages, CodeError> {
        let memory = |source| CodeError::Memory { size: code.len(), source };
        let len = os::round_to_pages(code.len().max(1)).ok_or(CodeError::TooLarge(code.len()))?;
        if len > REGION {
            return Err(CodeError::TooLarge(code.len()));
        }
        let mut arena = arena();
        let (region, offset) = arena.take(len).map_err(memory)?;
        let Some(reservation) = arena.regions.get(region).map(|region| &region.reservation) else {
            return Err(CodeError::TooLarge(code.len()));
        };
        let address = reservation.base().as_ptr().wrapping_add(offset);
        let published = reservation.make_writable(offset, len).and_then(|()| {
            // SAFETY: the pages were free, so nobody else uses them; they are writable now and at least as long as
            // the code, which is memory of somebody else.
            unsafe {
                std::ptr::copy_nonoverlapping(code.as_ptr(), address, code.len());
                std::ptr::write_bytes(address.wrapping_add(code.len()), PADDING, len - code.len());
            }
            reservation.make_executable(offset, len)
        });
        // From here on its drop gives the pages back.
        drop(arena);
        let pages = CodePages { region, offset, len, address: address as usize };
        published.map_err(memory)?;
        Ok(pages)
    }

    /// Where the code begins.
    pub(super) fn address(&self) -> usize {
        self.address
    }
}

/// What follows the code in its last page: traps when executed.
const PADDING: u8 = 0xcc;

impl Drop for CodePages {
    fn drop(&mut self) {
        let mut arena = arena();
        if let Some(region) = arena.regions.get_mut(self.region)
            && region.reservation.discard(self.offset, self.len).is_ok()
        {
            region.give_back(self.offset, self.len);
        }
    }
}

static ARENA: Mutex<Arena> = Mutex::new(Arena { regions: Vec::new() });

fn arena() -> MutexGuard<'static, Arena> {
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Arena {
    regions: Vec<Region>,
}

struct Region {
    reservation: Reservation,
    /// Free ranges: length by offset. No two touch.
    free: BTreeMap<usize, usize>,
}

impl Arena {
    /// Finds free pages: the region's number and the offset in it.
    fn take(&mut self, len: usize) -> io::Result<(usize, usize)> {
        for (number, region) in self.regions.iter_mut().enumerate() {
            if let Some(offset) = region.take(len) {
                return Ok((number, offset));
            }
        }
        let number = self.regions.len();
        let bounds = REGIONS.get(number).ok_or(io::ErrorKind::OutOfMemory)?;
        let reservation = Reservation::new(REGION).or_else(|_| Reservation::new(SMALL_REGION.max(len)))?;
        let start = reservation.base().as_ptr() as usize;
        let mut region = Region { free: BTreeMap::from([(0, reservation.len())]), reservation };
        bounds.start.store(start, Ordering::Relaxed);
        bounds.end.store(start + region.reservation.len(), Ordering::Relaxed);
        REGION_COUNT.store(number + 1, Ordering::Release);
        let offset = region.take(len);
        self.regions.push(region);
        Ok((number, offset.ok_or(io::ErrorKind::OutOfMemory)?))
    }
}

impl Region {
    fn take(&mut self, len: usize) -> Option<usize> {
        let (offset, free) =
            self.free.iter().find(|(_, free)| **free >= len).map(|(at, free)| (*at, *free))?;
        self.free.remove(&offset);
        if free > len {
            self.free.insert(offset + len, free - len);
        }
        Some(offset)
    }

    fn give_back(&mut self, mut offset: usize, mut len: usize) {
        if let Some(after) = self.free.remove(&(offset + len)) {
            len += after;
        }
        if let Some((before, free)) = self.free.range(..offset).next_back().map(|(at, free)| (*at, *free))
            && before + free == offset
        {
            self.free.remove(&before);
            offset = before;
            len += free;
        }
        self.free.insert(offset, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ranges_join() {
        let reservation = Reservation::new(1 << 20).unwrap();
        let mut region = Region { free: BTreeMap::from([(0, 1 << 20)]), reservation };
        let pieces: Vec<usize> = (0..8).map(|_| region.take(4096).unwrap()).collect();
        for index in [1, 3, 2, 0, 7, 5, 6, 4] {
            region.give_back(pieces[index], 4096);
        }
        assert_eq!(region.free, BTreeMap::from([(0, 1 << 20)]));
    }

    #[test]
    fn published_code_runs_and_its_place_is_used_again() {
        // mov eax, 42; ret
        let code = [0xb8, 42, 0, 0, 0, 0xc3];
        let pages = CodePages::publish(&code).unwrap();
        assert!(is_guest_code(pages.address()));
        assert!(!is_guest_code(published_code_runs_and_its_place_is_used_again as *const () as usize));
        // SAFETY: the bytes are a function of this type.
        let function: extern "sysv64" fn() -> u32 = unsafe { std::mem::transmute(pages.address()) };
        assert_eq!(function(), 42);
        let before = pages.address();
        drop(pages);
        let again: Vec<_> = (0..4).map(|_| CodePages::publish(&code).unwrap()).collect();
        assert!(again.iter().any(|pages| pages.address() <= before));
    }
}
