//! Reaching a store from a future that runs inside it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;

use super::StoreMut;
use crate::runtime::StoreCore;

thread_local! {
    /// The store whose host work is being polled on this thread.
    static CURRENT: Cell<*const StoreCore> = const { Cell::new(ptr::null()) };
}

/// Runs `f`, which polls a future, with `core` as the store that [`Accessor`]s find.
#[inline]
pub(crate) fn enter<R>(core: &StoreCore, f: impl FnOnce() -> R) -> R {
    let _restore = Restore(CURRENT.replace(core));
    core.in_host(f)
}

struct Restore(*const StoreCore);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Access to a store from an async host function, between its `await`s.
///
/// It works while the future that was given it is polled by its store, and nowhere else.
pub struct Accessor<T: 'static> {
    store: u64,
    data: PhantomData<fn() -> T>,
}

impl<T: 'static> Clone for Accessor<T> {
    fn clone(&self) -> Self {
        Accessor { store: self.store, data: PhantomData }
    }
}

impl<T: Send + 'static> Accessor<T> {
    /// # Safety
    /// `core` is the core of a `Store<T>`.
    pub(crate) unsafe fn new(core: &StoreCore) -> Self {
        Accessor { store: core.id, data: PhantomData }
    }

    /// Runs `f` with the store.
    ///
    /// # Panics
    /// When the future that holds this accessor is polled by something else than its store, or inside another `with`.
    pub fn with<R>(&self, f: impl FnOnce(StoreMut<'_, T>) -> R) -> R {
        let core = CURRENT.replace(ptr::null());
        let _restore = Restore(core);
        // SAFETY: `CURRENT` is set by `enter` only, for as long as the store is borrowed there.
        let core = unsafe { core.as_ref() };
        let core = core.filter(|core| core.id == self.store);
        #[expect(
            clippy::expect_used,
            reason = "a mistake of the embedder that no guest can cause; see `Panics`"
        )]
        let core = core.expect("an `Accessor` is used inside the future that its store polls");
        // SAFETY: the number is that of a `Store<T>`; `CURRENT` is empty until `f` returns, so nobody else gets in.
        f(unsafe { StoreMut::from_core(core) })
    }
}
