//! Stores: what runs, and the host's data beside it.
#![allow(
    unsafe_code,
    reason = "a store's two halves are reached through one pointer; each block says why it may"
)]

mod accessor;
mod cancel;
mod deadline;
mod drive;
mod due;
mod limits;

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use accessor::Accessor;
pub(crate) use accessor::enter;
pub(crate) use cancel::{Cancellations, Pending, Started};
pub(crate) use deadline::Deadlines;
pub(crate) use drive::stuck;
pub use limits::Limits;

use crate::ended::Ended;
use crate::engine::Engine;
use crate::runtime::StoreCore;

/// Instances, their tasks and streams, and the host's data `T` that host functions work on.
///
/// A store runs on one thread at a time and may move between threads while nothing in it runs.
pub struct Store<T: 'static> {
    inner: Box<StoreInner<T>>,
}

/// A store's two halves. The core comes first, so that its address is the store's.
#[repr(C)]
struct StoreInner<T> {
    core: StoreCore,
    data: UnsafeCell<T>,
}

// SAFETY: the core holds pointers into itself and into mappings that it owns, fibers that run only while the store is
// driven, and host tasks that are `Send`. Nothing in it is bound to a thread.
unsafe impl<T: Send> Send for Store<T> {}

/// A store as a host function sees it: the only way to its data while the function runs.
pub struct StoreMut<'a, T: 'static> {
    inner: &'a StoreInner<T>,
    exclusive: PhantomData<&'a mut T>,
}

static NEXT_STORE: AtomicU64 = AtomicU64::new(1);

/// A number that no other store has.
pub(crate) fn next_store_id() -> u64 {
    NEXT_STORE.fetch_add(1, Ordering::Relaxed)
}

impl<T: Send + 'static> Store<T> {
    /// Makes a store, with the limits that the engine has for each.
    pub fn new(engine: &Engine, data: T) -> Self {
        Store::with_limits(engine, data, engine.limits().clone())
    }

    /// Makes a store with limits of its own.
    pub fn with_limits(engine: &Engine, data: T, limits: Limits) -> Self {
        let inner =
            Box::new(StoreInner { core: StoreCore::new(engine, limits), data: UnsafeCell::new(data) });
        inner.core.is_in_place();
        Store { inner }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.core.engine
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        // SAFETY: every `&mut` to the data is borrowed from a `&mut Store`.
        unsafe { &*self.inner.data.get() }
    }

    /// The host's data, to change.
    pub fn data_mut(&mut self) -> &mut T {
        self.inner.data.get_mut()
    }

    /// Ends the store and returns the host's data.
    pub fn into_data(self) -> T {
        // What runs in it points to where it is now.
        self.inner.core.end();
        let inner = *self.inner;
        drop(inner.core);
        inner.data.into_inner()
    }

    /// Sets what is done when a root instance has ended, unless the embedder ended it; it replaces what was set before.
    ///
    /// Called when no guest of the store is running, by whoever drives the store or calls its functions next. It may
    /// instantiate the component again, for one thing.
    pub fn on_ended(&mut self, hook: impl Fn(StoreMut<'_, T>, &Ended) + Send + Sync + 'static) {
        self.core().set_hook(Arc::new(move |core, ended| {
            // SAFETY: the hook is that of this `Store<T>`, and called while no host code runs.
            hook(unsafe { StoreMut::from_core(core) }, ended);
        }));
    }

    pub(crate) fn core(&self) -> &StoreCore {
        &self.inner.core
    }
}

/// Something that gives access to a store: `&mut Store<T>` and [`StoreMut`].
pub trait AsStoreMut {
    /// The host's data.
    type Data: Send + 'static;

    /// Borrows the store.
    fn as_store_mut(&mut self) -> StoreMut<'_, Self::Data>;
}

impl<T: Send + 'static> AsStoreMut for Store<T> {
    type Data = T;

    fn as_store_mut(&mut self) -> StoreMut<'_, T> {
        StoreMut { inner: &self.inner, exclusive: PhantomData }
    }
}

impl<T: Send + 'static> AsStoreMut for StoreMut<'_, T> {
    type Data = T;

    fn as_store_mut(&mut self) -> StoreMut<'_, T> {
        StoreMut { inner: self.inner, exclusive: PhantomData }
    }
}

impl<S: AsStoreMut> AsStoreMut for &mut S {
    type Data = S::Data;

    fn as_store_mut(&mut self) -> StoreMut<'_, S::Data> {
        S::as_store_mut(self)
    }
}

impl<'a, T: 'static> StoreMut<'a, T> {
    /// The store that a core belongs to.
    ///
    /// # Safety
    /// `core` is the core of a `Store<T>`, and nobody else reaches the store's data during `'a`.
    pub(crate) unsafe fn from_core(core: &'a StoreCore) -> Self {
        // SAFETY: the core is the first field of a `StoreInner<T>`, whose whole the caller may use.
        let inner = unsafe { &*std::ptr::from_ref(core).cast::<StoreInner<T>>() };
        StoreMut { inner, exclusive: PhantomData }
    }

    /// Borrows the store for a shorter time.
    pub fn as_mut(&mut self) -> StoreMut<'_, T> {
        StoreMut { inner: self.inner, exclusive: PhantomData }
    }

    /// The host's data.
    pub fn data(&self) -> &T {
        // SAFETY: a `StoreMut` is the only access to the data while it lives.
        unsafe { &*self.inner.data.get() }
    }

    /// The host's data, to change.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: a `StoreMut` is the only access to the data while it lives, and it is borrowed mutably.
        unsafe { &mut *self.inner.data.get() }
    }

    pub(crate) fn core(&self) -> &'a StoreCore {
        &self.inner.core
    }
}

/// Work of the host that knows the store's data type: erases it, and finds it again.
pub(crate) fn host_drop<T: Send + 'static>(
    f: impl Fn(StoreMut<'_, T>, u32) -> crate::Result<()> + Send + Sync + 'static,
) -> crate::runtime::HostDrop {
    Arc::new(move |core, rep| {
        // SAFETY: the linker of a `Store<T>` put this into that store; guests call it while no host code runs.
        let store = unsafe { StoreMut::from_core(core) };
        core.in_host(|| f(store, rep))
    })
}

/// The same for what takes the result of a call, once.
pub(crate) fn host_then<T: Send + 'static, R>(
    f: impl FnOnce(StoreMut<'_, T>, crate::Result<R>) -> crate::Result<()> + Send + 'static,
) -> impl FnOnce(&StoreCore, crate::Result<R>) -> crate::Result<()> + Send + 'static {
    move |core, result| {
        // SAFETY: the call was begun with a `StoreMut<T>` of this store, and resolves while no host code runs.
        let store = unsafe { StoreMut::from_core(core) };
        core.in_host(|| f(store, result))
    }
}
