//! Waiting, becoming ready, backpressure and the exclusive lock.

use super::support::*;
use crate::*;

#[test]
fn a_call_leaves_nothing_behind() {
    let (mut store, a, _) = store();
    let (task, thread) = store.call(a, CALLBACK);
    assert_eq!(store.instance(a).unwrap().exclusive_thread(), Some(thread));
    store.finish(task, thread);
    assert_eq!(store.census(), Census { instances: 2, ..Census::default() });
    assert_eq!(store.instance(a).unwrap().charged_bytes(), 0);
    assert_eq!(store.task_state(task), TaskState::Resolved);
    assert_eq!(store.task_return(task), Err(Trap::Gone(Entity::Task)));
}

#[test]
fn the_exclusive_lock_holds_up_the_next_call() {
    let (mut store, a, _) = store();
    let (task, thread) = store.call(a, CALLBACK);
    let (task2, thread2, enter) = store.try_call(a, CALLBACK);
    assert_eq!(enter, Enter::MustWait);
    assert_eq!(store.next_ready(), None);
    store.finish(task, thread);
    assert_eq!(store.next_ready_in(a), None, "a thread that has not entered is no candidate");
    assert_eq!(store.next_ready(), Some(thread2));
    store.enter(task2, thread2);
    store.finish(task2, thread2);
}

#[test]
fn a_stackful_call_ignores_the_lock_but_not_the_queue() {
    let (mut store, a, _) = store();
    let (_, _) = store.call(a, CALLBACK);
    let (stackful, thread) = store.call(a, STACKFUL);
    store.finish(stackful, thread);
    let (_, _, enter) = store.try_call(a, CALLBACK);
    assert_eq!(enter, Enter::MustWait);
    // Residual backpressure: somebody waits, so the newcomer waits for its turn, if only for a moment.
    let (stackful, thread, enter) = store.try_call(a, STACKFUL);
    assert_eq!(enter, Enter::MustWait);
    assert_eq!(store.next_ready(), Some(thread));
    store.enter(stackful, thread);
}

#[test]
fn a_sync_typed_call_ignores_backpressure() {
    let (mut store, a, _) = store();
    store.call(a, CALLBACK);
    store.backpressure_inc(a).unwrap();
    let (task, thread, enter) = store.begin_task(a, false, true, "task", "thread").unwrap();
    assert_eq!(enter, Enter::Entered);
    store.task_start(task).unwrap();
    store.finish(task, thread);
}

#[test]
fn lifting_backpressure_lets_in_one_after_the_other() {
    let (mut store, a, _) = store();
    store.backpressure_inc(a).unwrap();
    let (task1, thread1, _) = store.try_call(a, STACKFUL);
    let (task2, thread2, _) = store.try_call(a, STACKFUL);
    assert_eq!(store.instance(a).unwrap().num_waiting_to_enter(), 2);
    assert_eq!(store.next_ready(), None);
    store.backpressure_dec(a).unwrap();
    assert_eq!(store.next_ready(), Some(thread1));
    store.enter(task1, thread1);
    // Raised again, it holds up also those that were let in but have not started.
    store.backpressure_inc(a).unwrap();
    assert_eq!(store.next_ready(), None);
    store.backpressure_dec(a).unwrap();
    assert_eq!(store.next_ready(), Some(thread2));
    store.enter(task2, thread2);
    assert_eq!(store.next_ready(), None);
}

#[test]
fn the_backpressure_counter_has_16_bits() {
    let (mut store, a, _) = store();
    assert_eq!(store.backpressure_dec(a), Err(Trap::BackpressureUnderflow));
    for _ in 0..u16::MAX {
        store.backpressure_inc(a).unwrap();
    }
    assert_eq!(store.backpressure_inc(a), Err(Trap::BackpressureOverflow));
}

#[test]
fn yielding_threads_take_turns() {
    let (mut store, a, b) = store();
    let threads: Vec<_> = [a, b, a].into_iter().map(|inst| store.call(inst, STACKFUL).1).collect();
    for _ in 0..3 {
        for thread in &threads {
            if store.thread_state(*thread) == Ok(ThreadState::Running) {
                store.waits(*thread, WaitFor::Ready);
            }
        }
        for thread in &threads {
            assert_eq!(store.next_ready(), Some(*thread));
        }
        assert_eq!(store.next_ready(), None);
    }
}

#[test]
fn a_callback_waits_for_the_lock() {
    let (mut store, a, _) = store();
    let (_, first) = store.call(a, CALLBACK);
    assert_eq!(store.callback_returned(first, 1), Ok(CallbackStep::Wait));
    let (task, second) = store.call(a, CALLBACK);
    assert_eq!(store.next_ready(), None, "the lock is taken");
    assert_eq!(store.callback_returned(second, 1), Ok(CallbackStep::Wait));
    assert_eq!(store.next_ready(), Some(first));
    assert_eq!(store.instance(a).unwrap().exclusive_thread(), Some(first));
    assert_eq!(store.take_callback_event(first), Ok(Event::NONE));
    assert_eq!(store.next_ready(), None);
    assert_eq!(store.callback_returned(first, 1), Ok(CallbackStep::Wait));
    assert_eq!(store.next_ready(), Some(second));
    assert_eq!(store.take_callback_event(second), Ok(Event::NONE));
    store.finish(task, second);
    assert_eq!(store.next_ready(), Some(first));
    store.check_invariants();
}

#[test]
fn the_lock_goes_in_turn_to_callbacks_and_to_new_calls() {
    let (mut store, a, _) = store();
    let mut callbacks = Vec::new();
    for _ in 0..4 {
        let (_, thread) = store.call(a, CALLBACK);
        store.callback_returned(thread, 1).unwrap();
        callbacks.push(thread);
    }
    let (task, thread) = store.call(a, CALLBACK);
    assert_eq!(store.next_ready(), None);
    for _ in 0..4 {
        assert_eq!(store.try_call(a, CALLBACK).2, Enter::MustWait);
    }
    store.finish(task, thread);
    // Each holder keeps the lock until it exits.
    let mut order = String::new();
    while let Some(thread) = store.next_ready() {
        let (task, _) = store.thread_scope(thread).unwrap();
        if callbacks.contains(&thread) {
            order.push('c');
            store.take_callback_event(thread).unwrap();
        } else {
            order.push('n');
            store.enter(task, thread);
        }
        assert_eq!(store.next_ready(), None, "the lock is taken");
        store.finish(task, thread);
    }
    assert!(order == "cncncncn" || order == "ncncncnc", "{order}");
}

/// Three callbacks that yielded, each in the gate because a fourth holds the lock.
fn gated(store: &mut TestStore, a: InstanceId) -> (Vec<ThreadId>, TaskId, ThreadId) {
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (_, thread) = store.call(a, CALLBACK);
            store.callback_returned(thread, 1).unwrap();
            thread
        })
        .collect();
    let (task, thread) = store.call(a, CALLBACK);
    assert_eq!(store.next_ready(), None);
    (threads, task, thread)
}

#[test]
fn who_finds_the_lock_taken_keeps_its_turn() {
    let (mut store, a, _) = store();
    let (threads, task, thread) = gated(&mut store, a);
    store.finish(task, thread);
    // The first is offered the lock, but a new call is quicker.
    let (task, thread) = store.call(a, CALLBACK);
    assert_eq!(store.next_ready(), None);
    store.finish(task, thread);
    for thread in threads {
        assert_eq!(store.next_ready(), Some(thread));
        store.take_callback_event(thread).unwrap();
        let (task, _) = store.thread_scope(thread).unwrap();
        store.finish(task, thread);
    }
}

#[test]
fn the_lock_is_offered_on_if_the_first_has_no_use_for_it() {
    let (mut store, a, _) = store();
    let set = store.waitable_set_new(a).unwrap();
    let (_, first) = store.call(a, CALLBACK);
    store.callback_returned(first, 2 | set << 4).unwrap();
    let (_, second) = store.call(a, CALLBACK);
    store.callback_returned(second, 1).unwrap();
    let (task, holder) = store.call(a, CALLBACK);
    // The event readies the first, then goes elsewhere.
    let subtask = store.new_subtask(a, "call").unwrap();
    let index = store.add_to_table(a, subtask).unwrap();
    store.subtask_started(subtask).unwrap();
    store.waitable_join(a, index, set).unwrap();
    assert_eq!(store.next_ready(), None);
    let (_, third) = store.call(a, STACKFUL);
    store.finish(task, holder);
    assert!(store.poll(a, set).unwrap().is_some());
    store.check_invariants();
    assert_eq!(store.next_ready(), Some(second));
    store.waits(third, WaitFor::Ready);
}

#[test]
fn an_unknown_callback_code_traps() {
    let (mut store, a, _) = store();
    let (_, thread) = store.call(a, CALLBACK);
    assert_eq!(store.callback_returned(thread, 3), Err(Trap::CallbackCode(3)));
    assert_eq!(store.callback_returned(thread, 0x2f), Err(Trap::CallbackCode(15)));
    assert_eq!(store.callback_returned(thread, 2 | 9 << 4), Err(Trap::UnknownHandle(9)));
    assert_eq!(store.callback_returned(thread, 0), Ok(CallbackStep::Exit));
}

#[test]
fn ten_thousand_waiting_threads_are_not_scanned() {
    let (mut store, a, _) = store();
    let set = store.waitable_set_new(a).unwrap();
    let set = store.set_handle(a, set).unwrap();
    let (_, lock_holder) = store.call(a, CALLBACK);
    let mut subtasks = Vec::new();
    for n in 0..10_000 {
        if n % 4 == 1 {
            // Waits to enter: the lock is taken.
            let (.., enter) = store.begin_task(a, true, true, "task", "thread").unwrap();
            assert_eq!(enter, Enter::MustWait);
            continue;
        }
        let (_, thread) = store.begin_entered(a, true, false, "task", "thread").unwrap();
        match n % 4 {
            0 => store.start_waiting(thread, WaitFor::Set(set)).unwrap(),
            2 => store.start_waiting(thread, WaitFor::CallbackYield).unwrap(),
            _ => {
                let subtask = store.new_subtask(a, "subtask").unwrap();
                store.subtask_started(subtask).unwrap();
                store.start_waiting(thread, WaitFor::SubtaskResolved(subtask)).unwrap();
                subtasks.push((subtask, thread));
            }
        }
    }
    store.asked.set(0);
    for (subtask, thread) in &subtasks {
        store.subtask_resolve(*subtask, SubtaskState::Returned).unwrap();
        assert_eq!(store.next_ready(), Some(*thread));
    }
    assert!(store.asked.get() <= 2 * subtasks.len() as u64, "asked {} times", store.asked.get());
    store.asked.set(0);
    for _ in 0..1000 {
        store.release_exclusive_of(a, lock_holder);
        let thread = store.next_ready().unwrap();
        let (task, _) = store.thread_scope(thread).unwrap();
        match store.finish_entering(task, thread) {
            Ok(Entering::Entered) => store.release_exclusive(task).unwrap(),
            _ => {
                store.take_callback_event(thread).unwrap();
                store.release_exclusive_of(a, thread);
            }
        }
    }
    assert!(store.asked.get() <= 8000, "asked {} times", store.asked.get());
}

/// What compiled code does for a call that needs no thread.
fn lock(store: &TestStore, inst: InstanceId) {
    let door = store.instance(inst).unwrap().door();
    assert!(!door.has(Door::LOCKED | Door::HELD_BACK | Door::DEAD));
    door.set(Door::LOCKED, true);
}

#[test]
fn a_lock_without_a_thread_holds_up_calls_and_callbacks() {
    let (mut store, a, _) = store();
    let (task, thread) = store.call(a, CALLBACK);
    store.waits(thread, WaitFor::CallbackYield);
    lock(&store, a);
    let (task2, thread2, enter) = store.try_call(a, CALLBACK);
    assert_eq!(enter, Enter::MustWait);
    assert_eq!(store.next_ready(), None, "the callback lacks the lock");
    store.check_invariants();
    let door = store.instance(a).unwrap().door().clone();
    assert!(door.has(Door::GATED) && door.has(Door::HELD_BACK));
    let (stackful, thread3, enter) = store.try_call(a, STACKFUL);
    assert_eq!(enter, Enter::MustWait, "others wait");

    store.unlock(a).unwrap();
    store.check_invariants();
    let mut order = Vec::new();
    while let Some(next) = store.next_ready() {
        order.push(next);
        match next {
            _ if next == thread => {
                assert_eq!(store.take_callback_event(thread), Ok(Event::NONE));
                store.finish(task, thread);
            }
            _ if next == thread2 => {
                store.enter(task2, thread2);
                store.finish(task2, thread2);
            }
            _ => {
                store.enter(stackful, thread3);
                store.finish(stackful, thread3);
            }
        }
    }
    assert_eq!(order.len(), 3);
    assert!(!door.has(Door::GATED | Door::HELD_BACK | Door::LOCKED));
}

#[test]
fn a_thread_that_is_asked_for_takes_the_lock_over() {
    let (mut store, a, _) = store();
    lock(&store, a);
    let (task, thread) = store.begin_entered(a, true, CALLBACK, "task", "thread").unwrap();
    store.check_invariants();
    assert_eq!(store.instance(a).unwrap().exclusive_thread(), Some(thread));
    assert_eq!(store.task_state(task), TaskState::Started);
    assert_eq!(store.unlock(a), Err(Trap::Misuse("a thread has the exclusive lock")));
    assert_eq!(store.try_call(a, CALLBACK).2, Enter::MustWait);
    store.waits(thread, WaitFor::CallbackYield);
    assert!(store.next_ready().is_some());

    let (mut store, a, _) = super::support::store();
    let (task, thread) = store.begin_entered(a, true, STACKFUL, "task", "thread").unwrap();
    assert_eq!(store.instance(a).unwrap().exclusive_thread(), None);
    store.finish(task, thread);
    assert_eq!(store.instance(a).unwrap().charged_bytes(), 0);
}

#[test]
fn nobody_takes_a_lock_over_that_another_thread_has() {
    let (mut store, a, _) = store();
    store.call(a, CALLBACK);
    assert!(store.begin_entered(a, true, CALLBACK, "task", "thread").is_err());
    store.begin_entered(a, false, false, "task", "thread").unwrap();
}

#[test]
fn who_waits_for_nobody_goes_on_at_once() {
    let (mut store, a, b) = store();
    let (task, thread) = store.call(a, CALLBACK);
    let yields = |store: &mut Store<_>, thread| store.take_event_at_once(thread, CallbackCode::Yield);
    assert_eq!(yields(&mut store, thread), Ok(Some(Event::NONE)));
    assert_eq!(store.take_event_at_once(thread, CallbackCode::Exit), Ok(None));
    let (_, other) = store.call(b, CALLBACK);
    store.waits(other, WaitFor::CallbackYield);
    assert_eq!(yields(&mut store, thread), Ok(None), "another thread is ready");
    assert!(store.resume_if_next(other) && !store.resume_if_next(other));
    assert_eq!(yields(&mut store, thread), Ok(Some(Event::NONE)));
    let (_, entering, _) = store.try_call(a, CALLBACK);
    assert_eq!(yields(&mut store, thread), Ok(None), "another call wants the lock");
    assert!(!store.resume_if_next(entering));
    store.finish(task, thread);
    assert!(store.resume_if_next(entering));

    let (task, thread) = store.call(b, STACKFUL);
    assert_eq!(yields(&mut store, thread), Ok(Some(Event::NONE)));
    store.request_cancellation(task);
    assert_eq!(yields(&mut store, thread), Ok(None), "there is a cancellation to deliver");
}

#[test]
fn events_that_are_there_are_taken_at_once() {
    let (mut store, a, _) = store();
    let (_, thread) = store.call(a, CALLBACK);
    let set = store.waitable_set_new(a).unwrap();
    let wait = CallbackCode::Wait(set);
    assert_eq!(store.take_event_at_once(thread, wait), Ok(None), "nothing has come");
    let subtask = store.new_subtask(a, "subtask").unwrap();
    store.subtask_started(subtask).unwrap();
    let index = store.add_to_table(a, subtask).unwrap();
    store.waitable_join(a, index, set).unwrap();
    assert_eq!(store.take_event_at_once(thread, wait), Ok(None), "nor now");
    store.subtask_resolve(subtask, SubtaskState::Returned).unwrap();
    let event = Event { code: EventCode::Subtask, p1: index, p2: SubtaskState::Returned as u32 };
    assert_eq!(store.take_event_at_once(thread, wait), Ok(Some(event)));
    assert_eq!(store.take_event_at_once(thread, wait), Ok(None), "an event comes once");
    assert_eq!(store.take_event_at_once(thread, CallbackCode::Wait(index)).ok(), None, "this is no set");
    store.check_invariants();
}
