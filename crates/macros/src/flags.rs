//! The `flags!` macro.

use proc_macro2::{Literal, TokenStream as Tokens};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Ident, Result, Token, Visibility, braced};

use crate::implement::{Body, functions};
use crate::{attributes, names};

/// `#[…] pub Name { #[…] const A; … }`
pub(crate) struct Definition {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    name: Ident,
    flags: Vec<Flag>,
}

struct Flag {
    attributes: Vec<Attribute>,
    name: Ident,
}

impl Parse for Definition {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let name = input.parse()?;
        let content;
        braced!(content in input);
        let mut flags = Vec::new();
        while !content.is_empty() {
            let attributes = content.call(Attribute::parse_outer)?;
            content.parse::<Token![const]>()?;
            flags.push(Flag { attributes, name: content.parse()? });
            content.parse::<Token![;]>()?;
        }
        Ok(Definition { attributes, visibility, name, flags })
    }
}

impl Definition {
    pub(crate) fn write(&self) -> Result<Tokens> {
        if self.flags.is_empty() {
            return Err(Error::new_spanned(&self.name, "flags of WIT have at least one member"));
        }
        if let Some(flag) = self.flags.get(32) {
            return Err(Error::new_spanned(&flag.name, "flags of WIT have at most 32 members"));
        }
        let type_definition = self.type_definition()?;
        let operators = self.operators();
        let implementations = self.implementations()?;
        Ok(quote!(#type_definition #operators #implementations))
    }

    fn labels(&self) -> Result<Vec<String>> {
        let label = |flag: &Flag| match attributes::name(&flag.attributes)? {
            Some(name) => Ok(name),
            None => names::of_snake(&flag.name),
        };
        self.flags.iter().map(label).collect()
    }

    fn type_definition(&self) -> Result<Tokens> {
        let Definition { attributes, visibility, name, flags } = self;
        let labels = self.labels()?;
        let consts = flags.iter().enumerate().map(|(i, flag)| {
            let attributes = flag.attributes.iter().filter(|a| !a.path().is_ident("component"));
            let (flag, bit) = (&flag.name, Literal::u32_unsuffixed(1 << i));
            quote!(#(#attributes)* pub const #flag: Self = Self { bits: #bit };)
        });
        let all = Literal::u32_unsuffixed(u32::MAX >> (32 - flags.len()));
        let own_docs = match attributes.iter().any(|a| a.path().is_ident("doc")) {
            true => None,
            false => Some(quote!(#[allow(missing_docs, reason = "the names are the interface's")])),
        };
        Ok(quote! {
            #(#attributes)*
            #own_docs
            #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
            #visibility struct #name {
                bits: u32,
            }

            #[allow(missing_docs, dead_code, reason = "the names are the interface's")]
            impl #name {
                #(#consts)*

                /// No flag.
                #[must_use]
                pub const fn empty() -> Self {
                    Self { bits: 0 }
                }

                /// Every flag.
                #[must_use]
                pub const fn all() -> Self {
                    Self { bits: #all }
                }

                /// The flags as bits, the first in the lowest.
                #[must_use]
                pub const fn bits(self) -> u32 {
                    self.bits
                }

                /// The flags that these bits stand for; bits without a flag are left out.
                #[must_use]
                pub const fn from_bits_truncate(bits: u32) -> Self {
                    Self { bits: bits & #all }
                }

                /// Whether no flag is set.
                #[must_use]
                pub const fn is_empty(self) -> bool {
                    self.bits == 0
                }

                /// Whether all of these flags are set.
                #[must_use]
                pub const fn contains(self, other: Self) -> bool {
                    self.bits & other.bits == other.bits
                }

                /// Whether any of these flags is set.
                #[must_use]
                pub const fn intersects(self, other: Self) -> bool {
                    self.bits & other.bits != 0
                }

                /// Sets these flags.
                pub const fn insert(&mut self, other: Self) {
                    self.bits |= other.bits;
                }

                /// Unsets these flags.
                pub const fn remove(&mut self, other: Self) {
                    self.bits &= !other.bits;
                }
            }

            #[automatically_derived]
            impl ::core::fmt::Debug for #name {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    let labels: &[&str] = &[#(#labels),*];
                    let set = labels.iter().enumerate().filter(|(i, _)| (self.bits >> i) & 1 == 1);
                    f.debug_set().entries(set.map(|(_, label)| label)).finish()
                }
            }
        })
    }

    fn operators(&self) -> Tokens {
        let name = &self.name;
        let binary = |trait_name: &str, method: &str, bits: Tokens| {
            let [trait_name, method] = [trait_name, method].map(|name| Ident::new(name, self.name.span()));
            quote! {
                #[automatically_derived]
                impl ::core::ops::#trait_name for #name {
                    type Output = Self;

                    fn #method(self, other: Self) -> Self {
                        Self { bits: #bits }
                    }
                }
            }
        };
        let or = binary("BitOr", "bitor", quote!(self.bits | other.bits));
        let and = binary("BitAnd", "bitand", quote!(self.bits & other.bits));
        let sub = binary("Sub", "sub", quote!(self.bits & !other.bits));
        quote! {
            #or
            #and
            #sub

            #[automatically_derived]
            impl ::core::ops::BitOrAssign for #name {
                fn bitor_assign(&mut self, other: Self) {
                    self.bits |= other.bits;
                }
            }
        }
    }

    fn implementations(&self) -> Result<Tokens> {
        let name = &self.name;
        let labels = self.labels()?;
        let check =
            functions(Body::Check(quote!(::tombolo::__derive::check_flags(types, ty, &[#(#labels),*]))));
        let lift = functions(Body::Lift {
            flat: quote!(cx.lift_flags(ty, src).map(|bits| Self { bits })),
            memory: quote!(cx.load_flags(ty, ptr).map(|bits| Self { bits })),
        });
        let lower = functions(Body::Lower {
            flat: quote!({
                let _ = (cx, ty);
                dst.push_u32(self.bits)
            }),
            memory: quote!(cx.store_flags(ty, self.bits, ptr)),
        });
        Ok(quote! {
            #[automatically_derived]
            impl ::tombolo::ComponentType for #name { #check }

            #[automatically_derived]
            impl ::tombolo::Lift for #name { #lift }

            #[automatically_derived]
            impl ::tombolo::Lower for #name { #lower }
        })
    }
}
