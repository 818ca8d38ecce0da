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

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    const ALL: [Trait; 3] = [Trait::ComponentType, Trait::Lift, Trait::Lower];

    #[track_caller]
    fn refused(input: &DeriveInput, message: &str) {
        for which in ALL {
            let error = write(input, which).expect_err("an error").to_string();
            assert!(error.contains(message), "{error:?} instead of {message:?}");
        }
    }

    #[test]
    fn what_cannot_be_derived_is_explained() {
        refused(
            &parse_quote!(
                enum A {
                    B,
                }
            ),
            "say what this stands for",
        );
        refused(&parse_quote!(union A { b: u8 }), "a union stands for no component type");
        refused(
            &parse_quote!(
                struct A(u8);
            ),
            "for a tuple of WIT use a Rust tuple",
        );
        refused(
            &parse_quote!(
                struct A {}
            ),
            "a record of WIT has at least one field",
        );
        refused(
            &parse_quote!(
                #[component(variant)]
                struct A {
                    b: u8,
                }
            ),
            "is for structs",
        );
        refused(
            &parse_quote!(
                #[component(record)]
                enum A {
                    B,
                }
            ),
            "is for structs",
        );
        refused(
            &parse_quote!(
                #[component(enum)]
                enum A {
                    B(u8),
                }
            ),
            "cases of an enum have no payload",
        );
        refused(
            &parse_quote!(
                #[component(variant)]
                enum A {
                    B(u8, u8),
                }
            ),
            "for more, use a tuple or a record",
        );
        refused(
            &parse_quote!(
                #[component(variant)]
                enum A {
                    B { c: u8 },
                }
            ),
            "for more, use a tuple or a record",
        );
        refused(
            &parse_quote!(
                #[component(enum)]
                enum A {}
            ),
            "at least one case",
        );
        refused(
            &parse_quote!(
                #[component(enum, variant)]
                enum A {
                    B,
                }
            ),
            "stands for one of",
        );
        refused(
            &parse_quote!(
                #[component(flags)]
                enum A {
                    B,
                }
            ),
            "expected `record`, `variant` or `enum`",
        );
        refused(
            &parse_quote!(
                struct A {
                    #[component(rename = "b")]
                    b: u8,
                }
            ),
            "expected `name = \"…\"`",
        );
        refused(
            &parse_quote!(
                struct A {
                    #[component(name = "b_c")]
                    b: u8,
                }
            ),
            "is not a name in WIT",
        );
        refused(
            &parse_quote!(
                struct A {
                    _b: u8,
                }
            ),
            "say `#[component(name = \"…\")]`",
        );
    }

    #[test]
    fn flags_that_cannot_be_are_explained() {
        let error = |text: &str| {
            let definition = syn::parse_str::<flags::Definition>(text);
            definition.and_then(|definition| definition.write()).expect_err("an error").to_string()
        };
        assert_eq!(error("A {}"), "flags of WIT have at least one member");
        let many: String = (0..33).map(|i| format!("const F{i};")).collect();
        assert_eq!(error(&format!("A {{ {many} }}")), "flags of WIT have at most 32 members");
        assert_eq!(error("A { B; }"), "expected `const`");
    }

    #[test]
    fn flags_of_32_members_use_all_bits() {
        let many: String = (0..32).map(|i| format!("const F{i};")).collect();
        let definition: flags::Definition = syn::parse_str(&format!("A {{ {many} }}")).unwrap();
        let text = definition.write().unwrap().to_string();
        assert!(
            text.contains("F31 : Self = Self { bits : 2147483648 }") && text.contains("bits : 4294967295")
        );
    }

    #[test]
    fn type_parameters_are_bounded_by_the_trait() {
        let input = parse_quote!(
            struct A<'a, T: Copy> {
                b: &'a T,
            }
        );
        let text = write(&input, Trait::Lower).unwrap().to_string();
        assert!(
            text.contains(
                "impl < 'a , T : Copy + :: tombolo :: Lower > :: tombolo :: Lower for A < 'a , T >"
            )
        );
    }
}
