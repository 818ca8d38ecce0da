//! Core values as scripts write them.

use tombolo_vm::Val;
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Const, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};

/// The value that a script passes.
///
/// # Errors
/// If it is of a type of the GC proposal.
pub(crate) fn argument(written: &WastArgCore<'_>) -> Result<Val, String> {
    Ok(match written {
        WastArgCore::I32(value) => Val::I32(*value),
        WastArgCore::I64(value) => Val::I64(*value),
        WastArgCore::F32(value) => Val::F32(value.bits),
        WastArgCore::F64(value) => Val::F64(value.bits),
        WastArgCore::V128(value) => Val::V128(vector(value)),
        WastArgCore::RefExtern(number) => Val::ExternRef(host_word(*number)),
        WastArgCore::RefNull(heap) => match null_of(heap) {
            Some(Null::Func) => Val::FuncRef(None),
            Some(Null::Extern) => Val::ExternRef(0),
            Some(Null::Exn) => Val::ExnRef(0),
            None => return Err(format!("{written:?} is of the GC proposal")),
        },
        WastArgCore::RefHost(_) => return Err(format!("{written:?} is of the GC proposal")),
    })
}

/// The word of a host reference that a script calls by a number: 0 is null.
fn host_word(number: u32) -> u64 {
    u64::from(number) + 1
}

fn vector(value: &V128Const) -> u128 {
    u128::from_le_bytes(value.to_le_bytes())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Null {
    Func,
    Extern,
    Exn,
}

/// Whose null it is; `None` for the types of the GC proposal.
fn null_of(heap: &HeapType<'_>) -> Option<Null> {
    match heap {
        HeapType::Abstract { shared: false, ty } => match ty {
            AbstractHeapType::Func | AbstractHeapType::NoFunc => Some(Null::Func),
            AbstractHeapType::Extern | AbstractHeapType::NoExtern => Some(Null::Extern),
            AbstractHeapType::Exn | AbstractHeapType::NoExn => Some(Null::Exn),
            _ => None,
        },
        HeapType::Concrete(_) => Some(Null::Func),
        _ => None,
    }
}

/// Whether a value is one of those that a script expects.
pub(crate) fn matches(found: Val, expected: &WastRetCore<'_>) -> bool {
    match (found, expected) {
        (found, WastRetCore::Either(all)) => all.iter().any(|expected| matches(found, expected)),
        (Val::I32(found), WastRetCore::I32(expected)) => found == *expected,
        (Val::I64(found), WastRetCore::I64(expected)) => found == *expected,
        (Val::F32(found), WastRetCore::F32(expected)) => matches_f32(found, expected),
        (Val::F64(found), WastRetCore::F64(expected)) => matches_f64(found, expected),
        (Val::V128(found), WastRetCore::V128(expected)) => matches_v128(found, expected),
        (Val::FuncRef(None), WastRetCore::RefNull(heap)) => is_null(Null::Func, heap.as_ref()),
        (Val::ExternRef(0), WastRetCore::RefNull(heap)) => is_null(Null::Extern, heap.as_ref()),
        (Val::ExnRef(0), WastRetCore::RefNull(heap)) => is_null(Null::Exn, heap.as_ref()),
        (Val::FuncRef(found), WastRetCore::RefFunc(_)) => found.is_some(),
        (Val::ExternRef(found), WastRetCore::RefExtern(Some(number))) => found == host_word(*number),
        (Val::ExternRef(found), WastRetCore::RefExtern(None)) => found != 0,
        _ => false,
    }
}

fn is_null(found: Null, expected: Option<&HeapType<'_>>) -> bool {
    expected.is_none_or(|expected| null_of(expected) == Some(found))
}

fn matches_f32(found: u32, expected: &NanPattern<F32>) -> bool {
    const QUIET: u32 = 0x7fc0_0000;
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff == QUIET,
        NanPattern::ArithmeticNan => found & QUIET == QUIET,
        NanPattern::Value(expected) => found == expected.bits,
    }
}

fn matches_f64(found: u64, expected: &NanPattern<F64>) -> bool {
    const QUIET: u64 = 0x7ff8_0000_0000_0000;
    match expected {
        NanPattern::CanonicalNan => found & 0x7fff_ffff_ffff_ffff == QUIET,
        NanPattern::ArithmeticNan => found & QUIET == QUIET,
        NanPattern::Value(expected) => found == expected.bits,
    }
}

fn matches_v128(found: u128, expected: &V128Pattern) -> bool {
    let exactly = |expected: V128Const| found == vector(&expected);
    match expected {
        V128Pattern::I8x16(lanes) => exactly(V128Const::I8x16(*lanes)),
        V128Pattern::I16x8(lanes) => exactly(V128Const::I16x8(*lanes)),
        V128Pattern::I32x4(lanes) => exactly(V128Const::I32x4(*lanes)),
        V128Pattern::I64x2(lanes) => exactly(V128Const::I64x2(*lanes)),
        V128Pattern::F32x4(lanes) => {
            (0..).zip(lanes).all(|(lane, expected)| matches_f32((found >> (32 * lane)) as u32, expected))
        }
        V128Pattern::F64x2(lanes) => {
            (0..).zip(lanes).all(|(lane, expected)| matches_f64((found >> (64 * lane)) as u64, expected))
        }
    }
}

/// A value for people, with the bits of floats.
pub(crate) fn show(value: Val) -> String {
    match value {
        Val::I32(value) => format!("i32 {value}"),
        Val::I64(value) => format!("i64 {value}"),
        Val::F32(bits) => format!("f32 {:?} ({bits:#010x})", f32::from_bits(bits)),
        Val::F64(bits) => format!("f64 {:?} ({bits:#018x})", f64::from_bits(bits)),
        Val::V128(bits) => format!("v128 {bits:#034x}"),
        Val::FuncRef(None) => "a null funcref".into(),
        Val::FuncRef(Some(_)) => "a funcref".into(),
        Val::ExternRef(0) => "a null externref".into(),
        Val::ExternRef(word) => format!("externref {}", word - 1),
        Val::ExnRef(0) => "a null exnref".into(),
        Val::ExnRef(_) => "an exnref".into(),
    }
}

/// What a script expects, for people.
pub(crate) fn show_expected(expected: &WastRetCore<'_>) -> String {
    match expected {
        WastRetCore::I32(value) => show(Val::I32(*value)),
        WastRetCore::I64(value) => show(Val::I64(*value)),
        WastRetCore::F32(NanPattern::CanonicalNan) => "f32 nan:canonical".into(),
        WastRetCore::F32(NanPattern::ArithmeticNan) => "f32 nan:arithmetic".into(),
        WastRetCore::F64(NanPattern::CanonicalNan) => "f64 nan:canonical".into(),
        WastRetCore::F64(NanPattern::ArithmeticNan) => "f64 nan:arithmetic".into(),
        WastRetCore::F32(NanPattern::Value(value)) => show(Val::F32(value.bits)),
        WastRetCore::F64(NanPattern::Value(value)) => show(Val::F64(value.bits)),
        WastRetCore::V128(V128Pattern::I8x16(lanes)) => show(Val::V128(vector(&V128Const::I8x16(*lanes)))),
        WastRetCore::V128(V128Pattern::I16x8(lanes)) => show(Val::V128(vector(&V128Const::I16x8(*lanes)))),
        WastRetCore::V128(V128Pattern::I32x4(lanes)) => show(Val::V128(vector(&V128Const::I32x4(*lanes)))),
        WastRetCore::V128(V128Pattern::I64x2(lanes)) => show(Val::V128(vector(&V128Const::I64x2(*lanes)))),
        WastRetCore::Either(all) => all.iter().map(show_expected).collect::<Vec<_>>().join(" or "),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_nan_tell_payloads_apart() {
        assert!(matches_f32(0xffc0_0000, &NanPattern::CanonicalNan));
        assert!(!matches_f32(0x7fc0_0001, &NanPattern::CanonicalNan));
        assert!(matches_f32(0x7fc0_0001, &NanPattern::ArithmeticNan));
        assert!(!matches_f32(0x7fa0_0000, &NanPattern::ArithmeticNan));
        assert!(!matches_f64(f64::INFINITY.to_bits(), &NanPattern::ArithmeticNan));
        let one = NanPattern::Value(F32 { bits: 1.0f32.to_bits() });
        let nan = NanPattern::CanonicalNan;
        let lanes = V128Pattern::F32x4([one, nan, one, one]);
        let found = u128::from(1.0f32.to_bits()) * 0x1_0000_0001_0000_0000_0000_0001;
        assert!(!matches_v128(found, &lanes));
        assert!(matches_v128(found | 0x7fc0_0000 << 32, &lanes));
    }

    #[test]
    fn references_are_null_or_not() {
        let null = WastRetCore::RefNull(None);
        assert!(matches(Val::FuncRef(None), &null) && matches(Val::ExternRef(0), &null));
        assert!(!matches(Val::ExternRef(host_word(0)), &null));
        assert!(matches(Val::ExternRef(host_word(0)), &WastRetCore::RefExtern(Some(0))));
        assert!(!matches(Val::ExternRef(0), &WastRetCore::RefExtern(None)));
        let either = WastRetCore::Either(vec![WastRetCore::I32(1), WastRetCore::I32(2)]);
        assert!(matches(Val::I32(2), &either) && !matches(Val::I32(3), &either));
    }
}
