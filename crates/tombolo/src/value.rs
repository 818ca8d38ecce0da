//! Values and types that are known only at run time.

use std::fmt;

mod display;
mod ty;

pub use crate::async_value::{ErrorContextAny, FutureAny, StreamAny};
pub use ty::{Type, TypeKind};

use crate::resource::ResourceAny;

/// A component value of any type.
///
/// `Display` writes it as WAVE, the text format for component values: `{name: "x", sizes: [1, 2]}`. What WAVE has no
/// notation for (handles) is written in angle brackets.
///
/// Two values are equal if they have the same structure and equal parts. A NaN equals a NaN of the same bits.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the specification's names")]
pub enum Val {
    Bool(bool),
    S8(i8),
    U8(u8),
    S16(i16),
    U16(u16),
    S32(i32),
    U32(u32),
    S64(i64),
    U64(u64),
    F32(f32),
    F64(f64),
    Char(char),
    String(String),
    List(Vec<Val>),
    /// Entries in the order in which they were passed; keys can repeat.
    Map(Vec<(Val, Val)>),
    /// Fields with their labels, in the type's order.
    Record(Vec<(String, Val)>),
    Tuple(Vec<Val>),
    /// A case's label and its payload if the case has one.
    Variant(String, Option<Box<Val>>),
    Enum(String),
    Option(Option<Box<Val>>),
    Result(Result<Option<Box<Val>>, Option<Box<Val>>>),
    /// The labels that are set; in the type's order when it comes out of a guest, in any order when it goes into one.
    Flags(Vec<String>),
    /// An `own` or a `borrow`.
    Resource(ResourceAny),
    Stream(StreamAny),
    Future(FutureAny),
    ErrorContext(ErrorContextAny),
}

impl PartialEq for Val {
    fn eq(&self, other: &Val) -> bool {
        use Val::*;
        match (self, other) {
            (Bool(a), Bool(b)) => a == b,
            (S8(a), S8(b)) => a == b,
            (U8(a), U8(b)) => a == b,
            (S16(a), S16(b)) => a == b,
            (U16(a), U16(b)) => a == b,
            (S32(a), S32(b)) => a == b,
            (U32(a), U32(b)) => a == b,
            (S64(a), S64(b)) => a == b,
            (U64(a), U64(b)) => a == b,
            (F32(a), F32(b)) => a == b || a.to_bits() == b.to_bits(),
            (F64(a), F64(b)) => a == b || a.to_bits() == b.to_bits(),
            (Char(a), Char(b)) => a == b,
            (String(a), String(b)) | (Enum(a), Enum(b)) => a == b,
            (List(a), List(b)) | (Tuple(a), Tuple(b)) => a == b,
            (Map(a), Map(b)) => a == b,
            (Record(a), Record(b)) => a == b,
            (Variant(a, v), Variant(b, w)) => a == b && v == w,
            (Option(a), Option(b)) => a == b,
            (Result(a), Result(b)) => a == b,
            (Flags(a), Flags(b)) => a == b,
            (Resource(a), Resource(b)) => a == b,
            (Stream(a), Stream(b)) => a == b,
            (Future(a), Future(b)) => a == b,
            (ErrorContext(a), ErrorContext(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Display for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display::write(self, f)
    }
}

macro_rules! from {
    ($($ty:ty => $case:ident),* $(,)?) => {
        $(impl From<$ty> for Val {
            fn from(value: $ty) -> Val {
                Val::$case(value.into())
            }
        })*
    };
}

from! {
    bool => Bool, i8 => S8, u8 => U8, i16 => S16, u16 => U16, i32 => S32, u32 => U32, i64 => S64, u64 => U64,
    f32 => F32, f64 => F64, char => Char, String => String, &str => String, Vec<Val> => List,
    ResourceAny => Resource, StreamAny => Stream, FutureAny => Future, ErrorContextAny => ErrorContext,
}
