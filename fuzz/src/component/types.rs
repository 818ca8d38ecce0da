//! Types of component values, as text and as core values.

use crate::Bits;

/// A type.
#[derive(Clone, Debug)]
pub(super) enum Ty {
    /// A type without parts, by its name.
    Plain(Plain),
    List(Box<Ty>),
    /// A list of a length that the type fixes.
    FixedList(Box<Ty>, usize),
    /// Key and value.
    Map(Plain, Box<Ty>),
    Record(Vec<Ty>),
    Tuple(Vec<Ty>),
    Variant(Vec<Option<Ty>>),
    /// How many cases.
    Enum(usize),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    /// How many labels.
    Flags(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plain {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
}

/// All of them, with their names and what they are in core code.
const PLAIN: [(Plain, &str, &[Core]); 13] = [
    (Plain::Bool, "bool", &[Core::I32]),
    (Plain::S8, "s8", &[Core::I32]),
    (Plain::U8, "u8", &[Core::I32]),
    (Plain::S16, "s16", &[Core::I32]),
    (Plain::U16, "u16", &[Core::I32]),
    (Plain::S32, "s32", &[Core::I32]),
    (Plain::U32, "u32", &[Core::I32]),
    (Plain::S64, "s64", &[Core::I64]),
    (Plain::U64, "u64", &[Core::I64]),
    (Plain::F32, "f32", &[Core::F32]),
    (Plain::F64, "f64", &[Core::F64]),
    (Plain::Char, "char", &[Core::I32]),
    (Plain::String, "string", &[Core::I32, Core::I32]),
];

/// A core type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Core {
    I32,
    I64,
    F32,
    F64,
}

impl Core {
    pub(super) fn name(self) -> &'static str {
        match self {
            Core::I32 => "i32",
            Core::I64 => "i64",
            Core::F32 => "f32",
            Core::F64 => "f64",
        }
    }

    /// What holds either of two (`join` in the Canonical ABI).
    fn join(self, other: Core) -> Core {
        match (self, other) {
            (a, b) if a == b => a,
            (Core::I32, Core::F32) | (Core::F32, Core::I32) => Core::I32,
            _ => Core::I64,
        }
    }
}

impl Ty {
    /// A type with parts within parts up to a depth.
    pub(super) fn arbitrary(bits: &mut Bits, depth: usize) -> Ty {
        if depth == 0 || bits.below(3) == 0 {
            return Ty::Plain(Ty::plain(bits));
        }
        let part = |bits: &mut Bits| Ty::arbitrary(bits, depth - 1);
        let parts = |bits: &mut Bits| (0..=bits.below(4)).map(|_| part(bits)).collect();
        let maybe = |bits: &mut Bits| (bits.below(4) != 0).then(|| part(bits));
        match bits.below(12) {
            0 | 1 => Ty::List(part(bits).into()),
            2 => {
                let length = 1 + bits.below(5);
                Ty::FixedList(part(bits).into(), length)
            }
            3 => {
                // Floats are no keys.
                let key = std::iter::repeat_with(|| Ty::plain(bits));
                let key = key.filter(|key| !matches!(key, Plain::F32 | Plain::F64)).next();
                Ty::Map(key.unwrap_or(Plain::U8), part(bits).into())
            }
            4 | 5 => Ty::Record(parts(bits)),
            6 => Ty::Tuple(parts(bits)),
            7 => {
                let count = labels(bits);
                Ty::Variant((0..count).map(|index| if index < 4 { maybe(bits) } else { None }).collect())
            }
            8 => Ty::Enum(labels(bits)),
            9 => Ty::Option(part(bits).into()),
            10 => Ty::Result(maybe(bits).map(Box::new), maybe(bits).map(Box::new)),
            _ => Ty::Flags(1 + bits.below(32)),
        }
    }

    fn plain(bits: &mut Bits) -> Plain {
        let index = bits.below(PLAIN.len() + 3);
        // Strings have the most to go wrong.
        PLAIN.get(index).map_or(Plain::String, |(plain, ..)| *plain)
    }

    /// The type in the text format. Types that must have names get them from `named`, where their definitions go.
    pub(super) fn text(&self, named: &mut Vec<String>) -> String {
        let definition = match self {
            Ty::Plain(plain) => {
                let found = PLAIN.iter().find(|(known, ..)| known == plain);
                return found.map_or("u8", |(_, name, _)| name).to_owned();
            }
            Ty::List(element) => return format!("(list {})", element.text(named)),
            Ty::FixedList(element, length) => return format!("(list {} {length})", element.text(named)),
            Ty::Map(key, value) => {
                return format!("(map {} {})", Ty::Plain(*key).text(named), value.text(named));
            }
            Ty::Tuple(parts) => {
                return format!("(tuple{})", each(parts, |part| format!(" {}", part.text(named))));
            }
            Ty::Option(some) => return format!("(option {})", some.text(named)),
            Ty::Result(ok, err) => {
                let ok = ok.as_ref().map(|ok| format!(" {}", ok.text(named))).unwrap_or_default();
                let err = err.as_ref().map(|err| format!(" (error {})", err.text(named))).unwrap_or_default();
                return format!("(result{ok}{err})");
            }
            Ty::Record(fields) => {
                let mut index = 0;
                let field = |ty: &Ty| {
                    index += 1;
                    format!(" (field \"{}\" {})", label(index - 1), ty.text(named))
                };
                format!("(record{})", each(fields, field))
            }
            Ty::Variant(cases) => {
                let mut index = 0;
                let case = |ty: &Option<Ty>| {
                    index += 1;
                    let payload = ty.as_ref().map(|ty| format!(" {}", ty.text(named))).unwrap_or_default();
                    format!(" (case \"{}\"{payload})", label(index - 1))
                };
                format!("(variant{})", each(cases, case))
            }
            Ty::Enum(count) => format!("(enum{})", quoted_labels(*count)),
            Ty::Flags(count) => format!("(flags{})", quoted_labels(*count)),
        };
        named.push(definition);
        format!("$t{}", named.len() - 1)
    }

    /// What the type is in core code (`flatten_type` in the Canonical ABI).
    pub(super) fn flat(&self) -> Vec<Core> {
        let all = |parts: &[Ty]| parts.iter().flat_map(Ty::flat).collect();
        let cases = |cases: &[Option<&Ty>]| {
            let mut joined: Vec<Core> = Vec::new();
            for case in cases.iter().flatten() {
                for (index, core) in case.flat().into_iter().enumerate() {
                    match joined.get_mut(index) {
                        Some(other) => *other = other.join(core),
                        None => joined.push(core),
                    }
                }
            }
            [vec![Core::I32], joined].concat()
        };
        match self {
            Ty::Plain(plain) => {
                PLAIN.iter().find(|(known, ..)| known == plain).map_or(Vec::new(), |(.., core)| core.to_vec())
            }
            Ty::List(_) | Ty::Map(..) => vec![Core::I32, Core::I32],
            Ty::FixedList(element, length) => element.flat().repeat(*length),
            Ty::Record(parts) | Ty::Tuple(parts) => all(parts),
            Ty::Variant(all) => cases(&all.iter().map(Option::as_ref).collect::<Vec<_>>()),
            Ty::Enum(_) | Ty::Flags(_) => vec![Core::I32],
            Ty::Option(some) => cases(&[None, Some(some)]),
            Ty::Result(ok, err) => cases(&[ok.as_deref(), err.as_deref()]),
        }
    }
}

/// How many cases: few, or so many that their numbers take two bytes.
fn labels(bits: &mut Bits) -> usize {
    if bits.below(8) == 0 { 250 + bits.below(20) } else { 1 + bits.below(6) }
}

pub(super) fn label(index: usize) -> String {
    format!("l{index}")
}

fn quoted_labels(count: usize) -> String {
    (0..count).map(|index| format!(" \"{}\"", label(index))).collect()
}

fn each<T>(items: &[T], text: impl FnMut(&T) -> String) -> String {
    items.iter().map(text).collect()
}
