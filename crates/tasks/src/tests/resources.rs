//! Resource handles, lends and borrows, error contexts.

use std::sync::Arc;

use super::support::*;
use crate::*;

const RT: u8 = 1;

#[test]
fn own_handles_move() {
    let (mut store, a, b) = store();
    let index = store.resource_new(a, RT, 40).unwrap();
    assert_eq!(store.resource_rep(a, RT, index), Ok(40));
    let rep = store.lift_own(a, RT, index).unwrap();
    assert_eq!(store.resource_rep(a, RT, index), Err(Trap::UnknownHandle(index)));
    let there = store.lower_own(b, RT, rep).unwrap();
    assert_eq!(store.resource_drop(b, RT, there), Ok(Dropped::Own { rep: 40 }));
    assert_eq!(store.resource_drop(b, RT, there), Err(Trap::UnknownHandle(there)));
    store.check_invariants();
}

#[test]
fn resources_of_another_type_trap() {
    let (mut store, a, _) = store();
    let index = store.resource_new(a, RT, 40).unwrap();
    assert_eq!(store.resource_rep(a, RT + 1, index), Err(Trap::WrongResource(index)));
    assert_eq!(store.resource_drop(a, RT + 1, index), Err(Trap::WrongResource(index)));
    assert_eq!(store.lift_own(a, RT + 1, index), Err(Trap::WrongResource(index)));
    let mut lenders = Lenders::new();
    assert_eq!(store.lift_borrow(a, RT + 1, index, &mut lenders), Err(Trap::WrongResource(index)));
    let set = store.waitable_set_new(a).unwrap();
    let wrong =
        Trap::WrongHandle { index: set, expected: HandleKind::Resource, found: HandleKind::WaitableSet };
    assert_eq!(store.resource_rep(a, RT, set), Err(wrong));
    assert_eq!(store.lift_borrow(a, RT, set, &mut lenders), Err(wrong));
    assert_eq!(store.lift_borrow(a, RT, 99, &mut lenders), Err(Trap::UnknownHandle(99)));
    assert!(lenders.is_empty());
    store.check_invariants();
}

#[test]
fn a_lent_handle_stays() {
    let (mut store, a, _) = store();
    let index = store.resource_new(a, RT, 40).unwrap();
    let mut lenders = Lenders::new();
    assert_eq!(store.lift_borrow(a, RT, index, &mut lenders), Ok(40));
    assert_eq!(store.lift_borrow(a, RT, index, &mut lenders), Ok(40));
    assert_eq!(store.resource_drop(a, RT, index), Err(Trap::Lent { index, lends: 2 }));
    assert_eq!(store.lift_own(a, RT, index), Err(Trap::Lent { index, lends: 2 }));
    store.release_lenders(a, lenders);
    assert_eq!(store.lift_own(a, RT, index), Ok(40));
    store.check_invariants();
}

#[test]
fn lends_end_when_the_end_of_the_call_is_delivered() {
    let (mut store, a, _) = store();
    let index = store.resource_new(a, RT, 40).unwrap();
    let subtask = store.new_subtask(a, "call").unwrap();
    store.subtask_started(subtask).unwrap();
    store.lift_borrow(a, RT, index, subtask).unwrap();
    let mut before = Lenders::new();
    store.lift_borrow(a, RT, index, &mut before).unwrap();
    store.subtask_add_lenders(subtask, before).unwrap();
    let handle = store.add_to_table(a, subtask).unwrap();
    store.subtask_resolve(subtask, SubtaskState::Returned).unwrap();
    assert_eq!(store.resource_drop(a, RT, index), Err(Trap::Lent { index, lends: 2 }));
    let set = store.waitable_set_new(a).unwrap();
    store.waitable_join(a, handle, set).unwrap();
    store.check_invariants();
    assert!(store.poll(a, set).unwrap().is_some());
    assert_eq!(store.resource_drop(a, RT, index), Ok(Dropped::Own { rep: 40 }));
    assert!(matches!(store.lift_borrow(a, RT, index, subtask), Err(Trap::Misuse(_))));
    store.check_invariants();
}

#[test]
fn borrows_must_be_dropped_before_the_task_returns() {
    let (mut store, _, b) = store();
    let (task, thread) = store.call(b, STACKFUL);
    let one = store.lower_borrow(b, RT, 40, task).unwrap();
    let two = store.lower_borrow(b, RT, 41, task).unwrap();
    assert_eq!(store.lift_own(b, RT, one), Err(Trap::NotOwned(one)));
    assert_eq!(store.task_return(task), Err(Trap::BorrowsRemain(2)));
    // A borrow can be lent on, and stays meanwhile.
    let mut lenders = Lenders::new();
    assert_eq!(store.lift_borrow(b, RT, one, &mut lenders), Ok(40));
    assert_eq!(store.resource_drop(b, RT, one), Err(Trap::Lent { index: one, lends: 1 }));
    store.release_lenders(b, lenders);
    assert_eq!(store.resource_drop(b, RT, one), Ok(Dropped::Borrow));
    assert_eq!(store.task_return(task), Err(Trap::BorrowsRemain(1)));
    assert_eq!(store.resource_drop(b, RT, two), Ok(Dropped::Borrow));
    store.finish(task, thread);
}

fn sunk() -> ErrorContext<String> {
    ErrorContext { value: "sunk".into(), bytes: 4 }
}

#[test]
fn built_ins_trap_inside_realloc_and_post_return() {
    let (mut store, a, _) = store();
    let index = store.resource_new(a, RT, 40).unwrap();
    store.instance_mut(a).unwrap().door().set_may_leave(false);
    assert_eq!(store.resource_new(a, RT, 41), Err(Trap::CannotLeave));
    assert_eq!(store.resource_drop(a, RT, index), Err(Trap::CannotLeave));
    assert_eq!(store.resource_rep(a, RT, index), Ok(40), "resource.rep may be called there");
    assert_eq!(store.waitable_set_new(a), Err(Trap::CannotLeave));
    assert_eq!(store.stream_new(a, Type::Number), Err(Trap::CannotLeave));
    assert_eq!(store.error_context_new(a, sunk()), Err(Trap::CannotLeave));
    assert_eq!(store.subtask_drop(a, index), Err(Trap::CannotLeave));
    assert_eq!(store.waitable_join(a, index, 0), Err(Trap::CannotLeave));
}

#[test]
fn error_contexts_are_shared() {
    let (mut store, a, b) = store();
    let index = store.error_context_new(a, sunk()).unwrap();
    let context = store.lift_error_context(a, index).unwrap();
    let there = store.lower_error_context(b, context).unwrap();
    store.error_context_drop(a, index).unwrap();
    assert_eq!(store.lift_error_context(a, index), Err(Trap::UnknownHandle(index)));
    let context = store.lift_error_context(b, there).unwrap();
    assert_eq!(*context, sunk());
    store.error_context_drop(b, there).unwrap();
    assert_eq!(Arc::strong_count(&context), 1);
    let own = store.resource_new(a, RT, 40).unwrap();
    assert!(matches!(store.lift_error_context(a, own), Err(Trap::WrongHandle { .. })));
    assert!(matches!(store.error_context_drop(a, own), Err(Trap::WrongHandle { .. })));
}

#[test]
fn representations_may_take_64_bits() {
    let (mut store, a, b) = store();
    let wide = 0x1234_5678_9abc_def0;
    let before = store.instance(a).unwrap().charged_bytes();
    let narrow = store.resource_new(a, RT, 40).unwrap();
    let own = store.resource_new(a, RT, wide).unwrap();
    assert_eq!(store.resource_rep(a, RT, own), Ok(wide));
    assert_eq!(store.resource_rep(a, RT, narrow), Ok(40));
    store.check_invariants();
    let rep = store.lift_own(a, RT, own).unwrap();
    assert_eq!(rep, wide);
    // The next handle at that index has nothing of it.
    let next = store.resource_new(a, RT, 41).unwrap();
    assert_eq!((next, store.resource_rep(a, RT, next)), (own, Ok(41)));
    let own = store.lower_own(b, RT, wide).unwrap();
    store.check_invariants();
    assert_eq!(store.resource_drop(b, RT, own), Ok(Dropped::Own { rep: wide }));
    for index in [narrow, next] {
        store.resource_drop(a, RT, index).unwrap();
    }
    assert_eq!(store.instance(a).unwrap().charged_bytes(), before);
    // What an instance leaves behind is whole.
    store.resource_new(a, RT, wide).unwrap();
    let removed = store.remove_instance(a).unwrap();
    assert_eq!(removed.resources.iter().map(|resource| resource.rep).collect::<Vec<_>>(), [wide]);
}
