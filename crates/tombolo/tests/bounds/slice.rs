//! Time slices.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tombolo::{Accessor, Component, Linker, Store, StoreMut, TrapCode};

use super::executor::{block_on, rest, run_all};
use super::{code, engine, guest, innermost, linker, sum};

const SLICE: Option<Duration> = Some(Duration::from_millis(1));

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a call until its guest is suspended at the end of a slice, as many times.
fn poll_times<F: Future>(mut future: Pin<&mut F>, times: u32) {
    for _ in 0..times {
        assert!(poll(future.as_mut()).is_pending());
    }
}

/// The one that the issue asks for: an endless loop is stopped at its deadline while other stores on the same thread's
/// executor go on.
#[test]
fn an_endless_loop_is_stopped_while_other_stores_go_on() {
    const DEADLINE: Duration = Duration::from_millis(500);
    let engine = engine(|config| config.deadlines(true));
    let turns = Cell::new(0_u32);
    let ended = Cell::new(None);
    let spin = async {
        let (mut store, instance) = guest(&engine);
        let forever = instance.typed_func::<(), ()>(&mut store, "forever-async").unwrap();
        store.set_time_slice(SLICE).unwrap();
        let deadline = Instant::now() + DEADLINE;
        store.set_deadline(Some(deadline)).unwrap();
        let before = turns.get();
        let error = forever.call_async(&mut store, ()).await.unwrap_err();
        let late = deadline.elapsed();
        ended.set(Some((error, turns.get() - before, late)));
    };
    let others = (0..3).map(|_| async {
        let (mut store, instance) = guest(&engine);
        let count = instance.typed_func::<(u32,), u32>(&mut store, "count-async").unwrap();
        while ended.take().map(|found| ended.set(Some(found))).is_none() {
            assert_eq!(count.call_async(&mut store, (100,)).await.unwrap(), sum(100));
            turns.set(turns.get() + 1);
            rest().await;
        }
        // … and after it.
        assert_eq!(count.call_async(&mut store, (100,)).await.unwrap(), sum(100));
    });
    let mut all: Vec<Pin<Box<dyn Future<Output = ()>>>> = vec![Box::pin(spin)];
    all.extend(others.map(|other| Box::pin(other) as _));
    run_all(all);
    let (error, turns, late) = ended.take().unwrap();
    assert_eq!(code(&error), TrapCode::Interrupted);
    assert_eq!(innermost(&error), "forever");
    // Three others, a turn each in every millisecond: about 1500, on a machine that has nothing else to do.
    assert!(turns >= 3, "the others had {turns} turns");
    println!("stopped {late:?} after its deadline; the others had {turns} turns meanwhile");
}

#[test]
fn guests_notice_nothing_of_slices() {
    const ROUNDS: u32 = if cfg!(debug_assertions) { 20_000_000 } else { 200_000_000 };
    let engine = engine(|config| config.deadlines(true));
    for name in ["count", "count-async"] {
        let (mut store, instance) = guest(&engine);
        let count = instance.typed_func::<(u32,), u32>(&mut store, name).unwrap();
        store.set_time_slice(SLICE).unwrap();
        let mut call = pin!(count.call_async(&mut store, (ROUNDS,)));
        let mut slices = 0;
        let result = loop {
            if let Poll::Ready(result) = poll(call.as_mut()) {
                break result;
            }
            slices += 1;
        };
        assert_eq!(result.unwrap(), sum(ROUNDS));
        assert!(slices >= 2, "{slices}");
    }
}

/// One component calls another, whose guest is suspended inside the call; what runs concurrently in the same store does
/// not run before it has gone on.
#[test]
fn a_suspended_guest_goes_on_before_any_other_of_its_store() {
    const TWO: &str = r#"(component
        (import "note" (func $note (param "what" u32)))
        (component $inner
            (core module $m (func (export "spin") (param $n i32)
                (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
            (core instance $i (instantiate $m))
            (func (export "spin") async (param "n" u32) (canon lift (core func $i "spin"))))
        (instance $inner (instantiate $inner))
        (core func $spin (canon lower (func $inner "spin")))
        (core func $note' (canon lower (func $note)))
        (core module $m
            (import "" "spin" (func $spin (param i32)))
            (import "" "note" (func $note (param i32)))
            (func (export "run") (param i32 i32)
                (call $note (local.get 0))
                (call $spin (local.get 1))
                (call $note (local.get 0))))
        (core instance $i (instantiate $m (with "" (instance
            (export "spin" (func $spin)) (export "note" (func $note'))))))
        (func (export "run") async (param "what" u32) (param "n" u32) (canon lift (core func $i "run"))))"#;
    let engine = engine(|config| config.deadlines(true));
    let component = Component::new(&engine, TWO).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .root()
        .func("note", |mut store: StoreMut<'_, Vec<u32>>, (what,): (u32,)| {
            store.data_mut().push(what);
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(&engine, Vec::new());
    let mut runs = Vec::new();
    for _ in 0..2 {
        let instance = linker.instantiate(&mut store, &component).unwrap();
        runs.push(instance.typed_func::<(u32, u32), ()>(&mut store, "run").unwrap());
    }
    store.set_time_slice(SLICE).unwrap();
    let mut pending = 0;
    {
        let mut all = pin!(store.run_concurrent(async |store: Accessor<Vec<u32>>| {
            let first = runs[0].call_concurrent(&store, (1, 30_000_000));
            let second = runs[1].call_concurrent(&store, (2, 1));
            let (first, second) = futures_util::future::join(first, second).await;
            first.and(second)
        }));
        loop {
            match poll(all.as_mut()) {
                Poll::Ready(result) => break result.unwrap().unwrap(),
                Poll::Pending => pending += 1,
            }
        }
    }
    assert!(pending >= 2, "{pending}");
    assert_eq!(*store.data(), [1, 1, 2, 2]);
}

#[test]
fn a_host_function_that_takes_longer_than_a_slice_ends_it_when_it_returns() {
    const CALLS: &str = r#"(component
        (import "nap" (func $nap))
        (core func $nap' (canon lower (func $nap)))
        (core module $m
            (import "" "nap" (func $nap))
            (func (export "run") (param $n i32)
                (loop $l
                    (call $nap)
                    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
        (core instance $i (instantiate $m (with "" (instance (export "nap" (func $nap'))))))
        (func (export "run") (param "n" u32) (canon lift (core func $i "run"))))"#;
    let engine = engine(|config| config.deadlines(true));
    let component = Component::new(&engine, CALLS).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .root()
        .func("nap", |mut store: StoreMut<'_, u32>, (): ()| {
            *store.data_mut() += 1;
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.typed_func::<(u32,), ()>(&mut store, "run").unwrap();
    store.set_time_slice(SLICE).unwrap();
    {
        let mut call = pin!(run.call_async(&mut store, (4,)));
        poll_times(call.as_mut(), 1);
        block_on(call).unwrap();
    }
    assert_eq!(*store.data(), 4);
}

/// A guest that a host function called cannot be suspended. It is once it has returned, and it is stopped.
#[test]
fn guests_that_the_host_called_run_on() {
    const NESTED: &str = r#"(component
        (import "back" (func $back))
        (core func $back' (canon lower (func $back)))
        (core module $m
            (import "" "back" (func $back))
            (func $spin (param $n i32)
                (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
            (func $run (export "run") (call $back) (call $spin (i32.const 1000)))
            (func (export "spin") (param i32) (call $spin (local.get 0))))
        (core instance $i (instantiate $m (with "" (instance (export "back" (func $back'))))))
        (func (export "run") (canon lift (core func $i "run")))
        (func (export "spin") (param "n" u32) (canon lift (core func $i "spin"))))"#;
    let engine = engine(|config| config.deadlines(true));
    let component = Component::new(&engine, NESTED).unwrap();
    // How often the guest goes round when it is called back.
    type Host = (Option<tombolo::TypedFunc<(u32,), ()>>, u32);
    let mut linker = Linker::new(&engine);
    linker
        .root()
        .func("back", |mut store: StoreMut<'_, Host>, (): ()| {
            let (Some(spin), rounds) = store.data().clone() else { panic!() };
            spin.call(store.as_mut(), (rounds,))
        })
        .unwrap();
    for (rounds, deadline) in [(50_000_000, None), (0, Some(Duration::from_millis(50)))] {
        let mut store = Store::new(&engine, (None, rounds));
        let outer = linker.instantiate(&mut store, &component).unwrap();
        let inner = linker.instantiate(&mut store, &component).unwrap();
        store.data_mut().0 = Some(inner.typed_func(&mut store, "spin").unwrap());
        let run = outer.typed_func::<(), ()>(&mut store, "run").unwrap();
        store.set_time_slice(SLICE).unwrap();
        store.set_deadline(deadline.map(|deadline| Instant::now() + deadline)).unwrap();
        let mut call = pin!(run.call_async(&mut store, ()));
        let mut slices = 0;
        let result = loop {
            match poll(call.as_mut()) {
                Poll::Ready(result) => break result,
                Poll::Pending => slices += 1,
            }
        };
        // One that ends when the host function returns; perhaps others around it, but not the dozens that it takes.
        assert!(slices < 10, "{slices}");
        match deadline {
            None => result.unwrap(),
            Some(_) => assert_eq!(code(&result.unwrap_err()), TrapCode::Interrupted),
        }
    }
}

#[test]
fn a_call_that_is_given_up_in_a_slice_goes_on_when_the_store_is_driven() {
    let engine = engine(|config| config.deadlines(true));
    let (mut store, instance) = guest(&engine);
    let rests = instance.typed_func::<(), ()>(&mut store, "forever").unwrap();
    let count = instance.typed_func::<(u32,), u32>(&mut store, "count").unwrap();
    store.set_time_slice(SLICE).unwrap();
    poll_times(pin!(count.call_async(&mut store, (1_000_000_000,))), 2);
    // It is in the midst of something, so nobody else can get in …
    let error = count.call(&mut store, (1,)).unwrap_err();
    assert!(error.to_string().contains("time slice"), "{error}");
    let component = Component::new(&engine, super::GUEST).unwrap();
    let error = linker(&engine).instantiate(&mut store, &component).unwrap_err();
    assert!(error.to_string().contains("time slice"), "{error}");
    // … before it is done, even if there are no slices any more.
    store.set_time_slice(None).unwrap();
    assert_eq!(block_on(count.call_async(&mut store, (10,))).unwrap(), sum(10));
    // A deadline ends it too.
    store.set_time_slice(SLICE).unwrap();
    poll_times(pin!(rests.call_async(&mut store, ())), 2);
    store.set_deadline(Some(Instant::now())).unwrap();
    let error = block_on(count.call_async(&mut store, (10,))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot enter component instance: component instance `guest` (0) ended with: interrupted: deadline passed"
    );
}

/// Guests leave their stacks in an orderly way when their store goes.
#[test]
fn a_store_with_a_guest_in_a_slice_can_be_dropped() {
    struct Guard(Arc<AtomicU32>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let engine = engine(|config| config.deadlines(true));
    let live = Arc::new(AtomicU32::new(0));
    for (name, into_data) in
        [("forever", false), ("forever-async", false), ("forever", true), ("forever-async", true)]
    {
        let (mut store, instance) = guest(&engine);
        let forever = instance.typed_func::<(), ()>(&mut store, name).unwrap();
        let waits = instance.typed_func::<(), ()>(&mut store, "waits").unwrap();
        store.set_time_slice(SLICE).unwrap();
        {
            let guard = Guard(live.clone());
            let mut all = pin!(store.run_concurrent(async |store: Accessor<u64>| {
                live.fetch_add(1, Ordering::Relaxed);
                let _guard = guard;
                let waits = waits.call_concurrent(&store, ());
                let forever = forever.call_concurrent(&store, ());
                futures_util::future::join(waits, forever).await
            }));
            poll_times(all.as_mut(), 3);
            assert_eq!(live.load(Ordering::Relaxed), 1);
        }
        assert_eq!(live.load(Ordering::Relaxed), 0);
        // Another thread may do it.
        std::thread::spawn(move || match into_data {
            true => assert_eq!(store.into_data(), 0),
            false => drop(store),
        })
        .join()
        .unwrap();
    }
}

/// Slices of one guest may be run by different threads.
#[test]
fn a_suspended_guest_may_go_to_another_thread() {
    let engine = engine(|config| config.deadlines(true));
    let (mut store, instance) = guest(&engine);
    let count = instance.typed_func::<(u32,), u32>(&mut store, "count-async").unwrap();
    store.set_time_slice(SLICE).unwrap();
    let mut call = Box::pin(async move { count.call_async(&mut store, (30_000_000,)).await });
    loop {
        let next = std::thread::spawn(move || match poll(call.as_mut()) {
            Poll::Pending => Err(call),
            Poll::Ready(result) => Ok(result),
        });
        match next.join().unwrap() {
            Err(rest) => call = rest,
            Ok(result) => return assert_eq!(result.unwrap(), sum(30_000_000)),
        }
    }
}
