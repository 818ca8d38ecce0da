//! How long a store's guests may run: fuel, a deadline, and time slices.
//!
//! Compiled code checks a word of its store where it enters functions and at the head of loops, and so do the host's own
//! loops over a guest's data. [`Alarm`]s set the word when the deadline or the time slice has passed; what is to be
//! done about it is decided by who finds it set, in [`StoreCore::interrupted`].
//!
//! While a store has time slices, all that its event loop has guests do runs on fibers ([`StoreCore::in_slice`]). At the
//! end of a slice the outermost is suspended with all that runs inside it, wherever that is, and the executor gets its
//! turn. Nothing else of the store runs before it has gone on, so that guests notice nothing: to them, nobody ran between
//! two instructions.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::due::Due;
use super::{Store, StoreMut};
use crate::error::{Error, Result, TrapCode, TrapReason};
use crate::runtime::{Island, StoreCore, trap_of};
use crate::timer::Alarm;

/// A store's times.
#[derive(Default)]
pub(crate) struct Deadlines {
    deadline: Cell<Option<Instant>>,
    slices: OnceCell<Slices>,
    /// Whether the event loop has guests do something that may be suspended.
    suspending: Cell<bool>,
    /// How many of the embedder's functions are running, each called by a guest that the next one called.
    host_calls: Cell<u32>,
    /// What ends by itself or at a time.
    pub due: Due,
    /// Whether the slice ended when nothing could be suspended.
    overrun: Cell<bool>,
    alarm: OnceCell<Arc<Alarm>>,
}

/// A store's time slices.
///
/// Most are over long before their time, so that none looks at the clock when it begins. An alarm goes on from slice to
/// slice and rings after half the time of one: a slice that hears it has begun since then, and may last as long again.
struct Slices {
    length: Cell<Option<Duration>>,
    alarm: Arc<Alarm>,
    /// Whether the alarm is to be set: it has rung, or was never set.
    rang: Arc<AtomicBool>,
    /// Whether the event loop is in a slice.
    within: Cell<bool>,
    /// When that ends, once it has heard the alarm.
    end: Cell<Option<Instant>>,
}

impl Slices {
    /// Has the alarm ring after half the time of a slice, and returns when that is.
    fn set_alarm(&self, length: Duration) -> Option<Instant> {
        let at = Instant::now().checked_add(length / 2);
        self.rang.store(false, Ordering::Relaxed);
        self.alarm.set(at);
        at
    }

    fn begin(&self) {
        let Some(length) = self.length.get() else { return };
        self.within.set(true);
        self.end.set(None);
        if self.rang.load(Ordering::Relaxed) {
            self.set_alarm(length);
        }
    }

    fn is_over(&self) -> bool {
        if !self.within.get() || !self.rang.load(Ordering::Relaxed) {
            return false;
        }
        match (self.end.get(), self.length.get()) {
            (Some(end), _) => end <= Instant::now(),
            (None, Some(length)) => {
                self.end.set(self.set_alarm(length));
                false
            }
            (None, None) => false,
        }
    }
}

/// Sets a flag back when what it is set for is over, even by a panic of the embedder's.
struct Unset<'a>(&'a Cell<bool>);

impl Drop for Unset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Deadlines {
    /// Whether guests run in time slices.
    pub fn sliced(&self) -> bool {
        self.slices.get().is_some_and(|slices| slices.length.get().is_some())
    }

    /// Begins a time slice, if there are any.
    pub fn begin_slice(&self) {
        if let Some(slices) = self.slices.get() {
            self.overrun.set(false);
            slices.begin();
        }
    }

    /// Ends the time slice.
    pub fn end_slice(&self) {
        if let Some(slices) = self.slices.get() {
            slices.within.set(false);
        }
    }

    /// Whether the slice is over.
    pub fn slice_is_over(&self) -> bool {
        self.slices.get().is_some_and(Slices::is_over)
    }

    /// Whether there is a time at which something is to end.
    #[inline]
    pub fn any(&self) -> bool {
        self.deadline.get().is_some() || !self.due.is_empty()
    }

    fn has_passed(&self) -> bool {
        self.deadline.get().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Runs `f`, of which the event loop expects that the fiber on which it runs guests is suspended.
    pub fn suspending<R>(&self, f: impl FnOnce() -> R) -> R {
        self.suspending.set(true);
        let _over = Unset(&self.suspending);
        f()
    }

    /// Whether one of the embedder's functions is running.
    #[inline]
    pub fn in_host(&self) -> bool {
        self.host_calls.get() > 0
    }

    /// Whether everything between the event loop and here may be suspended, if it is on a fiber.
    fn can_suspend(&self) -> bool {
        self.suspending.get() && self.host_calls.get() == 0
    }

    /// Has the alarm ring at the deadline or when something is due: at the first of them.
    pub(super) fn set_alarm(&self) {
        if let Some(alarm) = self.alarm.get() {
            alarm.set(self.deadline.get().into_iter().chain(self.due.next()).min());
        }
    }
}

impl StoreCore {
    /// Runs `f`, which is code of the embedder's and may not be suspended by the end of a slice.
    #[inline]
    pub fn in_host<R>(&self, f: impl FnOnce() -> R) -> R {
        let _leave = HostCall::enter(self);
        f()
    }

    /// What checks ask that find the store's interrupt word set, or fuel used up.
    pub fn interrupted(&self, code: TrapCode) -> Result<(), tombolo_vm::Trap> {
        if code == TrapCode::OutOfFuel {
            return Err(code.into());
        }
        loop {
            if self.deadlines.has_passed() {
                // Others that are further out do not go on either.
                self.vm.interrupt_handle().interrupt();
                return Err(code.into());
            }
            self.end_overdue();
            if let Err(error) = self.check_current() {
                self.deadlines.set_alarm();
                return Err(trap_of(error));
            }
            let slice_is_over = self.deadlines.slice_is_over();
            if !slice_is_over || !self.deadlines.can_suspend() || !self.vm.on_fiber() {
                self.deadlines.overrun.set(slice_is_over);
                self.deadlines.set_alarm();
                return Ok(());
            }
            self.suspend_slice()?;
        }
    }

    /// Fails once the deadline has passed, and ends the islands in which calls are under way.
    pub fn check_deadline(&self) -> Result<()> {
        if !self.deadlines.has_passed() {
            return Ok(());
        }
        let error = Error::from(TrapReason::Core(TrapCode::Interrupted));
        self.end_busy(&error);
        Err(error)
    }

    /// Does what guests' checks do, for host code that works for a guest at length.
    #[inline]
    pub fn check_interrupt(&self) -> Result<()> {
        self.vm.check_interrupt().map_err(Error::raised)
    }

    fn set_deadline(&self, deadline: Option<Instant>) -> Result<()> {
        self.need_alarm()?;
        self.deadlines.deadline.set(deadline);
        self.deadlines.set_alarm();
        if self.deadlines.has_passed() {
            self.vm.interrupt_handle().interrupt();
        }
        Ok(())
    }

    pub fn need_alarm(&self) -> Result<()> {
        self.need_checks()?;
        self.make_alarm()
    }

    fn need_checks(&self) -> Result<()> {
        if self.engine.has_deadlines() {
            return Ok(());
        }
        Err(Error::usage("the engine's code has no checks for deadlines: see `Config::deadlines`"))
    }

    pub(super) fn make_alarm(&self) -> Result<()> {
        if self.deadlines.alarm.get().is_none() {
            let (interrupt, wake) = (self.vm.interrupt_handle(), self.host_tasks.driver());
            let alarm = new_alarm(move || {
                interrupt.interrupt();
                wake.wake();
            })?;
            let _ = self.deadlines.alarm.set(alarm);
        }
        Ok(())
    }

    fn set_time_slice(&self, length: Option<Duration>) -> Result<()> {
        self.need_checks()?;
        if self.deadlines.slices.get().is_none() {
            let (interrupt, rang) = (self.vm.interrupt_handle(), Arc::new(AtomicBool::new(true)));
            let rings = rang.clone();
            let alarm = new_alarm(move || {
                rings.store(true, Ordering::Relaxed);
                interrupt.interrupt();
            })?;
            let slices = Slices {
                length: Cell::new(None),
                alarm,
                rang,
                within: Cell::new(false),
                end: Cell::new(None),
            };
            let _ = self.deadlines.slices.set(slices);
        }
        if let Some(slices) = self.deadlines.slices.get() {
            slices.length.set(length);
        }
        Ok(())
    }

    fn fuel(&self) -> Result<u64> {
        self.need_fuel()?;
        Ok(from_counter(self.vm.fuel()))
    }

    fn set_fuel(&self, fuel: u64) -> Result<()> {
        self.need_fuel()?;
        self.vm.set_fuel(to_counter(fuel));
        Ok(())
    }

    /// How much fuel an island has left of its own.
    pub fn island_fuel(&self, island: &Island) -> Result<Option<u64>> {
        self.need_fuel()?;
        // The group of one that has ended is gone.
        island.check()?;
        Ok(self.vm.within(island.group).fuel().map(from_counter))
    }

    /// Gives an island fuel of its own, or has it go by the store's.
    pub fn set_island_fuel(&self, island: &Island, fuel: Option<u64>) -> Result<()> {
        self.need_fuel()?;
        island.check()?;
        self.vm.within(island.group).set_fuel(fuel.map(to_counter));
        Ok(())
    }

    pub fn need_fuel(&self) -> Result<()> {
        if self.engine.has_fuel() {
            return Ok(());
        }
        Err(Error::usage("the engine's code does not count fuel: see `Config::fuel`"))
    }
}

fn new_alarm(ring: impl Fn() + Send + Sync + 'static) -> Result<Arc<Alarm>> {
    Alarm::new(ring).map_err(|source| Error::system("starting the thread that keeps time", source))
}

fn from_counter(left: i64) -> u64 {
    u64::try_from(left).unwrap_or(0)
}

fn to_counter(fuel: u64) -> i64 {
    i64::try_from(fuel).unwrap_or(i64::MAX)
}

/// A function of the embedder's that is running.
struct HostCall<'a>(&'a StoreCore);

impl<'a> HostCall<'a> {
    #[inline]
    fn enter(core: &'a StoreCore) -> Self {
        let calls = &core.deadlines.host_calls;
        calls.set(calls.get() + 1);
        HostCall(core)
    }
}

impl Drop for HostCall<'_> {
    #[inline]
    fn drop(&mut self) {
        let Deadlines { host_calls, overrun, .. } = &self.0.deadlines;
        host_calls.set(host_calls.get() - 1);
        if host_calls.get() == 0 && overrun.take() {
            // The guest is suspended at its next check.
            self.0.vm.interrupt_handle().interrupt();
        }
    }
}

impl<T: Send + 'static> Store<T> {
    /// How much fuel is left; 0 once it ran out. [`Config::fuel`](crate::Config::fuel) says what it is spent on.
    ///
    /// # Errors
    /// If the engine does not count fuel.
    pub fn fuel(&self) -> Result<u64> {
        self.core().fuel()
    }

    /// Sets how much fuel is left, at most `i64::MAX`, to all root instances together that have none of their own
    /// ([`Instance::set_fuel`](crate::Instance::set_fuel)). A new store has none. May be done at any time, from a host
    /// function too: see [`StoreMut::set_fuel`].
    ///
    /// # Errors
    /// If the engine does not count fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.core().set_fuel(fuel)
    }

    /// Sets the time at which the store's guests are stopped, whether they run or wait; `None`, the default, for never.
    ///
    /// Then the call that runs, or the next one, fails with a trap:
    /// [`TrapReason::Core`] with [`TrapCode::Interrupted`]. A guest
    /// that runs is stopped where it enters a function or goes round a loop, and in the midst of operations on many bytes
    /// or elements; one that waits, by waking the task that drives the store. A function of the host is not stopped; its
    /// guest is, when it returns. The root instances of those that are stopped end, as after any trap; others can be called
    /// again when the deadline has been moved. [`Instance::set_deadline`](crate::Instance::set_deadline) is for one root
    /// instance.
    ///
    /// # Errors
    /// If the engine's code has no checks ([`Config::deadlines`](crate::Config::deadlines)), or the system does not give
    /// the process the one thread that keeps time for all stores.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.core().set_deadline(deadline)
    }

    /// Sets for how long guests run at most before the executor gets to do something else (it may be half as long); `None`,
    /// the default, for as long as they do not wait of themselves.
    ///
    /// Holds for what an executor drives: [`call_async`](crate::TypedFunc::call_async),
    /// [`instantiate_async`](crate::Linker::instantiate_async), [`run_concurrent`](Store::run_concurrent). At the end of a
    /// slice such a future returns `Pending`, and is woken at once; the guest goes on where it was when the future is
    /// polled again. No other guest of the store runs meanwhile, and the future that `run_concurrent` was given is not
    /// polled: a time-out that is to give up a guest that runs belongs around it. What cannot be suspended runs on:
    /// functions of the host, and guests that they call. A deadline may be set as well, and stops those guests too.
    ///
    /// # Errors
    /// As for [`set_deadline`](Store::set_deadline).
    ///
    /// # Cancel safety
    /// If the future is dropped while a guest is suspended at the end of its slice, the guest goes on when the store is
    /// driven again. Until then calls that no executor drives fail.
    pub fn set_time_slice(&mut self, slice: Option<Duration>) -> Result<()> {
        self.core().set_time_slice(slice)
    }
}

impl<T: Send + 'static> StoreMut<'_, T> {
    /// How much fuel is left: see [`Store::fuel`].
    ///
    /// # Errors
    /// If the engine does not count fuel.
    pub fn fuel(&self) -> Result<u64> {
        self.core().fuel()
    }

    /// Sets how much fuel is left: see [`Store::set_fuel`].
    ///
    /// # Errors
    /// If the engine does not count fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        self.core().set_fuel(fuel)
    }

    /// Sets the time at which the store's guests are stopped: see [`Store::set_deadline`].
    ///
    /// # Errors
    /// As for [`Store::set_deadline`].
    pub fn set_deadline(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.core().set_deadline(deadline)
    }
}
