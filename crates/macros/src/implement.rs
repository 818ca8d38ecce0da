//! The `impl` around what fields and cases write.

use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::{DeriveInput, GenericParam, parse_quote};

/// A trait that is derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trait {
    ComponentType,
    Lift,
    Lower,
}

/// Bodies of a trait's functions. Those of `Lift` and `Lower` see `cx` and `ty`; and `src` or `dst`, or `ptr`.
pub(crate) enum Body {
    Check(Tokens),
    Lift { flat: Tokens, memory: Tokens },
    Lower { flat: Tokens, memory: Tokens },
}

/// Writes the `impl` for a type; its type parameters get the trait as a bound.
pub(crate) fn write(input: &DeriveInput, which: Trait, body: Body) -> Tokens {
    let name = &input.ident;
    let bound = format_ident!("{which:?}");
    let mut generics = input.generics.clone();
    for param in &mut generics.params {
        if let GenericParam::Type(param) = param {
            param.bounds.push(parse_quote!(::tombolo::#bound));
        }
    }
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let functions = functions(body);
    quote! {
        #[automatically_derived]
        impl #impl_generics ::tombolo::#bound for #name #ty_generics #where_clause {
            #functions
        }
    }
}

/// The functions of a trait.
pub(crate) fn functions(body: Body) -> Tokens {
    let result = quote!(::core::result::Result);
    match body {
        Body::Check(body) => quote! {
            fn check(
                types: &::tombolo::__derive::Types,
                ty: ::tombolo::__derive::TypeRef,
            ) -> #result<(), ::tombolo::Mismatch> {
                #body
            }
        },
        Body::Lift { flat, memory } => quote! {
            fn lift_flat(
                cx: &mut ::tombolo::LiftContext<'_>,
                ty: ::tombolo::__derive::TypeRef,
                src: &mut ::tombolo::__derive::FlatSource<'_>,
            ) -> #result<Self, ::tombolo::Error> {
                #flat
            }

            fn load(
                cx: &mut ::tombolo::LiftContext<'_>,
                ty: ::tombolo::__derive::TypeRef,
                ptr: u64,
            ) -> #result<Self, ::tombolo::Error> {
                #memory
            }
        },
        Body::Lower { flat, memory } => quote! {
            fn lower_flat(
                &self,
                cx: &mut ::tombolo::LowerContext<'_>,
                ty: ::tombolo::__derive::TypeRef,
                dst: &mut ::tombolo::__derive::FlatSink,
            ) -> #result<(), ::tombolo::Error> {
                #flat
            }

            fn store(
                &self,
                cx: &mut ::tombolo::LowerContext<'_>,
                ty: ::tombolo::__derive::TypeRef,
                ptr: u64,
            ) -> #result<(), ::tombolo::Error> {
                #memory
            }
        },
    }
}
