//! Waiting, becoming ready, backpressure and the exclusive lock.

use super::support::*;
use crate::*;

#[test]
fn a_call_leaves_nothing_behind() {
    let (mut store, inst) = store();
    let (task, thread) = store.call(inst, true);
    assert_eq!(store.instance(inst).unwrap().exclusive_thread(), Some(thread));
    store.finish(task, thread);
    assert_eq!(store.census(), Census { instances: 1, ..Census::default() });
    assert_eq!(store.instance(inst).unwrap().charged_bytes(), 0);
    assert_eq!(store.task_return(task), Err(Trap::Gone(Entity::Task)));
}

#[test]
fn the_exclusive_lock_holds_up_the_next_call() {
    let (mut store, inst) = store();
    let (task, thread) = store.call(inst, true);
    let (task2, thread2, enter) = store.try_call(inst, true);
    assert_eq!(enter, Enter::MustWait);
    assert_eq!(store.next_ready(), None);
    store.finish(task, thread);
    assert_eq!(store.next_ready_in(inst), None, "a thread that has not entered is no candidate");
    assert_eq!(store.next_ready(), Some(thread2));
    assert!(matches!(store.finish_entering(task2, thread2), Ok(Entering::Entered)));
    store.task_start(task2).unwrap();
    store.finish(task2, thread2);
}
