//! Derive macros of the Tombolo runtime: Rust types that stand for records, variants, enums and flags of WIT.
//!
//! Use them through the `tombolo` crate, which exports them beside the traits that they implement. What they write
//! refers to `::tombolo`.
//!
//! ```text
//! use tombolo::{ComponentType, Lift, Lower, flags};
//!
//! // record descriptor-stat { %type: u8, link-count: u64 }
//! #[derive(ComponentType, Lift, Lower)]
//! #[component(record)]
//! struct DescriptorStat {
//!     r#type: u8,
//!     link_count: u64,
//! }
//!
//! // variant filter { all, none, some(list<string>) }
//! #[derive(ComponentType, Lift, Lower)]
//! #[component(variant)]
//! enum Filter {
//!     All,
//!     None,
//!     Some(Vec<String>),
//! }
//!
//! // enum error-code { access, io, too-big }
//! #[derive(ComponentType, Lift, Lower)]
//! #[component(enum)]
//! enum ErrorCode {
//!     Access,
//!     #[component(name = "io")]
//!     InputOutput,
//!     TooBig,
//! }
//!
//! // flags path-flags { symlink-follow }
//! flags! {
//!     PathFlags {
//!         const SYMLINK_FOLLOW;
//!     }
//! }
//! ```

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use syn::{Data, DeriveInput, Result, parse_macro_input};

mod attributes;
mod cases;
mod fields;
mod flags;
mod implement;
mod names;

use attributes::Kind;
use implement::Trait;

/// Derives `ComponentType`: the check that the Rust type stands for a type of WIT.
///
/// On a struct with named fields for a record, and on an enum that is marked `#[component(variant)]` or
/// `#[component(enum)]`. Fields and cases are in the order of the WIT type; they have its names in Rust's spelling, or
/// say `#[component(name = "…")]`.
#[proc_macro_derive(ComponentType, attributes(component))]
pub fn derive_component_type(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), Trait::ComponentType)
}

/// Derives `Lift`: taking values out of a guest.
#[proc_macro_derive(Lift, attributes(component))]
pub fn derive_lift(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), Trait::Lift)
}

/// Derives `Lower`: putting values into a guest.
#[proc_macro_derive(Lower, attributes(component))]
pub fn derive_lower(input: TokenStream) -> TokenStream {
    derive(parse_macro_input!(input), Trait::Lower)
}

/// Defines a set of flags of WIT: `flags! { pub Name { const A; const B; } }`.
///
/// The type is `Copy`, has a constant for each flag, `empty`, `all`, `contains`, `insert`, `remove`, `|`, `&`, `-`, and
/// implements `ComponentType`, `Lift` and `Lower`. A flag is called in WIT what its constant is, in kebab-case, unless
/// it says `#[component(name = "…")]`. There are 32 at most.
#[proc_macro]
pub fn flags(input: TokenStream) -> TokenStream {
    let definition = parse_macro_input!(input as flags::Definition);
    finish(definition.write())
}

fn derive(input: DeriveInput, which: Trait) -> TokenStream {
    finish(write(&input, which))
}

fn write(input: &DeriveInput, which: Trait) -> Result<Tokens> {
    let kind = attributes::kind(input)?;
    let body = match (&input.data, kind) {
        (Data::Struct(data), Kind::Record) => fields::write(data, which)?,
        (Data::Enum(data), Kind::Variant) => cases::write(data, which, true)?,
        (Data::Enum(data), Kind::Enum) => cases::write(data, which, false)?,
        _ => {
            let message = "`#[component(record)]` is for structs, `#[component(variant)]` and `#[component(enum)]` are for enums";
            return Err(syn::Error::new_spanned(&input.ident, message));
        }
    };
    Ok(implement::write(input, which, body))
}

fn finish(tokens: Result<Tokens>) -> TokenStream {
    tokens.unwrap_or_else(|error| error.to_compile_error()).into()
}
