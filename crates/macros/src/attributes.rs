//! The `#[component(…)]` attributes.

use syn::meta::ParseNestedMeta;

use syn::{Attribute, Data, DeriveInput, Error, LitStr, Result};

use crate::names;

/// What a Rust type stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Record,
    Variant,
    Enum,
}

/// What the attributes of a type, or its shape, say that it stands for.
pub(crate) fn kind(input: &DeriveInput) -> Result<Kind> {
    let mut found = None;
    each(&input.attrs, |meta| {
        let kind = if meta.path.is_ident("record") {
            Kind::Record
        } else if meta.path.is_ident("variant") {
            Kind::Variant
        } else if is_enum(&meta) {
            Kind::Enum
        } else {
            return Err(meta.error("expected `record`, `variant` or `enum`"));
        };
        match found.replace(kind) {
            None => Ok(()),
            Some(_) => Err(meta.error("a type stands for one of `record`, `variant` and `enum`")),
        }
    })?;
    match (found, &input.data) {
        (Some(kind), _) => Ok(kind),
        (None, Data::Struct(_)) => Ok(Kind::Record),
        (None, Data::Enum(_)) => Err(Error::new(
            input.ident.span(),
            "say what this stands for: `#[component(variant)]` or `#[component(enum)]`",
        )),
        (None, Data::Union(_)) => Err(Error::new(input.ident.span(), "a union stands for no component type")),
    }
}

fn is_enum(meta: &ParseNestedMeta<'_>) -> bool {
    meta.path.get_ident().is_some_and(|ident| ident == "enum")
}

/// The name that the attributes of a field, case or flag give it.
pub(crate) fn name(attributes: &[Attribute]) -> Result<Option<String>> {
    let mut found: Option<String> = None;
    each(attributes, |meta| {
        if !meta.path.is_ident("name") {
            return Err(meta.error("expected `name = \"…\"`"));
        }
        let text: LitStr = meta.value()?.parse()?;
        names::check(&text.value()).map_err(|message| Error::new(text.span(), message))?;
        match found.replace(text.value()) {
            None => Ok(()),
            Some(_) => Err(meta.error("named twice")),
        }
    })?;
    Ok(found)
}

fn each(attributes: &[Attribute], mut f: impl FnMut(ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    attributes.iter().filter(|a| a.path().is_ident("component")).try_for_each(|a| a.parse_nested_meta(&mut f))
}
