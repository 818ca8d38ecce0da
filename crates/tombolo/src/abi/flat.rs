//! Flat values: what component values are as core parameters and results.
//!
//! A core value of any type is held as the bits of a `u64`: an `i32` or `f32` in the low half. A lowered one has
//! zeros above it; of a lifted one the high half is never looked at.
//!
//! With that, all coercions of variants (`CoerceValueIter` in `lift_flat_variant`, and the `match` in
//! `lower_flat_variant`) are nothing. Lifting takes the low 32 bits where the case wants `i32` or `f32`, which is the
//! bits themselves (from a slot that joined to `i32`) or `wrap_i64_to_i32` (from one that joined to `i64`); an `f64`
//! out of an `i64` slot is its bits. Lowering puts the bits of an `f32` or `f64` where the slot joined to an integer,
//! and the zeros above an `i32` or `f32` are the extension to `i64` that the specification asks for: its `i32`s are
//! unsigned. No other pairs exist, because `join` makes no others.

use tombolo_types::component::{MAX_FLAT_PARAMS, PtrWidth};

use crate::error::{Error, Result};

/// The flat values that something is lifted from.
#[derive(Debug)]
pub struct FlatSource<'a> {
    values: &'a [u64],
    at: usize,
}

impl<'a> FlatSource<'a> {
    #[inline]
    pub(crate) fn new(values: &'a [u64]) -> Self {
        FlatSource { values, at: 0 }
    }

    /// The next value, whole.
    #[doc(hidden)]
    #[inline]
    pub fn next_u64(&mut self) -> Result<u64> {
        let value = self.values.get(self.at).copied();
        self.at += 1;
        value.ok_or_else(too_few)
    }

    /// The next value's low half.
    #[doc(hidden)]
    #[inline]
    pub fn next_u32(&mut self) -> Result<u32> {
        self.next_u64().map(|value| value as u32)
    }

    #[inline]
    pub(crate) fn next_ptr(&mut self, width: PtrWidth) -> Result<u64> {
        match width {
            PtrWidth::Bits32 => self.next_u32().map(u64::from),
            PtrWidth::Bits64 => self.next_u64(),
        }
    }

    /// How many values were taken.
    #[inline]
    pub(crate) fn taken(&self) -> usize {
        self.at
    }

    /// Leaves out what a variant's other cases would have used: goes on at the value with this number.
    #[inline]
    pub(crate) fn skip_to(&mut self, at: usize) {
        self.at = at;
    }
}

#[cold]
fn too_few() -> Error {
    Error::usage("a core function passed too few values")
}

/// Most flat values of one call: the parameters and a pointer to room for the result.
const CAPACITY: usize = MAX_FLAT_PARAMS + 1;

/// The flat values that something was lowered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlatSink {
    values: [u64; CAPACITY],
    len: usize,
}

impl FlatSink {
    #[inline]
    pub(crate) fn new() -> Self {
        FlatSink { values: [0; CAPACITY], len: 0 }
    }

    /// Adds a value of 64 bits.
    #[doc(hidden)]
    #[inline]
    pub fn push_u64(&mut self, value: u64) -> Result<()> {
        let place = self.values.get_mut(self.len);
        *place.ok_or_else(too_many)? = value;
        self.len += 1;
        Ok(())
    }

    /// Adds a value of 32 bits.
    #[doc(hidden)]
    #[inline]
    pub fn push_u32(&mut self, value: u32) -> Result<()> {
        self.push_u64(value.into())
    }

    /// Adds zeros until there are `len` values.
    pub(crate) fn pad_to(&mut self, len: usize) -> Result<()> {
        while self.len < len {
            self.push_u64(0)?;
        }
        Ok(())
    }

    /// How many values there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The values so far.
    #[inline]
    pub(crate) fn values(&self) -> &[u64] {
        self.values.get(..self.len).unwrap_or(&self.values)
    }
}

#[cold]
fn too_many() -> Error {
    Error::usage("more flat values than a core function takes")
}
