//! Copying bytes.
//!
//! A C library copies long ranges by `rep movsb`. Where the target begins a few bytes behind the source, in a page of its
//! own, processors do that a byte at a time: at a twentieth of the speed. Guests have just this often, since an allocator
//! puts a few bytes between two blocks of whole pages. In pieces so short that the library uses vectors for them, the
//! speed is the same for all.

use std::ptr;

use tombolo_compile::vmctx::LONG_MOVE;

/// From so many bytes on, some C libraries use `rep movsb`.
const LONG: usize = LONG_MOVE as usize;

/// Less than that, and whole lines of the cache.
const PIECE: usize = LONG - 64;

/// What lies so far behind its source, by its place in a page, is copied slowly.
const CLOSE: usize = 64;

const PAGE: usize = 4096;

/// Copies between ranges that may overlap, like `memmove`.
///
/// # Safety
/// Both ranges are memory that can be read and written, and nobody else uses the target meanwhile.
#[inline]
pub unsafe fn copy_bytes(from: *const u8, to: *mut u8, length: usize) {
    let ahead = to.addr().wrapping_sub(from.addr());
    let is_slow = (1..CLOSE).contains(&(ahead % PAGE));
    if length < LONG || !is_slow || ahead < length {
        // SAFETY: the caller's promise. Where the target overlaps the source's end, the library copies backwards, and
        // not by `rep movsb`.
        unsafe { ptr::copy(from, to, length) };
    } else {
        // SAFETY: the caller's promise.
        unsafe { copy_pieces(from, to, length) };
    }
}

/// # Safety
/// As for [`copy_bytes`]; the target does not overlap the source's end.
#[cold]
unsafe fn copy_pieces(from: *const u8, to: *mut u8, length: usize) {
    let mut start = 0;
    while start < length {
        let count = PIECE.min(length - start);
        // SAFETY: the piece is within the ranges; nothing that is yet to be read has been overwritten.
        unsafe { ptr::copy(from.add(start), to.add(start), count) };
        start += count;
    }
}

/// [`copy_bytes`] as compiled code calls it.
///
/// # Safety
/// As for [`copy_bytes`].
pub(crate) unsafe extern "sysv64" fn machine_move(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: compiled code has checked the ranges.
    unsafe { copy_bytes(from, to, length) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_like_memmove() {
        let original: Vec<u8> = (0..5 * PAGE).map(|index| (index % 251) as u8).collect();
        for length in [0, 1, LONG - 1, LONG, PIECE + 1, 2 * PIECE, PAGE + 100] {
            for distance in [0, 1, 8, 16, CLOSE, LONG, PAGE + 1, PAGE + 8, 2 * PAGE + 8] {
                for (from, to) in [(100, 100 + distance), (100 + distance, 100)] {
                    let mut expected = original.clone();
                    expected.copy_within(from..from + length, to);
                    let mut found = original.clone();
                    let base = found.as_mut_ptr();
                    // SAFETY: both ranges are in the vector.
                    unsafe { copy_bytes(base.add(from), base.add(to), length) };
                    assert!(found == expected, "{length} bytes from {from} to {to}");
                }
            }
        }
    }
}
