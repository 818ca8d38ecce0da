//! The errors of compiled adapters: those of the checks of this room, made when a check in compiled code has failed.

use tombolo_compile::vmctx::Failure;

use super::layout::{char_of, unknown_case};
use super::memory::{Range, check_range, list_bytes};
use super::string::{too_long, utf8};
use crate::error::{Error, Result};

/// The error that a failure stands for, with the values that the adapter passes along; `bytes` are those that are not
/// UTF-8, if it is that.
pub(crate) fn failure(failure: Failure, values: [u64; 4], bytes: &[u8]) -> Error {
    let [a, b, c, d] = values;
    let range = |what| check_range(d as usize, a, b, c as u32, what);
    let checked: Result<()> = match failure {
        Failure::Value => range(Range::Value),
        Failure::List => range(Range::List),
        Failure::String => range(Range::String),
        Failure::Realloc => check_realloc(a, b, c as u32, d),
        Failure::ListLength => list_bytes(a, b, c).map(drop),
        Failure::StringLength => Err(too_long(a)),
        Failure::Utf8 => utf8(bytes).map(drop),
        Failure::Char => char_of(a as u32).map(drop),
        Failure::Discriminant => Err(unknown_case(a as u32, b as usize)),
    };
    checked.err().unwrap_or_else(|| Error::usage("an adapter took something right for wrong"))
}

/// Checks what a guest's `realloc` returned for so many bytes in a memory that is `size` bytes long now.
pub(crate) fn check_realloc(ptr: u64, new_size: u64, align: u32, size: u64) -> Result<()> {
    if !ptr.is_multiple_of(align.max(1).into()) {
        return Err(Error::abi(format!("realloc returned {ptr:#x}, which is not aligned to {align}")));
    }
    if ptr.checked_add(new_size).is_none_or(|end| end > size) {
        return Err(Error::abi(format!(
            "realloc returned {ptr:#x} for {new_size} bytes, beyond the memory's {size} bytes"
        )));
    }
    Ok(())
}
