//! Lists.

use tombolo_types::component::{Def, TypeRef, Types};

use super::{ComponentType, Lift, Lower, Mismatch};
use crate::abi::context::{LiftContext, LowerContext};
use crate::abi::flat::{FlatSink, FlatSource};
use crate::abi::layout::element;
use crate::error::{Error, Result};

impl<T: ComponentType> ComponentType for [T] {
    fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
        match types.get(ty) {
            Some(Def::List { element, length: None }) => {
                T::check(types, *element).map_err(|error| error.within("list"))
            }
            _ => Err(Mismatch::expected("list", types, ty)),
        }
    }
}

impl<T: Lower> Lower for [T] {
    fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
        let pair = store_list(self, cx, ty)?;
        cx.push_pair(dst, pair)
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
        let pair = store_list(self, cx, ty)?;
        cx.store_pair(ptr, pair)
    }
}

fn store_list<T: Lower>(list: &[T], cx: &mut LowerContext<'_>, ty: TypeRef) -> Result<(u64, u64)> {
    let (element, _) = element(cx.types(), ty)?;
    let ptr = cx.allocate_list(element, list.len())?;
    T::store_list(list, cx, element, ptr)?;
    Ok((ptr, list.len() as u64))
}

fn load_list<T: Lift>(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64, length: u64) -> Result<Vec<T>> {
    let (element, _) = element(cx.types(), ty)?;
    let count = cx.check_list(element, ptr, length)?;
    T::load_list(cx, element, ptr, count)
}

impl<T: Lift> Lift for Vec<T> {
    fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
        let (ptr, length) = (src.next_ptr(cx.width())?, src.next_ptr(cx.width())?);
        load_list(cx, ty, ptr, length)
    }

    fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self> {
        let (begin, length) = cx.load_pair(ptr)?;
        load_list(cx, ty, begin, length)
    }
}

impl<T: Lift> Lift for Box<[T]> {
    fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
        Vec::lift_flat(cx, ty, src).map(Into::into)
    }

    fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self> {
        Vec::load(cx, ty, ptr).map(Into::into)
    }
}

macro_rules! lower_as_slice {
    ($($ty:ty),*) => {
        $(
            impl<T: ComponentType> ComponentType for $ty {
                fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
                    <[T]>::check(types, ty)
                }
            }

            impl<T: Lower> Lower for $ty {
                fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
                    <[T]>::lower_flat(self, cx, ty, dst)
                }

                fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
                    <[T]>::store(self, cx, ty, ptr)
                }
            }
        )*
    };
}

lower_as_slice!(Vec<T>, Box<[T]>);

/// A list of a fixed length.
impl<T: ComponentType, const N: usize> ComponentType for [T; N] {
    fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
        match types.get(ty) {
            Some(Def::List { element, length: Some(length) }) if *length as usize == N => {
                T::check(types, *element).map_err(|error| error.within("list"))
            }
            _ => Err(Mismatch::expected(&format!("list of length {N}"), types, ty)),
        }
    }
}

impl<T: Lift, const N: usize> Lift for [T; N] {
    fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
        let (element, _) = element(cx.types(), ty)?;
        let list = (0..N).map(|_| T::lift_flat(cx, element, src)).collect::<Result<Vec<_>>>()?;
        list.try_into().map_err(|_| Error::usage("a list of another length"))
    }

    fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self> {
        let (element, _) = element(cx.types(), ty)?;
        T::load_list(cx, element, ptr, N)?.try_into().map_err(|_| Error::usage("a list of another length"))
    }
}

impl<T: Lower, const N: usize> Lower for [T; N] {
    fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
        let (element, _) = element(cx.types(), ty)?;
        self.iter().try_for_each(|value| value.lower_flat(cx, element, dst))
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
        let (element, _) = element(cx.types(), ty)?;
        T::store_list(self, cx, element, ptr)
    }
}
