//! Cancelling subtasks and tasks, at every point.

use super::support::*;
use crate::*;

/// A call from A to B that has blocked: the callee's task and thread, the caller's subtask and handle.
fn blocked_call(store: &mut TestStore, a: InstanceId, b: InstanceId) -> (TaskId, ThreadId, SubtaskId, u32) {
    let subtask = store.new_subtask(a, "call").unwrap();
    let (task, thread, enter) = store.try_call(b, CALLBACK);
    if enter == Enter::Entered {
        store.subtask_started(subtask).unwrap();
    }
    let index = store.add_to_table(a, subtask).unwrap();
    (task, thread, subtask, index)
}

#[test]
fn before_it_has_started() {
    let (mut store, a, b) = store();
    store.backpressure_inc(b).unwrap();
    let (task, thread, subtask, index) = blocked_call(&mut store, a, b);
    assert_eq!(store.subtask_cancel(a, index), Ok(SubtaskCancel::Request(subtask)));
    assert_eq!(store.request_cancellation(task), CancelOutcome::NotStarted(thread));
    let Ok(Entering::Cancelled(exit)) = store.finish_entering(task, thread) else { panic!() };
    assert_eq!((exit.thread, exit.task), ("thread", Some("task")));
    store.subtask_resolve(subtask, SubtaskState::CancelledBeforeStarted).unwrap();
    let state = SubtaskState::CancelledBeforeStarted;
    assert_eq!(store.finish_subtask_cancel(subtask, true), Ok(Some(state)));
    assert_eq!(store.subtask_drop(a, index), Ok("call"));
    assert_eq!(store.instance(b).unwrap().num_waiting_to_enter(), 0);
    assert_eq!(store.request_cancellation(task), CancelOutcome::Resolved);
    store.check_invariants();
}

#[test]
fn a_waiting_callback_is_told_at_once() {
    let (mut store, a, b) = store();
    let (task, thread, subtask, index) = blocked_call(&mut store, a, b);
    let set = store.waitable_set_new(b).unwrap();
    assert_eq!(store.callback_returned(thread, 2 | set << 4), Ok(CallbackStep::Wait));
    assert_eq!(store.subtask_cancel(a, index), Ok(SubtaskCancel::Request(subtask)));
    assert_eq!(store.request_cancellation(task), CancelOutcome::Resume(thread));
    assert_eq!(store.task_cancel(task), Err(Trap::CancelNotDelivered));
    assert_eq!(store.take_callback_event(thread), Ok(Event::TASK_CANCELLED));
    store.task_cancel(task).unwrap();
    store.subtask_resolve(subtask, SubtaskState::CancelledBeforeReturned).unwrap();
    let state = SubtaskState::CancelledBeforeReturned;
    assert_eq!(store.finish_subtask_cancel(subtask, false), Ok(Some(state)));
    assert_eq!(store.subtask_cancel(a, index), Err(Trap::SubtaskResolved(index)));
    assert!(store.exit_implicit_thread(task, thread).unwrap().task.is_some());
    store.check_invariants();
}

#[test]
fn the_lock_delays_it() {
    let (mut store, a, b) = store();
    let (task, thread, _, index) = blocked_call(&mut store, a, b);
    assert_eq!(store.callback_returned(thread, 1), Ok(CallbackStep::Wait));
    let (other, other_thread) = store.call(b, CALLBACK);
    store.subtask_cancel(a, index).unwrap();
    assert_eq!(store.request_cancellation(task), CancelOutcome::Pending);
    assert_eq!(store.next_ready(), None);
    store.finish(other, other_thread);
    assert_eq!(store.next_ready(), Some(thread));
    assert_eq!(store.take_callback_event(thread), Ok(Event::TASK_CANCELLED));
}

#[test]
fn a_running_task_hears_of_it_at_its_next_turn() {
    let (mut store, a, b) = store();
    let (task, thread, subtask, index) = blocked_call(&mut store, a, b);
    let (_, blocked) = store.call(b, STACKFUL);
    store.waits(blocked, WaitFor::Ready);
    store.subtask_cancel(a, index).unwrap();
    // The callee's own thread is not ready; another of its instance is, and runs.
    assert_eq!(store.request_cancellation(task), CancelOutcome::Resume(blocked));
    assert_eq!(store.finish_subtask_cancel(subtask, true), Ok(None));
    assert_eq!(store.subtask_cancel(a, index), Err(Trap::SubtaskCancelled(index)));
    let event = CallbackStep::Call(Event::TASK_CANCELLED);
    assert_eq!(store.callback_returned(thread, 1), Ok(event), "instead of yielding");
    // It may return a value all the same.
    store.task_return(task).unwrap();
    store.subtask_resolve(subtask, SubtaskState::Returned).unwrap();
    assert_eq!(store.task_cancel(task), Err(Trap::CancelNotDelivered));
    assert_eq!(store.task_return(task), Err(Trap::AlreadyResolved));
    let set = store.waitable_set_new(a).unwrap();
    store.waitable_join(a, index, set).unwrap();
    assert_eq!(store.poll(a, set).unwrap().unwrap().p2, SubtaskState::Returned as u32);
    store.check_invariants();
}

#[test]
fn synchronously_it_waits_for_the_end() {
    let (mut store, a, b) = store();
    let (_, caller) = store.call(a, STACKFUL);
    let (task, thread, subtask, index) = blocked_call(&mut store, a, b);
    store.subtask_cancel(a, index).unwrap();
    assert_eq!(store.request_cancellation(task), CancelOutcome::Pending);
    assert_eq!(store.finish_subtask_cancel(subtask, false), Ok(None));
    store.waits(caller, WaitFor::SubtaskResolved(subtask));
    let set = store.waitable_set_new(a).unwrap();
    assert_eq!(store.waitable_join(a, index, set), Err(Trap::SyncAndSet(index)), "it would steal the event");
    store.task_return(task).unwrap();
    store.subtask_resolve(subtask, SubtaskState::Returned).unwrap();
    assert_eq!(store.next_ready(), Some(caller));
    assert_eq!(store.finish_subtask_cancel(subtask, false), Ok(Some(SubtaskState::Returned)));
    store.waitable_join(a, index, set).unwrap();
    assert!(store.exit_implicit_thread(task, thread).unwrap().task.is_some());
    store.check_invariants();
}

#[test]
fn a_resolved_subtask_is_delivered_by_it() {
    let (mut store, a, b) = store();
    let (task, _, subtask, index) = blocked_call(&mut store, a, b);
    store.task_return(task).unwrap();
    store.subtask_resolve(subtask, SubtaskState::Returned).unwrap();
    assert_eq!(store.subtask_cancel(a, index), Ok(SubtaskCancel::Resolved(SubtaskState::Returned)));
    assert_eq!(store.subtask_cancel(a, index), Err(Trap::SubtaskResolved(index)));
    assert_eq!(store.subtask_drop(a, index), Ok("call"));
}

#[test]
fn not_while_in_a_set() {
    let (mut store, a, b) = store();
    let (_, _, _, index) = blocked_call(&mut store, a, b);
    let set = store.waitable_set_new(a).unwrap();
    store.waitable_join(a, index, set).unwrap();
    assert_eq!(store.subtask_cancel(a, index), Err(Trap::SyncAndSet(index)));
}

#[test]
fn the_last_thread_may_not_exit_unresolved() {
    let (mut store, _, b) = store();
    let (task, thread) = store.call(b, STACKFUL);
    let (explicit, _) = store.thread_new(task, "explicit").unwrap();
    assert!(store.exit_implicit_thread(task, explicit).is_err());
    assert!(store.exit_implicit_thread(task, thread).unwrap().task.is_none());
    assert!(matches!(store.unregister_thread(explicit), Err(Trap::NeverReturned)));
    store.task_return(task).unwrap();
    assert_eq!(store.unregister_thread(explicit).unwrap().task, Some("task"));
    store.check_invariants();
}
