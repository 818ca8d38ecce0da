//! Enums as variants and enums.

use proc_macro2::{Literal, TokenStream as Tokens};
use quote::quote;
use syn::{DataEnum, Error, Fields, Ident, Result, Type, Variant};

use crate::implement::{Body, Trait};
use crate::{attributes, names};

struct Case<'a> {
    ident: &'a Ident,
    label: String,
    index: Literal,
    payload: Option<&'a Type>,
}

pub(crate) fn write(data: &DataEnum, which: Trait, payloads: bool) -> Result<Body> {
    let cases = data.variants.iter().enumerate();
    let cases = cases.map(|(i, variant)| Case::new(i, variant, payloads)).collect::<Result<Vec<_>>>()?;
    if cases.is_empty() {
        return Err(Error::new_spanned(data.enum_token, "a variant or enum of WIT has at least one case"));
    }
    Ok(match which {
        Trait::ComponentType => Body::Check(check(&cases, payloads)),
        Trait::Lift => lift(&cases),
        Trait::Lower => lower(&cases),
    })
}

impl<'a> Case<'a> {
    fn new(index: usize, variant: &'a Variant, payloads: bool) -> Result<Self> {
        let payload = match &variant.fields {
            Fields::Unit => None,
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                fields.unnamed.first().map(|field| &field.ty)
            }
            fields => {
                return Err(Error::new_spanned(
                    fields,
                    "a case has one unnamed payload or none; for more, use a tuple or a record",
                ));
            }
        };
        if payload.is_some() && !payloads {
            return Err(Error::new_spanned(
                &variant.fields,
                "cases of an enum have no payload; say `#[component(variant)]`",
            ));
        }
        let label = match attributes::name(&variant.attrs)? {
            Some(name) => name,
            None => names::of_camel(&variant.ident)?,
        };
        Ok(Case { ident: &variant.ident, label, index: Literal::u32_unsuffixed(index as u32), payload })
    }

    /// The pattern of the case; it binds the payload to `value`.
    fn pattern(&self) -> Tokens {
        let ident = self.ident;
        match self.payload {
            Some(_) => quote!(Self::#ident(value)),
            None => quote!(Self::#ident),
        }
    }
}

fn check(cases: &[Case<'_>], payloads: bool) -> Tokens {
    let labels = cases.iter().map(|case| &case.label);
    if !payloads {
        return quote!(::tombolo::__derive::check_enum(types, ty, &[#(#labels),*]));
    }
    let payloads = cases.iter().map(|case| match case.payload {
        Some(ty) => quote! {
            ::core::option::Option::Some(
                <#ty as ::tombolo::ComponentType>::check as ::tombolo::__derive::Check
            )
        },
        None => quote!(::core::option::Option::None),
    });
    quote!(::tombolo::__derive::check_variant(types, ty, &[#((#labels, #payloads)),*]))
}

fn lift(cases: &[Case<'_>]) -> Body {
    let arms = |payload: &dyn Fn(&Type) -> Tokens| {
        let arms = cases.iter().map(|Case { ident, index, payload: ty, .. }| {
            let payload = ty.map(payload).map(|payload| quote!((#payload)));
            quote!(#index => Self::#ident #payload,)
        });
        quote! {
            match case.index() {
                #(#arms)*
                _ => return ::core::result::Result::Err(case.unknown()),
            }
        }
    };
    let flat = arms(&|ty| quote!(<#ty as ::tombolo::Lift>::lift_flat(cx, case.payload()?, src)?));
    let memory = arms(&|ty| quote!(<#ty as ::tombolo::Lift>::load(cx, case.payload()?, case.ptr())?));
    Body::Lift {
        flat: quote! {
            let case = cx.lift_case(ty, src)?;
            let value = #flat;
            cx.finish_case(case, src);
            ::core::result::Result::Ok(value)
        },
        memory: quote! {
            let case = cx.load_case(ty, ptr)?;
            ::core::result::Result::Ok(#memory)
        },
    }
}

fn lower(cases: &[Case<'_>]) -> Body {
    let flat = cases.iter().map(|case| {
        let (pattern, index) = (case.pattern(), &case.index);
        let payload =
            case.payload.map(|_| quote!(::tombolo::Lower::lower_flat(value, cx, case.payload()?, dst)?;));
        quote! {
            #pattern => {
                let case = cx.lower_case(ty, #index, dst)?;
                #payload
                cx.finish_case(case, dst)
            }
        }
    });
    let memory = cases.iter().map(|case| {
        let (pattern, index) = (case.pattern(), &case.index);
        match case.payload {
            Some(_) => quote! {
                #pattern => {
                    let case = cx.store_case(ty, #index, ptr)?;
                    ::tombolo::Lower::store(value, cx, case.payload()?, case.ptr())
                }
            },
            None => quote! {
                #pattern => {
                    cx.store_case(ty, #index, ptr)?;
                    ::core::result::Result::Ok(())
                }
            },
        }
    });
    Body::Lower { flat: quote!(match self { #(#flat)* }), memory: quote!(match self { #(#memory)* }) }
}
