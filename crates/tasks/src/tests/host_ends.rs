//! Streams between a guest and the host.

use super::support::*;
use crate::CopyResult::*;
use crate::*;

const T: Type = Type::Number;

/// A stream whose readable end is in A and whose writable end is the host's.
fn from_host(store: &mut TestStore, a: InstanceId) -> (EndId, u32) {
    let (reader, writer) = store.new_stream(T).unwrap();
    (writer, store.lower_readable(a, reader).unwrap())
}

#[test]
fn the_host_is_told_of_a_waiting_peer_once() {
    let (mut store, a, _) = store();
    let (writer, r) = from_host(&mut store, a);
    assert!(!store.has_host_notification());
    store.guest_copy(a, r, READ, T, 8).unwrap();
    let notification = store.next_host_notification().unwrap();
    assert_eq!((notification.end, notification.peer_remain), (writer, Some(8)));
    assert!(notification.delivered.is_none() && !notification.peer_dropped);
    assert!(store.next_host_notification().is_none());
    assert_eq!(store.peer(writer), Ok(Peer::Copying(&mut elements(8))));
    store.advance_peer(writer, 3).unwrap();
    store.advance_peer(writer, 2).unwrap();
    store.check_invariants();
    assert_eq!(store.guest_cancel(a, r, READ), Ok(Copied::Done(Cancelled, 5)));
    assert_eq!(store.peer(writer), Ok(Peer::Idle));
    assert!(matches!(store.advance_peer(writer, 1), Err(Trap::Misuse(_))));
}

#[test]
fn the_host_copies_like_a_guest_and_has_its_buffer_back() {
    let (mut store, a, _) = store();
    let (writer, r) = from_host(&mut store, a);
    assert!(matches!(store.copy(writer, elements(4)), Ok(CopyStep::Pending)));
    assert_eq!(store.guest_copy(a, r, READ, T, 9), Ok(Copied::Done(Completed, 4)));
    let notification = store.next_host_notification().unwrap();
    let delivered = notification.delivered.unwrap();
    assert_eq!((delivered.event.result, delivered.event.progress), (Completed, 4));
    assert_eq!(delivered.buffer, Some(Elements { length: 4, progress: 4 }));
    assert_eq!(store.end_state(writer), Ok(EndState::Idle));
    store.check_invariants();
}

#[test]
fn the_host_takes_part_in_a_copy_at_once() {
    let (mut store, a, _) = store();
    let (writer, r) = from_host(&mut store, a);
    let end = store.end_to_copy(a, r, READ, &T, true).unwrap();
    for (count, progress) in [(0, None), (3, Some(3)), (4, Some(4))] {
        assert_eq!(store.immediate_copy(end, 4), Ok(Partner::Host(writer)));
        assert!(matches!(store.end_to_copy(a, r, READ, &T, true), Err(Trap::EndBusy { .. })));
        assert_eq!(store.peer(writer), Ok(Peer::Idle));
        let event = store.finish_offer(end, count).unwrap();
        assert_eq!(event.map(|event| (event.result, event.progress)), progress.map(|n| (Completed, n)));
        assert_eq!(store.end_state(end), Ok(EndState::Idle));
        assert!(matches!(store.finish_offer(end, 1), Err(Trap::Misuse(_))), "there is no offer");
        assert!(!store.has_host_notification());
        store.check_invariants();
    }
    assert_eq!(store.immediate_copy(end, 0), Ok(Partner::Nobody), "a question is no copy");

    // It drops its end after it has copied some.
    assert_eq!(store.immediate_copy(end, 4), Ok(Partner::Host(writer)));
    store.drop_end(writer).unwrap();
    let event = store.finish_offer(end, 2).unwrap().unwrap();
    assert_eq!((event.result, event.progress), (Dropped, 2));
    assert_eq!(store.end_state(end), Ok(EndState::Done));
    store.check_invariants();

    // And before: the copy finds that out.
    let (writer, r) = from_host(&mut store, a);
    let end = store.end_to_copy(a, r, READ, &T, true).unwrap();
    assert_eq!(store.immediate_copy(end, 4), Ok(Partner::Host(writer)));
    store.drop_end(writer).unwrap();
    assert_eq!(store.finish_offer(end, 0), Ok(None));
    assert_eq!(store.guest_copy(a, r, READ, T, 4), Ok(Copied::Done(Dropped, 0)));

    // A host that copies by itself is no partner.
    let (writer, r) = from_host(&mut store, a);
    let end = store.end_to_copy(a, r, READ, &T, true).unwrap();
    assert!(matches!(store.copy(writer, elements(0)), Ok(CopyStep::Pending)));
    assert_eq!(store.immediate_copy(end, 4), Ok(Partner::Nobody));
}

#[test]
fn the_host_learns_that_its_peer_is_gone() {
    let (mut store, a, _) = store();
    let (writer, r) = from_host(&mut store, a);
    store.end_drop(a, r, READ, &T).unwrap();
    let notification = store.next_host_notification().unwrap();
    assert!(notification.peer_dropped && notification.delivered.is_none());
    assert!(store.next_host_notification().is_none());
    let Ok(CopyStep::Done(delivered)) = store.copy(writer, elements(1)) else { panic!() };
    assert_eq!(delivered.event.result, Dropped);
    store.drop_end(writer).unwrap();
    assert_eq!(store.census().ends, 0);
}

#[test]
fn an_end_whose_peer_is_gone_can_still_be_passed_on() {
    let (mut store, a, _) = store();
    let (reader, writer) = store.new_stream(T).unwrap();
    store.drop_end(writer).unwrap();
    assert!(store.next_host_notification().unwrap().peer_dropped);
    let r = store.lower_readable(a, reader).unwrap();
    assert_eq!(store.guest_copy(a, r, READ, T, 1), Ok(Copied::Done(Dropped, 0)));
    store.check_invariants();
}

#[test]
fn readiness_is_asked_and_answered_with_nothing() {
    let (mut store, a, _) = store();
    let (writer, r) = from_host(&mut store, a);
    store.guest_copy(a, r, READ, T, 0).unwrap();
    assert_eq!(store.peer_remain(writer), Ok(Some(0)));
    store.advance_peer(writer, 0).unwrap();
    assert_eq!(store.peer_remain(writer), Ok(None));
    let set = store.waitable_set_new(a).unwrap();
    store.waitable_join(a, r, set).unwrap();
    assert_eq!(store.poll(a, set).unwrap().unwrap().p2, 0);
    store.guest_copy(a, r, READ, T, 5).unwrap();
    store.advance_peer(writer, 0).unwrap();
    assert_eq!(store.peer_remain(writer), Ok(Some(5)), "who wants elements is not told of none");
    assert!(matches!(store.advance_peer(writer, 6), Err(Trap::Misuse(_))));
    store.check_invariants();
}

#[test]
fn a_cancellation_waits_for_work_in_the_background() {
    let (mut store, a, _) = store();
    let (writer, r) = from_host(&mut store, a);
    assert!(store.begin_direct(writer).is_err(), "there is nothing to work on");
    store.guest_copy(a, r, READ, T, 5).unwrap();
    store.begin_direct(writer).unwrap();
    store.next_host_notification().unwrap();
    assert!(store.drop_end(writer).is_err());
    assert!(store.copy(writer, elements(1)).is_err());
    assert_eq!(store.guest_cancel(a, r, READ), Ok(Copied::Blocked));
    assert_eq!(store.guest_cancel(a, r, READ), Err(Trap::NotCopying(r)));
    assert!(store.next_host_notification().unwrap().peer_cancelling);
    let set = store.waitable_set_new(a).unwrap();
    store.waitable_join(a, r, set).unwrap();
    assert_eq!(store.poll(a, set), Ok(None));
    store.end_direct(writer, 0).unwrap();
    store.check_invariants();
    assert_eq!(store.poll(a, set).unwrap().unwrap().p2, Cancelled as u32);
    // And when the work has succeeded meanwhile.
    store.guest_copy(a, r, READ, T, 5).unwrap();
    store.begin_direct(writer).unwrap();
    store.guest_cancel(a, r, READ).unwrap();
    store.end_direct(writer, 2).unwrap();
    assert_eq!(store.poll(a, set).unwrap().unwrap().p2, Cancelled as u32 | 2 << 4);
    assert!(store.end_direct(writer, 0).is_err());
    store.check_invariants();
}

#[test]
fn work_in_the_background_outlives_the_peer() {
    let (mut store, a, _) = store();
    let (writer, r) = from_host(&mut store, a);
    store.guest_copy(a, r, READ, T, 5).unwrap();
    store.begin_direct(writer).unwrap();
    store.remove_instance(a).unwrap();
    store.check_invariants();
    store.end_direct(writer, 3).unwrap();
    store.drop_end(writer).unwrap();
    assert_eq!(store.census().ends, 0);
}

#[test]
fn a_future_of_the_hosts_is_done_after_its_value() {
    let (mut store, a, _) = store();
    let (reader, writer) = store.new_future(T).unwrap();
    let r = store.lower_readable(a, reader).unwrap();
    store.guest_copy(a, r, EndKind::FutureReadable, T, 1).unwrap();
    store.advance_peer(writer, 1).unwrap();
    assert_eq!(store.end_state(writer), Ok(EndState::Done));
    assert!(store.copy(writer, elements(1)).is_err());
    store.drop_end(writer).unwrap();
    let end = store.end_handle(a, r, EndKind::FutureReadable, &T).unwrap();
    assert_eq!(store.take_end_event(end).unwrap().unwrap().event.payload(), Completed as u32);
    store.check_invariants();
}

#[test]
fn the_host_may_break_a_future() {
    let (mut store, a, _) = store();
    let (reader, writer) = store.new_future(T).unwrap();
    let r = store.lower_readable(a, reader).unwrap();
    store.drop_end(writer).unwrap();
    let read = store.guest_copy(a, r, EndKind::FutureReadable, T, 1);
    assert_eq!(read, Ok(Copied::Done(Dropped, 0)));
}

#[test]
fn forwarding_between_hosts_tells_the_one_whose_peer_waits() {
    let (mut store, a, b) = store();
    let (writer, r1) = from_host(&mut store, b);
    let (w2, r2) = store.stream(b, a, T);
    store.guest_copy(a, r2, READ, T, 7).unwrap();
    assert_eq!(store.end_forward(b, (r1, READ), (w2, WRITE), &T), Ok(None));
    let notification = store.next_host_notification().unwrap();
    assert_eq!((notification.end, notification.peer_remain), (writer, Some(7)));
    store.advance_peer(writer, 7).unwrap();
    store.check_invariants();
    let end = store.end_handle(a, r2, READ, &T).unwrap();
    assert_eq!(store.take_end_event(end).unwrap().unwrap().event.progress, 7);
}

#[test]
fn the_host_receives_an_end_with_its_news() {
    let (mut store, a, b) = store();
    let (w, r) = store.stream(a, b, T);
    store.end_drop(a, w, WRITE, &T).unwrap();
    let end = store.lift_readable(b, r, READ, &T).unwrap();
    let notification = store.next_host_notification().unwrap();
    assert!(notification.end == end && notification.peer_dropped);
    store.drop_end(end).unwrap();
    store.check_invariants();
}

#[test]
fn the_host_decides_a_type_only_while_it_has_both_ends() {
    let (mut store, a, b) = store();
    let (reader, _) = store.new_stream(T).unwrap();
    store.set_element(reader, Type::Text).unwrap();
    let r = store.lower_readable(a, reader).unwrap();
    assert_eq!(store.end_handle(a, r, READ, &T), Err(Trap::WrongElement(r)));
    assert_eq!(store.end_handle(a, r, READ, &Type::Text), Ok(reader));
    assert!(matches!(store.set_element(reader, T), Err(Trap::Misuse(_))));
    // Nor does forwarding join what does not fit.
    let (_, r) = store.stream(a, b, T);
    let source = store.lift_readable(b, r, READ, &T).unwrap();
    let (sink_reader, sink) = store.new_stream(Type::Text).unwrap();
    assert!(matches!(store.forward(source, sink), Err(Trap::Misuse(_))));
    store.set_element(sink, T).unwrap();
    assert_eq!(store.forward(source, sink), Ok(None));
    assert!(matches!(store.set_element(sink_reader, Type::Text), Err(Trap::Misuse(_))));
    store.check_invariants();
}
