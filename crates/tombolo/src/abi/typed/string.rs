//! Strings.

use std::sync::Arc;

use tombolo_types::component::{TypeRef, Types};

use super::{ComponentType, Lift, Lower, Mismatch};
use crate::abi::context::{LiftContext, LowerContext};
use crate::abi::flat::{FlatSink, FlatSource};
use crate::abi::string::{load_string, store_string};
use crate::error::Result;

impl ComponentType for str {
    fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
        if ty == TypeRef::String { Ok(()) } else { Err(Mismatch::expected("string", types, ty)) }
    }
}

impl Lower for str {
    fn lower_flat(&self, cx: &mut LowerContext<'_>, _: TypeRef, dst: &mut FlatSink) -> Result<()> {
        let pair = store_string(cx, self)?;
        cx.push_pair(dst, pair)
    }

    fn store(&self, cx: &mut LowerContext<'_>, _: TypeRef, ptr: u64) -> Result<()> {
        let pair = store_string(cx, self)?;
        cx.store_pair(ptr, pair)
    }
}

impl Lift for String {
    fn lift_flat(cx: &mut LiftContext<'_>, _: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
        let (ptr, length) = (src.next_ptr(cx.width())?, src.next_ptr(cx.width())?);
        load_string(cx, ptr, length)
    }

    fn load(cx: &mut LiftContext<'_>, _: TypeRef, ptr: u64) -> Result<Self> {
        let (begin, length) = cx.load_pair(ptr)?;
        load_string(cx, begin, length)
    }
}

macro_rules! lower_as_str {
    ($($ty:ty),*) => {
        $(
            impl ComponentType for $ty {
                fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
                    str::check(types, ty)
                }
            }

            impl Lower for $ty {
                fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
                    str::lower_flat(self, cx, ty, dst)
                }

                fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
                    str::store(self, cx, ty, ptr)
                }
            }
        )*
    };
}

lower_as_str!(String, Box<str>);

macro_rules! lift_as_string {
    ($($ty:ty),*) => {
        $(
            impl Lift for $ty {
                fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
                    String::lift_flat(cx, ty, src).map(Into::into)
                }

                fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self> {
                    String::load(cx, ty, ptr).map(Into::into)
                }
            }
        )*
    };
}

lift_as_string!(Box<str>, Arc<str>);
