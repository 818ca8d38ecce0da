//! Suspending guests and host functions.

#![allow(unsafe_code, reason = "the tests use the lowest forms too")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use support::*;
use tombolo_compile::vmctx::TrapCode;
use tombolo_vm::*;

/// A guest that adds up what the host says, as often as it is told to ask.
const ASKER: &str = r#"(module $asker
    (import "" "ask" (func $ask (param i32) (result i32)))
    (func $sum (export "sum") (param $n i32) (result i32) (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (call $ask (local.get $n))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum))
    (func $trap (export "trap") (param i32) (result i32)
        (i32.div_u (i32.const 1) (i32.add (call $ask (local.get 0)) (i32.const -100))))
    (func $deep (export "deep") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
            (else (call $ask (i32.const 0))))))"#;

struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A host function that suspends its fiber with its parameter and returns what it is resumed with.
fn asking(store: &Store, drops: &Arc<AtomicU32>) -> Extern {
    let drops = drops.clone();
    host_i32(store, move |store, value| {
        let _dropped = Dropped(drops.clone());
        // SAFETY: what is on the stack may go to other threads.
        Ok(unsafe { store.suspend(value as u64) }? as i32)
    })
}

fn start(store: &Store, instance: InstanceHandle, name: &'static str, arg: i32) -> Fiber {
    let run = move |store: &Store, _| match call_i32(store, instance, name, &[arg]) {
        Ok(value) => value as u64,
        Err(trap) => match trap.kind() {
            TrapKind::Cancelled => 1 << 32,
            _ => 2 << 32,
        },
    };
    store.fiber(run).unwrap()
}

fn setup() -> (Store, InstanceHandle, Arc<AtomicU32>) {
    let store = store();
    let drops = Arc::new(AtomicU32::new(0));
    let ask = asking(&store, &drops);
    let instance = instance(&store, ASKER, &[ask]);
    (store, instance, drops)
}

#[test]
fn a_guest_is_suspended_and_goes_on() {
    let (store, asker, _) = setup();
    let mut fiber = start(&store, asker, "sum", 3);
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(3));
    assert_eq!(store.resume(&mut fiber, 10), Step::Suspended(2));
    assert_eq!(store.resume(&mut fiber, 20), Step::Suspended(1));
    assert!(!fiber.is_done());
    assert_eq!(store.resume(&mut fiber, 30), Step::Done(60));
    assert!(fiber.is_done());
}

#[test]
fn fibers_interleave_and_are_used_again() {
    let (store, asker, drops) = setup();
    for _ in 0..3 {
        let mut fibers: Vec<_> = (0..100).map(|n| start(&store, asker, "sum", n % 7 + 1)).collect();
        let mut word = 0;
        let mut done = 0;
        while done < fibers.len() {
            for fiber in &mut fibers {
                if !fiber.is_done()
                    && let Step::Done(_) = store.resume(fiber, word)
                {
                    done += 1;
                }
            }
            word = 1;
        }
    }
    assert!(drops.load(Ordering::Relaxed) > 300);
}

#[test]
fn guests_may_run_beside_suspended_ones() {
    let (store, asker, _) = setup();
    let mut fiber = start(&store, asker, "deep", 100);
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(0));
    // Not on a fiber, the host function cannot suspend.
    let trap = call_i32(&store, asker, "sum", &[1]).unwrap_err();
    assert_eq!(trap.downcast_ref::<SuspendError>(), Some(&SuspendError::NotOnFiber));
    assert_eq!(store.resume(&mut fiber, 5), Step::Done(105));
}

#[test]
fn a_trap_after_a_suspension() {
    let (store, asker, _) = setup();
    let mut fiber = start(&store, asker, "trap", 0);
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(0));
    assert_eq!(store.resume(&mut fiber, 100), Step::Done(2 << 32));
    let mut fiber = start(&store, asker, "trap", 0);
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(0));
    assert_eq!(store.resume(&mut fiber, 101), Step::Done(1));
}

#[test]
fn cancelling_runs_the_destructors_of_host_functions() {
    let (store, asker, drops) = setup();
    let mut fiber = start(&store, asker, "deep", 50);
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(0));
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    store.cancel(fiber);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

#[test]
fn a_dropped_fiber_is_cancelled_by_its_store() {
    let (store, asker, drops) = setup();
    for name in ["deep", "sum"] {
        let mut fiber = start(&store, asker, name, 50);
        assert!(matches!(store.resume(&mut fiber, 0), Step::Suspended(_)));
    }
    assert_eq!(drops.load(Ordering::Relaxed), 1, "the first ends when the second is made");
    let mut fiber = start(&store, asker, "deep", 50);
    assert_eq!(drops.load(Ordering::Relaxed), 2);
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(0));
    drop(fiber);
    drop(store);
    assert_eq!(drops.load(Ordering::Relaxed), 3);
}

#[test]
fn a_fiber_may_outlive_its_store() {
    let (store, asker, drops) = setup();
    let mut fiber = start(&store, asker, "deep", 50);
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(0));
    let fresh = start(&store, asker, "deep", 50);
    drop(store);
    drop(fiber);
    drop(fresh);
    assert_eq!(drops.load(Ordering::Relaxed), 0);
}

#[test]
fn a_cancelled_fiber_cannot_be_suspended_again() {
    let store = store();
    let run = |store: &Store, _| {
        for _ in 0..5 {
            // SAFETY: there is nothing on the stack.
            if unsafe { store.suspend(1) } == Err(SuspendError::Cancelled) {
                // SAFETY: as above.
                assert_eq!(unsafe { store.suspend(2) }, Err(SuspendError::Cancelled));
            }
        }
        0
    };
    let mut fiber = store.fiber(run).unwrap();
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(1));
    store.cancel(fiber);
    assert!(!store.on_fiber());
}

#[test]
fn a_store_and_its_fibers_move_between_threads() {
    let (store, asker, drops) = setup();
    let mut a = start(&store, asker, "deep", 50);
    let mut b = start(&store, asker, "trap", 50);
    assert_eq!(store.resume(&mut a, 0), Step::Suspended(0));
    assert_eq!(store.resume(&mut b, 0), Step::Suspended(50));
    let (store, a) = std::thread::spawn(move || {
        // Traps by signal on a stack that began on another thread.
        assert_eq!(store.resume(&mut b, 100), Step::Done(2 << 32));
        let mut c = start(&store, asker, "deep", 7);
        assert_eq!(store.resume(&mut c, 0), Step::Suspended(0));
        drop(c);
        (store, a)
    })
    .join()
    .unwrap();
    let mut a = a;
    assert_eq!(store.resume(&mut a, 1), Step::Done(51));
    drop(store);
    assert_eq!(drops.load(Ordering::Relaxed), 3);
}

#[test]
fn backtraces_go_on_outside_a_fiber() {
    let (store, asker, _) = setup();
    // A host function that runs what it calls on a fiber of its own.
    let hop = host_i32(&store, move |store, value| {
        let trap = Arc::new(std::sync::Mutex::new(None));
        let out = trap.clone();
        let run = move |store: &Store, _| {
            let result = call_i32(store, asker, "trap", &[value]);
            *out.lock().unwrap() = result.err();
            0
        };
        let mut fiber = store.fiber(run).unwrap();
        assert!(matches!(store.resume(&mut fiber, 0), Step::Suspended(_)));
        assert_eq!(store.resume(&mut fiber, 100), Step::Done(0));
        let trap = trap.lock().unwrap().take();
        Err(trap.unwrap())
    });
    let outer = instance(
        &store,
        r#"(module (import "" "hop" (func $hop (param i32) (result i32)))
            (func $outside (export "run") (param i32) (result i32) (call $hop (local.get 0))))"#,
        &[hop],
    );
    let trap = call_i32(&store, outer, "run", &[1]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::IntegerDivisionByZero));
    assert_eq!(names(&trap), ["trap", "outside"]);
}

#[test]
fn fibers_nest() {
    let (store, asker, _) = setup();
    let run = move |store: &Store, _| {
        let mut inner = start(store, asker, "sum", 2);
        assert_eq!(store.resume(&mut inner, 0), Step::Suspended(2));
        // SAFETY: what is on the stack stays valid, and is resumed on this thread.
        let word = unsafe { store.suspend(77) }.unwrap();
        assert_eq!(store.resume(&mut inner, word), Step::Suspended(1));
        let Step::Done(sum) = store.resume(&mut inner, 1) else { panic!() };
        sum
    };
    let mut outer = store.fiber(run).unwrap();
    assert_eq!(store.resume(&mut outer, 0), Step::Suspended(77));
    assert_eq!(store.resume(&mut outer, 5), Step::Done(6));
}

#[test]
fn a_panic_of_a_fibers_function_goes_on_outside() {
    let store = store();
    let mut fiber = store.fiber(|_, _| panic!("inside")).unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.resume(&mut fiber, 0)));
    assert_eq!(result.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
    assert!(fiber.is_done() && !store.on_fiber());
    let mut fiber = store.fiber(|_, word| word * 2).unwrap();
    assert_eq!(store.resume(&mut fiber, 4), Step::Done(8));
}

#[test]
#[should_panic(expected = "is done")]
fn a_fiber_that_is_done_is_not_resumed() {
    let store = store();
    let mut fiber = store.fiber(|_, word| word).unwrap();
    assert_eq!(store.resume(&mut fiber, 4), Step::Done(4));
    store.resume(&mut fiber, 4);
}

#[test]
#[should_panic(expected = "of another store")]
fn a_fiber_of_another_store_is_not_resumed() {
    let (a, b) = (store(), store());
    let mut fiber = a.fiber(|_, word| word).unwrap();
    b.resume(&mut fiber, 4);
}

#[test]
fn deep_recursion_on_a_fiber_is_a_stack_overflow() {
    let (store, asker, _) = setup();
    let mut fiber = start(&store, asker, "deep", 10_000_000);
    assert_eq!(store.resume(&mut fiber, 0), Step::Done(2 << 32));
    // The same stack is used again.
    let mut fiber = start(&store, asker, "deep", 1000);
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(0));
    assert_eq!(store.resume(&mut fiber, 1), Step::Done(1001));
}

#[test]
fn a_store_entered_from_anothers_fiber_keeps_to_its_stack() {
    let config = StoreConfig { max_wasm_stack: 64 << 20, ..StoreConfig::default() };
    let inner = Store::new(cache(), config);
    let drops = Arc::default();
    let ask = asking(&inner, &drops);
    let asker = instance(&inner, ASKER, &[ask]);
    let outer = store();
    let run = move |_: &Store, _| {
        let trap = call_i32(&inner, asker, "deep", &[10_000_000]).unwrap_err();
        u64::from(trap.code() == Some(TrapCode::StackOverflow))
    };
    let mut fiber = outer.fiber(run).unwrap();
    assert_eq!(outer.resume(&mut fiber, 0), Step::Done(1));
}
