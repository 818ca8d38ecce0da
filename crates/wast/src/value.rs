//! Component values as scripts write them.

use tombolo::Val;
use wast::component::WastVal;

/// The value that a script writes.
pub(crate) fn value(written: &WastVal<'_>) -> Val {
    let all = |values: &[WastVal<'_>]| values.iter().map(value).collect();
    let payload =
        |written: &Option<Box<WastVal<'_>>>| written.as_deref().map(|written| Box::new(value(written)));
    match written {
        WastVal::Bool(v) => Val::Bool(*v),
        WastVal::U8(v) => Val::U8(*v),
        WastVal::S8(v) => Val::S8(*v),
        WastVal::U16(v) => Val::U16(*v),
        WastVal::S16(v) => Val::S16(*v),
        WastVal::U32(v) => Val::U32(*v),
        WastVal::S32(v) => Val::S32(*v),
        WastVal::U64(v) => Val::U64(*v),
        WastVal::S64(v) => Val::S64(*v),
        WastVal::F32(v) => Val::F32(f32::from_bits(v.bits)),
        WastVal::F64(v) => Val::F64(f64::from_bits(v.bits)),
        WastVal::Char(v) => Val::Char(*v),
        WastVal::String(v) => Val::String((*v).to_owned()),
        WastVal::List(values) => Val::List(all(values)),
        WastVal::Tuple(values) => Val::Tuple(all(values)),
        WastVal::Record(fields) => {
            Val::Record(fields.iter().map(|(name, field)| ((*name).to_owned(), value(field))).collect())
        }
        WastVal::Map(entries) => Val::Map(entries.iter().map(|(k, v)| (value(k), value(v))).collect()),
        WastVal::Variant(case, v) => Val::Variant((*case).to_owned(), payload(v)),
        WastVal::Enum(case) => Val::Enum((*case).to_owned()),
        WastVal::Option(v) => Val::Option(payload(v)),
        WastVal::Result(Ok(v)) => Val::Result(Ok(payload(v))),
        WastVal::Result(Err(v)) => Val::Result(Err(payload(v))),
        WastVal::Flags(names) => Val::Flags(names.iter().map(|name| (*name).to_owned()).collect()),
    }
}

/// Whether a value is the expected one. The Component Model tells no NaN from another, nor an order of flags.
pub(crate) fn same(value: &Val, expected: &Val) -> bool {
    let all = |a: &[Val], b: &[Val]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
    let payload = |a: &Option<Box<Val>>, b: &Option<Box<Val>>| match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    match (value, expected) {
        (Val::F32(a), Val::F32(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Val::F64(a), Val::F64(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
        (Val::List(a), Val::List(b)) | (Val::Tuple(a), Val::Tuple(b)) => all(a, b),
        (Val::Map(a), Val::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, v), (l, w))| same(k, l) && same(v, w))
        }
        (Val::Record(a), Val::Record(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((a, v), (b, w))| a == b && same(v, w))
        }
        (Val::Variant(a, v), Val::Variant(b, w)) => a == b && payload(v, w),
        (Val::Option(a), Val::Option(b)) => payload(a, b),
        (Val::Result(Ok(a)), Val::Result(Ok(b))) | (Val::Result(Err(a)), Val::Result(Err(b))) => {
            payload(a, b)
        }
        (Val::Flags(a), Val::Flags(b)) => a.len() == b.len() && a.iter().all(|flag| b.contains(flag)),
        _ => value == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_zero_differ_and_nans_do_not() {
        assert!(!same(&Val::F32(0.0), &Val::F32(-0.0)));
        assert!(same(&Val::F64(f64::NAN), &Val::F64(-f64::NAN)));
        let list = |bits| Val::List(vec![Val::F32(f32::from_bits(bits))]);
        assert!(same(&list(0x7fc0_0000), &list(0x7fa0_0001)));
        assert!(!same(&list(0x7f80_0000), &list(0x7fa0_0001)));
    }

    #[test]
    fn flags_have_no_order() {
        let flags = |names: &[&str]| Val::Flags(names.iter().map(|name| (*name).to_owned()).collect());
        assert!(same(&flags(&["a", "b"]), &flags(&["b", "a"])));
        assert!(!same(&flags(&["a"]), &flags(&["a", "b"])));
    }
}
