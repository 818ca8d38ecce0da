//! Resources, and streams, futures and error contexts of any type.

use tombolo_types::component::{Def, TypeRef, Types};

use super::{ComponentType, Lift, Lower, Mismatch};
use crate::abi::context::{LiftContext, LowerContext};
use crate::abi::flat::{FlatSink, FlatSource};
use crate::async_value::{ErrorContextAny, FutureAny, StreamAny};
use crate::error::Result;
use crate::resource::{Resource, ResourceAny};

/// Types that are an index into a guest's handle table.
macro_rules! handle {
    (
        [$($generics:tt)*] $ty:ty, $expected:literal, $pattern:pat,
        |$lift_cx:ident, $lift_ty:ident, $index:ident| $lift:expr,
        |$value:ident, $lower_cx:ident, $lower_ty:ident| $lower:expr
    ) => {
        impl<$($generics)*> ComponentType for $ty {
            fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
                match (ty, types.get(ty)) {
                    $pattern => Ok(()),
                    _ => Err(Mismatch::expected($expected, types, ty)),
                }
            }
        }

        impl<$($generics)*> Lift for $ty {
            fn lift_flat($lift_cx: &mut LiftContext<'_>, $lift_ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
                let $index = src.next_u32()?;
                $lift
            }

            fn load($lift_cx: &mut LiftContext<'_>, $lift_ty: TypeRef, ptr: u64) -> Result<Self> {
                let $index = u32::from_le_bytes($lift_cx.load(ptr)?);
                $lift
            }
        }

        impl<$($generics)*> Lower for $ty {
            fn lower_flat(
                &self,
                $lower_cx: &mut LowerContext<'_>,
                $lower_ty: TypeRef,
                dst: &mut FlatSink,
            ) -> Result<()> {
                let $value = self;
                dst.push_u32($lower?)
            }

            fn store(&self, $lower_cx: &mut LowerContext<'_>, $lower_ty: TypeRef, ptr: u64) -> Result<()> {
                let $value = self;
                let index: u32 = $lower?;
                $lower_cx.store(ptr, index.to_le_bytes())
            }
        }
    };
}

handle!(
    [] ResourceAny, "resource", (_, Some(Def::Own(_) | Def::Borrow(_))),
    |cx, ty, index| cx.lift_resource(ty, index),
    |value, cx, ty| cx.lower_resource(ty, value)
);

handle!(
    [R: 'static] Resource<R>, "resource", (_, Some(Def::Own(_) | Def::Borrow(_))),
    |cx, ty, index| cx.lift_resource(ty, index)?.downcast(),
    |value, cx, ty| cx.lower_resource(ty, &value.to_any())
);

handle!(
    [] StreamAny, "stream", (_, Some(Def::Stream(_))),
    |cx, ty, index| cx.lift_async_value(ty, index).map(StreamAny),
    |value, cx, ty| cx.lower_async_value(ty, value.0)
);

handle!(
    [] FutureAny, "future", (_, Some(Def::Future(_))),
    |cx, ty, index| cx.lift_async_value(ty, index).map(FutureAny),
    |value, cx, ty| cx.lower_async_value(ty, value.0)
);

handle!(
    [] ErrorContextAny, "error-context", (TypeRef::ErrorContext, _),
    |cx, _ty, index| cx.lift_error_context(index),
    |value, cx, _ty| cx.lower_error_context(value)
);
