//! Fibers: stacks of their own, on which guests and host functions can be suspended.
//!
//! A fiber is a [`Slot`] that never moves, with a stack that is used again and again. One word goes in with each resume,
//! one comes out with each suspension. Invariants:
//!
//! * Between `StoreInner::fibers.current` and the store's stack run, outermost first, the fibers that resumed each
//!   other; each is `Running`, and `outer` leads from one to the one that resumed it.
//! * A store's context holds the stack limit, entry chain and last exit of the stack that it runs on now. `saved` holds
//!   the other side's: while the fiber runs, those of whoever resumed it; while it is suspended, its own. A switch
//!   swaps the two. A fiber's entry chain begins on the fiber.
//! * [`Store::suspend_all`] suspends the outermost of them, with those inside it still `Running`. Its `inner` then leads
//!   to the innermost, on whose stack it goes on when it is resumed; no other of them can be resumed meanwhile.
//! * The frames of a suspended fiber use its store, so they are only ever run while the store lives. Dropping a
//!   suspended [`Fiber`] therefore only hands its slot to the store, which ends it.
//! * No Rust panic leaves a fiber's stack: it is carried over and resumed on the other side.
//!
//! Stacks are not cleared between uses. Guests cannot read their native stack: compiled code reads no slot that the same
//! function did not write before.

mod depth;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::context::{EntryRecord, StoreContext};
use crate::store::{StoreInner, StoreRef};
use crate::{Store, Trap, entry, os};

use depth::Depths;
pub(crate) use depth::{deepen, stack_start};

/// Something that runs on a stack of its own, made by [`Store::fiber`].
///
/// It can be sent to another thread together with its store. Dropping one that is suspended cancels it: not at once,
/// but when its store makes the next fiber or is dropped. If the store is gone already, the destructors on the fiber's
/// stack are not run.
#[derive(Debug)]
pub struct Fiber {
    /// None once it is done.
    slot: Option<NonNull<Slot>>,
}

// SAFETY: the function of a fresh fiber can be sent. Whoever suspends a fiber promises that what is on its stack may
// stay there while other threads run it. The slot's own fields are used by its owner and by whoever runs the store.
unsafe impl Send for Fiber {}

/// How a fiber came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was suspended with a word, and can be resumed.
    Suspended(u64),
    /// Its function returned a word.
    Done(u64),
}

/// Why [`Store::suspend`] did not wait to be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuspendError {
    /// The fiber was cancelled: it should return as soon as it can, and cannot be suspended again.
    #[error("the fiber was cancelled")]
    Cancelled,
    /// No fiber of the store is running, or the thread is panicking.
    #[error("nothing here can be suspended")]
    NotOnFiber,
}

impl From<SuspendError> for Trap {
    fn from(error: SuspendError) -> Self {
        match error {
            SuspendError::Cancelled => Trap::cancelled(),
            SuspendError::NotOnFiber => Trap::host(error),
        }
    }
}

/// The fibers of a store.
pub(crate) struct Fibers {
    /// The innermost that runs; null when none does.
    current: Cell<*mut Slot>,
    idle: RefCell<Vec<NonNull<Slot>>>,
    /// Those that have been suspended since their functions began, and are not done.
    interrupted: RefCell<Vec<NonNull<Slot>>>,
    stack_size: usize,
    shallow_stack: usize,
    max_idle: usize,
    /// Whether one of the idle ones is deep.
    keeps_deep: Cell<bool>,
    orphans: Arc<Orphans>,
}

/// Suspended fibers whose handles were dropped.
#[derive(Debug, Default)]
struct Orphans {
    any: AtomicBool,
    slots: Mutex<OrphanList>,
}

#[derive(Debug, Default)]
struct OrphanList {
    slots: Vec<NonNull<Slot>>,
    /// The store is gone.
    closed: bool,
}

// SAFETY: a slot in the list is nobody else's; it is used by whoever takes it out, under the rules for its store.
unsafe impl Send for OrphanList {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No function.
    Idle,
    /// Not yet resumed.
    Fresh,
    Running,
    Suspended,
}

/// A place for a fiber, and its stack.
struct Slot {
    /// Before the stack that it runs on, so that it is dropped first.
    coroutine: Option<Coroutine<u64, u64, u64, StackOfSlot>>,
    yielder: *const Yielder<u64, u64>,
    state: State,
    cancelled: bool,
    saved: Saved,
    outer: *mut Slot,
    /// The fiber that runs when this one is resumed: itself, or one inside it.
    inner: *mut Slot,
    panic: Option<Box<dyn Any + Send>>,
    store: *mut StoreInner,
    /// Where it stands in `Fibers::interrupted`, or [`NOWHERE`].
    place: usize,
    orphans: Arc<Orphans>,
    stack: DefaultStack,
    depths: Depths,
}

/// The place of a slot that does not stand in `Fibers::interrupted`.
const NOWHERE: usize = usize::MAX;

/// What belongs to a stack rather than to the store.
#[derive(Clone, Copy)]
struct Saved {
    stack_limit: usize,
    entry: *mut EntryRecord,
    exit_fp: usize,
    exit_pc: usize,
}

/// The stack of a slot, which the slot owns.
struct StackOfSlot {
    base: StackPointer,
    limit: StackPointer,
}

// SAFETY: the bounds are those of a `DefaultStack`, which is one, and which the slot keeps until the coroutine is
// dropped.
unsafe impl Stack for StackOfSlot {
    #[inline]
    fn base(&self) -> StackPointer {
        self.base
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        self.limit
    }
}

impl Store {
    /// Makes a fiber that will run a function when it is first resumed, with the word of that resume.
    ///
    /// # Errors
    /// When the system has no memory for another stack.
    pub fn fiber<F>(&self, function: F) -> io::Result<Fiber>
    where
        F: FnOnce(&Store, u64) -> u64 + Send + 'static,
    {
        // SAFETY: what lives forever lives long enough, and can be sent.
        unsafe { self.fiber_unchecked(function) }
    }

    /// Makes a fiber of a function that borrows.
    ///
    /// # Errors
    /// When the system has no memory for another stack.
    ///
    /// # Safety
    /// What the function borrows lives until the fiber is done or the store is dropped, and can be used on any thread
    /// that resumes the fiber.
    pub unsafe fn fiber_unchecked<F>(&self, function: F) -> io::Result<Fiber>
    where
        F: FnOnce(&Store, u64) -> u64,
    {
        self.end_orphans();
        let slot = self.idle_slot()?;
        let pointer = slot.as_ptr();
        // SAFETY: the slot is idle: nobody else uses it.
        let stack = unsafe { &(*pointer).stack };
        let stack = StackOfSlot { base: stack.base(), limit: stack.limit() };
        let body = move |yielder: &Yielder<u64, u64>, word| {
            // SAFETY: the slot is kept until the fiber ends, and resumed only with its store alive.
            let store = unsafe {
                (*pointer).yielder = yielder;
                StoreRef::new((*pointer).store.cast())
            };
            let result = catch_unwind(AssertUnwindSafe(|| function(&store, word)));
            result.unwrap_or_else(|payload| {
                // SAFETY: as above; whoever resumed the fiber reads it afterwards.
                unsafe { (*pointer).panic = Some(payload) };
                0
            })
        };
        // SAFETY: the stack is the slot's, and idle. The caller sees to what the function borrows.
        unsafe {
            (*pointer).saved = Saved {
                stack_limit: (*pointer).saved.stack_limit,
                entry: ptr::null_mut(),
                exit_fp: 0,
                exit_pc: 0,
            };
            (*pointer).coroutine = Some(Coroutine::with_stack_unchecked(stack, body));
            (*pointer).state = State::Fresh;
            (*pointer).inner = pointer;
            (*pointer).cancelled = false;
        }
        Ok(Fiber { slot: Some(slot) })
    }

    /// Runs a fiber until it is suspended or its function returns.
    ///
    /// # Panics
    /// When the fiber is done, runs already, or is of another store. A panic of the fiber's function goes on here.
    #[inline]
    pub fn resume(&self, fiber: &mut Fiber, word: u64) -> Step {
        let Some(slot) = fiber.slot else { not_resumable("is done") };
        // SAFETY: the slot is kept while the `Fiber` has it; it changes only on the thread that runs its store, and if
        // that is another store than this, the comparison says so.
        let (store, state) = unsafe { ((*slot.as_ptr()).store, (*slot.as_ptr()).state) };
        if !ptr::eq(store, self.inner_pointer().as_ptr()) {
            not_resumable("is of another store");
        }
        if state == State::Running {
            not_resumable("runs already");
        }
        // SAFETY: it is a fiber of this store that does not run.
        let result = unsafe { self.switch_to(slot.as_ptr(), word) };
        match result {
            CoroutineResult::Yield(word) => Step::Suspended(word),
            CoroutineResult::Return(word) => {
                fiber.slot = None;
                self.finish(slot);
                Step::Done(word)
            }
        }
    }

    /// Ends a fiber: if it is suspended, [`Store::suspend`] returns there with an error, and the fiber's frames are left
    /// as after any error, running their destructors. A fiber that never ran just drops its function.
    ///
    /// # Panics
    /// A panic of the fiber's function on the way out goes on here.
    pub fn cancel(&self, mut fiber: Fiber) {
        let Some(slot) = fiber.slot else { return };
        let slot = slot.as_ptr();
        // SAFETY: the slot is kept while the `Fiber` has it.
        let (store, state) = unsafe { ((*slot).store, (*slot).state) };
        if state == State::Suspended && ptr::eq(store, self.inner_pointer().as_ptr()) {
            // SAFETY: as above, and the fiber does not run.
            unsafe { (*slot).cancelled = true };
            self.resume(&mut fiber, 0);
        }
        // What is still there is dealt with by its drop.
    }

    /// Suspends the innermost fiber of this store that runs: whoever resumed it gets `word`, and this returns the word
    /// that it is resumed with.
    ///
    /// # Errors
    /// When the fiber was cancelled, or none runs.
    ///
    /// # Safety
    /// No frame between the fiber's beginning and this call holds something that must not be left suspended (a borrow
    /// that whoever resumed the fiber may end) or, if the fiber may be resumed on another thread, something that must
    /// stay on this one (a lock's guard, an `Rc` that is also held elsewhere, a reference to thread-local storage).
    pub unsafe fn suspend(&self, word: u64) -> Result<u64, SuspendError> {
        // SAFETY: it is the innermost that runs, or null; the caller promises the rest.
        unsafe { suspend_slot(self.inner().fibers.current.get(), word) }
    }

    /// Suspends the outermost fiber of this store that runs, with all that run inside it: whoever resumed the outermost
    /// one gets `word`, and when they resume it, this goes on here.
    ///
    /// # Errors
    /// When the outermost fiber was cancelled, or none runs.
    ///
    /// # Safety
    /// As for [`Store::suspend`], of the frames between the outermost fiber's beginning and this call.
    pub unsafe fn suspend_all(&self, word: u64) -> Result<u64, SuspendError> {
        let mut slot = self.inner().fibers.current.get();
        loop {
            // SAFETY: the slots of running fibers are kept.
            match unsafe { slot.as_ref() } {
                Some(Slot { outer, .. }) if !outer.is_null() => slot = *outer,
                _ => break,
            }
        }
        // SAFETY: it is the outermost that runs, or null; the caller promises the rest.
        unsafe { suspend_slot(slot, word) }
    }

    /// Whether nothing of this store runs on this thread's stack or on a fiber.
    pub fn is_idle(&self) -> bool {
        // SAFETY: the context lives, and compiled code does not run now.
        let entry = unsafe { (*self.context().as_ptr()).entry };
        entry.is_null() && !self.on_fiber()
    }

    /// Whether a fiber of this store runs.
    pub fn on_fiber(&self) -> bool {
        !self.inner().fibers.current.get().is_null()
    }

    /// # Safety
    /// The slot is one of this store's, fresh or suspended.
    #[inline]
    unsafe fn switch_to(&self, slot: *mut Slot, word: u64) -> CoroutineResult<u64, u64> {
        let context = self.context().as_ptr();
        let current = &self.inner().fibers.current;
        // SAFETY: the slot is kept, and nothing but this uses it until the fiber runs; what runs there uses its fields
        // through the same pointer. The context is the store's, which this thread runs.
        unsafe {
            if (*context).stack_limit == entry::IDLE {
                prepare_thread();
            }
            (*slot).outer = current.replace((*slot).inner);
            (*slot).state = State::Running;
            swap(context, &mut (*slot).saved);
            let result = match &mut (*slot).coroutine {
                Some(coroutine) => coroutine.resume(word),
                None => CoroutineResult::Return(0),
            };
            swap(context, &mut (*slot).saved);
            (*slot).inner = current.replace((*slot).outer);
            (*slot).state = match result {
                CoroutineResult::Yield(_) => {
                    if (*slot).place == NOWHERE {
                        self.note_interrupted(slot);
                    }
                    State::Suspended
                }
                CoroutineResult::Return(_) => State::Idle,
            };
            result
        }
    }

    /// Takes back the slot of a fiber that is done, and goes on with its panic.
    #[inline]
    fn finish(&self, slot: NonNull<Slot>) {
        // SAFETY: the fiber is done, so nobody else uses the slot.
        let panic = unsafe {
            (*slot.as_ptr()).coroutine = None;
            if (*slot.as_ptr()).place != NOWHERE {
                self.forget_interrupted(slot.as_ptr());
            }
            (*slot.as_ptr()).panic.take()
        };
        self.recycle(slot);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// # Safety
    /// The slot is one of this store's that does not stand in the list.
    #[cold]
    unsafe fn note_interrupted(&self, slot: *mut Slot) {
        let mut list = self.inner().fibers.interrupted.borrow_mut();
        // SAFETY: the caller's promise; a slot has an address.
        unsafe {
            (*slot).place = list.len();
            list.push(NonNull::new_unchecked(slot));
        }
    }

    /// # Safety
    /// The slot is one of this store's that stands in the list.
    #[cold]
    unsafe fn forget_interrupted(&self, slot: *mut Slot) {
        let mut list = self.inner().fibers.interrupted.borrow_mut();
        // SAFETY: the caller's promise; slots in the list are kept.
        unsafe {
            let place = mem::replace(&mut (*slot).place, NOWHERE);
            if let Some(last) = list.pop()
                && last.as_ptr() != slot
                && let Some(hole) = list.get_mut(place)
            {
                *hole = last;
                (*last.as_ptr()).place = place;
            }
        }
    }

    /// Shows the innermost entry of each suspended fiber that has any, with the frame pointer and return address of its
    /// last exit.
    pub(crate) fn each_suspended_fiber(&self, mut show: impl FnMut(*mut EntryRecord, usize, usize)) {
        for slot in self.inner().fibers.interrupted.borrow().iter() {
            // SAFETY: slots in the list are kept, and change on this thread only.
            let (state, saved) = unsafe { ((*slot.as_ptr()).state, (*slot.as_ptr()).saved) };
            if state == State::Suspended && !saved.entry.is_null() {
                show(saved.entry, saved.exit_fp, saved.exit_pc);
            }
        }
    }

    #[inline]
    fn idle_slot(&self) -> io::Result<NonNull<Slot>> {
        let Some(slot) = self.inner().fibers.idle.borrow_mut().pop() else { return self.new_slot() };
        // SAFETY: nobody uses an idle slot.
        self.unsettle_stack(unsafe { slot.as_ref() });
        Ok(slot)
    }

    #[cold]
    fn new_slot(&self) -> io::Result<NonNull<Slot>> {
        let fibers = &self.inner().fibers;
        let stack = DefaultStack::new(fibers.stack_size)?;
        let depths = Depths::new(&stack, fibers.shallow_stack, self.inner().host_stack);
        let slot = Box::new(Slot {
            coroutine: None,
            yielder: ptr::null(),
            state: State::Idle,
            cancelled: false,
            saved: Saved { stack_limit: depths.shallow, entry: ptr::null_mut(), exit_fp: 0, exit_pc: 0 },
            outer: ptr::null_mut(),
            inner: ptr::null_mut(),
            panic: None,
            store: self.inner_pointer().as_ptr(),
            place: NOWHERE,
            orphans: fibers.orphans.clone(),
            stack,
            depths,
        });
        let slot = Box::leak(slot);
        depth::know(slot);
        Ok(NonNull::from(slot))
    }

    /// Takes back a slot that nobody uses any more.
    fn recycle(&self, slot: NonNull<Slot>) {
        let fibers = &self.inner().fibers;
        let mut idle = fibers.idle.borrow_mut();
        if idle.len() < fibers.max_idle {
            // SAFETY: nobody uses the slot any more.
            self.settle_stack(unsafe { &mut *slot.as_ptr() });
            idle.push(slot);
        } else {
            drop(idle);
            // SAFETY: it was leaked from a box, and nobody uses it any more.
            drop(unsafe { Box::from_raw(slot.as_ptr()) });
        }
    }

    /// Ends the fibers whose handles were dropped.
    #[inline]
    fn end_orphans(&self) {
        if self.inner().fibers.orphans.any.load(Ordering::Relaxed) {
            self.end_all_orphans();
        }
    }

    #[cold]
    fn end_all_orphans(&self) {
        let orphans = &self.inner().fibers.orphans;
        while orphans.any.load(Ordering::Relaxed) {
            let slot = {
                let mut list = orphans.lock();
                let slot = list.slots.pop();
                orphans.any.store(!list.slots.is_empty(), Ordering::Relaxed);
                slot
            };
            let Some(slot) = slot else { return };
            let mut fiber = Fiber { slot: Some(slot) };
            // SAFETY: the slot was put there by its last owner.
            unsafe { (*slot.as_ptr()).cancelled = true };
            // Nobody is interested in its panic any more.
            drop(catch_unwind(AssertUnwindSafe(|| self.resume(&mut fiber, 0))));
        }
    }

    /// Ends what is left of the store's fibers, for its drop.
    pub(crate) fn close_fibers(&mut self) {
        self.end_orphans();
        let fibers = &self.inner().fibers;
        fibers.orphans.lock().closed = true;
        for slot in fibers.idle.take() {
            // SAFETY: it was leaked from a box, and nobody uses it any more.
            drop(unsafe { Box::from_raw(slot.as_ptr()) });
        }
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        // SAFETY: the slot is kept while the `Fiber` has it.
        let (orphans, state) = unsafe { ((*slot.as_ptr()).orphans.clone(), (*slot.as_ptr()).state) };
        if state == State::Suspended {
            let mut list = orphans.lock();
            if !list.closed {
                list.slots.push(slot);
                orphans.any.store(true, Ordering::Relaxed);
                return;
            }
        }
        // SAFETY: a suspended fiber's store is gone, and nobody else has to do with one that never ran; so the slot is
        // this one's, which was leaked from a box.
        let mut slot = unsafe { Box::from_raw(slot.as_ptr()) };
        if let Some(coroutine) = &mut slot.coroutine
            && state == State::Suspended
        {
            // SAFETY: the frames on the stack are forgotten, like any value may be; nobody has a reference into them
            // but themselves.
            unsafe { coroutine.force_reset() };
        }
    }
}

impl Fiber {
    /// Whether its function has returned.
    pub fn is_done(&self) -> bool {
        self.slot.is_none()
    }
}

#[cold]
#[track_caller]
#[expect(clippy::panic, reason = "a mistake of the embedder's, which no guest can cause")]
fn not_resumable(why: &str) -> ! {
    panic!("a fiber was resumed that {why}")
}

impl Drop for Slot {
    fn drop(&mut self) {
        depth::forget(self);
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Fibers {
    pub(crate) fn new(stack_size: usize, shallow_stack: usize, max_idle: usize) -> Fibers {
        Fibers {
            current: Cell::new(ptr::null_mut()),
            idle: RefCell::default(),
            interrupted: RefCell::default(),
            stack_size,
            shallow_stack,
            max_idle,
            keeps_deep: Cell::new(false),
            orphans: Arc::default(),
        }
    }
}

impl Orphans {
    fn lock(&self) -> MutexGuard<'_, OrphanList> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Suspends a fiber, from its own stack or from that of one inside it.
///
/// # Safety
/// `slot` is null or that of a running fiber of a store that this thread runs; and the promise of [`Store::suspend`], for
/// the frames since that fiber's beginning.
#[inline]
unsafe fn suspend_slot(slot: *mut Slot, word: u64) -> Result<u64, SuspendError> {
    if slot.is_null() || std::thread::panicking() {
        return Err(SuspendError::NotOnFiber);
    }
    // SAFETY: a fiber's slot is kept while it runs, and its yielder while its function does.
    unsafe {
        if (*slot).cancelled {
            return Err(SuspendError::Cancelled);
        }
        let word = (*(*slot).yielder).suspend(word);
        if (*slot).cancelled { Err(SuspendError::Cancelled) } else { Ok(word) }
    }
}

/// Not inlined, for the sake of the function that it calls.
#[inline(never)]
fn prepare_thread() {
    os::prepare_thread();
}

/// Exchanges what belongs to the stack that the store runs on.
///
/// # Safety
/// `context` is that of a store which this thread runs.
#[inline]
unsafe fn swap(context: *mut StoreContext, saved: &mut Saved) {
    // SAFETY: the caller's promise.
    unsafe {
        mem::swap(&mut (*context).stack_limit, &mut saved.stack_limit);
        mem::swap(&mut (*context).entry, &mut saved.entry);
        mem::swap(&mut (*context).exit_fp, &mut saved.exit_fp);
        mem::swap(&mut (*context).exit_pc, &mut saved.exit_pc);
    }
}

/// A fiber that runs, as backtraces follow them outwards.
#[derive(Clone, Copy)]
pub(crate) struct RunningFiber(*mut Slot);

/// The innermost running fiber of a store.
///
/// # Safety
/// `store` is the context of a store which this thread runs.
pub(crate) unsafe fn current(store: *mut StoreContext) -> RunningFiber {
    // SAFETY: the caller's promise; a store's context is its first field.
    RunningFiber(unsafe { (*store.cast::<StoreInner>()).fibers.current.get() })
}

/// The innermost entry, with the frame pointer and return address of the last exit, on the stack that resumed a running
/// fiber, or on the next one out that has any. Moves on to the fiber that this stack belongs to.
///
/// # Safety
/// `fiber` came from [`current`], and still runs.
pub(crate) unsafe fn resumed_from(fiber: &mut RunningFiber) -> Option<(*mut EntryRecord, usize, usize)> {
    while !fiber.0.is_null() {
        // SAFETY: a running fiber's slot is kept, and so is that of the one that resumed it, which runs too.
        let (saved, outer) = unsafe { ((*fiber.0).saved, (*fiber.0).outer) };
        fiber.0 = outer;
        if !saved.entry.is_null() {
            return Some((saved.entry, saved.exit_fp, saved.exit_pc));
        }
    }
    None
}
