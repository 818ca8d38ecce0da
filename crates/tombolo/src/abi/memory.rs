//! Reading and writing a guest's memory, every access checked.

use tombolo_types::component::PtrWidth;

use super::side::LowerSide;
use crate::error::{Error, Result};

/// Lists and strings longer than this many bytes are refused when they are lifted (`MAX_LIST_BYTE_LENGTH` and
/// `MAX_STRING_BYTE_LENGTH`), so that they stay below [`REALLOC_MAX`] when transcoding or a wider memory doubles them.
pub(super) const MAX_BYTE_LENGTH: u64 = (1 << 28) - 1;

/// No more than this many bytes are ever asked of a guest's `realloc` (`REALLOC_I32_MAX`).
pub(super) const REALLOC_MAX: u64 = u32::MAX as u64;

/// Bytes that are copied or looked at between two looks for an interrupt: a fraction of a millisecond.
pub(super) const PIECE: usize = if cfg!(test) { 4 << 10 } else { 1 << 20 };

/// Whether to look for an interrupt at this element of a list.
pub(super) fn is_pause(index: u64) -> bool {
    index % 256 == 255
}

/// What is out of bounds or unaligned, for messages.
#[derive(Clone, Copy)]
pub(super) enum Range {
    Value,
    List,
    String,
    Realloc,
}

/// Checks that `len` bytes at `ptr` are aligned and within a memory of `size` bytes.
#[inline]
pub(super) fn check_range(size: usize, ptr: u64, len: u64, align: u32, what: Range) -> Result<()> {
    // Alignments are powers of two.
    if ptr & u64::from(align.saturating_sub(1)) != 0 {
        return Err(unaligned(ptr, align, what));
    }
    if ptr.checked_add(len).is_none_or(|end| end > size as u64) {
        return Err(out_of_range(size, ptr, len, what));
    }
    Ok(())
}

#[cold]
fn unaligned(ptr: u64, align: u32, what: Range) -> Error {
    Error::abi(match what {
        Range::Realloc => format!("realloc return: result not aligned: {ptr:#x} to {align}"),
        _ => format!("unaligned pointer: {ptr:#x} is not a multiple of {align}"),
    })
}

#[cold]
fn out_of_range(size: usize, ptr: u64, len: u64, what: Range) -> Error {
    let what = match what {
        Range::Value => "pointer out of bounds of memory",
        Range::List => "list content out-of-bounds",
        Range::String => "string content out-of-bounds: string pointer/length out of bounds of memory",
        Range::Realloc => "realloc return: beyond end of memory",
    };
    Error::abi(format!("{what}: {len} bytes at {ptr:#x} in a memory of {size:#x}"))
}

/// Calls the guest's `realloc` and checks what it returns against the memory as it is afterwards.
pub(super) fn realloc(
    side: &mut dyn LowerSide,
    old: u64,
    old_size: u64,
    align: u32,
    new_size: u64,
) -> Result<u64> {
    if new_size > REALLOC_MAX {
        return Err(Error::abi(format!("a value of {new_size} bytes is too large for a 32-bit memory")));
    }
    let ptr = side.realloc(old, old_size, align, new_size)?;
    check_range(side.memory().len(), ptr, new_size, align, Range::Realloc)?;
    Ok(ptr)
}

/// Bytes of a list of `count` elements of `size` bytes, if they are no more than `max`.
///
/// Validation refuses types without a size; should one get here all the same, its elements count as one byte, so
/// that a length is always bounded.
#[inline]
pub(super) fn list_bytes(count: u64, size: u64, max: u64) -> Result<u64> {
    let bytes = count.checked_mul(size.max(1)).filter(|bytes| *bytes <= max);
    bytes.ok_or_else(|| too_many_bytes(count, size, max))
}

#[cold]
fn too_many_bytes(count: u64, size: u64, max: u64) -> Error {
    Error::abi(format!("list byte length too large: {count} elements of {size} bytes are more than {max}"))
}

/// `base + offset`; saturates, so that what is beyond every memory stays there.
#[inline]
pub(super) fn offset(base: u64, offset: u64) -> u64 {
    base.saturating_add(offset)
}

#[inline]
fn range(ptr: u64, len: u64) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(ptr).ok()?;
    Some(start..start.checked_add(usize::try_from(len).ok()?)?)
}

#[cold]
fn out_of_bounds(ptr: u64, len: u64) -> Error {
    Error::abi(format!("pointer out of bounds of memory: {len} bytes at {ptr:#x}"))
}

/// `len` bytes of memory.
#[inline]
pub(super) fn bytes(memory: &[u8], ptr: u64, len: u64) -> Result<&[u8]> {
    range(ptr, len).and_then(|range| memory.get(range)).ok_or_else(|| out_of_bounds(ptr, len))
}

/// `len` bytes of memory, to write to.
#[inline]
pub(super) fn bytes_mut(memory: &mut [u8], ptr: u64, len: u64) -> Result<&mut [u8]> {
    range(ptr, len).and_then(|range| memory.get_mut(range)).ok_or_else(|| out_of_bounds(ptr, len))
}

/// Copies bytes of the host into a guest's memory.
pub(super) fn write(side: &mut dyn LowerSide, ptr: u64, from: &[u8]) -> Result<()> {
    let mut at = ptr;
    for piece in from.chunks(PIECE) {
        if at > ptr {
            side.check_interrupt()?;
        }
        bytes_mut(side.memory(), at, piece.len() as u64)?.copy_from_slice(piece);
        at = offset(at, piece.len() as u64);
    }
    Ok(())
}

/// `N` bytes of memory.
#[inline]
pub(super) fn load<const N: usize>(memory: &[u8], ptr: u64) -> Result<[u8; N]> {
    let value = usize::try_from(ptr).ok().and_then(|ptr| memory.get(ptr..)?.first_chunk::<N>());
    value.copied().ok_or_else(|| out_of_bounds(ptr, N as u64))
}

/// Writes `N` bytes.
#[inline]
pub(super) fn store<const N: usize>(memory: &mut [u8], ptr: u64, value: [u8; N]) -> Result<()> {
    let place = usize::try_from(ptr).ok().and_then(|ptr| memory.get_mut(ptr..)?.first_chunk_mut::<N>());
    *place.ok_or_else(|| out_of_bounds(ptr, N as u64))? = value;
    Ok(())
}

/// An unsigned integer of 1, 2 or 4 bytes.
#[inline]
pub(super) fn load_uint(memory: &[u8], ptr: u64, size: u32) -> Result<u32> {
    match size {
        1 => load::<1>(memory, ptr).map(|b| u8::from_le_bytes(b).into()),
        2 => load::<2>(memory, ptr).map(|b| u16::from_le_bytes(b).into()),
        _ => load::<4>(memory, ptr).map(u32::from_le_bytes),
    }
}

/// Writes the low 1, 2 or 4 bytes of an integer.
#[inline]
pub(super) fn store_uint(memory: &mut [u8], ptr: u64, size: u32, value: u32) -> Result<()> {
    match size {
        1 => store(memory, ptr, (value as u8).to_le_bytes()),
        2 => store(memory, ptr, (value as u16).to_le_bytes()),
        _ => store(memory, ptr, value.to_le_bytes()),
    }
}

/// A pointer or length.
#[inline]
pub(super) fn load_ptr(memory: &[u8], ptr: u64, width: PtrWidth) -> Result<u64> {
    match width {
        PtrWidth::Bits32 => load::<4>(memory, ptr).map(|b| u32::from_le_bytes(b).into()),
        PtrWidth::Bits64 => load::<8>(memory, ptr).map(u64::from_le_bytes),
    }
}

/// Writes a pointer or length, which fits because `realloc` returned or allowed it.
#[inline]
pub(super) fn store_ptr(memory: &mut [u8], ptr: u64, width: PtrWidth, value: u64) -> Result<()> {
    match width {
        PtrWidth::Bits32 => store(memory, ptr, (value as u32).to_le_bytes()),
        PtrWidth::Bits64 => store(memory, ptr, value.to_le_bytes()),
    }
}
