//! What ends a guest, and what the embedder learns of it.

#![allow(unsafe_code, reason = "the tests use the lowest forms too")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use support::*;
use tombolo_compile::vmctx::TrapCode;
use tombolo_types::core::ValType;
use tombolo_vm::*;

const TRAPS: &str = r#"(module $traps
    (memory 1)
    (table $t 4 funcref)
    (type $void (func))
    (func $wrong (param i32))
    (elem (i32.const 1) $wrong)
    (global $null (mut funcref) (ref.null func))
    (func $unreachable (unreachable))
    (func $divide (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
    (func $rem (param i64 i64) (result i64) (i64.rem_u (local.get 0) (local.get 1)))
    (func $load (param i32) (result i64) (i64.load offset=8 (local.get 0)))
    (func $store (param i32) (i32.store8 (local.get 0) (i32.const 1)))
    (func $far (param i32) (result i32) (i32.load offset=0xfffffff0 (local.get 0)))
    (func $icall (param i32) (call_indirect (type $void) (local.get 0)))
    (func $tget (param i32) (drop (table.get $t (local.get 0))))
    (func $convert (param f64) (result i32) (i32.trunc_f64_s (local.get 0)))
    (func $recurse (param i32) (result i32)
        (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
    (func (export "unreachable") (call $unreachable))
    (func (export "divide") (param i32 i32) (result i32) (call $divide (local.get 0) (local.get 1)))
    (func (export "rem") (drop (call $rem (i64.const 1) (i64.const 0))))
    (func (export "load") (param i32) (drop (call $load (local.get 0))))
    (func (export "store") (param i32) (call $store (local.get 0)))
    (func (export "far") (param i32) (drop (call $far (local.get 0))))
    (func (export "icall") (param i32) (call $icall (local.get 0)))
    (func (export "tget") (param i32) (call $tget (local.get 0)))
    (func (export "convert") (param f64) (drop (call $convert (local.get 0))))
    (func (export "recurse") (result i32) (call $recurse (i32.const 0))))"#;

fn expect(store: &Store, instance: InstanceHandle, name: &str, args: &[Val], code: TrapCode, inner: &str) {
    let trap = call(store, instance, name, args).unwrap_err();
    assert_eq!(trap.code(), Some(code), "{name}");
    // The exported function has no name in the name section.
    let names = names(&trap);
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[0], inner);
    assert_eq!(trap.frames()[0].module_name(), Some("traps"));
    assert!(trap.frames().iter().all(|frame| frame.wasm_offset().is_some()), "{}", trap.backtrace());
    assert_eq!(
        trap.fault_address().is_some_and(|at| at > 65536),
        inner == "load" || inner == "store" || inner == "far"
    );
}

fn every_trap(store: &Store) {
    let traps = instance(store, TRAPS, &[]);
    use TrapCode::*;
    let i = Val::I32;
    expect(store, traps, "unreachable", &[], Unreachable, "unreachable");
    expect(store, traps, "divide", &[i(1), i(0)], IntegerDivisionByZero, "divide");
    expect(store, traps, "divide", &[i(i32::MIN), i(-1)], IntegerOverflow, "divide");
    expect(store, traps, "rem", &[], IntegerDivisionByZero, "rem");
    for address in [65536 - 15, 65536, i32::MAX, -1, -8] {
        expect(store, traps, "load", &[i(address)], MemoryOutOfBounds, "load");
    }
    for address in [65536, i32::MAX, -1] {
        expect(store, traps, "store", &[i(address)], MemoryOutOfBounds, "store");
    }
    let far = call(store, traps, "far", &[i(-1)]).unwrap_err();
    assert_eq!(far.code(), Some(MemoryOutOfBounds));
    expect(store, traps, "icall", &[i(0)], IndirectCallToNull, "icall");
    expect(store, traps, "icall", &[i(1)], BadSignature, "icall");
    expect(store, traps, "icall", &[i(4)], TableOutOfBounds, "icall");
    expect(store, traps, "icall", &[i(-1)], TableOutOfBounds, "icall");
    expect(store, traps, "tget", &[i(5)], TableOutOfBounds, "tget");
    expect(store, traps, "convert", &[Val::F64(f64::NAN.to_bits())], BadConversionToInteger, "convert");
    expect(store, traps, "convert", &[Val::F64(1e10f64.to_bits())], IntegerOverflow, "convert");
    let trap = call(store, traps, "recurse", &[]).unwrap_err();
    assert_eq!(trap.code(), Some(StackOverflow));
    // Both ends of the recursion are there: where it went and where it came from.
    assert_eq!(trap.frames().len(), 30);
    let (left_out, behind) = trap.backtrace().left_out().unwrap();
    assert!(left_out > 1000 && behind == 20, "{left_out} {behind}");
    let (outermost, recursion) =
        names(&trap).split_last().map(|(last, rest)| (last.clone(), rest.to_vec())).unwrap();
    assert!(recursion.iter().all(|name| name == "recurse"), "{}", trap.backtrace());
    assert_eq!(outermost, format!("#{}", trap.frames()[29].function_index()));
    assert!(trap.backtrace().to_string().contains(&format!("… {left_out} frames left out\n")));
    // And after all that it still works.
    assert_eq!(call_i32(store, traps, "divide", &[7, 2]).unwrap(), 3);
}

#[test]
fn every_kind_of_trap_with_its_backtrace() {
    every_trap(&store());
}

#[test]
fn every_kind_of_trap_on_a_fiber() {
    let store = store();
    let mut fiber = store
        .fiber(|store, word| {
            every_trap(store);
            word + 1
        })
        .unwrap();
    assert_eq!(store.resume(&mut fiber, 41), Step::Done(42));
    every_trap(&store);
}

#[test]
fn every_kind_of_trap_on_a_thread_with_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(400 << 10);
    thread.spawn(|| every_trap(&store())).unwrap().join().unwrap();
}

const CALLER: &str = r#"(module $caller
    (import "" "host" (func $host (param i32) (result i32)))
    (func $inner (param i32) (result i32) (call $host (local.get 0)))
    (func $outer (export "run") (param i32) (result i32) (call $inner (local.get 0))))"#;

#[derive(Debug, thiserror::Error)]
#[error("exit with {0}")]
struct Exit(i32);

/// Counts its drops.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_error_of_a_host_function_ends_the_guest() {
    let store = store();
    let drops = Arc::new(AtomicU32::new(0));
    let counter = drops.clone();
    let host = host_i32(&store, move |_, code| {
        let _dropped = Dropped(counter.clone());
        Err(Trap::host(Exit(code)))
    });
    let instance = instance(&store, CALLER, &[host]);
    for code in 0..100 {
        let trap = call_i32(&store, instance, "run", &[code]).unwrap_err();
        assert_eq!(names(&trap), ["inner", "outer"]);
        assert_eq!(trap.to_string(), format!("exit with {code}"));
        assert_eq!(trap.downcast_host::<Exit>().unwrap().0, code);
    }
    assert_eq!(drops.load(Ordering::Relaxed), 100);
}

#[test]
fn a_panic_of_a_host_function_ends_the_guest() {
    let store = store();
    let host = host_i32(&store, |_, value| {
        assert!(value != 1, "one is refused");
        Ok(value)
    });
    let instance = instance(&store, CALLER, &[host]);
    let trap = call_i32(&store, instance, "run", &[1]).unwrap_err();
    assert!(trap.to_string().contains("one is refused"), "{trap}");
    assert!(matches!(trap.kind(), TrapKind::HostPanic(_)));
    assert_eq!(names(&trap), ["inner", "outer"]);
    assert!(trap.take_panic().is_some());
    assert!(trap.take_panic().is_none());
    assert_eq!(call_i32(&store, instance, "run", &[2]).unwrap(), 2);
}

#[test]
fn a_trap_under_a_host_function_shows_the_guests_outside() {
    let store = store();
    let traps = instance(&store, TRAPS, &[]);
    let drops = Arc::new(AtomicU32::new(0));
    let counter = drops.clone();
    let host = host_i32(&store, move |store, value| {
        let _dropped = Dropped(counter.clone());
        call_i32(store, traps, "divide", &[1, value])
    });
    let caller = instance(&store, CALLER, &[host]);
    let trap = call_i32(&store, caller, "run", &[0]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::IntegerDivisionByZero));
    let found = names(&trap);
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!((&*found[0], &*found[2], &*found[3]), ("divide", "inner", "outer"));
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    assert_eq!(call_i32(&store, caller, "run", &[1]).unwrap(), 1);
}

#[test]
fn a_host_function_may_catch_a_trap() {
    let store = store();
    let traps = instance(&store, TRAPS, &[]);
    let host = host_i32(&store, move |store, value| {
        match call_i32(store, traps, "divide", &[1, value]) {
            Ok(value) => Ok(value),
            // Fails itself, after its guest did: the exit recorded must be the outer one's again.
            Err(_) if value == 0 => Err(Trap::host("caught")),
            Err(trap) => Err(trap),
        }
    });
    let caller = instance(&store, CALLER, &[host]);
    let trap = call_i32(&store, caller, "run", &[0]).unwrap_err();
    assert_eq!(trap.to_string(), "caught");
    assert_eq!(names(&trap), ["inner", "outer"]);
}

#[test]
fn endless_recursion_through_the_host_is_a_stack_overflow() {
    let store = store();
    let slot: Arc<std::sync::Mutex<Option<InstanceHandle>>> = Arc::default();
    let inside = slot.clone();
    let host = host_i32(&store, move |store, value| {
        let instance = inside.lock().unwrap().unwrap();
        call_i32(store, instance, "run", &[value + 1])
    });
    let caller = instance(&store, CALLER, &[host]);
    *slot.lock().unwrap() = Some(caller);
    let check = |store: &Store| {
        let trap = call_i32(store, caller, "run", &[0]).unwrap_err();
        assert_eq!(trap.code(), Some(TrapCode::StackOverflow));
        assert!(trap.backtrace().left_out().is_some());
    };
    check(&store);
    // SAFETY: what the closure borrows outlives the fiber, and it stays on this thread.
    let mut fiber = unsafe {
        store.fiber_unchecked(|store, _| {
            check(store);
            0
        })
    }
    .unwrap();
    assert_eq!(store.resume(&mut fiber, 0), Step::Done(0));
}

#[test]
fn stores_may_call_each_other() {
    let inner = store();
    let traps = instance(&inner, TRAPS, &[]);
    let inner = std::sync::Mutex::new(inner);
    let outer = store();
    let host =
        host_i32(&outer, move |_, value| call_i32(&inner.lock().unwrap(), traps, "divide", &[10, value]));
    let caller = instance(&outer, CALLER, &[host]);
    assert_eq!(call_i32(&outer, caller, "run", &[5]).unwrap(), 2);
    let trap = call_i32(&outer, caller, "run", &[0]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::IntegerDivisionByZero));
    assert_eq!(names(&trap)[0], "divide");
}

#[test]
fn traps_on_many_threads_at_once() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                let store = store();
                let traps = instance(&store, TRAPS, &[]);
                for _ in 0..500 {
                    for (name, args) in [("divide", &[1, 0][..]), ("load", &[-1]), ("unreachable", &[])] {
                        assert!(call_i32(&store, traps, name, args).is_err());
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_trap_in_a_start_function() {
    let store = store();
    let module = module(r#"(module (func $main unreachable) (start $main))"#);
    let instance = store.instantiate(&module, &[]).unwrap();
    let trap = store.start(instance).unwrap_err();
    assert_eq!(names(&trap), ["main"]);
}

#[test]
fn a_module_stays_while_a_trap_names_its_functions() {
    let trap = {
        let store = store();
        let traps = instance(&store, TRAPS, &[]);
        call(&store, traps, "unreachable", &[]).unwrap_err()
    };
    assert_eq!(names(&trap)[0], "unreachable");
    assert!(trap.backtrace().to_string().contains("traps!unreachable"));
}

#[test]
fn a_host_function_of_many_values() {
    let store = store();
    let params = [ValType::I64; 40];
    let ty = type_id(&params, &params);
    let reverse = store
        .host_func(ty, |call| {
            call.values.reverse();
            Ok(())
        })
        .unwrap();
    let list = "i64 ".repeat(40);
    let gets: String = (0..40).map(|index| format!("(local.get {index})")).collect();
    let text = format!(
        r#"(module (import "" "f" (func $f (param {list}) (result {list})))
            (func (export "run") (param {list}) (result {list}) (call $f {gets})))"#
    );
    let instance = instance(&store, &text, &[reverse.into()]);
    let args: Vec<Val> = (0..40).map(Val::I64).collect();
    let expected: Vec<Val> = (0..40).rev().map(Val::I64).collect();
    assert_eq!(call(&store, instance, "run", &args).unwrap(), expected);
}
