//! The event loop: guests' threads and the host's work, in turns, until something in particular has happened.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use super::{Accessor, Store, enter};
use crate::error::{Error, Result, TrapReason};
use crate::runtime::StoreCore;

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
        match turn(core) {
            Ok(true) if core.deadlines.slice_is_over() => break,
            Ok(true) => {}
            Ok(false) if core.host_tasks.busy() => return Poll::Pending,
            Ok(false) => {
                // The goal may have been reached, or wait for something outside of the store.
                return match goal(cx) {
                    Poll::Ready(result) => Poll::Ready(Ok(result)),
                    Poll::Pending if waits == Waits::Outside => Poll::Pending,
                    Poll::Pending => Poll::Ready(Err(core.take_unheard().unwrap_or_else(deadlock))),
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

/// Runs what is ready, within a time slice if there are any. Returns whether anything was.
fn turn(core: &StoreCore) -> Result<bool> {
    let suspended = core.is_suspended();
    core.note_dropped();
    if !suspended {
        core.check_deadline()?;
        core.end_overdue();
        core.clear_away();
    }
    // The host's work cannot be suspended: it needs no fiber.
    let guests_go_on = || {
        !core.jobs.borrow().is_empty() || core.cancellations.has_unasked() || core.tasks.borrow().has_ready()
    };
    match suspended || (core.deadlines.sliced() && guests_go_on()) {
        true => Ok(core.turn_on_fiber(run_ready)?.unwrap_or(true)),
        false => Ok(run_ready(core)),
    }
}

/// What goes wrong here has ended the guest's island, and who waited for it has heard of it.
fn run_ready(core: &StoreCore) -> bool {
    let mut any = false;
    loop {
        let Some(job) = core.jobs.borrow_mut().pop_front() else { break };
        any = true;
        job.run(core);
        core.clear_away_in_loop();
    }
    any |= core.ask_to_cancel();
    core.turn.begin(THREADS_PER_TURN);
    while core.turn.is_left() {
        let Some(thread) = core.tasks.borrow_mut().next_ready() else { break };
        any = true;
        core.turn.is_of(thread);
        let _ = core.resume_thread(thread);
        core.clear_away_in_loop();
    }
    any |= core.serve_host_ends();
    any | core.host_tasks.poll_woken(core)
}

fn deadlock() -> Error {
    TrapReason::Deadlock("every task waits for another, and nothing will happen".to_owned()).into()
}

/// The error of a store that cannot make progress, where only its own threads could.
pub(crate) fn stuck() -> Error {
    TrapReason::Deadlock("the call waits for something that only an event loop can bring".to_owned()).into()
}
