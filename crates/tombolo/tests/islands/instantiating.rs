//! Giving up an instantiation by dropping its future.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tombolo::{Accessor, Component, Config, EndCause, Engine, Linker, Resource, Store, StoreMut};

use super::cancelling::poll;
use super::causes::{poll_once, yield_now};
use super::guests::COUNTER;
use super::million::resident;
use super::{block_on, engine, instantiate};

/// Takes its time in the start function of the inner one of two components, with a resource of the host's in hand, and says
/// when it is done.
const STARTS: &str = r#"(component $starts
    (import "thing" (type $thing (sub resource)))
    (import "make" (func $make (result (own $thing))))
    (import "rounds" (func $rounds (result u32)))
    (import "started" (func $started))
    (core func $make (canon lower (func $make)))
    (core func $rounds (canon lower (func $rounds)))
    (core func $started (canon lower (func $started)))
    (core module $n
        (import "" "make" (func $make (result i32)))
        (import "" "rounds" (func $rounds (result i32)))
        (import "" "started" (func $started))
        (memory 2) (table 100 funcref) (tag $tag)
        (func $start (local $n i32)
            (i32.store (i32.const 70000) (call $make))
            (local.set $n (call $rounds))
            (loop $l
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if $l (local.get $n)))
            (call $started))
        (func (export "ready") (result i32) (i32.const 1))
        (start $start))
    (core instance $n (instantiate $n (with "" (instance
        (export "make" (func $make)) (export "rounds" (func $rounds)) (export "started" (func $started))))))
    (func (export "ready") (result u32) (canon lift (core func $n "ready"))))"#;

struct Thing;

#[derive(Default)]
struct Host {
    /// What it has made and not seen dropped.
    things: u32,
    rounds: u32,
    started: u32,
    ended: u32,
}

const FOREVER: u32 = 0;

fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::<Host>::new(engine);
    let mut root = linker.root();
    root.resource::<Thing>("thing", |mut store, _| {
        store.data_mut().things -= 1;
        Ok(())
    })
    .unwrap();
    root.func("make", |mut store: StoreMut<'_, Host>, (): ()| {
        store.data_mut().things += 1;
        Ok(Resource::<Thing>::new_own(1))
    })
    .unwrap();
    root.func("rounds", |store: StoreMut<'_, Host>, (): ()| Ok(store.data().rounds)).unwrap();
    root.func("started", |mut store: StoreMut<'_, Host>, (): ()| {
        store.data_mut().started += 1;
        Ok(())
    })
    .unwrap();
    linker
}

struct World {
    store: Store<Host>,
    linker: Linker<Host>,
    component: Component,
}

fn world(slice: Option<Duration>, rounds: u32) -> World {
    let engine = engine(|config: &mut Config| config.deadlines(true));
    let mut store = Store::new(&engine, Host { rounds, ..Host::default() });
    store.set_time_slice(slice).unwrap();
    store.on_ended(|mut store, _| store.data_mut().ended += 1);
    World { store, linker: linker(&engine), component: Component::new(&engine, STARTS).unwrap() }
}

impl World {
    /// Drives the store for a few turns.
    fn drive(&mut self) {
        block_on(self.store.run_concurrent(async |_| {
            for _ in 0..3 {
                yield_now().await;
            }
        }))
        .unwrap();
    }
}

const SLICE: Option<Duration> = Some(Duration::from_micros(100));

#[test]
fn one_that_is_given_up_is_torn_down_wherever_it_is() {
    // Polled so many times, and with a start function that ends or not.
    for (polls, rounds) in [(0, FOREVER), (1, FOREVER), (2, FOREVER), (5, FOREVER), (0, 1), (1, 1)] {
        let mut world = world(SLICE, rounds);
        let counter = instantiate(&mut world.store, COUNTER);
        let finished = poll(polls, world.linker.instantiate_async(&mut world.store, &world.component));
        world.drive();
        let host = world.store.data();
        match finished {
            true => assert_eq!((host.started, host.things), (1, 1), "it was handed over"),
            // One that ends may have done so just at the end of a slice.
            false => assert_eq!((host.started * rounds.abs_diff(1), host.things), (0, 0), "{polls} polls"),
        }
        // Nobody is told who asked for it.
        assert_eq!(host.ended, 0);
        // Neither others nor the store have noticed.
        world.store.set_time_slice(None).unwrap();
        let count = counter.typed_func::<(), u32>(&mut world.store, "count").unwrap();
        assert_eq!(count.call(&mut world.store, ()).unwrap(), 1);
        world.store.data_mut().rounds = 1;
        let again = block_on(world.linker.instantiate_async(&mut world.store, &world.component)).unwrap();
        let ready = again.typed_func::<(), u32>(&mut world.store, "ready").unwrap();
        assert_eq!(ready.call(&mut world.store, ()).unwrap(), 1);
    }
}

/// It is done, but whoever was to have it is gone.
#[test]
fn one_that_nobody_takes_is_torn_down() {
    let mut world = world(None, 1);
    let (linker, component) = (world.linker.clone(), world.component.clone());
    block_on(world.store.run_concurrent(async |store: Accessor<Host>| {
        let mut future = Box::pin(linker.instantiate_concurrent(&store, &component));
        assert!(poll_once(future.as_mut()).await.is_pending());
        // The event loop makes it after this one's turn, and this one does not look.
        yield_now().await;
        assert_eq!(store.with(|store| (store.data().started, store.data().things)), (1, 1));
        drop(future);
        yield_now().await;
        yield_now().await;
        assert_eq!(store.with(|store| store.data().things), 0);
        let kept = linker.instantiate_concurrent(&store, &component).await.unwrap();
        assert!(kept.ended().is_none());
        assert_eq!(store.with(|store| store.data().things), 1);
    }))
    .unwrap();
}

/// Calls that stand behind it in the queue are answered once it is gone.
#[test]
fn others_do_not_wait_for_one_that_was_given_up() {
    let mut world = world(SLICE, FOREVER);
    let counter = instantiate(&mut world.store, COUNTER);
    let count = counter.typed_func::<(), u32>(&mut world.store, "count").unwrap();
    for times in 1..=5 {
        assert!(!poll(3, world.linker.instantiate_async(&mut world.store, &world.component)));
        assert_eq!(block_on(count.call_async(&mut world.store, ())).unwrap(), times);
    }
    assert_eq!((world.store.data().started, world.store.data().things), (0, 0));
}

#[test]
fn ten_thousand_that_are_given_up_leave_nothing() {
    let mut world = world(Some(Duration::from_micros(10)), FOREVER);
    let mut before = 0;
    for number in 0..10_000 {
        if number == 1_000 {
            before = resident();
        }
        assert!(!poll(2, world.linker.instantiate_async(&mut world.store, &world.component)));
    }
    world.drive();
    let after = resident();
    println!("{before} KiB resident after a tenth of them, {after} KiB after all");
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
    assert_eq!((world.store.data().things, world.store.data().started), (0, 0));
}

/// What it calls may run on: the callee is somebody else.
#[test]
fn its_callee_goes_on() {
    let engine = engine(|config| config.deadlines(true));
    let mut linker = Linker::<()>::new(&engine);
    let [more, asked, done] = [1, 0, 0].map(|count| Arc::new(AtomicU32::new(count)));
    let (answer, asks, count) = (more.clone(), asked.clone(), done.clone());
    let mut root = linker.root();
    root.func("more", move |_: StoreMut<'_, ()>, (): ()| {
        asks.fetch_add(1, Ordering::Relaxed);
        Ok(answer.load(Ordering::Relaxed))
    })
    .unwrap();
    root.func("done", move |_: StoreMut<'_, ()>, (): ()| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
    .unwrap();
    let callee = Component::new(
        &engine,
        r#"(component $callee
            (import "more" (func $more (result u32)))
            (import "done" (func $done))
            (core func $more (canon lower (func $more)))
            (core func $done (canon lower (func $done)))
            (core module $m
                (import "" "more" (func $more (result i32)))
                (import "" "done" (func $done))
                (func (export "work")
                    (loop $l (br_if $l (call $more)))
                    (call $done)))
            (core instance $i (instantiate $m (with "" (instance
                (export "more" (func $more)) (export "done" (func $done))))))
            (func (export "work") (canon lift (core func $i "work"))))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, ());
    let callee = linker.instantiate(&mut store, &callee).unwrap();
    linker.define_instance("callee", &callee).unwrap();
    let caller = Component::new(
        &engine,
        r#"(component $caller
            (import "callee" (instance $callee (export "work" (func))))
            (import "done" (func $done))
            (core func $done (canon lower (func $done)))
            (core func $work (canon lower (func $callee "work")))
            (core module $m
                (import "" "work" (func $work))
                (import "" "done" (func $done))
                (func $start (call $work) (call $done))
                (start $start))
            (core instance (instantiate $m (with "" (instance
                (export "work" (func $work)) (export "done" (func $done)))))))"#,
    )
    .unwrap();
    store.set_time_slice(Some(Duration::from_micros(50))).unwrap();
    {
        let mut made = Box::pin(linker.instantiate_async(&mut store, &caller));
        while asked.load(Ordering::Relaxed) == 0 {
            assert!(!poll(1, made.as_mut()));
        }
        assert!(!poll(1, made.as_mut()));
    }
    more.store(0, Ordering::Relaxed);
    let work = callee.typed_func::<(), ()>(&mut store, "work").unwrap();
    block_on(work.call_async(&mut store, ())).unwrap();
    // The callee's two calls; the caller's start function did not get to its own.
    assert_eq!(done.load(Ordering::Relaxed), 2);
    assert!(callee.ended().is_none());
    callee.end(&mut store).unwrap();
    assert!(matches!(callee.ended().unwrap().cause(), EndCause::Removed));
}
