//! Subtasks: their progress, its delivery, and dropping them.

use super::support::*;
use crate::*;

#[test]
fn a_call_that_returns_at_once_needs_no_handle() {
    let (mut store, a, _) = store();
    let subtask = store.new_subtask(a, "call").unwrap();
    assert!(matches!(store.finish_subtask(subtask), Err(Trap::Misuse(_))));
    store.subtask_started(subtask).unwrap();
    store.subtask_resolve(subtask, SubtaskState::Returned).unwrap();
    assert_eq!(store.finish_subtask(subtask), Ok((SubtaskState::Returned, "call")));
    assert_eq!(store.subtask_state(subtask), Err(Trap::Gone(Entity::Subtask)));
    assert_eq!(store.instance(a).unwrap().charged_bytes(), 0);
}

#[test]
fn progress_is_delivered_with_the_state_of_the_moment() {
    let (mut store, a, _) = store();
    let set = store.waitable_set_new(a).unwrap();
    let subtask = store.new_subtask(a, "call").unwrap();
    let index = store.add_to_table(a, subtask).unwrap();
    store.waitable_join(a, index, set).unwrap();
    let event = |state| Event { code: EventCode::Subtask, p1: index, p2: state as u32 };
    assert_eq!(store.poll(a, set), Ok(None));
    store.subtask_started(subtask).unwrap();
    assert_eq!(store.poll(a, set), Ok(Some(event(SubtaskState::Started))));
    assert_eq!(store.poll(a, set), Ok(None));
    store.subtask_resolve(subtask, SubtaskState::Returned).unwrap();
    assert_eq!(store.subtask_drop(a, index), Err(Trap::SubtaskUnresolved(index)), "not delivered yet");
    assert_eq!(store.poll(a, set), Ok(Some(event(SubtaskState::Returned))));
    assert_eq!(store.subtask_drop(a, index), Ok("call"));
    store.check_invariants();

    // Started and returned before anybody looked: one event.
    let subtask = store.new_subtask(a, "call").unwrap();
    let index = store.add_to_table(a, subtask).unwrap();
    store.subtask_started(subtask).unwrap();
    store.subtask_resolve(subtask, SubtaskState::Returned).unwrap();
    store.waitable_join(a, index, set).unwrap();
    let event = Event { code: EventCode::Subtask, p1: index, p2: SubtaskState::Returned as u32 };
    assert_eq!(store.poll(a, set), Ok(Some(event)));
    assert_eq!(store.poll(a, set), Ok(None));
    store.check_invariants();
}

#[test]
fn a_subtask_resolves_once_to_what_fits() {
    let (mut store, a, _) = store();
    let subtask = store.new_subtask(a, "call").unwrap();
    assert!(matches!(store.subtask_resolve(subtask, SubtaskState::Returned), Err(Trap::Misuse(_))));
    store.subtask_started(subtask).unwrap();
    assert!(matches!(store.subtask_started(subtask), Err(Trap::Misuse(_))));
    let before = SubtaskState::CancelledBeforeStarted;
    assert!(matches!(store.subtask_resolve(subtask, before), Err(Trap::Misuse(_))));
    store.subtask_resolve(subtask, SubtaskState::CancelledBeforeReturned).unwrap();
    assert!(matches!(store.subtask_resolve(subtask, SubtaskState::Returned), Err(Trap::Misuse(_))));
    assert!(matches!(store.add_to_table(a, subtask), Err(Trap::Misuse(_))));
}

#[test]
fn a_synchronous_caller_waits_for_the_end() {
    let (mut store, a, _) = store();
    let (_, thread) = store.call(a, STACKFUL);
    let subtask = store.new_subtask(a, "call").unwrap();
    store.waits(thread, WaitFor::SubtaskResolved(subtask));
    store.subtask_started(subtask).unwrap();
    assert_eq!(store.next_ready(), None);
    store.subtask_resolve(subtask, SubtaskState::Returned).unwrap();
    assert_eq!(store.next_ready(), Some(thread));
    assert_eq!(store.finish_subtask(subtask), Ok((SubtaskState::Returned, "call")));
}

#[test]
fn handles_of_other_kinds_trap() {
    let (mut store, a, _) = store();
    let set = store.waitable_set_new(a).unwrap();
    let wrong =
        Trap::WrongHandle { index: set, expected: HandleKind::Subtask, found: HandleKind::WaitableSet };
    assert_eq!(store.subtask_drop(a, set), Err(wrong));
    assert_eq!(store.subtask_cancel(a, set), Err(wrong));
    assert_eq!(store.subtask_cancel(a, 0), Err(Trap::UnknownHandle(0)));
}
