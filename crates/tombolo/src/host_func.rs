//! Functions of the host as guests call them.
#![allow(
    unsafe_code,
    reason = "a host function knows the store's data type; the linker keeps it to such stores"
)]

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tombolo_types::component::{FuncTypeId, Types};

use crate::abi::{LiftContext, LowerContext, check_result, lift_values, lower_result, lower_values};
use crate::error::{Error, Result};
use crate::runtime::{HostCall, HostFunction, HostOutcome, HostWork, LoweredFunc, StoreCore};
use crate::store::{Accessor, StoreMut, enter};
use crate::value::{Type, Val};
use crate::{ComponentType, LiftParams, Lower};

/// A typed function that answers at once.
pub(crate) struct SyncHostFunc<T, P, R, F> {
    f: F,
    types: PhantomData<fn(T, P) -> R>,
}

/// A typed function that may wait.
pub(crate) struct AsyncHostFunc<T, P, R, F> {
    f: F,
    types: PhantomData<fn(T, P) -> R>,
}

/// A function of any type.
pub(crate) struct DynamicHostFunc<T, F> {
    f: F,
    types: PhantomData<fn(T)>,
}

impl<T, P, R, F> SyncHostFunc<T, P, R, F> {
    pub fn new(f: F) -> Self {
        SyncHostFunc { f, types: PhantomData }
    }
}

impl<T, P, R, F> AsyncHostFunc<T, P, R, F> {
    pub fn new(f: F) -> Self {
        AsyncHostFunc { f, types: PhantomData }
    }
}

impl<T, F> DynamicHostFunc<T, F> {
    pub fn new(f: F) -> Self {
        DynamicHostFunc { f, types: PhantomData }
    }
}

impl<T, P, R, F> HostFunction for SyncHostFunc<T, P, R, F>
where
    T: Send + 'static,
    P: LiftParams,
    R: Lower,
    F: Fn(StoreMut<'_, T>, P) -> Result<R> + Send + Sync,
{
    fn call(&self, mut call: HostCall<'_>) -> Result<HostOutcome> {
        let params: P = call.params()?;
        // SAFETY: a linker for `T` put this function into the store, and its guest runs no other host code now.
        let store = unsafe { StoreMut::from_core(call.core) };
        let result = call.core.in_host(|| (self.f)(store, params))?;
        Ok(HostOutcome::Done(lower(&result, call.core, call.lowered, call.args)?))
    }

    fn check(&self, types: &Types, ty: FuncTypeId) -> Result<()> {
        check::<P, R>(types, ty)
    }
}

impl<T, P, R, F, Fut> HostFunction for AsyncHostFunc<T, P, R, F>
where
    T: Send + 'static,
    P: LiftParams,
    R: Lower + Send + 'static,
    F: Fn(Accessor<T>, P) -> Fut + Send + Sync,
    Fut: Future<Output = Result<R>> + Send + 'static,
{
    fn call(&self, mut call: HostCall<'_>) -> Result<HostOutcome> {
        let params: P = call.params()?;
        // SAFETY: a linker for `T` put this function into the store.
        let accessor = unsafe { Accessor::new(call.core) };
        let future = call.core.in_host(|| (self.f)(accessor, params));
        Ok(HostOutcome::Future(Box::pin(future)))
    }

    fn check(&self, types: &Types, ty: FuncTypeId) -> Result<()> {
        check::<P, R>(types, ty)
    }
}

impl<T, F> HostFunction for DynamicHostFunc<T, F>
where
    T: Send + 'static,
    F: Fn(StoreMut<'_, T>, &[Val], Option<&Type>) -> Result<Option<Val>> + Send + Sync,
{
    fn call(&self, mut call: HostCall<'_>) -> Result<HostOutcome> {
        let (core, lowered, args) = (call.core, call.lowered, call.args);
        let types: &Arc<Types> = &lowered.guest.env.types;
        let mut side = call.lift();
        let mut cx = LiftContext::new(types, &mut side);
        let params = lift_values(&mut cx, lowered.sig.params(), lowered.max_flat_params(), args)?;
        let ty = lowered.sig.result.map(|ty| Type::new(types.clone(), ty));
        // SAFETY: a linker for `T` put this function into the store, and its guest runs no other host code now.
        let store = unsafe { StoreMut::from_core(core) };
        let result = core.in_host(|| (self.f)(store, &params, ty.as_ref()))?;
        let results: &[Val] = result.as_slice();
        let mut side = lowered.lower(core);
        let mut cx = LowerContext::new(types, &mut side);
        let out = lowered.out_pointer(args);
        let flat = lower_values(&mut cx, lowered.sig.result(), results, lowered.max_flat_results(), out)?;
        Ok(HostOutcome::Done(flat.values().first().copied().unwrap_or(0)))
    }

    fn check(&self, _: &Types, _: FuncTypeId) -> Result<()> {
        Ok(())
    }
}

impl HostCall<'_> {
    fn params<P: LiftParams>(&mut self) -> Result<P> {
        let (lowered, args) = (self.lowered, self.args);
        let mut side = self.lift();
        let mut cx = LiftContext::new(&lowered.guest.env.types, &mut side);
        P::lift_params(&mut cx, lowered.sig.ty, lowered.max_flat_params(), args)
    }
}

#[inline]
fn lower<R: Lower>(result: &R, core: &StoreCore, lowered: &LoweredFunc, args: &[u64]) -> Result<u64> {
    let mut side = lowered.lower(core);
    let mut cx = LowerContext::new(&lowered.guest.env.types, &mut side);
    let out = lowered.out_pointer(args);
    lower_result(result, &mut cx, lowered.sig.result, lowered.max_flat_results(), out)
}

fn check<P: LiftParams, R: ComponentType>(types: &Types, ty: FuncTypeId) -> Result<()> {
    let func = types.func(ty);
    P::check_params(types, func)
        .and_then(|()| check_result::<R>(types, func))
        .map_err(|mismatch| Error::mismatch("the host's function", mismatch.to_string()))
}

impl<F, R> HostWork for F
where
    F: Future<Output = Result<R>> + Send,
    R: Lower + Send,
{
    fn poll(
        self: Pin<&mut Self>,
        core: &StoreCore,
        lowered: &LoweredFunc,
        args: &[u64],
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64>> {
        enter(core, || Future::poll(self, cx)).map(|result| lower(&result?, core, lowered, args))
    }
}
