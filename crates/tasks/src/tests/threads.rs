//! The thread built-ins.

use super::support::*;
use crate::*;

#[test]
fn a_new_thread_is_suspended_until_resumed() {
    let (mut store, a, _) = store();
    let (task, main) = store.call(a, STACKFUL);
    let (other, index) = store.thread_new(task, "other").unwrap();
    assert_eq!(store.thread_index(main), Ok(1));
    assert_eq!((store.thread_index(other), index), (Ok(2), 2));
    assert_eq!(store.next_ready(), None);
    store.thread_resume_later(a, index).unwrap();
    assert_eq!(store.thread_resume_later(a, index), Err(Trap::NotSuspended(index)));
    assert_eq!(store.next_ready(), Some(other));
    assert_eq!(store.thread_resume_later(a, index), Err(Trap::NotSuspended(index)));
    assert_eq!(store.thread_resume_later(a, 9), Err(Trap::UnknownThread(9)));
    assert_eq!(store.thread_resume_later(a, 0), Err(Trap::UnknownThread(0)));
    store.check_invariants();
}

#[test]
fn switching_to_a_suspended_thread() {
    let (mut store, a, _) = store();
    let (task, main) = store.call(a, STACKFUL);
    let (other, index) = store.thread_new(task, "other").unwrap();
    assert_eq!(store.thread_suspend_then_resume(main, index), Ok(other));
    assert_eq!(store.thread_state(main), Ok(ThreadState::Suspended));
    assert_eq!(store.next_ready(), None);
    let main_index = store.thread_index(main).unwrap();
    assert_eq!(store.thread_yield_then_resume(other, main_index), Ok(main));
    assert_eq!(store.thread_suspend_then_resume(main, index), Err(Trap::NotSuspended(index)));
    assert_eq!(store.thread_suspend_then_resume(main, main_index), Err(Trap::NotSuspended(main_index)));
    assert_eq!(store.next_ready(), Some(other));
    store.check_invariants();
}

#[test]
fn switching_to_a_ready_thread() {
    let (mut store, a, _) = store();
    let (task, main) = store.call(a, STACKFUL);
    let (other, index) = store.thread_new(task, "other").unwrap();
    let main_index = store.thread_index(main).unwrap();
    assert_eq!(store.thread_yield_then_promote(main, main_index), Err(Trap::SwitchToSelf(main_index)));
    assert_eq!(store.thread_suspend_then_promote(main, 9), Err(Trap::UnknownThread(9)));
    // Suspended is not ready: the thread just yields.
    assert_eq!(store.thread_yield_then_promote(main, index), Ok(None));
    assert_eq!(store.next_ready(), Some(main));
    store.thread_resume_later(a, index).unwrap();
    assert_eq!(store.thread_yield_then_promote(main, index), Ok(Some(other)));
    assert_eq!(store.thread_suspend_then_promote(other, main_index), Ok(Some(main)));
    assert_eq!(store.next_ready(), None);
    store.check_invariants();
}

#[test]
fn a_promoted_callback_takes_the_lock() {
    let (mut store, a, _) = store();
    let (_, callback) = store.call(a, CALLBACK);
    let index = store.thread_index(callback).unwrap();
    store.callback_returned(callback, 1).unwrap();
    let (_, main) = store.call(a, STACKFUL);
    assert_eq!(store.thread_yield_then_promote(main, index), Ok(Some(callback)));
    assert_eq!(store.instance(a).unwrap().exclusive_thread(), Some(callback));
    assert_eq!(store.take_callback_event(callback), Ok(Event::NONE));
    store.check_invariants();
}

#[test]
fn storage_is_per_thread() {
    let (mut store, a, _) = store();
    let (task, main) = store.call(a, STACKFUL);
    let (other, _) = store.thread_new(task, "other").unwrap();
    store.thread_storage(main).unwrap()[1] = 5;
    assert_eq!(store.thread_storage(main), Ok(&mut [0, 5]));
    assert_eq!(store.thread_storage(other), Ok(&mut [0, 0]));
}

#[test]
fn threads_built_ins_trap_inside_realloc() {
    let (mut store, a, _) = store();
    let (task, main) = store.call(a, STACKFUL);
    store.instance_mut(a).unwrap().door().set_may_leave(false);
    assert_eq!(store.thread_index(main), Err(Trap::CannotLeave));
    assert_eq!(store.thread_new(task, "other"), Err(Trap::CannotLeave));
    assert_eq!(store.thread_suspend(main), Err(Trap::CannotLeave));
    assert_eq!(store.thread_yield(main), Err(Trap::CannotLeave));
    assert_eq!(store.thread_resume_later(a, 1), Err(Trap::CannotLeave));
    assert_eq!(store.thread_suspend_then_resume(main, 1), Err(Trap::CannotLeave));
    assert_eq!(store.thread_yield_then_promote(main, 2), Err(Trap::CannotLeave));
}
