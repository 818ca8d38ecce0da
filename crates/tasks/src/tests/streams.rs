//! Streams between guests: rendezvous, cancellation, dropping, transfer, forwarding.

use super::support::*;
use crate::CopyResult::*;
use crate::*;

const T: Type = Type::Number;

#[test]
fn both_sides_copy_as_much_as_fits() {
    let (mut store, a, b) = store();
    let (w, r) = store.stream(a, b, T);
    assert_eq!(store.guest_copy(b, r, READ, T, 10), Ok(Copied::Blocked));
    assert_eq!(store.guest_copy(a, w, WRITE, T, 4), Ok(Copied::Done(Completed, 4)));
    // The reader has not looked yet: its buffer takes more.
    assert_eq!(store.guest_copy(a, w, WRITE, T, 4), Ok(Copied::Done(Completed, 4)));
    let set = store.waitable_set_new(b).unwrap();
    store.waitable_join(b, r, set).unwrap();
    let event = Event { code: EventCode::StreamRead, p1: r, p2: 8 << 4 };
    assert_eq!(store.poll(b, set), Ok(Some(event)));
    // Now the writer is first, and the reader takes a part.
    assert_eq!(store.guest_copy(a, w, WRITE, T, 6), Ok(Copied::Blocked));
    assert_eq!(store.guest_copy(b, r, READ, T, 2), Ok(Copied::Done(Completed, 2)));
    assert_eq!(store.guest_copy(b, r, READ, T, 9), Ok(Copied::Done(Completed, 4)));
    assert_eq!(store.guest_copy(b, r, READ, T, 9), Ok(Copied::Blocked), "the writer has not looked");
    assert_eq!(store.guest_cancel(a, w, WRITE), Ok(Copied::Done(Cancelled, 6)));
}

#[test]
fn zero_lengths_ask_for_readiness() {
    let (mut store, a, b) = store();
    let (w, r) = store.stream(a, b, T);
    // A zero-length write waits for a read of any length.
    assert_eq!(store.guest_copy(a, w, WRITE, T, 0), Ok(Copied::Blocked));
    assert_eq!(store.guest_copy(b, r, READ, T, 5), Ok(Copied::Blocked));
    assert_eq!(
        store.guest_cancel(a, w, WRITE),
        Ok(Copied::Done(Cancelled, 0)),
        "was ready, and is cancelled"
    );
    // A zero-length write to a waiting reader is done at once, and the reader waits on.
    assert_eq!(store.guest_copy(a, w, WRITE, T, 0), Ok(Copied::Done(Completed, 0)));
    assert_eq!(store.guest_cancel(b, r, READ), Ok(Copied::Done(Cancelled, 0)));
    // When both are of zero length, the writer is told, not the reader.
    assert_eq!(store.guest_copy(b, r, READ, T, 0), Ok(Copied::Blocked));
    assert_eq!(store.guest_copy(a, w, WRITE, T, 0), Ok(Copied::Done(Completed, 0)));
    assert_eq!(store.guest_cancel(b, r, READ), Ok(Copied::Done(Cancelled, 0)));
    assert_eq!(store.guest_copy(a, w, WRITE, T, 0), Ok(Copied::Blocked));
    assert_eq!(store.guest_copy(b, r, READ, T, 0), Ok(Copied::Blocked));
    let set = store.waitable_set_new(a).unwrap();
    store.waitable_join(a, w, set).unwrap();
    assert_eq!(store.poll(a, set).unwrap().unwrap().p2, 0);
}

#[test]
fn dropping_one_end_is_the_other_ends_last_event() {
    let (mut store, a, b) = store();
    let (w, r) = store.stream(a, b, T);
    assert_eq!(store.guest_copy(b, r, READ, T, 10), Ok(Copied::Blocked));
    store.guest_copy(a, w, WRITE, T, 3).unwrap();
    store.end_drop(a, w, WRITE, &T).unwrap();
    store.check_invariants();
    // Progress that was not delivered is delivered with it.
    assert_eq!(store.guest_cancel(b, r, READ), Ok(Copied::Done(Dropped, 3)));
    let done = |action| Trap::EndDone { index: r, action, kind: HandleKind::StreamReadable };
    assert_eq!(store.guest_copy(b, r, READ, T, 1), Err(done(EndAction::Read)));
    assert_eq!(store.lift_readable(b, r, READ, &T), Err(done(EndAction::Lift)));
    store.end_drop(b, r, READ, &T).unwrap();
    assert_eq!(store.census().ends, 0);
    store.check_invariants();
}

#[test]
fn an_idle_end_learns_of_the_drop_when_it_looks() {
    let (mut store, a, b) = store();
    let (w, r) = store.stream(a, b, T);
    store.end_drop(b, r, READ, &T).unwrap();
    assert_eq!(store.guest_copy(a, w, WRITE, T, 1), Ok(Copied::Done(Dropped, 0)));
    let (w, r) = store.stream(a, b, T);
    store.end_drop(a, w, WRITE, &T).unwrap();
    // It can even be passed on, with the news.
    let end = store.lift_readable(b, r, READ, &T).unwrap();
    let r = store.lower_readable(a, end).unwrap();
    let set = store.waitable_set_new(a).unwrap();
    store.waitable_join(a, r, set).unwrap();
    let event = Event { code: EventCode::StreamRead, p1: r, p2: Dropped as u32 };
    assert_eq!(store.poll(a, set), Ok(Some(event)));
    store.check_invariants();
}

#[test]
fn a_busy_end_cannot_be_copied_dropped_or_passed_on() {
    let (mut store, a, b) = store();
    let (w, r) = store.stream(a, b, T);
    store.guest_copy(b, r, READ, T, 1).unwrap();
    let busy = |action| Trap::EndBusy { index: r, action, kind: HandleKind::StreamReadable };
    assert_eq!(store.guest_copy(b, r, READ, T, 1), Err(busy(EndAction::Read)));
    assert_eq!(store.end_drop(b, r, READ, &T), Err(busy(EndAction::Drop)));
    assert_eq!(store.lift_readable(b, r, READ, &T), Err(busy(EndAction::Lift)));
    assert_eq!(store.guest_cancel(a, w, WRITE), Err(Trap::NotCopying(w)));
    store.check_invariants();
}

#[test]
fn an_end_in_a_set_cannot_be_passed_on_or_used_synchronously() {
    let (mut store, a, b) = store();
    let (_, r) = store.stream(a, b, T);
    let set = store.waitable_set_new(b).unwrap();
    store.waitable_join(b, r, set).unwrap();
    let kind = HandleKind::StreamReadable;
    let in_set = Trap::InWaitableSet { index: r, action: EndAction::Lift, kind };
    assert_eq!(store.lift_readable(b, r, READ, &T), Err(in_set));
    assert_eq!(store.end_to_copy(b, r, READ, &T, false), Err(Trap::SyncAndSet(r)));
    store.guest_copy(b, r, READ, T, 1).unwrap();
    assert_eq!(store.end_to_cancel(b, r, READ, &T, false), Err(Trap::SyncAndSet(r)));
    let (_, thread) = store.call(b, STACKFUL);
    assert_eq!(store.start_waiting(thread, WaitFor::Waitable(r)), Err(Trap::SyncAndSet(r)));
    store.check_invariants();
}

#[test]
fn a_synchronous_read_waits() {
    let (mut store, a, b) = store();
    let (w, r) = store.stream(a, b, T);
    let (_, thread) = store.call(b, STACKFUL);
    let end = store.end_to_copy(b, r, READ, &T, false).unwrap();
    assert!(matches!(store.copy(end, elements(3)), Ok(CopyStep::Pending)));
    store.waits(thread, WaitFor::End(end));
    assert_eq!(store.end_to_cancel(b, r, READ, &T, true), Err(Trap::HasSyncWaiter(r)));
    let set = store.waitable_set_new(b).unwrap();
    assert_eq!(store.waitable_join(b, r, set), Err(Trap::SyncAndSet(r)));
    let (_, other) = store.call(b, STACKFUL);
    assert_eq!(store.start_waiting(other, WaitFor::End(end)), Err(Trap::HasSyncWaiter(r)));
    store.guest_copy(a, w, WRITE, T, 2).unwrap();
    assert_eq!(store.next_ready(), Some(thread));
    let delivered = store.take_end_event(end).unwrap().unwrap();
    assert_eq!(delivered.event.payload(), 2 << 4);
    assert_eq!(delivered.buffer, Some(Elements { length: 3, progress: 2 }));
    assert!(store.take_end_event(end).unwrap().is_none());
}

#[test]
fn kinds_and_element_types_are_checked() {
    let (mut store, a, b) = store();
    let (w, r) = store.stream(a, b, T);
    assert_eq!(store.end_handle(b, r, READ, &Type::Text), Err(Trap::WrongElement(r)));
    let (expected, found) = (HandleKind::FutureReadable, HandleKind::StreamReadable);
    let wrong = Trap::WrongHandle { index: r, expected, found };
    assert_eq!(store.end_handle(b, r, EndKind::FutureReadable, &T), Err(wrong));
    assert!(matches!(store.guest_cancel(a, w, READ), Err(Trap::WrongHandle { .. })));
    assert!(matches!(store.lift_readable(a, w, WRITE, &T), Err(Trap::Misuse(_))));
    assert_eq!(store.end_handle(b, 50, READ, &T), Err(Trap::UnknownHandle(50)));
}

#[test]
fn only_numbers_are_copied_within_an_instance() {
    let (mut store, a, _) = store();
    let (w, r) = store.stream(a, a, Type::Text);
    store.guest_copy(a, w, WRITE, Type::Text, 1).unwrap();
    assert_eq!(store.guest_copy(a, r, READ, Type::Text, 0), Ok(Copied::Done(Completed, 0)));
    assert_eq!(store.guest_copy(a, r, READ, Type::Text, 1), Err(Trap::SameInstance));
    store.check_invariants();
    let (w, r) = store.stream(a, a, T);
    store.guest_copy(a, w, WRITE, T, 1).unwrap();
    assert_eq!(store.guest_copy(a, r, READ, T, 1), Ok(Copied::Done(Completed, 1)));
}

#[test]
fn a_buffer_can_be_too_long() {
    let (mut store, a, b) = store();
    let (w, _) = store.stream(a, b, T);
    let long = MAX_BUFFER_LENGTH + 1;
    assert_eq!(store.guest_copy(a, w, WRITE, T, long), Err(Trap::BufferTooLong(long)));
    assert_eq!(store.guest_copy(a, w, WRITE, T, long - 1), Ok(Copied::Blocked));
}

#[test]
fn forwarding_links_the_peers() {
    let (mut store, a, b) = store();
    let (w1, r1) = store.stream(a, b, T);
    let (w2, r2) = store.stream(b, a, T);
    store.guest_copy(a, w1, WRITE, T, 5).unwrap();
    store.guest_copy(a, r2, READ, T, 3).unwrap();
    let transfer = store.end_forward(b, (r1, READ), (w2, WRITE), &T).unwrap().unwrap();
    assert_eq!(transfer.count, 3);
    assert!(matches!(store.finish_transfer(transfer), Ok(CopyStep::Pending)));
    store.check_invariants();
    assert_eq!(store.handle_kind(b, r1), Err(Trap::UnknownHandle(r1)));
    assert_eq!(store.handle_kind(b, w2), Err(Trap::UnknownHandle(w2)));
    let set = store.waitable_set_new(a).unwrap();
    store.waitable_join(a, r2, set).unwrap();
    assert_eq!(store.poll(a, set).unwrap().unwrap().p2, 3 << 4);
    // The writer's buffer has two more.
    assert_eq!(store.guest_copy(a, r2, READ, T, 3), Ok(Copied::Done(Completed, 2)));
    assert_eq!(store.guest_cancel(a, w1, WRITE), Ok(Copied::Done(Cancelled, 5)));
    // Dropping the reader takes it out of its set.
    store.end_drop(a, r2, READ, &T).unwrap();
    store.waitable_set_drop(a, set).unwrap();
    store.end_drop(a, w1, WRITE, &T).unwrap();
    store.check_invariants();
}

#[test]
fn forwarding_a_stream_into_itself_makes_it_disappear() {
    let (mut store, a, _) = store();
    let (w, r) = store.stream(a, a, T);
    assert_eq!(store.end_forward(a, (r, READ), (w, WRITE), &T), Ok(None));
    assert_eq!(store.census().ends, 0);
    let (w1, r1) = store.stream(a, a, T);
    let (w2, r2) = store.stream(a, a, T);
    store.end_drop(a, w1, WRITE, &T).unwrap();
    assert_eq!(store.end_forward(a, (r1, READ), (w2, WRITE), &T), Ok(None));
    assert_eq!(store.guest_copy(a, r2, READ, T, 1), Ok(Copied::Done(Dropped, 0)));
    store.check_invariants();
}

#[test]
fn what_cannot_be_forwarded() {
    let (mut store, a, b) = store();
    let (w1, r1) = store.stream(a, b, Type::Text);
    let (w2, r2) = store.stream(b, a, Type::Text);
    store.guest_copy(a, w1, WRITE, Type::Text, 5).unwrap();
    store.guest_copy(a, r2, READ, Type::Text, 3).unwrap();
    let trap = store.end_forward(b, (r1, READ), (w2, WRITE), &Type::Text);
    assert_eq!(trap, Err(Trap::SameInstance));
    store.check_invariants();
    let (_, r3) = store.stream(a, b, T);
    let (w4, _) = store.stream(b, a, T);
    let set = store.waitable_set_new(b).unwrap();
    store.waitable_join(b, w4, set).unwrap();
    let kind = HandleKind::StreamWritable;
    let in_set = Trap::InWaitableSet { index: w4, action: EndAction::Forward, kind };
    assert_eq!(store.end_forward(b, (r3, READ), (w4, WRITE), &T), Err(in_set));
    assert!(matches!(store.end_forward(b, (w4, READ), (r3, WRITE), &T), Err(Trap::WrongHandle { .. })));
    store.guest_copy(b, r3, READ, T, 1).unwrap();
    assert!(matches!(store.end_forward(b, (r3, READ), (w4, WRITE), &T), Err(Trap::EndBusy { .. })));
}

#[test]
fn a_copy_that_finds_its_peer_waiting_needs_no_buffer() {
    let (mut store, a, b) = store();
    let (writer, reader) = store.stream(a, b, Type::Number);
    let end = store.end_to_copy(a, writer, WRITE, &Type::Number, true).unwrap();
    assert_eq!(store.immediate_copy(end, 3), Ok(Partner::Nobody), "nobody reads");
    assert_eq!(store.guest_copy(b, reader, READ, Type::Number, 5), Ok(Copied::Blocked));
    assert_eq!(store.immediate_copy(end, 0), Ok(Partner::Nobody), "a question is no copy");
    for (length, count, progress) in [(3, 3, 3), (4, 2, 5)] {
        let Ok(Partner::Waiting(copy, buffer)) = store.immediate_copy(end, length) else { panic!() };
        assert_eq!((copy.count, buffer.progress), (count, progress - count));
        let event = store.finish_immediate(copy).unwrap();
        assert_eq!(event, CopyEvent { code: EventCode::StreamWrite, result: Completed, progress: count });
        store.check_invariants();
    }
    assert_eq!(store.immediate_copy(end, 1), Ok(Partner::Nobody), "the reader's buffer is full");
    let set = store.waitable_set_new(b).unwrap();
    store.waitable_join(b, reader, set).unwrap();
    let event = Event { code: EventCode::StreamRead, p1: reader, p2: 5 << 4 };
    assert_eq!(store.poll(b, set), Ok(Some(event)));

    let (writer, reader) = store.future(a, b, Type::Text);
    store.guest_copy(b, reader, EndKind::FutureReadable, Type::Text, 1).unwrap();
    let end = store.end_to_copy(a, writer, EndKind::FutureWritable, &Type::Text, true).unwrap();
    let Ok(Partner::Waiting(copy, _)) = store.immediate_copy(end, 1) else { panic!() };
    assert_eq!(store.finish_immediate(copy).unwrap().payload(), 0);
    assert_eq!(store.end_state(end), Ok(EndState::Done));
    store.check_invariants();
}
