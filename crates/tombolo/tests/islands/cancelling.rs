//! Cancelling a call by dropping its future.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use tombolo::{Accessor, Component, Config, EndCause, Engine, Feature, Instance, Linker, Result, Store};

use super::causes::{poll_once, yield_now};
use super::guests::COUNTER;
use super::{block_on, engine, instantiate};

/// Waits for the host as often as it says. Cancels what it waits for and then itself when it is asked to (`polite`), or does
/// not care (`rude`), or does not even wait (`endless`).
const GUEST: &str = r#"(component $guest
    (import "wait" (func $wait async))
    (core func $wait' (canon lower (func $wait)))
    (core func $begin (canon lower (func $wait) async))
    (core func $task-cancel (canon task.cancel))
    (core func $task-return (canon task.return))
    (core func $subtask-cancel (canon subtask.cancel))
    (core func $subtask-drop (canon subtask.drop))
    (core func $set (canon waitable-set.new))
    (core func $join (canon waitable.join))
    (core module $m
        (import "" "wait" (func $wait))
        (import "" "begin" (func $begin (result i32)))
        (import "" "task-cancel" (func $task-cancel))
        (import "" "task-return" (func $task-return))
        (import "" "subtask-cancel" (func $subtask-cancel (param i32) (result i32)))
        (import "" "subtask-drop" (func $subtask-drop (param i32)))
        (import "" "set" (func $set (result i32)))
        (import "" "join" (func $join (param i32 i32)))
        (global $subtask (mut i32) (i32.const 0))
        (global $waits (mut i32) (i32.const 0))
        (global $left (mut i32) (i32.const 0))
        (global $cancelled (mut i32) (i32.const 0))
        (func $next (result i32)
            (if (i32.eqz (global.get $left)) (then (call $task-return) (return (i32.const 0))))
            (global.set $left (i32.sub (global.get $left) (i32.const 1)))
            (global.set $subtask (i32.shr_u (call $begin) (i32.const 4)))
            (call $join (global.get $subtask) (global.get $waits))
            (i32.or (i32.const 2) (i32.shl (global.get $waits) (i32.const 4))))
        (func (export "polite") (param $times i32) (result i32)
            (if (i32.eqz (global.get $waits)) (then (global.set $waits (call $set))))
            (global.set $left (local.get $times))
            (call $next))
        (func (export "callback") (param $code i32) (param i32 i32) (result i32)
            (call $join (global.get $subtask) (i32.const 0))
            (if (i32.eq (local.get $code) (i32.const 6 (; TASK_CANCELLED ;))) (then
                (drop (call $subtask-cancel (global.get $subtask)))
                (call $subtask-drop (global.get $subtask))
                (global.set $cancelled (i32.add (global.get $cancelled) (i32.const 1)))
                (call $task-cancel)
                (return (i32.const 0))))
            (call $subtask-drop (global.get $subtask))
            (call $next))
        (func (export "rude") (loop $l (call $wait) (br $l)))
        (func (export "endless") (loop $l (br $l)))
        (func (export "cancelled") (result i32) (global.get $cancelled)))
    (core instance $i (instantiate $m (with "" (instance
        (export "wait" (func $wait')) (export "begin" (func $begin)) (export "task-cancel" (func $task-cancel))
        (export "task-return" (func $task-return)) (export "subtask-cancel" (func $subtask-cancel))
        (export "subtask-drop" (func $subtask-drop)) (export "set" (func $set)) (export "join" (func $join))))))
    (func (export "polite") async (param "times" u32)
        (canon lift (core func $i "polite") async (callback (core func $i "callback"))))
    (func (export "rude") async (canon lift (core func $i "rude")))
    (func (export "endless") async (canon lift (core func $i "endless")))
    (func (export "cancelled") (result u32) (canon lift (core func $i "cancelled"))))"#;

struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct World {
    store: Store<()>,
    guest: Instance,
    counter: Instance,
    /// Calls of the guest's that the host works on.
    working: Arc<AtomicU32>,
}

fn world(change: impl FnOnce(&mut Config) -> &mut Config) -> World {
    let engine: Engine = engine(|config| change(config).feature(Feature::MoreAsyncBuiltins, true));
    let working = Arc::new(AtomicU32::new(0));
    let mut linker = Linker::<()>::new(&engine);
    let count = working.clone();
    linker
        .root()
        .func_async("wait", move |_: Accessor<()>, (): ()| {
            count.fetch_add(1, Ordering::Relaxed);
            let guard = Guard(count.clone());
            async move {
                let _guard = guard;
                yield_now().await;
                Result::Ok(())
            }
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let guest = linker.instantiate(&mut store, &Component::new(&engine, GUEST).unwrap()).unwrap();
    let counter = instantiate(&mut store, COUNTER);
    World { store, guest, counter, working }
}

impl World {
    fn number(&mut self, which: &str) -> u32 {
        let instance = if which == "count" { &self.counter } else { &self.guest };
        let func = instance.typed_func::<(), u32>(&mut self.store, which).unwrap();
        func.call(&mut self.store, ()).unwrap()
    }

    /// Drives the store for some turns.
    fn drive(&mut self) {
        block_on(self.store.run_concurrent(async |_| {
            for _ in 0..20 {
                yield_now().await;
            }
        }))
        .unwrap();
    }

    /// Drives the store until the guest has ended.
    fn drive_to_end(&mut self) {
        let guest = self.guest.clone();
        block_on(self.store.run_concurrent(async |_| {
            while guest.ended().is_none() {
                yield_now().await;
            }
        }))
        .unwrap();
        assert!(matches!(guest.ended().unwrap().cause(), EndCause::NotCancelled));
    }
}

/// Polls a future so many times, and drops it. Returns whether it was ready.
pub(crate) fn poll(times: u32, future: impl Future) -> bool {
    let mut future = pin!(future);
    (0..times).any(|_| future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready())
}

#[test]
fn a_guest_is_asked_to_cancel_at_whichever_point_it_waits() {
    let mut world = world(|config| config);
    let polite = world.guest.typed_func::<(u32,), ()>(&mut world.store, "polite").unwrap();
    let mut cancelled = 0;
    for times in 0..12 {
        // Each poll of the future goes on with the guest a little.
        poll(times, polite.call_async(&mut world.store, (100_000,)));
        world.drive();
        if times > 0 {
            cancelled += 1;
        }
        assert_eq!(world.number("cancelled"), cancelled, "after {times} polls");
        assert_eq!(world.working.load(Ordering::Relaxed), 0, "after {times} polls");
        assert_eq!(world.number("count"), times + 1);
        // It can be called again, to its end.
        block_on(polite.call_async(&mut world.store, (3,))).unwrap();
    }
    assert!(world.guest.ended().is_none());
}

#[test]
fn calls_inside_a_store_can_be_dropped_too() {
    let mut world = world(|config| config);
    let polite = world.guest.typed_func::<(u32,), ()>(&mut world.store, "polite").unwrap();
    let raced = block_on(world.store.run_concurrent(async |store| {
        for turns in 0..5 {
            {
                let call = pin!(polite.call_concurrent(&store, (100_000,)));
                let time_out = pin!(async {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                });
                let first = futures_util::future::select(call, time_out).await;
                assert!(matches!(first, futures_util::future::Either::Right(_)));
                // What lost is dropped here, and asked to cancel in the next turn.
            }
            yield_now().await;
            yield_now().await;
        }
        polite.call_concurrent(&store, (3,)).await
    }));
    raced.unwrap().unwrap();
    world.drive();
    assert_eq!(world.number("cancelled"), 5);
    assert_eq!(world.working.load(Ordering::Relaxed), 0);
}

#[test]
fn a_guest_that_does_not_cancel_ends_when_its_time_is_up() {
    let mut world = world(|config| config);
    let rude = world.guest.typed_func::<(), ()>(&mut world.store, "rude").unwrap();
    world.store.set_cancellation_grace(Some(Duration::from_millis(5))).unwrap();
    poll(1, rude.call_async(&mut world.store, ()));
    world.drive_to_end();
    assert_eq!(world.working.load(Ordering::Relaxed), 0);
    assert_eq!(world.number("count"), 1);
}

#[test]
fn a_guest_that_does_not_cancel_goes_on_if_nobody_has_set_a_time() {
    let mut world = world(|config| config);
    let rude = world.guest.typed_func::<(), ()>(&mut world.store, "rude").unwrap();
    poll(1, rude.call_async(&mut world.store, ()));
    for _ in 0..3 {
        world.drive();
    }
    assert!(world.guest.ended().is_none());
    assert_eq!(world.number("cancelled"), 0);
}

#[test]
fn a_guest_that_runs_ends_when_its_time_is_up() {
    let mut world = world(|config| config.deadlines(true));
    let endless = world.guest.typed_func::<(), ()>(&mut world.store, "endless").unwrap();
    world.store.set_time_slice(Some(Duration::from_millis(1))).unwrap();
    world.store.set_cancellation_grace(Some(Duration::from_millis(5))).unwrap();
    let rude = world.guest.typed_func::<(), ()>(&mut world.store, "rude").unwrap();
    // One that waits is asked first; the other runs when the time is up.
    poll(1, rude.call_async(&mut world.store, ()));
    poll(2, rude.call_async(&mut world.store, ()));
    poll(3, endless.call_async(&mut world.store, ()));
    world.store.set_time_slice(None).unwrap();
    world.drive_to_end();
    assert_eq!(world.number("count"), 1);
}

/// It has not come back to the host since it was called: it is suspended at the end of a slice.
#[test]
fn a_guest_that_has_not_come_back_once_ends_when_its_time_is_up() {
    let mut world = world(|config| config.deadlines(true));
    let endless = world.guest.typed_func::<(), ()>(&mut world.store, "endless").unwrap();
    world.store.set_time_slice(Some(Duration::from_millis(1))).unwrap();
    world.store.set_cancellation_grace(Some(Duration::from_millis(5))).unwrap();
    poll(2, endless.call_async(&mut world.store, ()));
    world.drive_to_end();
    world.store.set_time_slice(None).unwrap();
    assert_eq!(world.number("count"), 1);
}

/// What is known of the call when its future is dropped is its place in the queue.
#[test]
fn calls_that_have_not_begun_never_do() {
    let mut world = world(|config| config.deadlines(true));
    world.store.set_time_slice(Some(Duration::from_millis(1))).unwrap();
    let polite = world.guest.typed_func::<(u32,), ()>(&mut world.store, "polite").unwrap();
    let untyped = world.guest.func("polite").unwrap();
    poll(0, polite.call_async(&mut world.store, (100_000,)));
    block_on(world.store.run_concurrent(async |store| {
        drop(polite.call_concurrent(&store, (100_000,)));
        let mut begun = pin!(polite.call_concurrent(&store, (100_000,)));
        assert!(poll_once(begun.as_mut()).await.is_pending());
        let args = [tombolo::Val::U32(100_000)];
        let mut begun_too = pin!(untyped.call_concurrent(&store, &args));
        assert!(poll_once(begun_too.as_mut()).await.is_pending());
    }))
    .unwrap();
    world.drive();
    world.store.set_time_slice(None).unwrap();
    assert_eq!((world.number("cancelled"), world.working.load(Ordering::Relaxed)), (0, 0));
}
