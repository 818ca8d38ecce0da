//! Values as WAVE text.

use std::fmt::{self, Formatter, Write};

use super::Val;

pub(super) fn write(value: &Val, f: &mut Formatter<'_>) -> fmt::Result {
    match value {
        Val::Bool(v) => write!(f, "{v}"),
        Val::S8(v) => write!(f, "{v}"),
        Val::U8(v) => write!(f, "{v}"),
        Val::S16(v) => write!(f, "{v}"),
        Val::U16(v) => write!(f, "{v}"),
        Val::S32(v) => write!(f, "{v}"),
        Val::U32(v) => write!(f, "{v}"),
        Val::S64(v) => write!(f, "{v}"),
        Val::U64(v) => write!(f, "{v}"),
        Val::F32(v) if v.is_nan() => f.write_str("nan"),
        Val::F32(v) => write!(f, "{v}"),
        Val::F64(v) if v.is_nan() => f.write_str("nan"),
        Val::F64(v) => write!(f, "{v}"),
        Val::Char(c) => {
            f.write_char('\'')?;
            escaped(*c, '\'', f)?;
            f.write_char('\'')
        }
        Val::String(text) => {
            f.write_char('"')?;
            text.chars().try_for_each(|c| escaped(c, '"', f))?;
            f.write_char('"')
        }
        Val::List(list) => separated("[", list, "]", f, write),
        Val::Tuple(list) => separated("(", list, ")", f, write),
        // A map is a list of pairs.
        Val::Map(entries) => separated("[", entries, "]", f, |(key, value), f| {
            f.write_char('(')?;
            write(key, f)?;
            f.write_str(", ")?;
            write(value, f)?;
            f.write_char(')')
        }),
        // So that it is not taken for flags.
        Val::Record(fields) if fields.is_empty() => f.write_str("{:}"),
        Val::Record(fields) => separated("{", fields, "}", f, |(name, value), f| {
            f.write_str(name)?;
            f.write_str(": ")?;
            write(value, f)
        }),
        Val::Flags(names) => separated("{", names, "}", f, |name, f| f.write_str(name)),
        Val::Enum(name) => case(name, None, f),
        Val::Variant(name, payload) => case(name, payload.as_deref(), f),
        Val::Option(None) => f.write_str("none"),
        Val::Option(Some(value)) => payload("some", Some(value), f),
        Val::Result(Ok(value)) => payload("ok", value.as_deref(), f),
        Val::Result(Err(value)) => payload("err", value.as_deref(), f),
        Val::Resource(resource) => write!(f, "<{resource}>"),
        Val::Stream(_) => f.write_str("<stream>"),
        Val::Future(_) => f.write_str("<future>"),
        Val::ErrorContext(_) => f.write_str("<error-context>"),
    }
}

fn separated<T>(
    open: &str,
    list: &[T],
    close: &str,
    f: &mut Formatter<'_>,
    mut each: impl FnMut(&T, &mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    f.write_str(open)?;
    for (i, item) in list.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        each(item, f)?;
    }
    f.write_str(close)
}

fn case(name: &str, value: Option<&Val>, f: &mut Formatter<'_>) -> fmt::Result {
    // Words of WAVE's own are escaped.
    if ["true", "false", "some", "none", "ok", "err", "inf", "nan"].contains(&name) {
        f.write_char('%')?;
    }
    payload(name, value, f)
}

fn payload(name: &str, value: Option<&Val>, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(name)?;
    let Some(value) = value else { return Ok(()) };
    f.write_char('(')?;
    write(value, f)?;
    f.write_char(')')
}

fn escaped(c: char, quote: char, f: &mut Formatter<'_>) -> fmt::Result {
    match c {
        '\t' => f.write_str("\\t"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\\' => f.write_str("\\\\"),
        c if c == quote => write!(f, "\\{c}"),
        c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c)),
        c => f.write_char(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_wave() {
        let record = Val::Record(vec![("a".into(), 1_u8.into()), ("b-c".into(), "x\n\"\u{1}é".into())]);
        let cases = [
            (Val::Bool(true), "true"),
            (Val::S64(-5), "-5"),
            (Val::F32(1.5), "1.5"),
            (Val::F64(f64::NEG_INFINITY), "-inf"),
            (Val::F64(-f64::NAN), "nan"),
            (Val::Char('\''), "'\\''"),
            (record, "{a: 1, b-c: \"x\\n\\\"\\u{1}é\"}"),
            (Val::Record(vec![]), "{:}"),
            (Val::List(vec![1_u8.into(), 2_u8.into()]), "[1, 2]"),
            (Val::Tuple(vec![1_u8.into(), 'c'.into()]), "(1, 'c')"),
            (Val::Map(vec![("k".into(), 1_u8.into())]), "[(\"k\", 1)]"),
            (Val::Variant("big".into(), Some(Box::new(1_u8.into()))), "big(1)"),
            (Val::Enum("none".into()), "%none"),
            (Val::Option(None), "none"),
            (Val::Option(Some(Box::new(Val::Option(None)))), "some(none)"),
            (Val::Result(Ok(None)), "ok"),
            (Val::Result(Err(Some(Box::new("no".into())))), "err(\"no\")"),
            (Val::Flags(vec!["a".into(), "b".into()]), "{a, b}"),
        ];
        for (value, text) in cases {
            assert_eq!(value.to_string(), text);
        }
    }

    #[test]
    fn nans_of_the_same_bits_are_equal() {
        assert_eq!(Val::F32(f32::NAN), Val::F32(f32::NAN));
        assert_ne!(Val::F64(f64::NAN), Val::F64(f64::from_bits(f64::NAN.to_bits() ^ 1)));
        assert_eq!(Val::F64(0.0), Val::F64(-0.0));
        assert_ne!(Val::U8(1), Val::S8(1));
    }
}
