//! Calling a component's functions.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tombolo_tasks::TaskId;
use tombolo_types::component::{MAX_FLAT_PARAMS, MAX_FLAT_RESULTS};

use crate::abi::{FlatSink, LiftContext, LowerContext, check_result, lift_result, lift_values, lower_values};
use crate::error::{Error, Result};
use crate::runtime::{FuncValue, HostCaller, Job, LiftedFunc, Scope, StoreCore};
use crate::slot::Slot;
use crate::store::{Accessor, AsStoreMut, Pending, Started, Store, StoreMut, host_then};
use crate::value::{Type, Val};
use crate::{Lift, LowerParams};

/// A function of a component instance.
#[derive(Clone)]
pub struct Func {
    value: FuncValue,
    name: Arc<str>,
    store: u64,
}

/// A function of a component instance whose type is known: parameters `P`, a tuple, and result `R`.
pub struct TypedFunc<P, R> {
    func: Func,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        TypedFunc { func: self.func.clone(), types: PhantomData }
    }
}

impl fmt::Debug for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Func({})", self.name)
    }
}

impl<P, R> fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.func, f)
    }
}

impl Func {
    pub(crate) fn new(value: FuncValue, name: &str, store: u64) -> Self {
        Func { value, name: name.into(), store }
    }

    /// Whether the function is `async`: whether it may wait before it returns.
    pub fn is_async(&self) -> bool {
        matches!(&self.value, FuncValue::Guest(func) if func.sig.is_async)
    }

    /// Names and types of the parameters.
    pub fn params(&self) -> Vec<(String, Type)> {
        let FuncValue::Guest(func) = &self.value else { return Vec::new() };
        let types = &func.guest.env.types;
        let params = &types.func(func.sig.ty).params;
        params.iter().map(|param| (param.name.clone(), Type::new(types.clone(), param.ty))).collect()
    }

    /// Type of the result.
    pub fn result(&self) -> Option<Type> {
        let FuncValue::Guest(func) = &self.value else { return None };
        Some(Type::new(func.guest.env.types.clone(), func.sig.result?))
    }

    /// The function with Rust types.
    ///
    /// # Errors
    /// [`ErrorKind::TypeMismatch`](crate::ErrorKind::TypeMismatch) if they are not its types.
    pub fn typed<P, R>(&self, mut store: impl AsStoreMut) -> Result<TypedFunc<P, R>>
    where
        P: LowerParams + Send + 'static,
        R: Lift + Send + 'static,
    {
        let func = self.lifted(store.as_store_mut().core())?;
        let types = &func.guest.env.types;
        let ty = types.func(func.sig.ty);
        P::check_params(types, ty)
            .and_then(|()| check_result::<R>(types, ty))
            .map_err(|mismatch| Error::mismatch(format!("function `{}`", self.name), mismatch.to_string()))?;
        Ok(TypedFunc { func: self.clone(), types: PhantomData })
    }

    /// Calls a function that is not `async`, without an event loop.
    ///
    /// # Errors
    /// If the function is `async`, the arguments are not of its types, or the guest traps.
    pub fn call(&self, mut store: impl AsStoreMut, args: &[Val]) -> Result<Option<Val>> {
        self.call_now(store.as_store_mut().core(), DynamicArgs(args.to_vec()))
    }

    /// Calls the function and drives the store until it has returned.
    ///
    /// # Errors
    /// If the arguments are not of its types, or the guest traps or cannot go on.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call: when the store is driven next, the guest is asked to cancel. See
    /// [`Store::set_cancellation_grace`].
    pub async fn call_async<T: Send + 'static>(
        &self,
        store: &mut Store<T>,
        args: &[Val],
    ) -> Result<Option<Val>> {
        self.call_driven(store, DynamicArgs(args.to_vec())).await
    }

    /// Begins a call, and has `then` take its result: while the guest returns it, or when the call is cancelled, or with the
    /// error if the guest ends before; then it is called when the store is driven next.
    ///
    /// The call goes on whenever the store is driven.
    ///
    /// # Errors
    /// If the call cannot begin; then `then` is dropped. An error of `then` ends the guest.
    pub fn call_then<S: AsStoreMut>(
        &self,
        mut store: S,
        args: &[Val],
        then: impl FnOnce(StoreMut<'_, S::Data>, Result<Option<Val>>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.start_then(store.as_store_mut(), DynamicArgs(args.to_vec()), then)
    }

    /// Begins a call inside [`Store::run_concurrent`], and waits for its result while other calls go on.
    ///
    /// # Errors
    /// If the arguments are not of its types, or the guest traps.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call: when the store is driven next, the guest is asked to cancel. See
    /// [`Store::set_cancellation_grace`].
    pub async fn call_concurrent<T: Send + 'static>(
        &self,
        store: &Accessor<T>,
        args: &[Val],
    ) -> Result<Option<Val>> {
        self.call_inside(store, DynamicArgs(args.to_vec())).await
    }

    fn lifted(&self, core: &StoreCore) -> Result<&Arc<LiftedFunc>> {
        if core.id != self.store {
            return Err(Error::usage(format!("function `{}` belongs to another store", self.name)));
        }
        match &self.value {
            FuncValue::Guest(func) => Ok(func),
            FuncValue::Host(_) => {
                Err(Error::usage(format!("`{}` is a function of the host itself", self.name)))
            }
        }
    }

    fn begin<A: Arguments>(
        &self,
        core: &StoreCore,
        call: HostCallOf<A, impl Then<A::Result>>,
    ) -> Result<TaskId> {
        let func = self.lifted(core)?;
        core.begin_call(func.clone(), Box::new(call)).map_err(|error| error.called(&self.name))
    }

    /// Starts a call that an event loop drives, and that is cancelled when what comes with its result is dropped. If guests
    /// run in time slices, the event loop starts it.
    fn start_driven<A: Arguments>(&self, core: &StoreCore, args: A) -> Result<Started<A::Result>> {
        let (slot, pending) = (Arc::new(Slot::default()), Arc::new(Pending::default()));
        let mut call = HostCallOf::new(args, into_slot(&slot), true);
        call.pending = Some(pending.clone());
        if !core.deadlines.sliced() && !core.is_suspended() {
            pending.begun(self.begin(core, call)?);
            return Ok((slot, core.cancel_on_drop(&pending)));
        }
        self.lifted(core)?;
        let cancel = core.cancel_on_drop(&pending);
        let (func, result) = (self.clone(), slot.clone());
        core.jobs.borrow_mut().push_back(Job::beginning(self.is_async(), move |core| {
            if pending.is_dropped() {
                return;
            }
            match func.begin(core, call) {
                Ok(task) => pending.begun(task),
                Err(error) => result.set(Err(error)),
            }
        }));
        Ok((slot, cancel))
    }

    /// Starts a call whose result `then` takes. If guests run in time slices, the event loop starts it.
    fn start_then<T: Send + 'static, A: Arguments>(
        &self,
        store: StoreMut<'_, T>,
        args: A,
        then: impl FnOnce(StoreMut<'_, T>, Result<A::Result>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let core = store.core();
        let call = HostCallOf::new(args, host_then(then), false);
        if !core.deadlines.sliced() && !core.is_suspended() {
            return self.begin(core, call).map(drop);
        }
        let func = self.lifted(core)?.clone();
        core.jobs.borrow_mut().push_back(Job::Call(func, Box::new(call)));
        Ok(())
    }

    fn call_now<A: Arguments>(&self, core: &StoreCore, args: A) -> Result<A::Result> {
        if self.is_async() {
            return Err(Error::usage(format!(
                "function `{}` is async: call it with `call_async`",
                self.name
            )));
        }
        let slot = Arc::new(Slot::default());
        let begun = self.begin(core, HostCallOf::new(args, into_slot(&slot), true));
        core.clear_away();
        begun?;
        let result = slot.take().unwrap_or_else(|| Err(crate::store::stuck()));
        result.map_err(|error| error.called(&self.name))
    }

    async fn call_driven<T: Send + 'static, A: Arguments>(
        &self,
        store: &mut Store<T>,
        args: A,
    ) -> Result<A::Result> {
        let (slot, cancel) = self.start_driven(store.core(), args)?;
        let result =
            StoreCore::drive(store, || slot.take()).await.map_err(|error| error.called(&self.name))?;
        cancel.done();
        result
    }

    async fn call_inside<T: Send + 'static, A: Arguments>(
        &self,
        store: &Accessor<T>,
        args: A,
    ) -> Result<A::Result> {
        let (slot, cancel) = store.with(|store| self.start_driven(store.core(), args))?;
        let result = std::future::poll_fn(|cx| slot.poll(cx.waker())).await;
        cancel.done();
        result
    }
}

impl<P, R> TypedFunc<P, R>
where
    P: LowerParams + Send + 'static,
    R: Lift + Send + 'static,
{
    /// The function without its types.
    pub fn func(&self) -> &Func {
        &self.func
    }

    /// Calls a function that is not `async`, without an event loop.
    ///
    /// # Errors
    /// If the function is `async`, or the guest traps.
    pub fn call(&self, mut store: impl AsStoreMut, params: P) -> Result<R> {
        self.func.call_now(store.as_store_mut().core(), TypedArgs::new(params))
    }

    /// Calls the function and drives the store until it has returned.
    ///
    /// # Errors
    /// If the guest traps or cannot go on.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call: when the store is driven next, the guest is asked to cancel. See
    /// [`Store::set_cancellation_grace`].
    pub async fn call_async<T: Send + 'static>(&self, store: &mut Store<T>, params: P) -> Result<R> {
        self.func.call_driven(store, TypedArgs::new(params)).await
    }

    /// Begins a call, and has `then` take its result: while the guest returns it, or when the call is cancelled, or with the
    /// error if the guest ends before; then it is called when the store is driven next.
    ///
    /// The call goes on whenever the store is driven.
    ///
    /// # Errors
    /// If the call cannot begin; then `then` is dropped. An error of `then` ends the guest.
    pub fn call_then<S: AsStoreMut>(
        &self,
        mut store: S,
        params: P,
        then: impl FnOnce(StoreMut<'_, S::Data>, Result<R>) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.func.start_then(store.as_store_mut(), TypedArgs::new(params), then)
    }

    /// Begins a call inside [`Store::run_concurrent`], and waits for its result while other calls go on.
    ///
    /// # Errors
    /// If the guest traps.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call: when the store is driven next, the guest is asked to cancel. See
    /// [`Store::set_cancellation_grace`].
    pub async fn call_concurrent<T: Send + 'static>(&self, store: &Accessor<T>, params: P) -> Result<R> {
        self.func.call_inside(store, TypedArgs::new(params)).await
    }
}

/// What takes a call's result.
trait Then<R>: FnOnce(&StoreCore, Result<R>) -> Result<()> + Send + 'static {}

impl<R, F: FnOnce(&StoreCore, Result<R>) -> Result<()> + Send + 'static> Then<R> for F {}

fn into_slot<R: Send + 'static>(slot: &Arc<Slot<Result<R>>>) -> impl Then<R> + use<R> {
    let slot = slot.clone();
    move |_: &StoreCore, result| {
        slot.set(result);
        Ok(())
    }
}

/// Arguments of the host and the result it expects for them.
trait Arguments: Send + 'static {
    type Result: Send;
    fn lower(&self, cx: &mut LowerContext<'_>, func: &LiftedFunc, flat: &mut FlatSink) -> Result<()>;
    fn lift(
        cx: &mut LiftContext<'_>,
        func: &LiftedFunc,
        max_flat: usize,
        flat: &[u64],
    ) -> Result<Self::Result>;
}

struct TypedArgs<P, R> {
    params: P,
    result: PhantomData<fn() -> R>,
}

impl<P, R> TypedArgs<P, R> {
    fn new(params: P) -> Self {
        TypedArgs { params, result: PhantomData }
    }
}

impl<P, R> Arguments for TypedArgs<P, R>
where
    P: LowerParams + Send + 'static,
    R: Lift + Send + 'static,
{
    type Result = R;

    fn lower(&self, cx: &mut LowerContext<'_>, func: &LiftedFunc, flat: &mut FlatSink) -> Result<()> {
        self.params.lower_params(cx, func.sig.ty, MAX_FLAT_PARAMS, flat)
    }

    fn lift(cx: &mut LiftContext<'_>, func: &LiftedFunc, max_flat: usize, flat: &[u64]) -> Result<R> {
        lift_result(cx, func.sig.result, max_flat, flat)
    }
}

struct DynamicArgs(Vec<Val>);

impl Arguments for DynamicArgs {
    type Result = Option<Val>;

    fn lower(&self, cx: &mut LowerContext<'_>, func: &LiftedFunc, flat: &mut FlatSink) -> Result<()> {
        *flat = lower_values(cx, func.sig.params(), &self.0, MAX_FLAT_PARAMS, None)?;
        Ok(())
    }

    fn lift(
        cx: &mut LiftContext<'_>,
        func: &LiftedFunc,
        max_flat: usize,
        flat: &[u64],
    ) -> Result<Option<Val>> {
        Ok(lift_values(cx, func.sig.result(), max_flat, flat)?.pop())
    }
}

/// The host as a caller.
struct HostCallOf<A, F> {
    args: A,
    /// Until it was called.
    then: Option<F>,
    /// Whether it may be called wherever an island ends: it is no code of the embedder's.
    at_once: bool,
    /// What hears of the call's beginning, which may be long before it returns for the first time.
    pending: Option<Arc<Pending>>,
}

impl<A, F> HostCallOf<A, F> {
    fn new(args: A, then: F, at_once: bool) -> Self {
        HostCallOf { args, then: Some(then), at_once, pending: None }
    }
}

impl<A: Arguments, F: Then<A::Result>> HostCaller for HostCallOf<A, F> {
    fn start(
        &mut self,
        core: &StoreCore,
        func: &LiftedFunc,
        task: TaskId,
        args: &mut FlatSink,
    ) -> Result<()> {
        if let Some(pending) = self.pending.take() {
            pending.begun(task);
        }
        let mut side = func.guest.lower(core, Some(task));
        self.args.lower(&mut LowerContext::new(&func.guest.env.types, &mut side), func, args)
    }

    fn resolve(&mut self, core: &StoreCore, func: &LiftedFunc, results: Option<&[u64]>) -> Result<()> {
        let result = match results {
            Some(flat) => {
                let max_flat = if func.is_async { MAX_FLAT_PARAMS } else { MAX_FLAT_RESULTS };
                let mut side = func.guest.lift(core, Scope::None);
                A::lift(&mut LiftContext::new(&func.guest.env.types, &mut side), func, max_flat, flat)
                    .map(Ok)?
            }
            None => Err(Error::cancelled()),
        };
        self.then.take().map_or(Ok(()), |then| then(core, result))
    }

    fn fail(&mut self, core: &StoreCore, error: Error) {
        let Some(then) = self.then.take() else { return };
        if self.at_once {
            // There is nothing in a slot that could go wrong.
            let _ = then(core, Err(error));
            return;
        }
        core.tell_later(Job::new(move |core| {
            if let Err(error) = then(core, Err(error)) {
                core.unheard(error);
            }
        }));
    }
}
