//! Parameters and results of functions as Rust types: a tuple of parameters, and one result or `()` for none.

use tombolo_types::component::{FuncType, FuncTypeId, TypeRef, Types};

use super::{ComponentType, Lift, Lower, Mismatch};
use crate::abi::context::{LiftContext, LowerContext};
use crate::abi::flat::{FlatSink, FlatSource};
use crate::abi::lift::spilled_source;
use crate::abi::lower::spilled_target;
use crate::error::Result;

/// A tuple of Rust types that stand for the parameters of a function.
pub trait ComponentParams {
    /// Checks that the function takes these parameters.
    ///
    /// # Errors
    /// What was expected and what was found.
    #[doc(hidden)]
    fn check_params(types: &Types, func: &FuncType) -> Result<(), Mismatch>;
}

/// Parameters that can be lifted out of a guest: those of a host function.
pub trait LiftParams: ComponentParams + Sized {
    /// Lifts all parameters (`lift_flat_values`).
    #[doc(hidden)]
    fn lift_params(cx: &mut LiftContext<'_>, func: FuncTypeId, max_flat: usize, flat: &[u64])
    -> Result<Self>;
}

/// Parameters that can be lowered into a guest: those of a guest function that the host calls.
pub trait LowerParams: ComponentParams {
    /// Lowers all parameters (`lower_flat_values`).
    #[doc(hidden)]
    fn lower_params(
        &self,
        cx: &mut LowerContext<'_>,
        func: FuncTypeId,
        max_flat: usize,
        dst: &mut FlatSink,
    ) -> Result<()>;
}

impl ComponentParams for () {
    fn check_params(_: &Types, func: &FuncType) -> Result<(), Mismatch> {
        check_param_count(func, 0)
    }
}

impl LiftParams for () {
    fn lift_params(_: &mut LiftContext<'_>, _: FuncTypeId, _: usize, _: &[u64]) -> Result<Self> {
        Ok(())
    }
}

impl LowerParams for () {
    fn lower_params(
        &self,
        _: &mut LowerContext<'_>,
        _: FuncTypeId,
        _: usize,
        _: &mut FlatSink,
    ) -> Result<()> {
        Ok(())
    }
}

pub(super) fn check_param_count(func: &FuncType, count: usize) -> Result<(), Mismatch> {
    match func.params.len() {
        found if found == count => Ok(()),
        found => Err(Mismatch::new(format!("expected {count} parameters, found {found}"))),
    }
}

pub(super) fn check_param<T: ComponentType>(
    types: &Types,
    func: &FuncType,
    index: usize,
) -> Result<(), Mismatch> {
    let param =
        func.params.get(index).ok_or_else(|| Mismatch::new(format!("there is no parameter {index}")))?;
    T::check(types, param.ty).map_err(|error| error.within(&format!("parameter `{}`", param.name)))
}

/// Checks that a function returns an `R`: the type of its result, or `()` for none.
pub(crate) fn check_result<R: ComponentType>(types: &Types, func: &FuncType) -> Result<(), Mismatch> {
    R::check_payload(types, func.result).map_err(|error| error.within("result"))
}

/// Lifts a result, if there is one (`lift_flat_values`).
pub(crate) fn lift_result<R: Lift>(
    cx: &mut LiftContext<'_>,
    ty: Option<TypeRef>,
    max_flat: usize,
    flat: &[u64],
) -> Result<R> {
    let Some(ty) = ty else { return R::absent() };
    let mut src = FlatSource::new(flat);
    match spilled_source(cx, cx.abi(ty), max_flat, &mut src)? {
        Some(ptr) => R::load(cx, ty, ptr),
        None => R::lift_flat(cx, ty, &mut src),
    }
}

/// Lowers the result of an import, if there is one (`lower_flat_values`); its flat value, of which there is one at most,
/// or 0.
///
/// `out_param` is the room that the caller provides for a result that does not fit `max_flat` values.
pub(crate) fn lower_result<R: Lower>(
    result: &R,
    cx: &mut LowerContext<'_>,
    ty: Option<TypeRef>,
    max_flat: usize,
    out_param: Option<u64>,
) -> Result<u64> {
    let Some(ty) = ty else { return Ok(0) };
    let mut dst = FlatSink::new();
    let abi = cx.abi(ty);
    match spilled_target(cx, abi, max_flat, out_param, &mut dst)? {
        Some(ptr) => result.store(cx, ty, ptr)?,
        None => result.lower_flat(cx, ty, &mut dst)?,
    }
    Ok(dst.values().first().copied().unwrap_or(0))
}
