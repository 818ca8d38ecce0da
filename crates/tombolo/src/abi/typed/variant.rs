//! `option`, `result` and what stands for an absent payload.

use tombolo_types::component::{Def, TypeRef, Types};

use super::{ComponentType, Lift, Lower, Mismatch};
use crate::abi::context::{LiftContext, LowerContext};
use crate::abi::flat::{FlatSink, FlatSource};
use crate::abi::layout::Case;
use crate::error::{Error, Result};

impl<T: ComponentType> ComponentType for Option<T> {
    fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
        match types.get(ty) {
            Some(Def::Option(some)) => T::check(types, *some).map_err(|error| error.within("option")),
            _ => Err(Mismatch::expected("option", types, ty)),
        }
    }
}

impl<T: Lift> Lift for Option<T> {
    fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
        let case = cx.lift_case(ty, src)?;
        let value = case.payload_type().map(|ty| T::lift_flat(cx, ty, src)).transpose()?;
        cx.finish_case(case, src);
        Ok(value)
    }

    fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self> {
        let case = cx.load_case(ty, ptr)?;
        case.payload_type().map(|ty| T::load(cx, ty, case.ptr())).transpose()
    }
}

impl<T: Lower> Lower for Option<T> {
    fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
        let case = cx.lower_case(ty, self.is_some().into(), dst)?;
        if let Some(value) = self {
            value.lower_flat(cx, case.payload()?, dst)?;
        }
        cx.finish_case(case, dst)
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
        let case = cx.store_case(ty, self.is_some().into(), ptr)?;
        match self {
            Some(value) => value.store(cx, case.payload()?, case.ptr()),
            None => Ok(()),
        }
    }
}

impl<T: ComponentType, E: ComponentType> ComponentType for Result<T, E> {
    fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
        match types.get(ty) {
            Some(Def::Result { ok, err }) => {
                T::check_payload(types, *ok).map_err(|error| error.within("ok"))?;
                E::check_payload(types, *err).map_err(|error| error.within("err"))
            }
            _ => Err(Mismatch::expected("result", types, ty)),
        }
    }
}

fn lift_payload<T: Lift>(cx: &mut LiftContext<'_>, case: Case, src: &mut FlatSource<'_>) -> Result<T> {
    let value = case.payload_type().map_or_else(T::absent, |ty| T::lift_flat(cx, ty, src))?;
    cx.finish_case(case, src);
    Ok(value)
}

fn load_payload<T: Lift>(cx: &mut LiftContext<'_>, case: Case) -> Result<T> {
    case.payload_type().map_or_else(T::absent, |ty| T::load(cx, ty, case.ptr()))
}

impl<T: Lift, E: Lift> Lift for Result<T, E> {
    fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
        let case = cx.lift_case(ty, src)?;
        match case.index() {
            0 => lift_payload(cx, case, src).map(Ok),
            _ => lift_payload(cx, case, src).map(Err),
        }
    }

    fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self> {
        let case = cx.load_case(ty, ptr)?;
        match case.index() {
            0 => load_payload(cx, case).map(Ok),
            _ => load_payload(cx, case).map(Err),
        }
    }
}

fn lower_payload<T: Lower>(
    value: &T,
    cx: &mut LowerContext<'_>,
    case: Case,
    dst: &mut FlatSink,
) -> Result<()> {
    if let Some(ty) = case.payload_type() {
        value.lower_flat(cx, ty, dst)?;
    }
    cx.finish_case(case, dst)
}

fn store_payload<T: Lower>(value: &T, cx: &mut LowerContext<'_>, case: Case) -> Result<()> {
    case.payload_type().map_or(Ok(()), |ty| value.store(cx, ty, case.ptr()))
}

impl<T: Lower, E: Lower> Lower for Result<T, E> {
    fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
        let case = cx.lower_case(ty, self.is_err().into(), dst)?;
        match self {
            Ok(value) => lower_payload(value, cx, case, dst),
            Err(value) => lower_payload(value, cx, case, dst),
        }
    }

    fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
        let case = cx.store_case(ty, self.is_err().into(), ptr)?;
        match self {
            Ok(value) => store_payload(value, cx, case),
            Err(value) => store_payload(value, cx, case),
        }
    }
}

/// Nothing: an absent payload of a `result`, or a function without a result.
impl ComponentType for () {
    fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
        Err(Mismatch::expected("nothing", types, ty))
    }

    fn check_payload(types: &Types, ty: Option<TypeRef>) -> Result<(), Mismatch> {
        ty.map_or(Ok(()), |ty| Self::check(types, ty))
    }
}

fn nothing() -> Error {
    Error::mismatch("value", "`()` stands for no value")
}

impl Lift for () {
    fn lift_flat(_: &mut LiftContext<'_>, _: TypeRef, _: &mut FlatSource<'_>) -> Result<Self> {
        Err(nothing())
    }

    fn load(_: &mut LiftContext<'_>, _: TypeRef, _: u64) -> Result<Self> {
        Err(nothing())
    }

    fn absent() -> Result<Self> {
        Ok(())
    }
}

impl Lower for () {
    fn lower_flat(&self, _: &mut LowerContext<'_>, _: TypeRef, _: &mut FlatSink) -> Result<()> {
        Err(nothing())
    }

    fn store(&self, _: &mut LowerContext<'_>, _: TypeRef, _: u64) -> Result<()> {
        Err(nothing())
    }
}
