//! Values of generated types.

use tombolo::Val;

use super::types::{Plain, Ty, label};
use crate::Bits;

/// Any value of a type.
pub(super) fn value(ty: &Ty, bits: &mut Bits) -> Val {
    match ty {
        Ty::Plain(plain) => plain_value(*plain, bits),
        Ty::List(element) => {
            let length = length(bits, matches!(**element, Ty::Plain(_)));
            Val::List((0..length).map(|_| value(element, bits)).collect())
        }
        Ty::FixedList(element, length) => Val::List((0..*length).map(|_| value(element, bits)).collect()),
        Ty::Map(key, of) => {
            let length = length(bits, false);
            Val::Map((0..length).map(|_| (plain_value(*key, bits), value(of, bits))).collect())
        }
        Ty::Record(fields) => Val::Record(
            fields.iter().enumerate().map(|(index, ty)| (label(index), value(ty, bits))).collect(),
        ),
        Ty::Tuple(parts) => Val::Tuple(parts.iter().map(|ty| value(ty, bits)).collect()),
        Ty::Variant(cases) => {
            let case = bits.below(cases.len());
            let payload = cases.get(case).and_then(Option::as_ref);
            Val::Variant(label(case), payload.map(|ty| value(ty, bits).into()))
        }
        Ty::Enum(count) => Val::Enum(label(bits.below(*count))),
        Ty::Option(some) => Val::Option((bits.below(4) != 0).then(|| value(some, bits).into())),
        Ty::Result(ok, err) => {
            let fails = bits.below(2) == 0;
            let mut payload = |ty: &Option<Box<Ty>>| ty.as_ref().map(|ty| value(ty, bits).into());
            if fails { Val::Result(Err(payload(err))) } else { Val::Result(Ok(payload(ok))) }
        }
        Ty::Flags(count) => {
            let set = bits.word();
            Val::Flags((0..*count).filter(|index| set >> index & 1 != 0).map(label).collect())
        }
    }
}

fn length(bits: &mut Bits, cheap: bool) -> usize {
    match bits.below(32) {
        0 if cheap => bits.below(5000),
        1..8 => 0,
        _ => bits.below(4),
    }
}

fn plain_value(plain: Plain, bits: &mut Bits) -> Val {
    let any = bits.value();
    match plain {
        Plain::Bool => Val::Bool(any & 1 != 0),
        Plain::S8 => Val::S8(any as i8),
        Plain::U8 => Val::U8(any as u8),
        Plain::S16 => Val::S16(any as i16),
        Plain::U16 => Val::U16(any as u16),
        Plain::S32 => Val::S32(any as i32),
        Plain::U32 => Val::U32(any as u32),
        Plain::S64 => Val::S64(any as i64),
        Plain::U64 => Val::U64(any as u64),
        // The bits of a NaN do not survive, except for those of the canonical one.
        Plain::F32 => {
            let float = f32::from_bits(any as u32);
            Val::F32(if float.is_nan() { f32::from_bits(0x7fc0_0000) } else { float })
        }
        Plain::F64 => {
            let float = f64::from_bits(any as u64);
            Val::F64(if float.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { float })
        }
        Plain::Char => Val::Char(character(bits)),
        Plain::String => {
            let length = if bits.below(64) == 0 { bits.below(5000) } else { bits.below(12) };
            // Most strings are of one kind; where the kind changes is what encodings stumble over.
            let (mut kind, other, at) = (bits.below(4), bits.below(4), bits.below(length + length / 2));
            let character = |index| {
                if index == at {
                    kind = other;
                }
                character_of(kind, bits)
            };
            Val::String((0..length).map(character).collect())
        }
    }
}

fn character(bits: &mut Bits) -> char {
    let kind = bits.below(4);
    character_of(kind, bits)
}

/// A character of one, two, three or four bytes of UTF-8; those of the first two kinds are Latin-1, mostly.
fn character_of(kind: usize, bits: &mut Bits) -> char {
    let code = match kind {
        0 => bits.below(0x80),
        1 => 0x80 + bits.below(0x100),
        2 => 0x800 + bits.below(0xf800),
        _ => 0x1_0000 + bits.below(0x10_0000),
    };
    // Surrogates are no characters.
    char::from_u32(code as u32).unwrap_or('\u{ffff}')
}
