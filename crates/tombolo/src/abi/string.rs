//! Strings in the three encodings: `load_string_from_range` and `store_string_into_range` of CanonicalABI.md with all
//! their passes.
//!
//! A string is stored from a [`StringSource`]: text of the host, or a range of another guest's memory. The latter is
//! never trusted between two passes. What bounds each pass is the number of code units, which is read once, and every
//! write is checked against the memory as it is then; a source that changes under a pass can at most end in a trap.

use std::str::Utf8Error;

use tombolo_types::component::PtrWidth;

use super::context::{LiftContext, LowerContext};
use super::memory::{self, MAX_BYTE_LENGTH, PIECE, Range, check_range, realloc};
use super::side::{Encoding, LiftSide, LowerSide};
use crate::error::{Error, Result};

/// How many code points are transcoded between two looks at the memories.
pub(super) const CHUNK: usize = 256;

/// The highest bit of a length: set if a `latin1+utf16` string is UTF-16 (`utf16_tag`).
fn utf16_tag(width: PtrWidth) -> u64 {
    match width {
        PtrWidth::Bits32 => 1 << 31,
        PtrWidth::Bits64 => 1 << 63,
    }
}

/// What the code units of one string are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    Utf8,
    Utf16,
    Latin1,
}

/// A string in a guest's memory, aligned, in bounds and not too long; its contents are not looked at yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct StringRange {
    pub(super) ptr: u64,
    pub(super) bytes: u64,
    pub(super) units: Units,
    /// The guest chose among Latin-1 and UTF-16.
    pub(super) compact: bool,
}

impl StringRange {
    /// The range that a pointer and a length with its tag stand for.
    #[inline]
    pub(super) fn new(
        memory: &[u8],
        width: PtrWidth,
        encoding: Encoding,
        ptr: u64,
        length: u64,
    ) -> Result<Self> {
        let tag = utf16_tag(width);
        let (units, align, bytes) = match encoding {
            Encoding::Utf8 => (Units::Utf8, 1, length),
            Encoding::Utf16 => (Units::Utf16, 2, length.saturating_mul(2)),
            Encoding::CompactUtf16 if length & tag != 0 => {
                (Units::Utf16, 2, (length ^ tag).saturating_mul(2))
            }
            Encoding::CompactUtf16 => (Units::Latin1, 2, length),
        };
        if bytes > MAX_BYTE_LENGTH {
            return Err(too_long(bytes));
        }
        check_range(memory.len(), ptr, bytes, align, Range::String)?;
        Ok(StringRange { ptr, bytes, units, compact: encoding == Encoding::CompactUtf16 })
    }

    /// Traps unless the contents are well-formed; returns how many bytes they are as UTF-8.
    pub(super) fn validate(&self, side: &dyn LiftSide) -> Result<usize> {
        let (mut at, mut len) = (0, 0_usize);
        while at < self.bytes {
            if at > 0 {
                side.check_interrupt()?;
            }
            let piece = self.piece(side.memory(), at, PIECE as u64)?;
            at += piece.len() as u64;
            len = len.saturating_add(match self.units {
                Units::Utf8 => utf8(piece)?.len(),
                Units::Latin1 => piece.len() + piece.iter().filter(|byte| !byte.is_ascii()).count(),
                Units::Utf16 => decode_utf16(piece).map(|c| c.map(char::len_utf8)).sum::<Result<usize>>()?,
            });
        }
        Ok(len)
    }

    /// Decodes code points from byte `at` of the string until `out` is full, and returns how many.
    pub(super) fn decode(&self, memory: &[u8], at: &mut u64, out: &mut [char; CHUNK]) -> Result<usize> {
        let most = if self.units == Units::Utf16 { 2 * CHUNK } else { CHUNK };
        let bytes = self.piece(memory, *at, most as u64)?;
        let mut count = 0;
        let mut put = |c: char| {
            if let Some(place) = out.get_mut(count) {
                *place = c;
                count += 1;
            }
        };
        match self.units {
            Units::Latin1 => bytes.iter().for_each(|byte| put(char::from(*byte))),
            Units::Utf8 => utf8(bytes)?.chars().for_each(&mut put),
            Units::Utf16 => {
                for c in decode_utf16(bytes) {
                    put(c?);
                }
            }
        }
        *at += bytes.len() as u64;
        Ok(count)
    }

    /// The bytes from `at` on, about `most` of them, without a code point that they would cut. At least one, unless the
    /// string ends there.
    #[inline]
    fn piece<'m>(&self, memory: &'m [u8], at: u64, most: u64) -> Result<&'m [u8]> {
        let rest = self.bytes.saturating_sub(at);
        let bytes = memory::bytes(memory, memory::offset(self.ptr, at), rest.min(most))?;
        Ok(if rest <= most { bytes } else { self.uncut(bytes) })
    }

    /// The bytes without a code point that goes on behind them.
    #[cold]
    fn uncut<'m>(&self, bytes: &'m [u8]) -> &'m [u8] {
        let cut = match self.units {
            Units::Latin1 => 0,
            // The code point that begins last may go on.
            Units::Utf8 => {
                let begins = |byte: &u8| byte & 0xc0 != 0x80;
                bytes.iter().rev().take(4).position(begins).map_or(0, |after| after + 1)
            }
            Units::Utf16 => {
                let ends_in_pair = bytes.last_chunk::<2>().is_some_and(|unit| is_high_surrogate(*unit));
                if ends_in_pair { 2 } else { 0 }
            }
        };
        bytes.get(..bytes.len().saturating_sub(cut)).unwrap_or(bytes)
    }
}

/// What is reported for a string of too many bytes.
#[cold]
pub(super) fn too_long(bytes: u64) -> Error {
    Error::abi(format!("string byte length too large: {bytes} is more than {MAX_BYTE_LENGTH}"))
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(not_utf8)
}

#[cold]
fn not_utf8(error: Utf8Error) -> Error {
    let what = if error.error_len().is_none() { "incomplete utf-8 byte sequence" } else { "invalid utf-8" };
    Error::abi(format!("{what}: {error}"))
}

fn is_high_surrogate(unit: [u8; 2]) -> bool {
    (0xd800..0xdc00).contains(&u16::from_le_bytes(unit))
}

fn decode_utf16(bytes: &[u8]) -> impl Iterator<Item = Result<char>> {
    let (units, _) = bytes.as_chunks::<2>();
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit))).map(|c| {
        c.map_err(|error| {
            Error::abi(format!("invalid utf-16: unpaired surrogate {:#x}", error.unpaired_surrogate()))
        })
    })
}

/// Loads the string that a pointer and a length stand for.
pub(crate) fn load_string(cx: &mut LiftContext<'_>, ptr: u64, length: u64) -> Result<String> {
    let (width, encoding) = (cx.width(), cx.side().encoding());
    let range = StringRange::new(cx.memory(), width, encoding, ptr, length)?;
    if range.units == Units::Utf8 {
        return load_utf8(cx, range);
    }
    let len = range.validate(cx.side())?;
    cx.charge(len, 1)?;
    let mut text = String::with_capacity(len);
    let (mut at, mut chunk) = (0, ['\0'; CHUNK]);
    loop {
        cx.side().check_interrupt()?;
        let count = range.decode(cx.memory(), &mut at, &mut chunk)?;
        if count == 0 {
            return Ok(text);
        }
        text.extend(chunk.iter().take(count));
    }
}

fn load_utf8(cx: &mut LiftContext<'_>, range: StringRange) -> Result<String> {
    cx.charge(range.bytes as usize, 1)?;
    let mut text = String::with_capacity(range.bytes as usize);
    loop {
        text.push_str(utf8(range.piece(cx.memory(), text.len() as u64, PIECE as u64)?)?);
        if text.len() as u64 >= range.bytes {
            return Ok(text);
        }
        cx.side().check_interrupt()?;
    }
}

/// Stores text of the host and returns its pointer and length.
pub(crate) fn store_string(cx: &mut LowerContext<'_>, text: &str) -> Result<(u64, u64)> {
    if cx.side().encoding() == Encoding::Utf8 {
        let ptr = cx.allocate(1, text.len() as u64)?;
        memory::write(cx.side(), ptr, text.as_bytes())?;
        return Ok((ptr, text.len() as u64));
    }
    store(&mut HostString { side: cx.side(), text })
}

/// A string to be stored, and where it goes.
pub(super) trait StringSource {
    /// What its code units are.
    fn units(&self) -> Units;
    /// Whether the source could have chosen Latin-1.
    fn compact(&self) -> bool;
    /// Its length in bytes.
    fn bytes(&self) -> u64;
    /// The guest that it is stored in.
    fn target(&mut self) -> &mut dyn LowerSide;
    /// Decodes code points from byte `at` until `out` is full, and returns how many; 0 at the end.
    fn decode(&mut self, at: &mut u64, out: &mut [char; CHUNK]) -> Result<usize>;
    /// Copies the bytes as they are to `ptr` in the target's memory.
    fn copy(&mut self, ptr: u64) -> Result<()>;
}

struct HostString<'a> {
    side: &'a mut dyn LowerSide,
    text: &'a str,
}

impl StringSource for HostString<'_> {
    fn units(&self) -> Units {
        Units::Utf8
    }

    fn compact(&self) -> bool {
        false
    }

    fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    fn target(&mut self) -> &mut dyn LowerSide {
        self.side
    }

    fn decode(&mut self, at: &mut u64, out: &mut [char; CHUNK]) -> Result<usize> {
        let rest = usize::try_from(*at).ok().and_then(|at| self.text.get(at..)).unwrap_or_default();
        let mut count = 0;
        for (place, c) in out.iter_mut().zip(rest.chars()) {
            *place = c;
            *at += c.len_utf8() as u64;
            count += 1;
        }
        Ok(count)
    }

    fn copy(&mut self, ptr: u64) -> Result<()> {
        memory::write(self.side, ptr, self.text.as_bytes())
    }
}

/// Stores a string, whose contents were validated, in the target's encoding. Returns its pointer and its length with
/// the tag.
pub(super) fn store(source: &mut dyn StringSource) -> Result<(u64, u64)> {
    match (source.target().encoding(), source.units()) {
        (Encoding::Utf8, Units::Utf8) => copy(source, 1, 1),
        (Encoding::Utf8, Units::Utf16) => to_utf8(source, 3),
        (Encoding::Utf8, Units::Latin1) => to_utf8(source, 2),
        (Encoding::Utf16, Units::Utf8) => utf8_to_utf16(source),
        (Encoding::Utf16, Units::Utf16) => copy(source, 2, 2),
        (Encoding::Utf16, Units::Latin1) => latin1_to_utf16(source),
        (Encoding::CompactUtf16, Units::Latin1) => copy(source, 1, 2),
        (Encoding::CompactUtf16, Units::Utf16) if source.compact() => probably_utf16(source),
        (Encoding::CompactUtf16, _) => to_latin1_or_utf16(source),
    }
}

/// How many code units a string has.
fn code_units(source: &dyn StringSource) -> u64 {
    match source.units() {
        Units::Utf8 | Units::Latin1 => source.bytes(),
        Units::Utf16 => source.bytes() / 2,
    }
}

/// `store_string_copy` where the code units stay as they are.
fn copy(source: &mut dyn StringSource, unit: u64, align: u32) -> Result<(u64, u64)> {
    let bytes = source.bytes();
    let ptr = realloc(source.target(), 0, 0, align, bytes)?;
    source.copy(ptr)?;
    Ok((ptr, bytes / unit))
}

/// `store_string_copy` where a zero byte follows each Latin-1 byte.
fn latin1_to_utf16(source: &mut dyn StringSource) -> Result<(u64, u64)> {
    let units = code_units(source);
    let ptr = realloc(source.target(), 0, 0, 2, 2 * units)?;
    let mut writer = Writer::new(ptr);
    let (mut at, mut chunk) = (0, ['\0'; CHUNK]);
    while let Some(chars) = next(source, &mut at, &mut chunk)? {
        writer.utf16(source.target(), chars)?;
    }
    Ok((ptr, units))
}

/// `store_string_to_utf8`: hopes for ASCII, then makes room for the worst and shrinks.
fn to_utf8(source: &mut dyn StringSource, worst_factor: u64) -> Result<(u64, u64)> {
    let units = code_units(source);
    let worst_case = units * worst_factor;
    let mut writer = Writer::new(realloc(source.target(), 0, 0, 1, units)?);
    let mut grown = false;
    let (mut at, mut chunk) = (0, ['\0'; CHUNK]);
    while let Some(mut chars) = next(source, &mut at, &mut chunk)? {
        if !grown {
            let (ascii, rest) = split_at_first(chars, |c| !c.is_ascii());
            writer.latin1(source.target(), ascii)?;
            chars = rest;
            if !chars.is_empty() {
                writer.ptr = realloc(source.target(), writer.ptr, units, 1, worst_case)?;
                grown = true;
            }
        }
        writer.utf8(source.target(), chars)?;
    }
    if grown && worst_case > writer.len {
        writer.ptr = realloc(source.target(), writer.ptr, worst_case, 1, writer.len)?;
    }
    Ok((writer.ptr, writer.len))
}

/// `store_utf8_to_utf16`: makes room for a code unit per byte and shrinks.
fn utf8_to_utf16(source: &mut dyn StringSource) -> Result<(u64, u64)> {
    let worst_case = 2 * code_units(source);
    let mut writer = Writer::new(realloc(source.target(), 0, 0, 2, worst_case)?);
    let (mut at, mut chunk) = (0, ['\0'; CHUNK]);
    while let Some(chars) = next(source, &mut at, &mut chunk)? {
        writer.utf16(source.target(), chars)?;
    }
    if writer.len < worst_case {
        writer.ptr = realloc(source.target(), writer.ptr, worst_case, 2, writer.len)?;
    }
    Ok((writer.ptr, writer.len / 2))
}

/// `store_string_to_latin1_or_utf16`: hopes for Latin-1, then makes room for UTF-16, inflates and goes on.
fn to_latin1_or_utf16(source: &mut dyn StringSource) -> Result<(u64, u64)> {
    let units = code_units(source);
    let worst_case = 2 * units;
    let mut writer = Writer::new(realloc(source.target(), 0, 0, 2, units)?);
    let mut inflated = false;
    let (mut at, mut chunk) = (0, ['\0'; CHUNK]);
    while let Some(mut chars) = next(source, &mut at, &mut chunk)? {
        if !inflated {
            let (latin1, rest) = split_at_first(chars, |c| u32::from(c) > 0xff);
            writer.latin1(source.target(), latin1)?;
            chars = rest;
            if !chars.is_empty() {
                writer.ptr = realloc(source.target(), writer.ptr, units, 2, worst_case)?;
                writer.inflate(source.target())?;
                inflated = true;
            }
        }
        writer.utf16(source.target(), chars)?;
    }
    let (room, tag) = match inflated {
        true => (worst_case, utf16_tag(source.target().width())),
        false => (units, 0),
    };
    if room > writer.len {
        writer.ptr = realloc(source.target(), writer.ptr, room, 2, writer.len)?;
    }
    Ok((writer.ptr, if inflated { (writer.len / 2) | tag } else { writer.len }))
}

/// `store_probably_utf16_to_latin1_or_utf16`: the source chose UTF-16, so it is copied, and deflated if that was not
/// needed. (The last `realloc` asks for alignment 1, as the specification does.)
fn probably_utf16(source: &mut dyn StringSource) -> Result<(u64, u64)> {
    let bytes = source.bytes();
    let ptr = realloc(source.target(), 0, 0, 2, bytes)?;
    source.copy(ptr)?;
    let target = source.target();
    let tag = utf16_tag(target.width());
    let pieces = || (0..bytes).step_by(PIECE).map(|at| (at, (bytes - at).min(PIECE as u64)));
    for (at, length) in pieces() {
        target.check_interrupt()?;
        let piece = memory::bytes(target.memory(), memory::offset(ptr, at), length)?;
        if piece.as_chunks::<2>().0.iter().any(|[_, high]| *high != 0) {
            return Ok((ptr, (bytes / 2) | tag));
        }
    }
    for (at, length) in pieces() {
        target.check_interrupt()?;
        let copied = memory::bytes_mut(target.memory(), ptr, bytes)?;
        for i in at / 2..(at + length) / 2 {
            // Bytes 2i lie at or after i: none is overwritten before it is read.
            if let Some(low) = copied.get(2 * i as usize).copied()
                && let Some(place) = copied.get_mut(i as usize)
            {
                *place = low;
            }
        }
    }
    let count = bytes / 2;
    let ptr = realloc(target, ptr, bytes, 1, count)?;
    Ok((ptr, count))
}

/// The next code points; `None` at the end.
fn next<'c>(
    source: &mut dyn StringSource,
    at: &mut u64,
    chunk: &'c mut [char; CHUNK],
) -> Result<Option<&'c [char]>> {
    source.target().check_interrupt()?;
    let count = source.decode(at, chunk)?;
    Ok(chunk.get(..count).filter(|chars| !chars.is_empty()))
}

fn split_at_first(chars: &[char], p: impl Fn(char) -> bool) -> (&[char], &[char]) {
    let end = chars.iter().position(|c| p(*c)).unwrap_or(chars.len());
    chars.split_at_checked(end).unwrap_or((chars, &[]))
}

/// Where encoded text goes.
struct Writer {
    ptr: u64,
    /// Bytes written.
    len: u64,
}

impl Writer {
    fn new(ptr: u64) -> Self {
        Writer { ptr, len: 0 }
    }

    fn put<const N: usize>(&mut self, memory: &mut [u8], bytes: [u8; N]) -> Result<()> {
        memory::store(memory, memory::offset(self.ptr, self.len), bytes)?;
        self.len += N as u64;
        Ok(())
    }

    /// Writes code points that are below 256, one byte each.
    fn latin1(&mut self, target: &mut dyn LowerSide, chars: &[char]) -> Result<()> {
        let memory = target.memory();
        chars.iter().try_for_each(|c| self.put(memory, [u32::from(*c) as u8]))
    }

    fn utf8(&mut self, target: &mut dyn LowerSide, chars: &[char]) -> Result<()> {
        let memory = target.memory();
        for c in chars {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                self.put(memory, [byte])?;
            }
        }
        Ok(())
    }

    fn utf16(&mut self, target: &mut dyn LowerSide, chars: &[char]) -> Result<()> {
        let memory = target.memory();
        for c in chars {
            for unit in c.encode_utf16(&mut [0; 2]) {
                self.put(memory, unit.to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Turns the Latin-1 written so far into UTF-16, in place and from the end, so that no byte is lost.
    fn inflate(&mut self, target: &mut dyn LowerSide) -> Result<()> {
        let mut end = self.len as usize;
        while end > 0 {
            target.check_interrupt()?;
            let text = memory::bytes_mut(target.memory(), self.ptr, 2 * self.len)?;
            let start = end.saturating_sub(PIECE);
            for i in (start..end).rev() {
                let byte = text.get(i).copied().unwrap_or(0);
                if let Some(unit) = text.get_mut(2 * i..).and_then(|rest| rest.first_chunk_mut::<2>()) {
                    *unit = [byte, 0];
                }
            }
            end = start;
        }
        self.len *= 2;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
