//! What derived implementations call.

use tombolo_types::component::{Def, TypeRef, Types};

use super::Mismatch;

/// The check of a part: its label and the `check` of its Rust type.
pub type Check = fn(&Types, TypeRef) -> Result<(), Mismatch>;

/// Checks that a type is a record with these fields in this order.
pub fn check_record(types: &Types, ty: TypeRef, expected: &[(&str, Check)]) -> Result<(), Mismatch> {
    let Some(Def::Record(fields)) = types.get(ty) else {
        return Err(Mismatch::expected("record", types, ty));
    };
    check_names(
        "field",
        fields.iter().map(|field| field.name.as_str()),
        expected.iter().map(|(name, _)| *name),
    )?;
    for (field, (name, check)) in fields.iter().zip(expected) {
        check(types, field.ty).map_err(|error| error.within(&format!("field `{name}`")))?;
    }
    Ok(())
}

/// Checks that a type is a variant with these cases in this order.
pub fn check_variant(types: &Types, ty: TypeRef, expected: &[(&str, Option<Check>)]) -> Result<(), Mismatch> {
    let Some(Def::Variant(cases)) = types.get(ty) else {
        return Err(Mismatch::expected("variant", types, ty));
    };
    check_names("case", cases.iter().map(|case| case.name.as_str()), expected.iter().map(|(name, _)| *name))?;
    for (case, (name, check)) in cases.iter().zip(expected) {
        let result = match (case.ty, check) {
            (Some(ty), Some(check)) => check(types, ty),
            (None, None) => Ok(()),
            (Some(ty), None) => Err(Mismatch::expected("no payload", types, ty)),
            (None, Some(_)) => Err(Mismatch::new("expected a payload, found none")),
        };
        result.map_err(|error| error.within(&format!("case `{name}`")))?;
    }
    Ok(())
}

/// Checks that a type is an enum with these cases in this order.
pub fn check_enum(types: &Types, ty: TypeRef, expected: &[&str]) -> Result<(), Mismatch> {
    match types.get(ty) {
        Some(Def::Enum(names)) => {
            check_names("case", names.iter().map(String::as_str), expected.iter().copied())
        }
        _ => Err(Mismatch::expected("enum", types, ty)),
    }
}

/// Checks that a type is flags with these labels in this order.
pub fn check_flags(types: &Types, ty: TypeRef, expected: &[&str]) -> Result<(), Mismatch> {
    match types.get(ty) {
        Some(Def::Flags(names)) => {
            check_names("flag", names.iter().map(String::as_str), expected.iter().copied())
        }
        _ => Err(Mismatch::expected("flags", types, ty)),
    }
}

fn check_names<'n>(
    what: &str,
    mut found: impl Iterator<Item = &'n str>,
    mut expected: impl Iterator<Item = &'n str>,
) -> Result<(), Mismatch> {
    loop {
        let message = match (expected.next(), found.next()) {
            (None, None) => return Ok(()),
            (Some(expected), Some(found)) if expected == found => continue,
            (Some(expected), Some(found)) => format!("expected {what} `{expected}`, found `{found}`"),
            (Some(expected), None) => format!("expected {what} `{expected}`, found no more"),
            (None, Some(found)) => format!("expected no more, found {what} `{found}`"),
        };
        return Err(Mismatch::new(message));
    }
}
