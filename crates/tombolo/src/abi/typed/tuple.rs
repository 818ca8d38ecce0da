//! Tuples: as WIT tuples and as lists of parameters.

use tombolo_types::component::{Abi, Def, Field, FuncType, FuncTypeId, PtrWidth, TypeRef, Types};

use super::params::{ComponentParams, LiftParams, LowerParams, check_param, check_param_count};
use super::{ComponentType, Lift, Lower, Mismatch};
use crate::abi::context::{LiftContext, LowerContext};
use crate::abi::flat::{FlatSink, FlatSource};
use crate::abi::layout::field_at;
use crate::abi::lift::spilled_source;
use crate::abi::lower::spilled_target;
use crate::error::{Error, Result};

fn check_field<T: ComponentType>(types: &Types, list: &[TypeRef], index: usize) -> Result<(), Mismatch> {
    let error = match list.get(index) {
        Some(ty) => T::check(types, *ty).err(),
        None => Some(Mismatch::new("there is none")),
    };
    error.map_or(Ok(()), |error| Err(error.within(&format!("tuple field {index}"))))
}

/// The parameters of a function that has `N`, and their layout.
#[inline]
fn params<const N: usize>(types: &Types, func: FuncTypeId, width: PtrWidth) -> Result<(&[Field; N], &Abi)> {
    match <&[Field; N]>::try_from(&*types.func(func).params) {
        Ok(params) => Ok((params, types.params_abi(func, width))),
        Err(_) => Err(Error::mismatch("parameters", format!("the function has not {N}"))),
    }
}

macro_rules! tuple {
    ($count:literal: $($T:ident $i:tt),+) => {
        impl<$($T: ComponentType),+> ComponentType for ($($T,)+) {
            fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
                match types.get(ty) {
                    Some(Def::Tuple(list)) if list.len() == $count => {
                        $(check_field::<$T>(types, list, $i)?;)+
                        Ok(())
                    }
                    _ => Err(Mismatch::expected(concat!("tuple of ", $count), types, ty)),
                }
            }
        }

        impl<$($T: Lift),+> Lift for ($($T,)+) {
            fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
                let fields = cx.fields(ty)?;
                Ok(($($T::lift_flat(cx, fields.ty($i)?, src)?,)+))
            }

            fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self> {
                let fields = cx.fields(ty)?;
                Ok(($({
                    let (ty, ptr) = fields.at($i, ptr)?;
                    $T::load(cx, ty, ptr)?
                },)+))
            }
        }

        impl<$($T: Lower),+> Lower for ($($T,)+) {
            fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
                let fields = cx.fields(ty)?;
                $(self.$i.lower_flat(cx, fields.ty($i)?, dst)?;)+
                Ok(())
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
                let fields = cx.fields(ty)?;
                $({
                    let (ty, ptr) = fields.at($i, ptr)?;
                    self.$i.store(cx, ty, ptr)?;
                })+
                Ok(())
            }
        }

        impl<$($T: ComponentType),+> ComponentParams for ($($T,)+) {
            fn check_params(types: &Types, func: &FuncType) -> Result<(), Mismatch> {
                check_param_count(func, $count)?;
                $(check_param::<$T>(types, func, $i)?;)+
                Ok(())
            }
        }

        impl<$($T: Lift),+> LiftParams for ($($T,)+) {
            fn lift_params(
                cx: &mut LiftContext<'_>,
                func: FuncTypeId,
                max_flat: usize,
                flat: &[u64],
            ) -> Result<Self> {
                let (params, abi) = params::<$count>(cx.types(), func, cx.width())?;
                let mut src = FlatSource::new(flat);
                match spilled_source(cx, abi, max_flat, &mut src)? {
                    Some(base) => Ok(($($T::load(cx, params[$i].ty, field_at(&abi.offsets, $i, base))?,)+)),
                    None => Ok(($($T::lift_flat(cx, params[$i].ty, &mut src)?,)+)),
                }
            }
        }

        impl<$($T: Lower),+> LowerParams for ($($T,)+) {
            fn lower_params(
                &self,
                cx: &mut LowerContext<'_>,
                func: FuncTypeId,
                max_flat: usize,
                dst: &mut FlatSink,
            ) -> Result<()> {
                let (params, abi) = params::<$count>(cx.types(), func, cx.width())?;
                match spilled_target(cx, abi, max_flat, None, dst)? {
                    Some(base) => {
                        $(self.$i.store(cx, params[$i].ty, field_at(&abi.offsets, $i, base))?;)+
                    }
                    None => {
                        $(self.$i.lower_flat(cx, params[$i].ty, dst)?;)+
                    }
                }
                Ok(())
            }
        }
    };
}

tuple!(1: A 0);
tuple!(2: A 0, B 1);
tuple!(3: A 0, B 1, C 2);
tuple!(4: A 0, B 1, C 2, D 3);
tuple!(5: A 0, B 1, C 2, D 3, E 4);
tuple!(6: A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuple!(9: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuple!(10: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuple!(11: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuple!(12: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
tuple!(13: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12);
tuple!(14: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13);
tuple!(15: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14);
tuple!(16: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11, M 12, N 13, O 14, P 15);
