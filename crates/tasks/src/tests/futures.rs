//! Futures: one value, then done.

use super::support::*;
use crate::CopyResult::*;
use crate::*;

const T: Type = Type::Number;
const READ: EndKind = EndKind::FutureReadable;
const WRITE: EndKind = EndKind::FutureWritable;

#[test]
fn both_ends_are_done_after_the_value() {
    let (mut store, a, b) = store();
    let (w, r) = store.future(a, b, T);
    assert_eq!(store.guest_copy(b, r, READ, T, 1), Ok(Copied::Blocked));
    assert_eq!(store.guest_copy(a, w, WRITE, T, 1), Ok(Copied::Done(Completed, 1)));
    assert!(matches!(store.guest_copy(a, w, WRITE, T, 1), Err(Trap::EndDone { .. })));
    store.end_drop(a, w, WRITE, &T).unwrap();
    let set = store.waitable_set_new(b).unwrap();
    store.waitable_join(b, r, set).unwrap();
    // The value counts more than that the writer is gone.
    let event = Event { code: EventCode::FutureRead, p1: r, p2: Completed as u32 };
    assert_eq!(store.poll(b, set), Ok(Some(event)));
    assert!(matches!(store.guest_copy(b, r, READ, T, 1), Err(Trap::EndDone { .. })));
    store.end_drop(b, r, READ, &T).unwrap();
    assert_eq!(store.census().ends, 0);
}

#[test]
fn the_writer_must_write_or_know_that_nobody_reads() {
    let (mut store, a, b) = store();
    let (w, r) = store.future(a, b, T);
    assert_eq!(store.end_drop(a, w, WRITE, &T), Err(Trap::FutureNotWritten(w)));
    store.end_drop(b, r, READ, &T).unwrap();
    assert_eq!(store.end_drop(a, w, WRITE, &T), Err(Trap::FutureNotWritten(w)), "it does not know yet");
    assert_eq!(store.guest_copy(a, w, WRITE, T, 1), Ok(Copied::Done(Dropped, 0)));
    store.end_drop(a, w, WRITE, &T).unwrap();
    store.check_invariants();
}

#[test]
fn a_cancelled_read_can_be_repeated() {
    let (mut store, a, b) = store();
    let (w, r) = store.future(a, b, T);
    assert_eq!(store.guest_copy(b, r, READ, T, 1), Ok(Copied::Blocked));
    assert_eq!(store.guest_cancel(b, r, READ), Ok(Copied::Done(Cancelled, 0)));
    assert_eq!(store.guest_copy(a, w, WRITE, T, 1), Ok(Copied::Blocked));
    assert_eq!(store.guest_copy(b, r, READ, T, 1), Ok(Copied::Done(Completed, 1)));
    // The writer cancels too late.
    assert_eq!(store.guest_cancel(a, w, WRITE), Ok(Copied::Done(Completed, 1)));
    store.check_invariants();
}
