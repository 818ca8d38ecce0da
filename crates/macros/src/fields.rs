//! Structs as records.

use quote::quote;
use syn::{DataStruct, Error, Fields, Result};

use crate::implement::{Body, Trait};
use crate::{attributes, names};

pub(crate) fn write(data: &DataStruct, which: Trait) -> Result<Body> {
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(
            &data.fields,
            "a record has named fields; for a tuple of WIT use a Rust tuple",
        ));
    };
    if fields.named.is_empty() {
        return Err(Error::new_spanned(fields, "a record of WIT has at least one field"));
    }
    let mut labels = Vec::new();
    let (mut idents, mut tys) = (Vec::new(), Vec::new());
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        labels.push(match attributes::name(&field.attrs)? {
            Some(name) => name,
            None => names::of_snake(ident)?,
        });
        idents.push(ident);
        tys.push(&field.ty);
    }
    let index = 0..idents.len();
    let index: Vec<_> = index.map(proc_macro2::Literal::usize_unsuffixed).collect();
    Ok(match which {
        Trait::ComponentType => Body::Check(quote! {
            ::tombolo::__derive::check_record(types, ty, &[
                #((#labels, <#tys as ::tombolo::ComponentType>::check as ::tombolo::__derive::Check)),*
            ])
        }),
        Trait::Lift => Body::Lift {
            flat: quote! {
                let fields = cx.fields(ty)?;
                ::core::result::Result::Ok(Self {
                    #(#idents: <#tys as ::tombolo::Lift>::lift_flat(cx, fields.ty(#index)?, src)?,)*
                })
            },
            memory: quote! {
                let fields = cx.fields(ty)?;
                ::core::result::Result::Ok(Self {
                    #(#idents: {
                        let (ty, ptr) = fields.at(#index, ptr)?;
                        <#tys as ::tombolo::Lift>::load(cx, ty, ptr)?
                    },)*
                })
            },
        },
        Trait::Lower => Body::Lower {
            flat: quote! {
                let fields = cx.fields(ty)?;
                #(::tombolo::Lower::lower_flat(&self.#idents, cx, fields.ty(#index)?, dst)?;)*
                ::core::result::Result::Ok(())
            },
            memory: quote! {
                let fields = cx.fields(ty)?;
                #({
                    let (ty, ptr) = fields.at(#index, ptr)?;
                    ::tombolo::Lower::store(&self.#idents, cx, ty, ptr)?;
                })*
                ::core::result::Result::Ok(())
            },
        },
    })
}
