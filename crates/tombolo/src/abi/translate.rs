//! Carrying values from one guest to another without a host value in between: lifting and lowering fused.
//!
//! The types of the two sides have the same structure, which linking checked, but are named by two tables; layouts
//! differ where the memories' pointer widths do.
//!
//! The specification lifts all values before it lowers the first. Here each value is lowered as soon as it is lifted,
//! so a trap may come after the target's `realloc` was called or a handle has moved. That changes nothing for the
//! guests: a trap ends the call, and what was already lowered is never handed out. (It would change something if the
//! two had one handle table, where a handle that was just lowered could be lifted again. They never do: an instance
//! cannot call itself, and a stream within one carries numbers only.)
//!
//! Nothing is kept from the source's memory across a call of the target's `realloc`, except for pointers and lengths,
//! and those are checked again at each access: the two may be one memory.

use tombolo_types::component::{Def, PtrWidth, TypeRef, Types};

use super::context::{LiftContext, LowerContext};
use super::flat::{FlatSink, FlatSource};
use super::layout::{Case, Fields, TypeList, char_of, element, wrong};
use super::lift::spilled_source;
use super::lower::spilled_target;
use super::memory::{self, is_pause, offset};
use super::side::{Bridge, LowerSide};
use super::string::{CHUNK, StringRange, StringSource, Units, store};
use crate::error::{Error, Result};

/// What one side of a call passes.
#[derive(Clone, Copy)]
pub(crate) struct Signature<'a> {
    /// The table of `list`.
    pub(crate) types: &'a Types,
    /// What is passed.
    pub(crate) list: TypeList,
    /// More flat values than this are passed through memory.
    pub(crate) max_flat: usize,
}

/// Carries parameters or a result from the source to the target: `lift_flat_values`, then `lower_flat_values`.
///
/// `out_param` is the room that the target provides for a result that does not fit its flat values.
pub(crate) fn translate_flat(
    bridge: &mut dyn Bridge,
    source: Signature<'_>,
    flat: &[u64],
    target: Signature<'_>,
    out_param: Option<u64>,
) -> Result<FlatSink> {
    let mut translator = Translator::new(bridge, source.types, target.types);
    let (mut src, mut dst) = (FlatSource::new(flat), FlatSink::new());
    let src_layout = source.list.layout(source.types, translator.src_width);
    let dst_layout = target.list.layout(target.types, translator.dst_width);
    let ((src_fields, src_abi), (dst_fields, dst_abi)) = match (src_layout, dst_layout) {
        (None, None) => return Ok(dst),
        (Some(src), Some(dst)) if src.0.len() == dst.0.len() => (src, dst),
        _ => return Err(Error::mismatch("values", "the two sides pass different numbers of values")),
    };
    let from = spilled_source(&translator.lift(), src_abi, source.max_flat, &mut src)?;
    let to = spilled_target(&mut translator.lower(), dst_abi, target.max_flat, out_param, &mut dst)?;
    let mut from = from.map_or(Source::Flat(&mut src), Source::Memory);
    let mut to = to.map_or(Target::Flat(&mut dst), Target::Memory);
    translator.fields(src_fields, &mut from, dst_fields, &mut to)?;
    Ok(dst)
}

/// Carries a string, which lies at this address and is so long; where it is in the target's memory, and how long there.
pub(crate) fn translate_string(bridge: &mut dyn Bridge, ptr: u64, length: u64) -> Result<(u64, u64)> {
    let source = bridge.source();
    let range = StringRange::new(source.memory(), source.width(), source.encoding(), ptr, length)?;
    range.validate(source)?;
    store(&mut GuestString { bridge, range })
}

/// Elements that lie one after another in a memory, or will.
#[derive(Clone, Copy)]
pub(crate) struct Elements<'a> {
    /// The table of `element`.
    pub(crate) types: &'a Types,
    /// The type of each element.
    pub(crate) element: TypeRef,
    /// Where they start: aligned, and the whole range in bounds.
    pub(crate) ptr: u64,
}

/// Carries `count` elements, as a stream does.
pub(crate) fn translate_elements(
    bridge: &mut dyn Bridge,
    source: Elements<'_>,
    target: Elements<'_>,
    count: u64,
) -> Result<()> {
    Translator::new(bridge, source.types, target.types).elements(
        (source.element, source.ptr),
        (target.element, target.ptr),
        count,
    )
}

/// Where a value comes from.
enum Source<'f, 'v> {
    Flat(&'f mut FlatSource<'v>),
    Memory(u64),
}

impl<'v> Source<'_, 'v> {
    /// A part of the value: the next flat values, or what lies at `at` from its start.
    fn part(&mut self, at: u64) -> Source<'_, 'v> {
        match self {
            Source::Flat(src) => Source::Flat(src),
            Source::Memory(ptr) => Source::Memory(offset(*ptr, at)),
        }
    }
}

/// Where a value goes.
enum Target<'f> {
    Flat(&'f mut FlatSink),
    Memory(u64),
}

impl Target<'_> {
    fn part(&mut self, at: u64) -> Target<'_> {
        match self {
            Target::Flat(dst) => Target::Flat(dst),
            Target::Memory(ptr) => Target::Memory(offset(*ptr, at)),
        }
    }
}

struct Translator<'a> {
    bridge: &'a mut dyn Bridge,
    src: &'a Types,
    dst: &'a Types,
    src_width: PtrWidth,
    dst_width: PtrWidth,
}

impl<'a> Translator<'a> {
    fn new(bridge: &'a mut dyn Bridge, src: &'a Types, dst: &'a Types) -> Self {
        let (src_width, dst_width) = (bridge.source().width(), bridge.target().width());
        Translator { bridge, src, dst, src_width, dst_width }
    }

    fn lift(&mut self) -> LiftContext<'_> {
        LiftContext::with_width(self.src, self.bridge.source(), self.src_width)
    }

    fn lower(&mut self) -> LowerContext<'_> {
        LowerContext::with_width(self.dst, self.bridge.target(), self.dst_width)
    }

    fn value(
        &mut self,
        s: TypeRef,
        from: &mut Source<'_, '_>,
        d: TypeRef,
        to: &mut Target<'_>,
    ) -> Result<()> {
        let (Some(src), Some(dst)) = (self.src.get(s), self.dst.get(d)) else {
            return if s == d { self.primitive(s, from, to) } else { Err(self.mismatch(s, d)) };
        };
        match (src, dst) {
            (Def::List { element: s, length: Some(n) }, Def::List { element: d, length: Some(m) })
                if n == m =>
            {
                self.fixed_list((*s, from), (*d, to), *n)
            }
            (Def::List { length: None, .. }, Def::List { length: None, .. })
            | (Def::Map { .. }, Def::Map { .. }) => self.list(s, from, d, to),
            (Def::Record(_), Def::Record(_)) | (Def::Tuple(_), Def::Tuple(_)) => {
                let src = Fields::new(self.src, s, self.src_width)?;
                let dst = Fields::new(self.dst, d, self.dst_width)?;
                if src.len() != dst.len() {
                    return Err(self.mismatch(s, d));
                }
                match (from, to) {
                    (Source::Memory(from), Target::Memory(to)) if self.is_plain(s, d) => {
                        self.bridge.copy(*from, *to, self.src.abi(s, self.src_width).size)
                    }
                    (from, to) => self.fields(src, from, dst, to),
                }
            }
            (Def::Variant(_), Def::Variant(_))
            | (Def::Enum(_), Def::Enum(_))
            | (Def::Option(_), Def::Option(_))
            | (Def::Result { .. }, Def::Result { .. }) => self.variant(s, from, d, to),
            (Def::Flags(_), Def::Flags(_)) => {
                let bits = match from {
                    Source::Flat(src) => self.lift().lift_flags(s, src)?,
                    Source::Memory(ptr) => self.lift().load_flags(s, *ptr)?,
                };
                match to {
                    Target::Flat(dst) => dst.push_u32(bits),
                    Target::Memory(ptr) => self.lower().store_flags(d, bits, *ptr),
                }
            }
            (Def::Own(_), Def::Own(_)) | (Def::Borrow(_), Def::Borrow(_)) => {
                let index = self.read(from, 4)?;
                let resource = self.lift().lift_resource(s, index)?;
                let index = self.lower().lower_resource(d, &resource)?;
                self.write(to, 4, index)
            }
            (Def::Stream(_), Def::Stream(_)) | (Def::Future(_), Def::Future(_)) => {
                let index = self.read(from, 4)?;
                let end = self.lift().lift_async_value(s, index)?;
                let index = self.lower().lower_async_value(d, end)?;
                self.write(to, 4, index)
            }
            _ => Err(self.mismatch(s, d)),
        }
    }

    fn primitive(&mut self, ty: TypeRef, from: &mut Source<'_, '_>, to: &mut Target<'_>) -> Result<()> {
        match ty {
            TypeRef::Bool => {
                let value = self.read(from, 1)? != 0;
                self.write(to, 1, value.into())
            }
            TypeRef::S8 => {
                let value = self.read(from, 1)? as i8;
                self.write(to, 1, i32::from(value) as u32)
            }
            TypeRef::U8 => {
                let value = self.read(from, 1)? as u8;
                self.write(to, 1, value.into())
            }
            TypeRef::S16 => {
                let value = self.read(from, 2)? as i16;
                self.write(to, 2, i32::from(value) as u32)
            }
            TypeRef::U16 => {
                let value = self.read(from, 2)? as u16;
                self.write(to, 2, value.into())
            }
            TypeRef::S32 | TypeRef::U32 | TypeRef::F32 => {
                let value = self.read(from, 4)?;
                self.write(to, 4, value)
            }
            TypeRef::Char => {
                let value = char_of(self.read(from, 4)?)?;
                self.write(to, 4, value.into())
            }
            TypeRef::S64 | TypeRef::U64 | TypeRef::F64 => {
                let value = match from {
                    Source::Flat(src) => src.next_u64()?,
                    Source::Memory(ptr) => u64::from_le_bytes(self.lift().load(*ptr)?),
                };
                match to {
                    Target::Flat(dst) => dst.push_u64(value),
                    Target::Memory(ptr) => self.lower().store(*ptr, value.to_le_bytes()),
                }
            }
            TypeRef::String => self.string(from, to),
            TypeRef::ErrorContext => {
                let index = self.read(from, 4)?;
                let context = self.lift().lift_error_context(index)?;
                let index = self.lower().lower_error_context(&context)?;
                self.write(to, 4, index)
            }
            TypeRef::Def(_) => Err(wrong(self.src, ty, "a primitive")),
        }
    }

    /// Reads an `i32`, of which only `size` bytes count.
    fn read(&mut self, from: &mut Source<'_, '_>, size: u32) -> Result<u32> {
        match from {
            Source::Flat(src) => src.next_u32(),
            Source::Memory(ptr) => memory::load_uint(self.bridge.source().memory(), *ptr, size),
        }
    }

    /// Writes an `i32`, of which only `size` bytes go to memory.
    fn write(&mut self, to: &mut Target<'_>, size: u32, value: u32) -> Result<()> {
        match to {
            Target::Flat(dst) => dst.push_u32(value),
            Target::Memory(ptr) => memory::store_uint(self.bridge.target().memory(), *ptr, size, value),
        }
    }

    /// Reads the pointer and length of a list or string.
    fn read_pair(&mut self, from: &mut Source<'_, '_>) -> Result<(u64, u64)> {
        match from {
            Source::Flat(src) => Ok((src.next_ptr(self.src_width)?, src.next_ptr(self.src_width)?)),
            Source::Memory(ptr) => self.lift().load_pair(*ptr),
        }
    }

    fn write_pair(&mut self, to: &mut Target<'_>, pair: (u64, u64)) -> Result<()> {
        match to {
            Target::Flat(dst) => self.lower().push_pair(dst, pair),
            Target::Memory(ptr) => self.lower().store_pair(*ptr, pair),
        }
    }

    fn fields(
        &mut self,
        src: Fields<'_>,
        from: &mut Source<'_, '_>,
        dst: Fields<'_>,
        to: &mut Target<'_>,
    ) -> Result<()> {
        for i in 0..src.len() {
            let ((s, src_at), (d, dst_at)) = (src.at(i, 0)?, dst.at(i, 0)?);
            self.value(s, &mut from.part(src_at), d, &mut to.part(dst_at))?;
        }
        Ok(())
    }

    fn variant(
        &mut self,
        s: TypeRef,
        from: &mut Source<'_, '_>,
        d: TypeRef,
        to: &mut Target<'_>,
    ) -> Result<()> {
        let src: Case = match from {
            Source::Flat(src) => self.lift().lift_case(s, src)?,
            Source::Memory(ptr) => self.lift().load_case(s, *ptr)?,
        };
        let dst: Case = match to {
            Target::Flat(dst) => self.lower().lower_case(d, src.index(), dst)?,
            Target::Memory(ptr) => self.lower().store_case(d, src.index(), *ptr)?,
        };
        match (src.payload_type(), dst.payload_type()) {
            (None, None) => {}
            (Some(s), Some(d)) => {
                let mut from = match from {
                    Source::Flat(src) => Source::Flat(src),
                    Source::Memory(_) => Source::Memory(src.ptr()),
                };
                let mut to = match to {
                    Target::Flat(dst) => Target::Flat(dst),
                    Target::Memory(_) => Target::Memory(dst.ptr()),
                };
                self.value(s, &mut from, d, &mut to)?;
            }
            _ => return Err(self.mismatch(s, d)),
        }
        if let Source::Flat(values) = from {
            self.lift().finish_case(src, values);
        }
        match to {
            Target::Flat(values) => self.lower().finish_case(dst, values),
            Target::Memory(_) => Ok(()),
        }
    }

    /// A list without a fixed length, or a map.
    fn list(&mut self, s: TypeRef, from: &mut Source<'_, '_>, d: TypeRef, to: &mut Target<'_>) -> Result<()> {
        let ((s, _), (d, _)) = (element(self.src, s)?, element(self.dst, d)?);
        let (ptr, length) = self.read_pair(from)?;
        let count = self.lift().check_list(s, ptr, length)?;
        let target = self.lower().allocate_list(d, count)?;
        self.elements((s, ptr), (d, target), length)?;
        self.write_pair(to, (target, length))
    }

    fn fixed_list(
        &mut self,
        (s, from): (TypeRef, &mut Source<'_, '_>),
        (d, to): (TypeRef, &mut Target<'_>),
        length: u32,
    ) -> Result<()> {
        if let (Source::Memory(from), Target::Memory(to)) = (&from, &to) {
            return self.elements((s, *from), (d, *to), length.into());
        }
        let (src_size, dst_size) =
            (self.src.abi(s, self.src_width).size, self.dst.abi(d, self.dst_width).size);
        for i in 0..u64::from(length) {
            let mut from = from.part(i.saturating_mul(src_size));
            self.value(s, &mut from, d, &mut to.part(i.saturating_mul(dst_size)))?;
        }
        Ok(())
    }

    /// Elements in memory, at places whose range was checked.
    fn elements(&mut self, (s, from): (TypeRef, u64), (d, to): (TypeRef, u64), count: u64) -> Result<()> {
        let (src_size, dst_size) =
            (self.src.abi(s, self.src_width).size, self.dst.abi(d, self.dst_width).size);
        if self.is_plain(s, d) {
            let len = count.checked_mul(src_size).ok_or_else(|| Error::abi("list byte length too large"))?;
            return self.bridge.copy(from, to, len);
        }
        for i in 0..count {
            if is_pause(i) {
                self.bridge.target().check_interrupt()?;
            }
            let mut from = Source::Memory(offset(from, i.saturating_mul(src_size)));
            let mut to = Target::Memory(offset(to, i.saturating_mul(dst_size)));
            self.value(s, &mut from, d, &mut to)?;
        }
        Ok(())
    }

    /// Whether values are carried by copying their bytes.
    fn is_plain(&self, s: TypeRef, d: TypeRef) -> bool {
        let (s, d) = (self.src.abi(s, self.src_width), self.dst.abi(d, self.dst_width));
        s.plain && d.plain && s.size == d.size
    }

    fn string(&mut self, from: &mut Source<'_, '_>, to: &mut Target<'_>) -> Result<()> {
        let (ptr, length) = self.read_pair(from)?;
        let pair = translate_string(&mut *self.bridge, ptr, length)?;
        self.write_pair(to, pair)
    }

    /// What is reported for types that differ although linking found them equal: a mistake of ours.
    fn mismatch(&self, s: TypeRef, d: TypeRef) -> Error {
        wrong(self.src, s, &self.dst.display(d))
    }
}

/// A string on its way from one guest to another.
struct GuestString<'a> {
    bridge: &'a mut dyn Bridge,
    range: StringRange,
}

impl StringSource for GuestString<'_> {
    fn units(&self) -> Units {
        self.range.units
    }

    fn compact(&self) -> bool {
        self.range.compact
    }

    fn bytes(&self) -> u64 {
        self.range.bytes
    }

    fn target(&mut self) -> &mut dyn LowerSide {
        self.bridge.target()
    }

    fn decode(&mut self, at: &mut u64, out: &mut [char; CHUNK]) -> Result<usize> {
        self.range.decode(self.bridge.source().memory(), at, out)
    }

    fn copy(&mut self, ptr: u64) -> Result<()> {
        self.bridge.copy(self.range.ptr, ptr, self.range.bytes)
    }
}

#[cfg(test)]
mod tests;
