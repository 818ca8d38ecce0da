//! Instances: ending them at any time, limits and budgets, ids that outlive what they name.

use super::support::*;
use crate::*;

#[test]
fn an_instance_ends_with_all_it_holds() {
    let (mut store, a, b) = store();
    store.resource_new(a, 1, 40).unwrap();
    let (task, thread) = store.call(a, CALLBACK);
    store.lower_borrow(a, 1, 41, task).unwrap();
    let set = store.waitable_set_new(a).unwrap();
    let (w, r) = store.stream(a, b, Type::Number);
    store.waitable_join(a, w, set).unwrap();
    store.guest_copy(a, w, WRITE, Type::Number, 3).unwrap();
    let subtask = store.new_subtask(a, "call").unwrap();
    let index = store.add_to_table(a, subtask).unwrap();
    store.waitable_join(a, index, set).unwrap();
    store.callback_returned(thread, 2 | set << 4).unwrap();
    let (waiting, waiting_thread, enter) = store.try_call(a, STACKFUL);
    assert_eq!(enter, Enter::Entered);
    store.waits(waiting_thread, WaitFor::Ready);

    let removed = store.remove_instance(a).unwrap();
    store.check_invariants();
    assert_eq!(removed.data, "A");
    assert_eq!(removed.resources, [RemovedResource { ty: 1, rep: 40, lent: false }]);
    assert_eq!(removed.tasks, [(task, "task"), (waiting, "task")]);
    assert_eq!(removed.threads, [(thread, task, "thread"), (waiting_thread, waiting, "thread")]);
    assert_eq!(removed.subtasks, [(subtask, "call")]);
    assert_eq!(store.next_ready(), None);
    // The others go on, and see that the writer is gone.
    let read = store.guest_copy(b, r, READ, Type::Number, 1);
    assert_eq!(read, Ok(Copied::Done(CopyResult::Dropped, 0)));
    assert_eq!(store.census(), Census { instances: 1, ends: 1, ..Census::default() });
    assert!(matches!(store.remove_instance(a), Err(Trap::Gone(Entity::Instance))));
}

#[test]
fn a_million_instances_leave_the_store_flat() {
    let (mut store, _, b) = store();
    for _ in 0..1000 {
        let inst = store.new_instance("C", Limits::default()).unwrap();
        let (_, thread) = store.call(inst, STACKFUL);
        store.stream(inst, b, Type::Number);
        store.waits(thread, WaitFor::Ready);
        store.remove_instance(inst).unwrap();
        for index in 1..=store.instance(b).unwrap().handle_count() {
            store.end_drop(b, index, READ, &Type::Number).unwrap();
        }
    }
    assert_eq!(store.census(), Census { instances: 2, ..Census::default() });
    assert_eq!(store.instance(b).unwrap().charged_bytes(), 0);
}

#[test]
fn an_instance_can_end_during_a_transfer() {
    let (mut store, a, b) = store();
    let (w, r) = store.stream(a, b, Type::Number);
    store.guest_copy(b, r, READ, Type::Number, 3).unwrap();
    let end = store.end_to_copy(a, w, WRITE, &Type::Number, true).unwrap();
    let Ok(CopyStep::Transfer(transfer)) = store.copy(end, elements(2)) else { panic!() };
    // The reader's realloc traps.
    store.remove_instance(b).unwrap();
    let Ok(CopyStep::Done(delivered)) = store.abandon_transfer(transfer) else { panic!() };
    assert_eq!(Copied::from(delivered), Copied::Done(CopyResult::Dropped, 0));
    store.check_invariants();

    let inst = store.new_instance("C", Limits::default()).unwrap();
    let (w, r) = store.stream(a, inst, Type::Number);
    store.guest_copy(inst, r, READ, Type::Number, 3).unwrap();
    let end = store.end_to_copy(a, w, WRITE, &Type::Number, true).unwrap();
    let Ok(CopyStep::Transfer(transfer)) = store.copy(end, elements(2)) else { panic!() };
    store.remove_instance(inst).unwrap();
    let Ok(CopyStep::Done(delivered)) = store.finish_transfer(transfer) else { panic!() };
    assert_eq!(Copied::from(delivered), Copied::Done(CopyResult::Dropped, 0));
    store.check_invariants();
}

#[test]
fn tables_are_limited() {
    let mut store = TestStore::new();
    let limits = Limits { handles: 2, threads: 1, tasks: 2, bytes: u64::MAX };
    let inst = store.new_instance("A", limits).unwrap();
    assert_eq!(store.instance(inst).unwrap().limits(), limits);
    store.resource_new(inst, 1, 1).unwrap();
    assert_eq!(store.stream_new(inst, Type::Number), Err(Trap::HandleLimit(2)));
    assert_eq!(store.census().ends, 0, "half a stream is none");
    store.waitable_set_new(inst).unwrap();
    assert_eq!(store.waitable_set_new(inst), Err(Trap::HandleLimit(2)));
    assert_eq!(store.census().sets, 1);
    let (task, _) = store.call(inst, STACKFUL);
    assert_eq!(store.thread_new(task, "other"), Err(Trap::ThreadLimit(1)));
    assert_eq!(store.census().threads, 1);
    assert_eq!(store.begin_task(inst, true, false, "task", "thread"), Err(Trap::ThreadLimit(1)));
    assert_eq!(store.census().tasks, 1);
    store.backpressure_inc(inst).unwrap();
    store.begin_task(inst, true, false, "task", "thread").unwrap();
    assert_eq!(store.begin_task(inst, true, false, "task", "thread"), Err(Trap::TaskLimit(2)));
    store.check_invariants();
}

#[test]
fn everything_is_charged_to_a_budget() {
    let mut store = TestStore::new();
    let inst = store.new_instance("A", Limits { bytes: 4096, ..Limits::default() }).unwrap();
    let trap = loop {
        match store.waitable_set_new(inst) {
            Ok(_) => {}
            Err(trap) => break trap,
        }
    };
    assert_eq!(trap, Trap::BudgetExceeded(4096));
    store.check_invariants();
    let inst = store.new_instance("A", Limits { bytes: 4096, ..Limits::default() }).unwrap();
    let index = store.resource_new(inst, 1, 1).unwrap();
    let mut lenders = Lenders::new();
    let trap = loop {
        match store.lift_borrow(inst, 1, index, &mut lenders) {
            Ok(_) => {}
            Err(trap) => break trap,
        }
    };
    assert_eq!(trap, Trap::BudgetExceeded(4096), "a borrow of the same handle, lent over and over");
    store.release_lenders(inst, lenders);
    store.resource_drop(inst, 1, index).unwrap();
    let instance = store.instance_mut(inst).unwrap();
    assert_eq!(instance.charged_bytes(), 0);
    // The runtime charges for what it holds itself.
    instance.charge(4000).unwrap();
    assert_eq!(instance.charge(97), Err(Trap::BudgetExceeded(4096)));
    instance.uncharge(4000);
    assert_eq!(instance.charged_bytes(), 0);
}

#[test]
fn instances_share_a_budget() {
    let mut store = TestStore::new();
    let budget = Budget::new(4096);
    let add =
        |store: &mut TestStore| store.new_instance_sharing("A", Limits::default(), budget.clone()).unwrap();
    let (a, b) = (add(&mut store), add(&mut store));
    store.instance_mut(a).unwrap().charge(4000).unwrap();
    assert_eq!(store.instance_mut(b).unwrap().charge(97), Err(Trap::BudgetExceeded(4096)));
    store.instance_mut(b).unwrap().charge(96).unwrap();
    store.instance_mut(a).unwrap().uncharge(1);
    store.waitable_set_new(b).unwrap_err();
    store.remove_instance(a).unwrap();
    assert_eq!(budget.used(), 96, "what an instance held is given back with it");
    store.waitable_set_new(b).unwrap();
    store.remove_instance(b).unwrap();
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_task_that_was_cut_off_leaves_nothing_behind() {
    let (mut store, _, b) = store();
    let (task, _) = store.begin_sync(b, "task", "thread").unwrap();
    store.lower_borrow(b, 1, 41, task).unwrap();
    store.lower_own(b, 1, 42).unwrap();
    let other = store.call(b, STACKFUL).0;
    store.lower_borrow(b, 1, 43, other).unwrap();
    store.abandon_task(task).unwrap();
    store.check_invariants();
    let instance = store.instance(b).unwrap();
    assert_eq!((instance.handle_count(), instance.task_count()), (2, 1));
    assert_eq!(store.abandon_task(task), Err(Trap::Gone(Entity::Task)));
}

#[test]
fn ids_that_outlive_what_they_name_are_refused() {
    let (mut store, a, b) = store();
    let (task, thread) = store.call(a, STACKFUL);
    let (_, r) = store.stream(b, a, Type::Number);
    let end = store.end_handle(a, r, READ, &Type::Number).unwrap();
    let set = store.waitable_set_new(a).unwrap();
    let set = store.set_handle(a, set).unwrap();
    let subtask = store.new_subtask(a, "call").unwrap();
    store.remove_instance(a).unwrap();
    // Their slots have new tenants, which stay untouched.
    let c = store.new_instance("C", Limits::default()).unwrap();
    store.call(c, STACKFUL);
    store.stream(c, b, Type::Number);
    store.waitable_set_new(c).unwrap();
    store.new_subtask(c, "call").unwrap();
    let census = store.census();
    assert_eq!(store.resource_new(a, 1, 1), Err(Trap::Gone(Entity::Instance)));
    assert_eq!(store.task_start(task), Err(Trap::Gone(Entity::Task)));
    assert_eq!(store.task_return(task), Err(Trap::Gone(Entity::Task)));
    assert_eq!(store.request_cancellation(task), CancelOutcome::Resolved);
    assert_eq!(store.start_waiting(thread, WaitFor::Ready), Err(Trap::Gone(Entity::Thread)));
    assert_eq!(store.resume(thread), Err(Trap::Gone(Entity::Thread)));
    assert!(matches!(store.unregister_thread(thread), Err(Trap::Gone(Entity::Thread))));
    assert!(matches!(store.copy(end, elements(1)), Err(Trap::Gone(Entity::End))));
    assert_eq!(store.drop_end(end), Err(Trap::Gone(Entity::End)));
    assert_eq!(store.take_event(set), Err(Trap::Gone(Entity::Set)));
    assert_eq!(store.subtask_started(subtask), Err(Trap::Gone(Entity::Subtask)));
    assert_eq!(store.finish_subtask(subtask), Err(Trap::Gone(Entity::Subtask)));
    store.release_lenders(a, Lenders::new());
    assert_eq!(store.census(), census);
    store.check_invariants();
}

#[test]
fn ids_travel_as_words() {
    let (mut store, a, _) = store();
    let (task, _) = store.call(a, STACKFUL);
    assert_eq!(TaskId::from_bits(task.to_bits()), Some(task));
    assert_eq!(InstanceId::from_bits(a.to_bits()), Some(a));
    assert_eq!(TaskId::from_bits(0), None);
    assert_eq!(size_of::<Option<TaskId>>(), 8);
}

#[test]
fn a_store_can_move_between_os_threads() {
    fn is_send<T: Send>() {}
    is_send::<TestStore>();
}
