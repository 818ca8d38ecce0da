//! Ending a root instance in the midst of things.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tombolo::{Accessor, Component, EndCause, Instance, Linker, Resource, Result, Store, StoreMut};

use super::guests::COUNTER;
use super::{block_on, ended, engine, instantiate, run};

/// Waits for the host on a stack of its own, has itself ended by it, and calls it in between.
const GUEST: &str = r#"(component $guest
    (import "wait" (func $wait async))
    (import "end" (func $end))
    (import "thing" (type $thing (sub resource)))
    (import "make" (func $make (result (own $thing))))
    (import "use" (func $use async (param "t" (borrow $thing))))
    (core func $wait' (canon lower (func $wait)))
    (core func $end' (canon lower (func $end)))
    (core func $make' (canon lower (func $make)))
    (core func $use' (canon lower (func $use)))
    (core module $m
        (import "" "wait" (func $wait))
        (import "" "end" (func $end))
        (import "" "make" (func $make (result i32)))
        (import "" "use" (func $use (param i32)))
        (func (export "wait") (call $wait))
        (func (export "end") (call $end) unreachable)
        (func (export "make") (drop (call $make)))
        (func (export "lend") (call $use (call $make))))
    (core instance $i (instantiate $m (with "" (instance
        (export "wait" (func $wait')) (export "end" (func $end')) (export "make" (func $make'))
        (export "use" (func $use'))))))
    (func (export "wait") async (canon lift (core func $i "wait")))
    (func (export "end") (canon lift (core func $i "end")))
    (func (export "make") (canon lift (core func $i "make")))
    (func (export "lend") async (canon lift (core func $i "lend"))))"#;

struct Thing;

#[derive(Default)]
struct Host {
    guest: Option<Instance>,
    dropped: u32,
}

struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct World {
    store: Store<Host>,
    guest: Instance,
    counter: Instance,
    /// Futures of the host that were dropped unfinished.
    abandoned: Arc<AtomicU32>,
}

fn world() -> World {
    let engine = engine(|config| config);
    let abandoned = Arc::new(AtomicU32::new(0));
    let mut linker = Linker::<Host>::new(&engine);
    let mut root = linker.root();
    let count = abandoned.clone();
    root.func_async("wait", move |_: Accessor<Host>, (): ()| {
        let guard = Guard(count.clone());
        async move {
            let _guard = guard;
            std::future::pending::<Result<()>>().await
        }
    })
    .unwrap();
    root.func("end", |mut store: StoreMut<'_, Host>, (): ()| {
        let guest = store.data().guest.clone().unwrap();
        guest.end(store.as_mut())
    })
    .unwrap();
    root.resource::<Thing>("thing", |mut store, _| {
        store.data_mut().dropped += 1;
        Ok(())
    })
    .unwrap();
    root.func("make", |_: StoreMut<'_, Host>, (): ()| Ok(Resource::<Thing>::new_own(7))).unwrap();
    let count = abandoned.clone();
    root.func_async("use", move |_: Accessor<Host>, (_,): (Resource<Thing>,)| {
        let guard = Guard(count.clone());
        async move {
            let _guard = guard;
            std::future::pending::<Result<()>>().await
        }
    })
    .unwrap();
    let mut store = Store::new(&engine, Host::default());
    let guest = linker.instantiate(&mut store, &Component::new(&engine, GUEST).unwrap()).unwrap();
    store.data_mut().guest = Some(guest.clone());
    let counter = instantiate(&mut store, COUNTER);
    World { store, guest, counter, abandoned }
}

impl World {
    fn count(&mut self) -> u32 {
        let count = self.counter.typed_func::<(), u32>(&mut self.store, "count").unwrap();
        count.call(&mut self.store, ()).unwrap()
    }

    /// Begins a call that waits for the host.
    fn begin(&mut self, name: &str) -> Arc<AtomicU32> {
        let failed = Arc::new(AtomicU32::new(0));
        let func = self.guest.typed_func::<(), ()>(&mut self.store, name).unwrap();
        let told = failed.clone();
        func.call_then(&mut self.store, (), move |_, result| {
            assert!(matches!(ended(&result.unwrap_err()).cause(), EndCause::Removed));
            told.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        failed
    }

    /// Drives the store for a turn.
    fn turn(&mut self) {
        block_on(self.store.run_concurrent(async |_| super::causes::yield_now().await)).unwrap();
    }
}

#[test]
fn while_its_stack_is_suspended() {
    let mut world = world();
    let failed = [world.begin("wait"), world.begin("wait")];
    assert_eq!(world.abandoned.load(Ordering::Relaxed), 0);
    world.guest.clone().end(&mut world.store).unwrap();
    // What the host was doing for it is dropped at once, and each of its callers hears of it: the second call had not
    // entered yet.
    assert_eq!(world.abandoned.load(Ordering::Relaxed), 1);
    world.turn();
    assert!(failed.iter().all(|failed| failed.load(Ordering::Relaxed) == 1));
    assert_eq!(world.count(), 1);
    let error = run(&mut world.store, &world.guest, "make").unwrap_err();
    assert!(error.to_string().contains("was ended by the host"), "{error}");
}

#[test]
fn from_inside_a_function_that_it_called() {
    let mut world = world();
    let error = run(&mut world.store, &world.guest, "end").unwrap_err();
    // It does not get to its own trap.
    assert!(matches!(ended(&error).cause(), EndCause::Removed), "{error}");
    assert_eq!(world.count(), 1);
}

#[test]
fn what_it_owned_of_the_hosts_is_dropped() {
    let mut world = world();
    for _ in 0..3 {
        run(&mut world.store, &world.guest, "make").unwrap();
    }
    assert_eq!(world.store.data().dropped, 0);
    world.guest.clone().end(&mut world.store).unwrap();
    assert_eq!(world.store.data().dropped, 3);
}

#[test]
fn while_a_resource_is_lent_to_the_host() {
    let mut world = world();
    world.begin("lend");
    world.guest.clone().end(&mut world.store).unwrap();
    assert_eq!((world.abandoned.load(Ordering::Relaxed), world.store.data().dropped), (1, 1));
}

/// A resource that a guest lent to a call into another one is not destroyed before that call has ended.
#[test]
fn while_a_resource_is_lent_to_another_guest() {
    let engine = engine(|config| config);
    let mut linker = Linker::<Host>::new(&engine);
    linker
        .root()
        .resource::<Thing>("thing", |mut store, _| {
            store.data_mut().dropped += 1;
            Ok(())
        })
        .unwrap();
    linker.root().func("make", |_: StoreMut<'_, Host>, (): ()| Ok(Resource::<Thing>::new_own(7))).unwrap();
    linker
        .root()
        .func_async("wait", async |_: Accessor<Host>, (): ()| {
            super::causes::yield_now().await;
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(&engine, Host::default());
    let borrower = Component::new(
        &engine,
        r#"(component $borrower
            (import "thing" (type $thing (sub resource)))
            (import "wait" (func $wait async))
            (core func $wait' (canon lower (func $wait)))
            (core func $drop (canon resource.drop $thing))
            (core module $m
                (import "" "wait" (func $wait))
                (import "" "drop" (func $drop (param i32)))
                (func (export "borrow") (param i32) (call $wait) (call $wait) (call $drop (local.get 0))))
            (core instance $i (instantiate $m (with "" (instance
                (export "wait" (func $wait')) (export "drop" (func $drop))))))
            (export $thing' "thing" (type $thing))
            (func (export "borrow") async (param "t" (borrow $thing')) (canon lift (core func $i "borrow"))))"#,
    )
    .unwrap();
    let borrower = linker.instantiate(&mut store, &borrower).unwrap();
    linker.define_instance("borrower", &borrower).unwrap();
    let lender = Component::new(
        &engine,
        r#"(component $lender
            (import "thing" (type $thing (sub resource)))
            (import "make" (func $make (result (own $thing))))
            (import "borrower" (instance $borrower
                (alias outer 1 $thing (type $t))
                (export "borrow" (func async (param "t" (borrow $t))))))
            (core func $make' (canon lower (func $make)))
            (core func $borrow' (canon lower (func $borrower "borrow")))
            (core module $m
                (import "" "make" (func $make (result i32)))
                (import "" "borrow" (func $borrow (param i32)))
                (func (export "lend") (call $borrow (call $make))))
            (core instance $i (instantiate $m (with "" (instance
                (export "make" (func $make')) (export "borrow" (func $borrow'))))))
            (func (export "lend") async (canon lift (core func $i "lend"))))"#,
    )
    .unwrap();
    let lender = linker.instantiate(&mut store, &lender).unwrap();
    let lend = lender.typed_func::<(), ()>(&mut store, "lend").unwrap();
    lend.call_then(&mut store, (), |_, _| Ok(())).unwrap();
    lender.end(&mut store).unwrap();
    assert_eq!(store.data().dropped, 0, "it is borrowed still");
    let dropped = block_on(store.run_concurrent(async |store: Accessor<Host>| {
        for _ in 0..100 {
            super::causes::yield_now().await;
        }
        store.with(|store| store.data().dropped)
    }));
    assert_eq!(dropped.unwrap(), 1);
    assert!(borrower.ended().is_none());
}
