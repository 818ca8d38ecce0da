//! Waitable sets: membership, fairness, waiters.

use super::support::*;
use crate::*;

fn pending_subtask(store: &mut TestStore, inst: InstanceId) -> u32 {
    let subtask = store.new_subtask(inst, "call").unwrap();
    let index = store.add_to_table(inst, subtask).unwrap();
    store.subtask_started(subtask).unwrap();
    index
}

#[test]
fn events_come_in_the_order_in_which_they_happened() {
    let (mut store, a, _) = store();
    let set = store.waitable_set_new(a).unwrap();
    let first = pending_subtask(&mut store, a);
    let second = pending_subtask(&mut store, a);
    let third = store.new_subtask(a, "call").unwrap();
    let third_index = store.add_to_table(a, third).unwrap();
    for index in [third_index, second, first] {
        store.waitable_join(a, index, set).unwrap();
    }
    store.subtask_started(third).unwrap();
    store.check_invariants();
    let mut delivered = Vec::new();
    while let Some(event) = store.poll(a, set).unwrap() {
        delivered.push(event.p1);
    }
    assert_eq!(delivered, [second, first, third_index]);
}

#[test]
fn a_waitable_takes_its_event_along() {
    let (mut store, a, _) = store();
    let (one, two) = (store.waitable_set_new(a).unwrap(), store.waitable_set_new(a).unwrap());
    let index = pending_subtask(&mut store, a);
    store.waitable_join(a, index, one).unwrap();
    store.waitable_join(a, index, two).unwrap();
    assert_eq!(store.poll(a, one), Ok(None));
    assert_eq!(store.waitable_set_drop(a, two), Err(Trap::SetNotEmpty(two)));
    store.waitable_set_drop(a, one).unwrap();
    store.waitable_join(a, index, 0).unwrap();
    assert_eq!(store.poll(a, two), Ok(None));
    store.waitable_join(a, index, two).unwrap();
    store.waitable_join(a, index, two).unwrap();
    assert!(store.poll(a, two).unwrap().is_some());
    store.check_invariants();
}

#[test]
fn a_set_with_waiters_stays() {
    let (mut store, a, _) = store();
    let (_, thread) = store.call(a, STACKFUL);
    let index = store.waitable_set_new(a).unwrap();
    let set = store.set_handle(a, index).unwrap();
    store.waits(thread, WaitFor::Set(set));
    assert_eq!(store.num_waiting(set), Ok(1));
    assert_eq!(store.waitable_set_drop(a, index), Err(Trap::SetHasWaiters(index)));
}

#[test]
fn each_waiter_gets_one_event() {
    let (mut store, a, _) = store();
    let index = store.waitable_set_new(a).unwrap();
    let set = store.set_handle(a, index).unwrap();
    let threads: Vec<_> = (0..3).map(|_| store.call(a, STACKFUL).1).collect();
    for thread in &threads {
        store.waits(*thread, WaitFor::Set(set));
    }
    let (one, two) = (pending_subtask(&mut store, a), pending_subtask(&mut store, a));
    store.waitable_join(a, two, index).unwrap();
    store.waitable_join(a, one, index).unwrap();
    store.check_invariants();
    for (thread, subtask) in [(threads[0], two), (threads[1], one)] {
        assert_eq!(store.next_ready(), Some(thread));
        assert_eq!(store.take_event(set).unwrap().unwrap().p1, subtask);
        store.check_invariants();
    }
    assert_eq!(store.next_ready(), None, "the events are gone");
    // The third waits on, and gets the next one.
    let three = pending_subtask(&mut store, a);
    store.waitable_join(a, three, index).unwrap();
    assert_eq!(store.next_ready(), Some(threads[2]));
}

#[test]
fn an_event_that_a_cancelled_waiter_leaves_goes_to_the_next() {
    let (mut store, a, _) = store();
    let index = store.waitable_set_new(a).unwrap();
    let (first_task, first) = store.call(a, CALLBACK);
    store.callback_returned(first, 2 | index << 4).unwrap();
    let (_, second) = store.call(a, CALLBACK);
    store.callback_returned(second, 2 | index << 4).unwrap();
    let subtask = pending_subtask(&mut store, a);
    store.waitable_join(a, subtask, index).unwrap();
    assert_eq!(store.request_cancellation(first_task), CancelOutcome::Resume(first));
    assert_eq!(store.take_callback_event(first), Ok(Event::TASK_CANCELLED));
    store.check_invariants();
    assert_eq!(store.next_ready(), None, "the lock is taken");
    store.callback_returned(first, 2 | index << 4).unwrap();
    store.check_invariants();
    assert_eq!(store.next_ready(), Some(second));
    assert_eq!(store.take_callback_event(second).unwrap().p1, subtask);
}

#[test]
fn an_event_can_be_polled_away_from_a_waiter() {
    let (mut store, a, _) = store();
    let index = store.waitable_set_new(a).unwrap();
    let set = store.set_handle(a, index).unwrap();
    let (_, thread) = store.call(a, STACKFUL);
    store.waits(thread, WaitFor::Set(set));
    let subtask = pending_subtask(&mut store, a);
    store.waitable_join(a, subtask, index).unwrap();
    assert_eq!(store.is_ready(thread), Ok(true));
    assert!(store.poll(a, index).unwrap().is_some());
    assert_eq!(store.is_ready(thread), Ok(false));
    assert_eq!(store.next_ready(), None);
    store.check_invariants();
}

#[test]
fn what_is_no_waitable_or_no_set_traps() {
    let (mut store, a, _) = store();
    let set = store.waitable_set_new(a).unwrap();
    let subtask = pending_subtask(&mut store, a);
    let wrong = |index, expected, found| Err(Trap::WrongHandle { index, expected, found });
    let join = store.waitable_join(a, set, set);
    assert_eq!(join, wrong(set, HandleKind::Waitable, HandleKind::WaitableSet));
    let join = store.waitable_join(a, subtask, subtask);
    assert_eq!(join, wrong(subtask, HandleKind::WaitableSet, HandleKind::Subtask));
    assert_eq!(store.waitable_join(a, subtask, 77), Err(Trap::UnknownHandle(77)));
    assert_eq!(store.waitable_join(a, 77, 0), Err(Trap::UnknownHandle(77)));
    assert_eq!(store.poll(a, 77), Err(Trap::UnknownHandle(77)));
    assert_eq!(store.waitable_set_drop(a, 77), Err(Trap::UnknownHandle(77)));
    store.check_invariants();
}
