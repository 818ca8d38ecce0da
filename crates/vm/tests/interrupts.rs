//! Fuel and interrupts.

#![allow(unsafe_code, reason = "the tests use the lowest forms too")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use support::*;
use tombolo_compile::vmctx::TrapCode;
use tombolo_compile::{Compiler, Config};
use tombolo_types::TypeRegistry;
use tombolo_vm::*;

const LOOPS: &str = r#"(module $loops
    (func $forever (export "forever") (param i32) (result i32) (loop $l (br $l)) (unreachable))
    (func $count (export "count") (param $n i32) (result i32) (local $sum i32)
        (loop $l
            (local.set $sum (i32.add (local.get $sum) (local.get $n)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

fn setup(change: impl FnOnce(&mut Config), interrupted: Option<InterruptFn>) -> (Store, InstanceHandle) {
    let mut config = Config::default();
    change(&mut config);
    let compiler = Arc::new(Compiler::new(&config).unwrap());
    let cache = TrampolineCache::new(compiler, Arc::new(TypeRegistry::default()));
    let module = Module::compile(&cache, &wat::parse_str(LOOPS).unwrap()).unwrap();
    let store = Store::new(cache, StoreConfig { interrupted, ..StoreConfig::default() });
    let instance = store.instantiate(&module, &[]).unwrap();
    (store, instance)
}

#[test]
fn fuel_runs_out() {
    let (store, loops) = setup(|config| config.fuel = true, None);
    store.set_fuel(10_000);
    assert_eq!(call_i32(&store, loops, "count", &[10]).unwrap(), 55);
    let left = store.fuel();
    assert!(0 < left && left < 10_000, "{left}");
    let trap = call_i32(&store, loops, "forever", &[0]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::OutOfFuel));
    assert_eq!(names(&trap), ["forever"]);
    assert!(trap.frames()[0].wasm_offset().is_some());
    assert!(store.fuel() <= 0);
    store.set_fuel(1_000);
    assert_eq!(call_i32(&store, loops, "count", &[10]).unwrap(), 55);
}

#[test]
fn fuel_may_be_refilled_from_within() {
    let refills = Arc::new(AtomicU32::new(0));
    let counter = refills.clone();
    let refill: InterruptFn = Box::new(move |store, code| {
        assert_eq!(code, TrapCode::OutOfFuel);
        if counter.fetch_add(1, Ordering::Relaxed) == 9 {
            return Err(Trap::host("enough"));
        }
        store.set_fuel(1_000);
        Ok(())
    });
    let (store, loops) = setup(|config| config.fuel = true, Some(refill));
    let trap = call_i32(&store, loops, "forever", &[0]).unwrap_err();
    assert_eq!(trap.to_string(), "enough");
    assert_eq!(names(&trap), ["forever"]);
    assert_eq!(refills.load(Ordering::Relaxed), 10);
}

/// Each group's code spends what is its own, from the instances that are there already and those that come.
#[test]
fn groups_may_have_fuel_of_their_own() {
    let (store, shared) = setup(|config| config.fuel = true, None);
    let group = store.new_group(Limits::default());
    let make = || store.within(group).instantiate(shared.module(&store), &[]).unwrap();
    let (first, fuel) = (make(), || store.within(group).fuel());
    store.set_fuel(10_000);
    assert_eq!((fuel(), call_i32(&store, first, "count", &[10]).unwrap()), (None, 55));
    let cost = 10_000 - store.fuel();
    store.within(group).set_fuel(Some(1_000));
    let second = make();
    for instance in [first, second] {
        call_i32(&store, instance, "count", &[10]).unwrap();
    }
    assert_eq!((fuel(), store.fuel()), (Some(1_000 - 2 * cost), 10_000 - cost));
    let trap = call_i32(&store, first, "forever", &[0]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::OutOfFuel));
    assert_eq!(store.fuel(), 10_000 - cost);
    assert_eq!(call_i32(&store, second, "forever", &[0]).unwrap_err().code(), Some(TrapCode::OutOfFuel));
    assert_eq!(call_i32(&store, shared, "count", &[10]).unwrap(), 55);
    // And the other way round.
    let trap = call_i32(&store, shared, "forever", &[0]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::OutOfFuel));
    store.within(group).set_fuel(Some(cost));
    assert_eq!(call_i32(&store, second, "count", &[10]).unwrap(), 55);
    assert_eq!(fuel(), Some(0));
    store.within(group).set_fuel(None);
    assert_eq!(call_i32(&store, second, "count", &[10]).unwrap_err().code(), Some(TrapCode::OutOfFuel));
    store.set_fuel(cost);
    assert_eq!(call_i32(&store, second, "count", &[10]).unwrap(), 55);
}

/// Fuel that one group has used up is no other's concern, whenever that is interrupted.
#[test]
fn an_interrupt_asks_for_nobody_elses_fuel() {
    let go_on: InterruptFn = Box::new(|_, code| match code {
        TrapCode::Interrupted => Ok(()),
        code => Err(code.into()),
    });
    let (store, shared) = setup(|config| (config.fuel, config.interruptible) = (true, true), Some(go_on));
    let group = store.new_group(Limits::default());
    let own = store.within(group).instantiate(shared.module(&store), &[]).unwrap();
    store.within(group).set_fuel(Some(1_000));
    store.set_fuel(-5);
    store.interrupt_handle().interrupt();
    store.check_interrupt().unwrap();
    store.interrupt_handle().interrupt();
    assert_eq!(call_i32(&store, own, "count", &[10]).unwrap(), 55);
    let trap = call_i32(&store, shared, "count", &[10]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::OutOfFuel));
}

#[test]
fn another_thread_interrupts() {
    let (store, loops) = setup(|config| config.interruptible = true, None);
    let handle = store.interrupt_handle();
    let other = std::thread::spawn({
        let handle = handle.clone();
        move || {
            std::thread::sleep(Duration::from_millis(20));
            handle.interrupt();
        }
    });
    let trap = call_i32(&store, loops, "forever", &[0]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::Interrupted));
    assert_eq!(names(&trap), ["forever"]);
    other.join().unwrap();
    // It was taken notice of.
    assert_eq!(call_i32(&store, loops, "count", &[1000]).unwrap(), 500_500);
    drop(store);
    handle.interrupt();
}

#[test]
fn an_interrupt_may_suspend_the_fiber() {
    let suspend: InterruptFn = Box::new(|store, _| {
        // SAFETY: nothing that matters is on the stack.
        unsafe { store.suspend(7) }?;
        Ok(())
    });
    let (store, loops) = setup(|config| config.interruptible = true, Some(suspend));
    let run = move |store: &Store, _| call_i32(store, loops, "count", &[100_000]).unwrap() as u64;
    let mut fiber = store.fiber(run).unwrap();
    store.interrupt_handle().interrupt();
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(7));
    let Step::Done(sum) = store.resume(&mut fiber, 0) else { panic!() };
    assert_eq!(sum as u32 as i32, 705_082_704);
}

/// A guest on a fiber inside another one, which is suspended together with it.
#[test]
fn an_interrupt_may_suspend_all_fibers() {
    let suspend: InterruptFn = Box::new(|store, _| {
        // SAFETY: nothing that matters is on the stack.
        unsafe { store.suspend_all(7) }?;
        Ok(())
    });
    let (store, loops) = setup(|config| config.interruptible = true, Some(suspend));
    let inner = move |store: &Store, word| match call_i32(store, loops, "count", &[word as i32]) {
        Ok(sum) => sum as u32 as u64,
        Err(_) => u64::MAX,
    };
    let outer = move |store: &Store, word| {
        let mut inner = store.fiber(inner).unwrap();
        let Step::Done(sum) = store.resume(&mut inner, word) else { panic!() };
        assert!(store.on_fiber());
        // And the fiber around can be suspended by itself afterwards.
        // SAFETY: the fiber is done.
        let word = unsafe { store.suspend(sum) }.unwrap();
        let Step::Done(after) = store.resume(&mut store.fiber(move |_, word| word + 1).unwrap(), word) else {
            panic!()
        };
        after
    };
    let mut fiber = store.fiber(outer).unwrap();
    for _ in 0..3 {
        store.interrupt_handle().interrupt();
        assert_eq!(store.resume(&mut fiber, 100_000), Step::Suspended(7));
        assert!(!store.on_fiber());
        // The store can be entered meanwhile, on the thread's stack and on another fiber.
        assert_eq!(call_i32(&store, loops, "count", &[10]).unwrap(), 55);
        let mut other = store.fiber(inner).unwrap();
        assert_eq!(store.resume(&mut other, 10), Step::Done(55));
    }
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(705_082_704));
    assert_eq!(store.resume(&mut fiber, 1), Step::Done(2));

    // Cancelling the outer one ends the guest on the inner one.
    let outer = move |store: &Store, word| {
        let mut inner = store.fiber(inner).unwrap();
        let Step::Done(sum) = store.resume(&mut inner, word) else { panic!() };
        assert_eq!(sum, u64::MAX);
        0
    };
    let mut fiber = store.fiber(outer).unwrap();
    store.interrupt_handle().interrupt();
    assert_eq!(store.resume(&mut fiber, 100_000), Step::Suspended(7));
    store.cancel(fiber);
}

#[test]
fn a_panic_of_the_interrupt_function_ends_the_guest() {
    let panics: InterruptFn = Box::new(|_, _| panic!("no more"));
    let (store, loops) = setup(|config| config.interruptible = true, Some(panics));
    store.interrupt_handle().interrupt();
    let trap = call_i32(&store, loops, "forever", &[0]).unwrap_err();
    assert_eq!(trap.to_string(), "a host function panicked: no more");
}
