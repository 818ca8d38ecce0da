//! Why the state machine refuses: every `trap_if` of the specification, by name.
//!
//! Apart from [`Trap::Gone`] and [`Trap::Misuse`], which report a fault of the runtime above, each variant is
//! something that a guest did. The runtime ends the guest's root instance; the state machine stays consistent.

use std::fmt;

use crate::id::Entity;

/// Why an operation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trap {
    /// A built-in was called where the instance may not be left.
    #[error("cannot leave component instance: it is inside realloc or post-return")]
    CannotLeave,
    /// No handle has this index.
    #[error("unknown handle index {0}")]
    UnknownHandle(u32),
    /// The handle is of another kind.
    #[error("handle index {index} used with the wrong type, expected {expected} but found {found}")]
    WrongHandle {
        /// The index that was passed.
        index: u32,
        /// What the operation needs.
        expected: HandleKind,
        /// What the handle is.
        found: HandleKind,
    },
    /// The resource is of another type.
    #[error("handle index {0} used with the wrong type, expected resource but found a different resource")]
    WrongResource(u32),
    /// The stream or future carries elements of another type.
    #[error("handle index {0} used with the wrong type, its elements are of a different type")]
    WrongElement(u32),
    /// The resource is lent to calls that have not returned.
    #[error("cannot remove owned resource while borrowed: handle index {index} is lent {lends} times")]
    Lent {
        /// The index that was passed.
        index: u32,
        /// How many borrows are outstanding.
        lends: u32,
    },
    /// A borrow was passed where an own is needed.
    #[error("handle index {0} used with the wrong type, expected own but found borrow")]
    NotOwned(u32),
    /// One handle was lent 2³² times.
    #[error("handle index {0} is lent too many times")]
    TooManyLends(u32),

    /// The instance's table of handles is full.
    #[error("too many handles: the limit is {0}")]
    HandleLimit(u32),
    /// The instance's table of threads is full.
    #[error("too many threads: the limit is {0}")]
    ThreadLimit(u32),
    /// The instance has too many tasks.
    #[error("too many concurrent tasks: the limit is {0}")]
    TaskLimit(u32),
    /// The instance's handles, tasks and events take too many bytes.
    #[error("the component instance's handles and tasks exceed their budget of {0} bytes")]
    BudgetExceeded(u64),
    /// The store holds as many entities as can be named.
    #[error("the store cannot hold another {0}")]
    StoreFull(Entity),

    /// The task has returned or been cancelled already.
    #[error("task.return called on a task that has already returned or been cancelled")]
    AlreadyResolved,
    /// `task.cancel` without a delivered cancellation.
    #[error("task.cancel called on a task that was not told to cancel")]
    CancelNotDelivered,
    /// The task resolves while it holds borrowed handles.
    #[error("borrow handles still remain at the end of the call: {0} not dropped")]
    BorrowsRemain(u32),
    /// The task's last thread ended without a result.
    #[error("the task exited without calling task.return or task.cancel")]
    NeverReturned,
    /// `backpressure.inc` beyond 2¹⁶ - 1.
    #[error("backpressure counter overflow")]
    BackpressureOverflow,
    /// `backpressure.dec` below zero.
    #[error("backpressure counter underflow")]
    BackpressureUnderflow,
    /// A sync-typed call blocked and nothing in the instance can unblock it.
    #[error("cannot block a synchronous task before returning")]
    CannotBlock,
    /// The value that a callback returned has an unknown code.
    #[error("unsupported callback code {0}")]
    CallbackCode(u32),

    /// `subtask.cancel` after its end was delivered.
    #[error("subtask {0} has already resolved")]
    SubtaskResolved(u32),
    /// `subtask.cancel` was called before.
    #[error("subtask {0} has already been asked to cancel")]
    SubtaskCancelled(u32),
    /// `subtask.drop` before its end was delivered.
    #[error(
        "cannot drop a subtask which has not yet resolved, or whose result was not delivered: handle index {0}"
    )]
    SubtaskUnresolved(u32),

    /// A synchronous operation meets a waitable set: one would steal the other's event.
    #[error("waitable cannot be used synchronously while added to a waitable set: handle index {0}")]
    SyncAndSet(u32),
    /// The end is transferred while it is in a waitable set.
    #[error("cannot {action} {} while it's in a waitable set: handle index {index}", .kind.noun())]
    InWaitableSet {
        /// The index that was passed.
        index: u32,
        /// What was to be done with it.
        action: EndAction,
        /// Which kind of end it is.
        kind: HandleKind,
    },
    /// A copy that was started synchronously cannot be cancelled.
    #[error("handle index {0} is already being waited on by a synchronous operation")]
    HasSyncWaiter(u32),
    /// `waitable-set.drop` with members.
    #[error("cannot drop waitable set with members: handle index {0}")]
    SetNotEmpty(u32),
    /// `waitable-set.drop` with waiters.
    #[error("cannot drop waitable set with waiters: handle index {0}")]
    SetHasWaiters(u32),

    /// A copy was started, or the end dropped or transferred, while a copy is in progress.
    #[error("cannot {}: handle index {index}", busy(*.action, *.kind))]
    EndBusy {
        /// The index that was passed.
        index: u32,
        /// What was to be done with it.
        action: EndAction,
        /// Which kind of end it is.
        kind: HandleKind,
    },
    /// A copy was started, or the end transferred, after the stream or future ended.
    #[error("cannot {action} {}: handle index {index}", done(*.kind))]
    EndDone {
        /// The index that was passed.
        index: u32,
        /// What was to be done with it.
        action: EndAction,
        /// Which kind of end it is.
        kind: HandleKind,
    },
    /// A copy was cancelled that is not in progress.
    #[error("cannot cancel: no read or write is in progress on handle index {0}")]
    NotCopying(u32),
    /// A writable future end was dropped without a value.
    #[error("cannot drop future write end without first writing a value: handle index {0}")]
    FutureNotWritten(u32),
    /// Both ends copy in one instance, and elements are not plain numbers.
    #[error("cannot read from and write to intra-component future/stream with non-numeric payload")]
    SameInstance,
    /// The copy is longer than any copy may be.
    #[error("a buffer of {0} elements is too long")]
    BufferTooLong(u32),

    /// No thread has this index.
    #[error("unknown thread index {0}")]
    UnknownThread(u32),
    /// The thread is not suspended.
    #[error("cannot resume thread which is not suspended: thread index {0}")]
    NotSuspended(u32),
    /// The thread tried to switch to itself.
    #[error("cannot resume thread which is not suspended: thread index {0} is the current thread")]
    SwitchToSelf(u32),

    /// The runtime used an id whose entity is gone: a fault of the runtime.
    #[error("internal error: this {0} no longer exists")]
    Gone(Entity),
    /// The runtime called out of order: a fault of the runtime.
    #[error("internal error: {0}")]
    Misuse(&'static str),
}

/// What was to be done with a stream or future end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndAction {
    /// Start a read.
    Read,
    /// Start a write.
    Write,
    /// Pass it to another component.
    Lift,
    /// Forward it.
    Forward,
    /// Drop it.
    Drop,
}

impl fmt::Display for EndAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndAction::Read => "read from",
            EndAction::Write => "write to",
            EndAction::Lift => "lift",
            EndAction::Forward => "forward",
            EndAction::Drop => "drop",
        })
    }
}

fn busy(action: EndAction, kind: HandleKind) -> String {
    match (action, kind) {
        (EndAction::Read | EndAction::Write, _) => {
            "have concurrent operations active on a future/stream".into()
        }
        (EndAction::Drop, HandleKind::StreamReadable | HandleKind::FutureReadable) => {
            format!("remove busy {}", kind.noun())
        }
        _ => format!("{action} busy {}", kind.noun()),
    }
}

fn done(kind: HandleKind) -> &'static str {
    match kind {
        HandleKind::StreamReadable => "stream after being notified that the writable end dropped",
        HandleKind::StreamWritable => "stream after being notified that the readable end dropped",
        HandleKind::FutureReadable => "future after previous read succeeded",
        _ => "future after previous write succeeded or readable end dropped",
    }
}

/// What a handle refers to, or what an operation expects it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandleKind {
    /// A resource, owned or borrowed.
    Resource,
    /// A subtask.
    Subtask,
    /// A stream's readable end.
    StreamReadable,
    /// A stream's writable end.
    StreamWritable,
    /// A future's readable end.
    FutureReadable,
    /// A future's writable end.
    FutureWritable,
    /// A waitable set.
    WaitableSet,
    /// An error context.
    ErrorContext,
    /// A subtask or an end: what can join a waitable set. Only ever expected.
    Waitable,
}

impl HandleKind {
    fn noun(self) -> &'static str {
        match self {
            HandleKind::StreamReadable | HandleKind::StreamWritable => "stream",
            HandleKind::FutureReadable | HandleKind::FutureWritable => "future",
            _ => "waitable",
        }
    }
}

impl fmt::Display for HandleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HandleKind::Resource => "resource",
            HandleKind::Subtask => "subtask",
            HandleKind::StreamReadable => "readable stream end",
            HandleKind::StreamWritable => "writable stream end",
            HandleKind::FutureReadable => "readable future end",
            HandleKind::FutureWritable => "writable future end",
            HandleKind::WaitableSet => "waitable set",
            HandleKind::ErrorContext => "error context",
            HandleKind::Waitable => "waitable",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::EndAction::*;
    use super::HandleKind::*;
    use super::*;

    /// The specification's own tests (`tests/component-model/test`) expect these words.
    #[test]
    fn messages_say_what_was_wrong() {
        let end = |action, kind| Trap::EndDone { index: 1, action, kind };
        let busy = |action, kind| Trap::EndBusy { index: 1, action, kind };
        let in_set = |action, kind| Trap::InWaitableSet { index: 1, action, kind };
        let wrong = Trap::WrongHandle { index: 2, expected: StreamReadable, found: StreamWritable };
        for (trap, message) in [
            (Trap::CannotLeave, "cannot leave component instance"),
            (Trap::UnknownHandle(u32::MAX), "unknown handle index 4294967295"),
            (
                wrong,
                "handle index 2 used with the wrong type, expected readable stream end but found writable",
            ),
            (Trap::WrongElement(1), "handle index 1 used with the wrong type"),
            (Trap::CannotBlock, "cannot block a synchronous task before returning"),
            (Trap::CallbackCode(3), "unsupported callback code"),
            (Trap::NotSuspended(1), "cannot resume thread which is not suspended"),
            (Trap::SwitchToSelf(1), "cannot resume thread which is not suspended"),
            (Trap::SyncAndSet(1), "waitable cannot be used synchronously while added to a waitable set"),
            (Trap::SetHasWaiters(1), "cannot drop waitable set with waiters"),
            (Trap::SubtaskUnresolved(1), "cannot drop a subtask which has not yet resolved"),
            (Trap::BorrowsRemain(1), "borrow handles still remain at the end of the call"),
            (Trap::Lent { index: 1, lends: 1 }, "cannot remove owned resource while borrowed"),
            (Trap::FutureNotWritten(1), "cannot drop future write end without first writing a value"),
            (
                Trap::SameInstance,
                "cannot read from and write to intra-component future/stream with non-numeric payload",
            ),
            (
                end(Read, StreamReadable),
                "cannot read from stream after being notified that the writable end dropped",
            ),
            (
                end(Write, StreamWritable),
                "cannot write to stream after being notified that the readable end dropped",
            ),
            (
                end(Lift, StreamReadable),
                "cannot lift stream after being notified that the writable end dropped",
            ),
            (
                end(Forward, StreamWritable),
                "cannot forward stream after being notified that the readable end dropped",
            ),
            (end(Read, FutureReadable), "cannot read from future after previous read succeeded"),
            (end(Lift, FutureReadable), "cannot lift future after previous read succeeded"),
            (
                end(Write, FutureWritable),
                "cannot write to future after previous write succeeded or readable end dropped",
            ),
            (busy(Read, StreamReadable), "cannot have concurrent operations active on a future/stream"),
            (busy(Drop, StreamReadable), "cannot remove busy stream"),
            (busy(Drop, StreamWritable), "cannot drop busy stream"),
            (busy(Forward, FutureReadable), "cannot forward busy future"),
            (in_set(Lift, FutureReadable), "cannot lift future while it's in a waitable set"),
            (in_set(Forward, StreamWritable), "cannot forward stream while it's in a waitable set"),
        ] {
            assert!(trap.to_string().starts_with(message), "{trap}");
        }
    }
}
