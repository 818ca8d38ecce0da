//! Functions of the host as guests call them.
#![allow(
    unsafe_code,
    reason = "a host function knows the store's data type; the linker keeps it to such stores"
)]

use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{Context, Poll};

use tombolo_types::component::{FuncTypeId, Types};

use crate::abi::{LiftContext, LowerContext, check_result, lift_values, lower_result, lower_values};
use crate::error::{Error, Result};
use crate::runtime::{First, HostCall, HostFunction, HostOutcome, HostWork, LoweredFunc, StoreCore};
use crate::store::{Accessor, StoreMut, enter};
use crate::value::{Type, Val};
use crate::{ComponentType, LiftParams, Lower};

/// A typed function that answers at once.
pub(crate) struct SyncHostFunc<T, P, R, F> {
    f: F,
    types: PhantomData<fn(T, P) -> R>,
}

/// A typed function that may wait.
pub(crate) struct AsyncHostFunc<T, P, R, F, Fut> {
    f: F,
    spare: Spare<Fut>,
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

impl<T, P, R, F, Fut> AsyncHostFunc<T, P, R, F, Fut> {
    pub fn new(f: F) -> Self {
        AsyncHostFunc { f, spare: Spare(AtomicPtr::default()), types: PhantomData }
    }
}

/// The place of a future that was ready at once, for the next. Threads that call at the same time do not wait for each
/// other.
///
/// It is null, or a box that is nobody else's and has nothing in it.
struct Spare<Fut>(AtomicPtr<Option<Fut>>);

impl<Fut> Spare<Fut> {
    fn take(&self) -> Pin<Box<Option<Fut>>> {
        let spare = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        if spare.is_null() {
            return Box::pin(None);
        }
        // SAFETY: it was a box, and is nobody's any more.
        unsafe { Box::from_raw(spare) }.into()
    }

    fn keep(&self, mut place: Pin<Box<Option<Fut>>>) {
        place.set(None);
        // SAFETY: there is nothing in it that is pinned.
        let place = unsafe { Pin::into_inner_unchecked(place) };
        let other = self.0.swap(Box::into_raw(place), Ordering::AcqRel);
        if !other.is_null() {
            // SAFETY: as in `take`.
            drop(unsafe { Box::from_raw(other) });
        }
    }
}

impl<Fut> Drop for Spare<Fut> {
    fn drop(&mut self) {
        drop(self.take());
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
        let out = call.lowered.out_pointer(call.args);
        Ok(HostOutcome::Done(lower(&result, call.core, call.lowered, out)?))
    }

    fn check(&self, types: &Types, ty: FuncTypeId) -> Result<()> {
        check::<P, R>(types, ty)
    }
}

impl<T, P, R, F, Fut> HostFunction for AsyncHostFunc<T, P, R, F, Fut>
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
        let HostCall { core, lowered, args, lifted, .. } = call;
        let out = lowered.out_pointer(args);
        let mut future = self.spare.take();
        future.set(Some(core.in_host(|| (self.f)(accessor, params))));
        // If it is ready at once, nothing needs to be made for it.
        match core.host_tasks.poll_first(|cx| future.as_mut().poll(core, lowered, out, cx))? {
            First::Ready(result) => {
                self.spare.keep(future);
                Ok(HostOutcome::Done(result?))
            }
            First::Pending(place) => {
                let bytes = lifted.saturating_add(size_of_val(&*future));
                Ok(HostOutcome::Pending(future, place, bytes))
            }
        }
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
        let params = P::lift_params(&mut cx, lowered.sig.ty, lowered.max_flat_params(), args)?;
        let lifted = side.lifted;
        self.lifted = lifted;
        Ok(params)
    }
}

#[inline]
fn lower<R: Lower>(result: &R, core: &StoreCore, lowered: &LoweredFunc, out: Option<u64>) -> Result<u64> {
    let mut side = lowered.lower(core);
    let mut cx = LowerContext::new(&lowered.guest.env.types, &mut side);
    lower_result(result, &mut cx, lowered.sig.result, lowered.max_flat_results(), out)
}

fn check<P: LiftParams, R: ComponentType>(types: &Types, ty: FuncTypeId) -> Result<()> {
    let func = types.func(ty);
    P::check_params(types, func)
        .and_then(|()| check_result::<R>(types, func))
        .map_err(|mismatch| Error::mismatch("the host's function", mismatch.to_string()))
}

impl<F, R> HostWork for Option<F>
where
    F: Future<Output = Result<R>> + Send,
    R: Lower + Send,
{
    fn poll(
        self: Pin<&mut Self>,
        core: &StoreCore,
        lowered: &LoweredFunc,
        out: Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64>> {
        // Nobody polls it again once it was ready.
        let Some(future) = self.as_pin_mut() else { return Poll::Pending };
        enter(core, || future.poll(cx)).map(|result| lower(&result?, core, lowered, out))
    }
}
