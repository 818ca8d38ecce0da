//! The event loop: guests' threads and the host's work, in turns, until something in particular has happened.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use super::{Accessor, Store, enter};
use crate::error::{Error, Result, TrapReason};
use crate::runtime::{Job, StoreCore};

/// Threads that run between two looks at the host's work.
const THREADS_PER_TURN: u32 = 64;
/// Turns after which the executor gets to do something else.
const TURNS: usize = 64;

impl<T: Send + 'static> Store<T> {
    /// Runs `f` inside the store: while its future waits, guests run, and it may start calls that run at once with
    /// each other.
    ///
    /// A root instance that ends is no error here: those who call it hear of it, and so does
    /// [`Store::on_ended`](Store::on_ended).
    ///
    /// # Errors
    /// If the store's deadline passes.
    ///
    /// # Cancel safety
    /// Dropping the future stops the store where it is. What had begun goes on when the store is driven again.
    pub async fn run_concurrent<R, F>(&mut self, f: impl FnOnce(Accessor<T>) -> F) -> Result<R>
    where
        F: Future<Output = R>,
    {
        // SAFETY: the core is that of this `Store<T>`.
        #[allow(unsafe_code, reason = "see above")]
        let accessor = unsafe { Accessor::new(self.core()) };
        let mut future = pin!(f(accessor));
        let store = self;
        poll_fn(move |cx| {
            let core = store.core();
            poll_store(core, cx, Waits::Outside, &mut |cx| enter(core, || future.as_mut().poll(cx)))
        })
        .await
    }
}

impl StoreCore {
    /// Runs the store until `done` returns something.
    pub async fn drive<R>(store: &mut impl Driven, mut done: impl FnMut() -> Option<R>) -> Result<R> {
        poll_fn(move |cx| {
            let done = &mut done;
            poll_store(store.core(), cx, Waits::Inside, &mut |_| done().map_or(Poll::Pending, Poll::Ready))
        })
        .await
    }
}

/// A store as the event loop holds it.
pub(crate) trait Driven {
    fn core(&self) -> &StoreCore;
}

impl<T: Send + 'static> Driven for Store<T> {
    fn core(&self) -> &StoreCore {
        Store::core(self)
    }
}

/// Where what the event loop waits for comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// From the store: when nothing in it can go on, nothing will come.
    Inside,
    /// Perhaps from elsewhere in the program.
    Outside,
}

fn poll_store<R>(
    core: &StoreCore,
    cx: &mut Context<'_>,
    waits: Waits,
    goal: &mut dyn FnMut(&mut Context<'_>) -> Poll<R>,
) -> Poll<Result<R>> {
    core.host_tasks.register(cx.waker());
    core.deadlines.begin_slice();
    let poll = poll_turns(core, cx, waits, goal);
    core.deadlines.end_slice();
    poll
}

fn poll_turns<R>(
    core: &StoreCore,
    cx: &mut Context<'_>,
    waits: Waits,
    goal: &mut dyn FnMut(&mut Context<'_>) -> Poll<R>,
) -> Poll<Result<R>> {
    for _ in 0..TURNS {
        // A suspended guest goes on before anything else happens.
        if !core.is_suspended()
            && let Poll::Ready(result) = goal(cx)
        {
            return Poll::Ready(Ok(result));
        }
        if is_at_rest(core) {
            return rest(core, waits);
        }
        match turn(core) {
            Ok(true) if core.deadlines.slice_is_over() => break,
            Ok(true) => {}
            Ok(false) => {
                return match goal(cx) {
                    Poll::Ready(result) => Poll::Ready(Ok(result)),
                    Poll::Pending => rest(core, waits),
                };
            }
            Err(error) => {
                // A call whose guest failed hears of it from its goal.
                return match goal(cx) {
                    Poll::Ready(result) => Poll::Ready(Ok(result)),
                    Poll::Pending => Poll::Ready(Err(error)),
                };
            }
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Whether a turn would do nothing, whatever the time is.
fn is_at_rest(core: &StoreCore) -> bool {
    let tasks = core.tasks.borrow();
    !(!core.jobs.borrow().is_empty()
        || tasks.has_ready()
        || tasks.has_host_notification()
        || core.host_tasks.any_woken()
        || core.is_suspended()
        || core.has_to_clear_away()
        || core.cancellations.has_unasked()
        || core.cancellations.any_dropped()
        || core.deadlines.any())
}

/// What comes of a poll after which nothing is left to be done, and the goal was not reached.
fn rest<R>(core: &StoreCore, waits: Waits) -> Poll<Result<R>> {
    if waits == Waits::Outside || core.host_tasks.busy() {
        return Poll::Pending;
    }
    Poll::Ready(Err(core.take_unheard().unwrap_or_else(deadlock)))
}

/// Runs what is ready, until the time slice is over if there are any. Returns whether anything was.
fn turn(core: &StoreCore) -> Result<bool> {
    core.note_dropped();
    let sliced = core.take_sliced();
    let any = sliced.is_some();
    match sliced {
        Some(sliced) => {
            let _ = core.go_on_with(sliced);
            if ends_slice(core) {
                return Ok(true);
            }
        }
        None => {
            if core.deadlines.any() {
                core.check_deadline()?;
                core.end_overdue();
            }
            core.clear_away();
        }
    }
    Ok(run_ready(core)? || any)
}

/// What goes wrong in guests has ended their islands, and who waited for them has heard of it.
fn run_ready(core: &StoreCore) -> Result<bool> {
    let mut any = false;
    loop {
        let Some(on_fibers) = core.jobs.borrow().front().map(Job::is_on_fibers) else { break };
        any = true;
        let run_job = |core: &StoreCore| {
            let job = core.jobs.borrow_mut().pop_front();
            if let Some(job) = job {
                job.run(core);
            }
        };
        if run(core, on_fibers, run_job)? {
            return Ok(true);
        }
    }
    if core.cancellations.has_unasked() {
        any = true;
        if run(core, false, StoreCore::ask_to_cancel)? {
            return Ok(true);
        }
    }
    core.turn.begin(THREADS_PER_TURN);
    while core.turn.is_left() {
        let Some(thread) = core.tasks.borrow_mut().next_ready() else { break };
        any = true;
        core.turn.is_of(thread);
        let ran = run(core, core.is_on_fiber(thread), move |core| drop(core.resume_thread(thread)));
        if ran.or_else(|error| core.thread_failed(thread, error).map(|()| false))? {
            return Ok(true);
        }
    }
    // The host's work cannot be suspended: it needs no fiber.
    any |= core.serve_host_ends();
    Ok(any | core.host_tasks.poll_woken(core))
}

/// Has guests do something within a time slice. Returns whether the end of that has suspended them.
fn run(core: &StoreCore, on_fibers: bool, f: impl FnOnce(&StoreCore) + Send + 'static) -> Result<bool> {
    core.in_slice(on_fibers, f)?;
    Ok(ends_slice(core))
}

/// Clears away what is left of guests that have ended. Returns whether the end of the time slice has suspended any.
fn ends_slice(core: &StoreCore) -> bool {
    if core.has_to_clear_away() && !core.is_suspended() {
        // If there is no stack for that, it is tried again the next time.
        let _ = core.in_slice(false, StoreCore::clear_away_now);
    }
    core.is_suspended()
}

fn deadlock() -> Error {
    TrapReason::Deadlock("every task waits for another, and nothing will happen".to_owned()).into()
}

/// The error of a store that cannot make progress, where only its own threads could.
pub(crate) fn stuck() -> Error {
    TrapReason::Deadlock("the call waits for something that only an event loop can bring".to_owned()).into()
}
