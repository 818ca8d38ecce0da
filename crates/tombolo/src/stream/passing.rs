//! Streams and futures as parameters, results and parts of values: the readable end changes hands.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use tombolo_types::component::{Def, TypeRef, Types};

use super::{FutureReader, StreamReader};
use crate::abi::{FlatSink, FlatSource, Handle, LiftContext, LowerContext, Mismatch};
use crate::error::Result;
use crate::{ComponentType, Lift, Lower};

macro_rules! pass_readable_end {
    ($reader:ident, $def:ident, $name:literal) => {
        impl<E> $reader<E> {
            pub(crate) fn from_handle(handle: Handle) -> Self {
                $reader { handle, element: PhantomData }
            }

            pub(crate) fn handle(&self) -> Handle {
                self.handle
            }
        }

        impl<E> fmt::Debug for $reader<E> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}<{}>", stringify!($reader), type_name::<E>())
            }
        }

        impl<E: ComponentType> ComponentType for $reader<E> {
            fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
                match types.get(ty) {
                    Some(Def::$def(element)) => {
                        E::check_payload(types, *element).map_err(|mismatch| mismatch.within("element"))
                    }
                    _ => Err(Mismatch::expected($name, types, ty)),
                }
            }
        }

        impl<E: ComponentType> Lift for $reader<E> {
            fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
                let index = src.next_u32()?;
                Ok($reader::from_handle(cx.lift_async_value(ty, index)?))
            }

            fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self> {
                let index = u32::from_le_bytes(cx.load(ptr)?);
                Ok($reader::from_handle(cx.lift_async_value(ty, index)?))
            }
        }

        impl<E: ComponentType> Lower for $reader<E> {
            fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
                let index = cx.lower_async_value(ty, self.handle)?;
                dst.push_u32(index)
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
                let index = cx.lower_async_value(ty, self.handle)?;
                cx.store(ptr, index.to_le_bytes())
            }
        }
    };
}

pass_readable_end!(StreamReader, Stream, "stream");
pass_readable_end!(FutureReader, Future, "future");
