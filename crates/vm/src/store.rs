//! The store: everything that instances which may reach each other share.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tombolo_compile::vmctx::{HOST_STACK, TrapCode};

use crate::context::{HostContext, StoreContext};
use crate::exception::heap::Exceptions;
use crate::fiber::Fibers;
use crate::group::Group;
use crate::handle::StoreId;
use crate::limits::Budget;
use crate::{Limits, TrampolineCache, Trap, arch, entry, signals};

/// How a store is made.
pub struct StoreConfig {
    /// Bytes of stack that compiled code may use where the host calls it on a thread's own stack. Less if that stack is
    /// shorter, which is known of the stacks of threads and of fibers of any store; a stack that the embedder made in
    /// another way must have as much, and `host_stack` below it.
    pub max_wasm_stack: usize,
    /// Bytes of stack that host functions find below what compiled code may use. At least [`HOST_STACK`].
    pub host_stack: usize,
    /// Bytes of stack of a fiber, `host_stack` included.
    pub fiber_stack: usize,
    /// Bytes of stack that a fiber may have used and still be [shallow](Store::is_shallow).
    pub shallow_stack: usize,
    /// How many stacks of ended fibers are kept for new ones.
    pub idle_fibers: usize,
    /// How much there may be in the store.
    pub limits: Limits,
    /// Bytes that exceptions may take which the store's guests refer to, in tables and otherwise; as much again may be
    /// taken by those that they no longer refer to.
    pub max_exception_bytes: usize,
    /// Asked when compiled code finds that its fuel is used up or an interrupt was asked for: may refuel, suspend the
    /// fiber, or end the guest with an error. If there is none, the guest traps.
    pub interrupted: Option<InterruptFn>,
    /// Called before a trap cuts off the compiled frames of the innermost entry, while they are still there.
    pub cutting: Option<CutFn>,
}

/// See [`StoreConfig::cutting`]. Gets an address that is above all of those frames, and below the frame that entered them.
/// It must not unwind, nor run anything of the store.
pub type CutFn = fn(&Store, usize);

/// See [`StoreConfig::interrupted`].
pub type InterruptFn = Box<dyn Fn(&Store, TrapCode) -> Result<(), Trap> + Send>;

/// Stack for compiled code that a fiber has at least.
const LEAST_WASM_STACK: usize = 16 << 10;

/// Stack for compiled code, unless configured.
const WASM_STACK: usize = 512 << 10;

impl Default for StoreConfig {
    fn default() -> Self {
        StoreConfig {
            max_wasm_stack: WASM_STACK,
            // Host functions in a debug build take more than ordinary ones do.
            host_stack: 4 * HOST_STACK,
            fiber_stack: WASM_STACK + 4 * HOST_STACK,
            shallow_stack: 16 << 10,
            idle_fibers: 64,
            limits: Limits::default(),
            max_exception_bytes: 4 << 20,
            interrupted: None,
            cutting: None,
        }
    }
}

/// Instances, and what they are made of.
///
/// All methods take `&self`: host functions get a `&Store` while a method of the same store is still running further
/// out. A store belongs to one thread at a time; it can be sent to another while nothing of it runs, suspended fibers
/// aside.
pub struct Store {
    inner: NonNull<StoreInner>,
}

// SAFETY: what a store owns is its alone or can be sent (closures), and raw pointers among it point into it.
// Whoever owns the store runs nothing of it: everything that runs borrows it.
unsafe impl Send for Store {}

/// A reference to a store that is running, for host functions.
pub struct StoreRef<'a> {
    store: ManuallyDrop<Store>,
    lifetime: PhantomData<&'a Store>,
}

/// What a [`Store`] owns.
#[repr(C)]
pub(crate) struct StoreInner {
    /// First, so that its address is this one's.
    context: UnsafeCell<StoreContext>,
    /// The trap that is on its way to the innermost entry.
    pub(crate) pending: Cell<Option<Trap>>,
    pub(crate) max_wasm_stack: usize,
    pub(crate) host_stack: usize,
    pub(crate) fibers: Fibers,
    pub(crate) exceptions: Exceptions,
    id: StoreId,
    trampolines: Arc<TrampolineCache>,
    pub(crate) budget: Budget,
    interruptible: bool,
    interrupted: Option<InterruptFn>,
    pub(crate) cutting: Option<CutFn>,
    interrupt: InterruptHandle,
    pub(crate) groups: RefCell<Vec<NonNull<Group>>>,
    /// The group that lives as long as the store: the first.
    pub(crate) own: NonNull<Group>,
}

impl Store {
    /// Makes an empty store.
    pub fn new(trampolines: Arc<TrampolineCache>, config: StoreConfig) -> Store {
        signals::install();
        let context = StoreContext {
            stack_limit: entry::IDLE,
            entry: ptr::null_mut(),
            exit_fp: 0,
            exit_pc: 0,
            raise: arch::raise_shim,
            interrupt: AtomicU64::new(0),
            activation: ptr::null_mut(),
            fuel: 0,
            host_data: ptr::null_mut(),
        };
        let host_stack = config.host_stack.max(HOST_STACK);
        let fiber_stack = config.fiber_stack.max(host_stack + LEAST_WASM_STACK);
        let own = Group::new(Limits::default());
        let inner = Box::new(StoreInner {
            context: UnsafeCell::new(context),
            pending: Cell::new(None),
            max_wasm_stack: config.max_wasm_stack,
            host_stack,
            fibers: Fibers::new(fiber_stack, config.shallow_stack, config.idle_fibers),
            exceptions: Exceptions::new(config.max_exception_bytes),
            id: StoreId::next(),
            budget: Budget::new(config.limits),
            interruptible: trampolines.compiler().config().interruptible,
            interrupted: config.interrupted,
            cutting: config.cutting,
            trampolines,
            interrupt: InterruptHandle::default(),
            groups: RefCell::new(vec![own]),
            own,
        });
        let inner = NonNull::from(Box::leak(inner));
        let store = Store { inner };
        store.inner().interrupt.connect(store.context().as_ptr());
        store
    }

    /// What compiled code knows the store by. Valid while the store lives.
    pub fn context(&self) -> NonNull<StoreContext> {
        self.inner.cast()
    }

    /// The store of a host function that is running.
    ///
    /// # Safety
    /// `context` is that of a live store which this thread runs, and which outlives `'a`.
    pub unsafe fn from_context<'a>(context: *mut StoreContext) -> StoreRef<'a> {
        // SAFETY: the caller's promise.
        unsafe { StoreRef::new(context) }
    }

    /// The engine's compiler, types and trampolines.
    pub fn trampolines(&self) -> &Arc<TrampolineCache> {
        &self.inner().trampolines
    }

    /// Fuel that is left to groups without their own, if compiled code counts it.
    pub fn fuel(&self) -> i64 {
        // SAFETY: the context lives, and compiled code does not run now.
        unsafe { self.fuel_counter().read() }.saturating_neg()
    }

    /// Sets how much fuel is left to groups without their own: see [`GroupRef::set_fuel`](crate::GroupRef::set_fuel).
    pub fn set_fuel(&self, fuel: i64) {
        // SAFETY: the context lives, and compiled code does not run now.
        unsafe { self.fuel_counter().write(fuel.saturating_neg()) };
    }

    /// The fuel counter of groups without their own.
    pub(crate) fn fuel_counter(&self) -> *mut i64 {
        // SAFETY: the context lives.
        unsafe { ptr::addr_of_mut!((*self.context().as_ptr()).fuel) }
    }

    /// A way for other threads to interrupt the guests of this store.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.inner().interrupt.clone()
    }

    /// The word that [`StoreContext::host_data`] holds.
    pub fn host_data(&self) -> *mut std::ffi::c_void {
        // SAFETY: the context lives, and compiled code does not write this field.
        unsafe { (*self.context().as_ptr()).host_data }
    }

    /// Sets the word.
    pub fn set_host_data(&self, data: *mut std::ffi::c_void) {
        // SAFETY: the context lives, and compiled code does not use this field.
        unsafe { (*self.context().as_ptr()).host_data = data };
    }

    /// The word that [`StoreContext::activation`] holds.
    #[inline]
    pub fn activation(&self) -> *mut std::ffi::c_void {
        // SAFETY: the context lives, and compiled code does not run now.
        unsafe { (*self.context().as_ptr()).activation }
    }

    /// Sets the word.
    #[inline]
    pub fn set_activation(&self, activation: *mut std::ffi::c_void) {
        // SAFETY: as above.
        unsafe { (*self.context().as_ptr()).activation = activation };
    }

    /// Sets the trap that a [`HostFn`](crate::HostFn) which returns non-zero raises.
    pub fn set_pending(&self, trap: Trap) {
        self.inner().pending.set(Some(trap));
    }

    /// Takes back the trap that was set last and not raised.
    pub fn take_pending(&self) -> Option<Trap> {
        self.inner().pending.take()
    }

    pub(crate) fn inner(&self) -> &StoreInner {
        // SAFETY: a `Store` is only dropped, and a `StoreRef` only used, while its contents are alive. They are never
        // borrowed mutably, and what changes is in cells.
        unsafe { self.inner.as_ref() }
    }

    pub(crate) fn inner_pointer(&self) -> NonNull<StoreInner> {
        self.inner
    }

    pub(crate) fn id(&self) -> StoreId {
        self.inner().id
    }

    /// Panics if a handle is not of this store.
    #[track_caller]
    #[inline]
    pub(crate) fn check(&self, store: StoreId) {
        assert!(self.inner().id == store, "a handle was used with another store than its own");
    }

    /// Whether compiled code looks for interrupts.
    pub(crate) fn is_interruptible(&self) -> bool {
        self.inner().interruptible
    }

    /// Whether an interrupt was asked for and not yet dealt with.
    #[inline]
    pub fn interrupt_pending(&self) -> bool {
        // SAFETY: the context lives; the field is atomic.
        unsafe { &(*self.context().as_ptr()).interrupt }.load(Ordering::Relaxed) != 0
    }

    /// Does what compiled code's checks do, for host code that works for a guest at length: asks
    /// [`StoreConfig::interrupted`] if an interrupt was asked for. That may suspend the fiber.
    ///
    /// # Errors
    /// The trap that is to end the guest.
    #[inline]
    pub fn check_interrupt(&self) -> Result<(), Trap> {
        if self.interrupt_pending() { self.interrupted() } else { Ok(()) }
    }

    #[cold]
    fn interrupted(&self) -> Result<(), Trap> {
        // SAFETY: the context lives; the field is atomic.
        unsafe { &(*self.context().as_ptr()).interrupt }.store(0, Ordering::Relaxed);
        self.decide(TrapCode::Interrupted)
    }

    /// What to do about an interrupt, or about fuel that is used up.
    pub(crate) fn decide(&self, code: TrapCode) -> Result<(), Trap> {
        match &self.inner().interrupted {
            Some(interrupted) => interrupted(self, code),
            None => Err(Trap::new(code)),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Ends the fibers that were given up, whose frames use the store.
        self.close_fibers();
        self.inner().interrupt.disconnect();
        // SAFETY: this is the store's owner, so nothing of it runs; handles cannot be used without a store.
        unsafe {
            self.free_groups();
            drop(Box::from_raw(self.inner.as_ptr()));
        }
    }
}

impl StoreRef<'_> {
    /// # Safety
    /// `context` is that of a live store which this thread runs, and which outlives the result.
    #[inline]
    pub(crate) unsafe fn new(context: *mut StoreContext) -> Self {
        // SAFETY: the caller's promise: a live store's context has an address.
        let inner = unsafe { NonNull::new_unchecked(context) }.cast();
        StoreRef { store: ManuallyDrop::new(Store { inner }), lifetime: PhantomData }
    }
}

impl Deref for StoreRef<'_> {
    type Target = Store;

    #[inline]
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Asks a store's guests to stop at their next check; for other threads. Does nothing once the store is gone.
#[derive(Clone, Debug, Default)]
pub struct InterruptHandle {
    context: Arc<Mutex<Connection>>,
}

#[derive(Debug, Default)]
struct Connection(Option<NonNull<StoreContext>>);

// SAFETY: the address is followed only under the lock, to a field that is atomic, and is forgotten under the lock
// before the context is freed.
unsafe impl Send for Connection {}

impl InterruptHandle {
    /// Asks.
    pub fn interrupt(&self) {
        if let Connection(Some(context)) = *self.lock() {
            // SAFETY: the context lives while the lock is held, and the field is only used atomically.
            unsafe { &*ptr::addr_of!((*context.as_ptr()).interrupt) }.store(1, Ordering::Relaxed);
        }
    }

    fn connect(&self, context: *mut StoreContext) {
        *self.lock() = Connection(NonNull::new(context));
    }

    fn disconnect(&self) {
        *self.lock() = Connection(None);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const _: () = {
    assert!(std::mem::offset_of!(StoreInner, context) == 0);
    assert!(size_of::<HostContext>().is_multiple_of(size_of::<usize>()));
};
