//! Deadlines.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use tombolo::{Accessor, Component, Engine, Instance, Linker, Result, Store, StoreMut, TrapCode, Val};

use super::{Budget, SLICES, World, code, counting, late, soon};
use crate::cancelling::poll;
use crate::causes::{poll_once, yield_now};
use crate::guests::COUNTER;
use crate::places::{CALLS, PLACES};
use crate::{block_on, instantiate, waited};

/// Waits for good: on a fiber, in its callback, and in both for somebody who does.
const WAITS: &str = r#"(component $waits
    (import "for-good" (func $for-good async))
    (core func $for-good' (canon lower (func $for-good)))
    (core func $begin (canon lower (func $for-good) async))
    (core func $set (canon waitable-set.new))
    (core func $join (canon waitable.join))
    (core module $m
        (import "" "for-good" (func $for-good))
        (import "" "begin" (func $begin (result i32)))
        (import "" "set" (func $set (result i32)))
        (import "" "join" (func $join (param i32 i32)))
        (func (export "fiber") (call $for-good))
        (global $waits (mut i32) (i32.const 0))
        (func $wait (result i32) (i32.or (i32.const 2) (i32.shl (global.get $waits) (i32.const 4))))
        (func (export "callback") (result i32)
            (global.set $waits (call $set))
            (call $join (i32.shr_u (call $begin) (i32.const 4)) (global.get $waits))
            (call $wait))
        (func (export "called-back") (param i32 i32 i32) (result i32) (call $wait)))
    (core instance $i (instantiate $m (with "" (instance
        (export "for-good" (func $for-good')) (export "begin" (func $begin))
        (export "set" (func $set)) (export "join" (func $join))))))
    (func (export "fiber") async (canon lift (core func $i "fiber")))
    (func (export "callback") async
        (canon lift (core func $i "callback") async (callback (core func $i "called-back")))))"#;

/// What the host works on, for [`WAITS`].
struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn waiting(engine: &Engine) -> (Linker<()>, Arc<AtomicU32>) {
    let working = Arc::new(AtomicU32::new(0));
    let mut linker = Linker::new(engine);
    let count = working.clone();
    let for_good = move |_: Accessor<()>, (): ()| {
        count.fetch_add(1, Ordering::Relaxed);
        let guard = Guard(count.clone());
        async move {
            let _guard = guard;
            std::future::pending::<Result<()>>().await
        }
    };
    linker.root().func_async("for-good", for_good).unwrap();
    (linker, working)
}

/// Does the same for a function of another instance.
fn outer(name: &str) -> String {
    let import = format!(
        r#"(import "inner" (instance $inner (export "fiber" (func async)) (export "callback" (func async))))
        (alias export $inner "{name}" (func $for-good))"#
    );
    WAITS.replace(r#"(import "for-good" (func $for-good async))"#, &import).replace("$waits", "$outer")
}

#[test]
fn a_deadline_of_its_own_ends_one_that_waits() {
    let engine = counting(|config| config);
    let waits = Component::new(&engine, WAITS).unwrap();
    let (linker, working) = waiting(&engine);
    for slice in SLICES {
        for name in ["fiber", "callback"] {
            let mut world = World::new(&engine, slice);
            let waits = block_on(linker.instantiate_async(&mut world.store, &waits)).unwrap();
            let func = waits.typed_func::<(), ()>(&mut world.store, name).unwrap();
            let at = Some(Instant::now() + Duration::from_millis(50));
            waits.set_deadline(&mut world.store, at).unwrap();
            let mut polls = 0;
            let mut call = Box::pin(func.call_async(&mut world.store, ()));
            let error = block_on(std::future::poll_fn(|cx| {
                polls += 1;
                call.as_mut().poll(cx)
            }));
            drop(call);
            let error = error.unwrap_err();
            assert_eq!(code(&error), Some(TrapCode::Interrupted), "{error}");
            Budget::Deadline.has_ended(&waits);
            assert_eq!(working.load(Ordering::Relaxed), 0);
            // It was woken for it, and not polled over and over.
            assert!(polls <= 6, "{polls}");
            world.count();
        }
    }
}

#[test]
fn a_deadline_of_its_own_ends_one_that_waits_for_another_or_that_another_waits_for() {
    for after in [0, 1000] {
        let engine = counting(|config| config.adapters_after(after));
        let (linker, working) = waiting(&engine);
        let waits = Component::new(&engine, WAITS).unwrap();
        for inner_name in ["fiber", "callback"] {
            let outer = Component::new(&engine, outer(inner_name)).unwrap();
            for (slice, name) in SLICES.into_iter().flat_map(|s| [(s, "fiber"), (s, "callback")]) {
                for outer_ends in [false, true] {
                    let mut world = World::new(&engine, slice);
                    let store = &mut world.store;
                    let inner = block_on(linker.instantiate_async(store, &waits)).unwrap();
                    let mut linker = Linker::new(&engine);
                    linker.define_instance("inner", &inner).unwrap();
                    let outer = block_on(linker.instantiate_async(store, &outer)).unwrap();
                    let which = if outer_ends { &outer } else { &inner };
                    let func = outer.typed_func::<(), ()>(&mut *store, name).unwrap();
                    let result = store.run_concurrent(async |store| {
                        let mut call = pin!(func.call_concurrent(&store, ()));
                        while working.load(Ordering::Relaxed) == 0 {
                            assert!(poll_once(call.as_mut()).await.is_pending());
                            yield_now().await;
                        }
                        store.with(|store| which.set_deadline(store, soon())).unwrap();
                        call.await
                    });
                    let error = block_on(result).unwrap().unwrap_err();
                    assert!(error.to_string().contains("deadline passed"), "{error}");
                    Budget::Deadline.has_ended(which);
                    match outer_ends {
                        false => assert!(waited(&outer).instance().contains("waits"), "{outer:?}"),
                        true => assert!(inner.ended().is_none(), "{:?}", inner.ended()),
                    }
                    world.count();
                    // What is left is ended by the embedder.
                    inner.end(&mut world.store).unwrap();
                    assert_eq!(working.load(Ordering::Relaxed), 0, "{inner_name} {name}");
                }
            }
        }
    }
}

/// Its callee goes round still, and is ended in its turn.
#[test]
fn a_deadline_of_its_own_ends_one_while_its_callee_runs() {
    for after in [0, 1000] {
        let engine = counting(|config| config.adapters_after(after));
        let calls = Component::new(&engine, CALLS).unwrap();
        for slice in SLICES {
            let mut world = World::new(&engine, slice);
            for name in PLACES {
                let spins = world.spins();
                let mut linker = world.linker.clone();
                linker.define_instance("spins", &spins).unwrap();
                let calls = block_on(linker.instantiate_async(&mut world.store, &calls)).unwrap();
                let first = soon();
                calls.set_deadline(&mut world.store, first).unwrap();
                let second = first.map(|at| at + Duration::from_millis(3));
                spins.set_deadline(&mut world.store, second).unwrap();
                let error = world.call(&calls, name);
                assert!(error.to_string().contains("deadline passed"), "{name}: {error}");
                // It may be over before its callee: then it is for its callee that nobody waits.
                Budget::Deadline.has_ended(&calls);
                while spins.ended().is_none() {
                    world.count();
                }
                Budget::Deadline.has_ended(&spins);
                world.count();
            }
        }
    }
}

/// … is ended as well: whoever is told of ends hears of it, and other guests hear of nothing.
#[test]
fn one_that_does_nothing_when_its_deadline_passes() {
    let engine = counting(|config| config);
    for slice in SLICES {
        let mut world = World::new(&engine, slice);
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        world.store.on_ended(move |_, ended| tell.lock().unwrap().push(ended.to_string()));
        let idle = world.spins();
        idle.set_deadline(&mut world.store, soon()).unwrap();
        let ends = idle.clone();
        block_on(world.store.run_concurrent(async |_: Accessor<()>| {
            while ends.ended().is_none() {
                yield_now().await;
            }
        }))
        .unwrap();
        Budget::Deadline.has_ended(&idle);
        world.count();
        assert_eq!(told.lock().unwrap().len(), 1);
        assert!(told.lock().unwrap()[0].contains("`spins`"), "{told:?}");
        let error = world.call(&idle, "stack");
        assert!(error.to_string().starts_with("cannot enter"), "{error}");
    }
    // Without an event loop, by the next guest that runs.
    let mut store = Store::new(&engine, ());
    store.set_fuel(u64::MAX).unwrap();
    let (idle, counter) = (instantiate(&mut store, COUNTER), instantiate(&mut store, COUNTER));
    idle.set_deadline(&mut store, Some(Instant::now())).unwrap();
    assert!(idle.ended().is_none());
    run_count(&mut store, &counter).unwrap();
    Budget::Deadline.has_ended(&idle);
    // Or itself.
    counter.set_deadline(&mut store, Some(Instant::now())).unwrap();
    let error = run_count(&mut store, &counter).unwrap_err();
    assert_eq!(code(&error), Some(TrapCode::Interrupted), "{error}");
    Budget::Deadline.has_ended(&counter);
}

fn run_count(store: &mut Store<()>, counter: &Instance) -> Result<u32> {
    counter.typed_func::<(), u32>(&mut *store, "count").unwrap().call(store, ())
}

#[test]
fn a_deadline_of_its_own_can_be_moved_and_taken_away() {
    let engine = counting(|config| config);
    for slice in SLICES {
        let mut world = World::new(&engine, slice);
        let [moved, removed, kept] = [(); 3].map(|()| world.spins());
        for (instance, last) in [(&moved, late()), (&removed, None)] {
            instance.set_deadline(&mut world.store, soon()).unwrap();
            instance.set_deadline(&mut world.store, last).unwrap();
        }
        kept.set_deadline(&mut world.store, late()).unwrap();
        kept.set_deadline(&mut world.store, soon()).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        world.count();
        assert!(moved.ended().is_none() && removed.ended().is_none());
        Budget::Deadline.has_ended(&kept);
        // The store's stands beside it, and ends no more than it did.
        world.store.set_deadline(Some(Instant::now() + Duration::from_millis(50))).unwrap();
        let error = world.call(&moved, "stack");
        assert_eq!(code(&error), Some(TrapCode::Interrupted), "{error}");
        world.store.set_deadline(None).unwrap();
        Budget::Deadline.has_ended(&moved);
        assert!(removed.ended().is_none());
        world.count();
    }
}

/// One that runs is told to stop by what it calls; one that has a later time than another is not held up by it.
#[test]
fn a_host_function_may_set_the_deadline_of_its_caller() {
    const CALLS_HOST: &str = r#"(component $calls-host
        (import "stop" (func $stop))
        (core func $stop' (canon lower (func $stop)))
        (core module $m
            (import "" "stop" (func $stop))
            (func (export "run") (call $stop) (loop $l (br $l))))
        (core instance $i (instantiate $m (with "" (instance (export "stop" (func $stop'))))))
        (func (export "run") (canon lift (core func $i "run")))
        (func (export "run-async") async (canon lift (core func $i "run"))))"#;
    let engine = counting(|config| config);
    let component = Component::new(&engine, CALLS_HOST).unwrap();
    let mut linker = Linker::<Option<(Instance, Duration)>>::new(&engine);
    linker
        .root()
        .func("stop", |mut store: StoreMut<'_, Option<(Instance, Duration)>>, (): ()| {
            let (guest, after) = store.data_mut().take().unwrap();
            guest.set_deadline(store, Some(Instant::now() + after))
        })
        .unwrap();
    for after in [Duration::ZERO, Duration::from_millis(2)] {
        for slice in SLICES {
            for name in ["run", "run-async"] {
                let mut store = Store::new(&engine, None);
                store.set_fuel(u64::MAX).unwrap();
                let guest = linker.instantiate(&mut store, &component).unwrap();
                let other = instantiate(&mut store, COUNTER);
                other.set_deadline(&mut store, late()).unwrap();
                store.set_time_slice(slice).unwrap();
                *store.data_mut() = Some((guest.clone(), after));
                let func = guest.typed_func::<(), ()>(&mut store, name).unwrap();
                let error = match name {
                    "run" if slice.is_none() => func.call(&mut store, ()),
                    _ => block_on(func.call_async(&mut store, ())),
                };
                assert_eq!(code(&error.unwrap_err()), Some(TrapCode::Interrupted));
                Budget::Deadline.has_ended(&guest);
                let count = other.typed_func::<(), u32>(&mut store, "count").unwrap();
                assert_eq!(block_on(count.call_async(&mut store, ())).unwrap(), 1);
            }
        }
    }
}

/// Many at once, each at its time: calls that wait and calls that run, while others go on.
#[test]
fn each_of_many_ends_at_its_own_deadline() {
    let engine = counting(|config| config);
    let waits = Component::new(&engine, WAITS).unwrap();
    let (linker, working) = waiting(&engine);
    let mut world = World::new(&engine, SLICES[1]);
    let instances: Vec<Instance> =
        (0..50).map(|_| block_on(linker.instantiate_async(&mut world.store, &waits)).unwrap()).collect();
    let (runs, counter) = (world.spins(), world.counter.clone());
    let counts = block_on(world.store.run_concurrent(async |store: Accessor<()>| {
        let funcs: Vec<_> = instances
            .iter()
            .enumerate()
            .map(|(number, instance)| instance.func(["fiber", "callback"][number % 2]).unwrap())
            .collect();
        let calls = funcs.iter().map(|func| func.call_concurrent(&store, &[]));
        let mut calls = pin!(futures_util::future::join_all(calls));
        while working.load(Ordering::Relaxed) < 50 {
            assert!(poll_once(calls.as_mut()).await.is_pending());
            yield_now().await;
        }
        let forever = runs.func("stack").unwrap();
        let mut forever = pin!(forever.call_concurrent(&store, &[]));
        assert!(poll_once(forever.as_mut()).await.is_pending());
        let begin = Instant::now();
        let times: Vec<Instant> =
            (0..50).map(|number| begin + Duration::from_millis(5 + number * 17 % 50)).collect();
        for (instance, at) in instances.iter().zip(&times) {
            store.with(|store| instance.set_deadline(store, Some(*at))).unwrap();
        }
        store.with(|store| runs.set_deadline(store, Some(begin + Duration::from_millis(60)))).unwrap();
        let count = store.with(|store| counter.typed_func::<(), u32>(store, "count")).unwrap();
        let mut counts = 0;
        let results = loop {
            let now = Instant::now();
            if let Poll::Ready(results) = poll_once(calls.as_mut()).await {
                break results;
            }
            for (instance, at) in instances.iter().zip(&times) {
                assert!(instance.ended().is_none() || *at <= Instant::now());
                // Whatever runs, it is not much later.
                assert!(instance.ended().is_some() || now < *at + Duration::from_secs(1));
            }
            counts += 1;
            assert_eq!(count.call_concurrent(&store, ()).await.unwrap(), counts);
        };
        for error in results.into_iter().map(Result::unwrap_err) {
            assert_eq!(code(&error), Some(TrapCode::Interrupted), "{error}");
        }
        let error = forever.await.unwrap_err();
        assert_eq!(code(&error), Some(TrapCode::Interrupted), "{error}");
        counts
    }));
    assert!(counts.unwrap() > 0);
    instances.iter().for_each(|instance| Budget::Deadline.has_ended(instance));
    assert_eq!(working.load(Ordering::Relaxed), 0);
}

/// A call of it was left in the midst of a time slice.
#[test]
fn one_that_is_suspended_at_the_end_of_a_slice_when_its_deadline_passes() {
    let engine = counting(|config| config);
    let mut world = World::new(&engine, SLICES[1]);
    for name in PLACES {
        let spins = world.spins();
        spins.set_deadline(&mut world.store, soon()).unwrap();
        let func = spins.func(name).unwrap();
        let args: &[Val] = if func.params().is_empty() { &[] } else { &[Val::from("text")] };
        poll(2, func.call_async(&mut world.store, args));
        std::thread::sleep(Duration::from_millis(10));
        world.count();
        Budget::Deadline.has_ended(&spins);
    }
}
