//! Exceptions: across frames, instances and the host, and what becomes of them.

#![allow(unsafe_code, reason = "the tests use the lowest forms too")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use std::sync::Arc;

use support::*;
use tombolo_compile::vmctx::TrapCode;
use tombolo_compile::{Compiler, Config};
use tombolo_types::TypeRegistry;
use tombolo_types::core::{FuncType, ValType};
use tombolo_vm::*;

/// Throws through `depth` frames; the outermost catches.
const DEEP: &str = r#"(module
    (tag $e (export "oops") (param i32 i64 f64 v128))
    (func $down (param $depth i32)
        (if (local.get $depth)
            (then (call $down (i32.sub (local.get $depth) (i32.const 1))))
            (else (throw $e (i32.const 7) (i64.const -8) (f64.const 0.5) (v128.const i64x2 9 10)))))
    (func (export "catch") (param $depth i32) (result i32 i64 f64 v128)
        (block $h (result i32 i64 f64 v128)
            (try_table (catch $e $h) (call $down (local.get $depth)))
            (unreachable)))
    (func (export "miss") (param $depth i32) (call $down (local.get $depth))))"#;

#[test]
fn values_cross_frames() {
    let store = store();
    let instance = instance(&store, DEEP, &[]);
    let caught = [Val::I32(7), Val::I64(-8), Val::F64(0.5f64.to_bits()), Val::V128(10 << 64 | 9)];
    for depth in [0, 1, 2, 1000] {
        assert_eq!(call(&store, instance, "catch", &[Val::I32(depth)]).unwrap(), caught);
    }
    let trap = call(&store, instance, "miss", &[Val::I32(3)]).unwrap_err();
    assert_eq!(trap.to_string(), "uncaught exception with the tag `oops`");
    assert_eq!(trap.code(), Some(TrapCode::UncaughtException));
    assert_eq!(trap.frames().len(), 5);
    let TrapKind::Exception(thrown) = trap.kind() else { panic!("{trap:?}") };
    assert_eq!(thrown.values(&store), caught);
    assert_eq!(Extern::Tag(thrown.tag()), instance.export(&store, "oops").unwrap());
}

#[test]
fn a_host_function_passes_exceptions_on() {
    let store = store();
    let inner = instance(&store, DEEP, &[]);
    let throws = func(&store, inner, "miss");
    let ty = store.trampolines().registry().intern(FuncType::new([ValType::I32], []));
    let passes = store
        .host_func(ty, move |call| {
            let depth = call.param(0).i32();
            call.store.call(throws, &[Val::I32(depth)]).map(|_| ()).map_err(|error| match error {
                CallError::Trap(trap) => trap,
                error => Trap::host(error),
            })
        })
        .unwrap();
    let swallows = store
        .host_func(ty, move |call| {
            let depth = call.param(0).i32();
            let error = call.store.call(throws, &[Val::I32(depth)]).unwrap_err();
            Err(Trap::host(error.to_string()))
        })
        .unwrap();
    let outer = r#"(module
        (import "host" "call" (func $call (param i32)))
        (import "inner" "oops" (tag $e (param i32 i64 f64 v128)))
        (func (export "run") (result i32)
            (block $h (result i32 i64 f64 v128)
                (try_table (catch $e $h) (call $call (i32.const 5)))
                (return (i32.const 0)))
            drop drop drop)
        (func (export "all") (result i32)
            (block $h
                (try_table (catch_all $h) (call $call (i32.const 5)))
                (return (i32.const 0)))
            (i32.const 1)))"#;
    let tag = inner.export(&store, "oops").unwrap();
    let catching = instance(&store, outer, &[passes.into(), tag]);
    assert_eq!(call(&store, catching, "run", &[]).unwrap(), [Val::I32(7)]);
    assert_eq!(call(&store, catching, "all", &[]).unwrap(), [Val::I32(1)]);
    // What the host makes a trap of is no exception any more.
    let trapping = instance(&store, outer, &[swallows.into(), tag]);
    let trap = call(&store, trapping, "all", &[]).unwrap_err();
    assert_eq!(trap.to_string(), "uncaught exception with the tag `oops`");
    assert!(trap.code().is_none());
    // A tag is of its instance: another instance's of the same module is another tag.
    let other = instance(&store, DEEP, &[]).export(&store, "oops").unwrap();
    let missing = instance(&store, outer, &[passes.into(), other]);
    let trap = call(&store, missing, "run", &[]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::UncaughtException));
    assert_eq!(call(&store, missing, "all", &[]).unwrap(), [Val::I32(1)]);
}

/// Everything below runs with so little room that nearly each throw collects.
fn tight(limit: usize, optimised: bool) -> Store {
    let mut config = Config::default();
    if !optimised {
        config.opt_level = tombolo_compile::OptLevel::None;
    }
    let registry = Arc::new(TypeRegistry::default());
    let engine = TrampolineCache::new(Arc::new(Compiler::new(&config).unwrap()), registry);
    Store::new(engine, StoreConfig { max_exception_bytes: limit, ..StoreConfig::default() })
}

fn instantiate(store: &Store, text: &str, imports: &[Extern]) -> InstanceHandle {
    let module = Module::compile(store.trampolines(), &wat::parse_str(text).unwrap()).unwrap();
    store.instantiate(&module, imports).unwrap()
}

#[test]
fn what_nobody_refers_to_is_freed() {
    for optimised in [false, true] {
        let store = tight(1 << 12, optimised);
        let instance = instantiate(
            &store,
            r#"(module
                (tag $e (param i64))
                (func (export "run") (param $n i64) (result i64)
                    (local $sum i64)
                    (loop $again
                        (block $h (result i64)
                            (try_table (catch $e $h) (throw $e (local.get $n)))
                            (unreachable))
                        (local.set $sum (i64.add (local.get $sum)))
                        (local.set $n (i64.sub (local.get $n) (i64.const 1)))
                        (br_if $again (i64.ne (local.get $n) (i64.const 0))))
                    (local.get $sum))
                (func (export "refs") (param $n i64) (result i64)
                    (local $sum i64) (local $kept exnref)
                    (loop $again
                        (block $h (result i64 exnref)
                            (try_table (catch_ref $e $h) (throw $e (local.get $n)))
                            (unreachable))
                        (local.set $kept)
                        (local.set $sum (i64.add (local.get $sum)))
                        (local.set $n (i64.sub (local.get $n) (i64.const 1)))
                        (br_if $again (i64.ne (local.get $n) (i64.const 0))))
                    (local.get $sum)))"#,
            &[],
        );
        let n = 100_000;
        let sum = [Val::I64(n * (n + 1) / 2)];
        assert_eq!(call(&store, instance, "run", &[Val::I64(n)]).unwrap(), sum);
        assert_eq!(call(&store, instance, "refs", &[Val::I64(n)]).unwrap(), sum);
    }
}

#[test]
fn what_somebody_refers_to_is_kept() {
    // References in a local, an operand, a table, a global, another exception, and frames on both sides of the host,
    // while a thousand exceptions are thrown in each place.
    let text = r#"(module
        (import "host" "call" (func $host))
        (tag $e (param i64))
        (tag $nested (param exnref))
        (table $table 10 exnref)
        (global $global (mut exnref) (ref.null exn))
        (func $litter (export "litter") (local $n i32)
            (local.set $n (i32.const 1000))
            (loop $again
                (block $h (try_table (catch_all $h) (throw $e (i64.const -1))))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
        (func $make (param $value i64) (result exnref)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (throw $e (local.get $value)))
                (unreachable)))
        (func $value (param $of exnref) (result i64)
            (block $h (result i64)
                (try_table (catch $e $h) (throw_ref (local.get $of)))
                (unreachable)))
        (func $nest (param $of exnref) (result exnref)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (throw $nested (local.get $of)))
                (unreachable)))
        (func $unnest (param $of exnref) (result exnref)
            (block $h (result exnref)
                (try_table (catch $nested $h) (throw_ref (local.get $of)))
                (unreachable)))
        (func $identity (param exnref) (result exnref) (call $litter) (local.get 0))
        (func (export "run") (param $again i32) (result i64)
            (local $a exnref) (local $b exnref)
            (local.set $a (call $make (i64.const 1)))
            (table.set $table (i32.const 3) (call $make (i64.const 20)))
            (global.set $global (call $make (i64.const 300)))
            (local.set $b (call $nest (call $make (i64.const 4000))))
            (call $litter)
            ;; An operand that waits while others are made.
            (call $make (i64.const 50000))
            (call $litter)
            (call $host)
            (if (result exnref) (local.get $again)
                (then (call $make (i64.const 600000)) (call $litter))
                (else (call $identity (call $make (i64.const 600000)))))
            (call $litter)
            (i64.add (call $value) (i64.const 0))
            (local.set $n)
            (call $value)
            (i64.add (call $value (local.get $a)))
            (i64.add (call $value (table.get $table (i32.const 3))))
            (i64.add (call $value (global.get $global)))
            (i64.add (call $value (call $unnest (local.get $b))))
            (i64.add (local.get $n))))"#
        .replace("(local $a exnref)", "(local $n i64) (local $a exnref)");
    for optimised in [false, true] {
        let store = tight(1 << 12, optimised);
        let registry = store.trampolines().registry();
        let nothing = store.host_func(registry.intern(FuncType::new([], [])), |_| Ok(())).unwrap();
        let litter = func(&store, instantiate(&store, &text, &[nothing.into()]), "litter");
        let host = store
            .host_func(registry.intern(FuncType::new([], [])), move |call| {
                call.store.call(litter, &[]).map(|_| ()).map_err(Trap::host)
            })
            .unwrap();
        let instance = instantiate(&store, &text, &[host.into()]);
        for again in [0, 1] {
            assert_eq!(call(&store, instance, "run", &[Val::I32(again)]).unwrap(), [Val::I64(654_321)]);
        }
    }
}

#[test]
fn suspended_fibers_keep_theirs() {
    let store = tight(1 << 12, true);
    let registry = store.trampolines().registry();
    let wait = store
        .host_func(registry.intern(FuncType::new([], [])), |call| {
            // SAFETY: nothing is borrowed here.
            unsafe { call.store.suspend(0) }.map(|_| ()).map_err(Trap::from)
        })
        .unwrap();
    let instance = instantiate(
        &store,
        r#"(module
            (import "host" "wait" (func $wait))
            (tag $e (param i64))
            (func (export "run") (param $value i64) (result i64)
                (local $kept exnref)
                (block $h (result exnref)
                    (try_table (catch_all_ref $h) (throw $e (local.get $value)))
                    (unreachable))
                (local.set $kept)
                (call $wait)
                (block $h (result i64)
                    (try_table (catch $e $h) (throw_ref (local.get $kept)))
                    (unreachable))))"#,
        &[wait.into()],
    );
    let run = func(&store, instance, "run");
    let mut fibers: Vec<Fiber> = (0..20)
        .map(|value| {
            store
                .fiber(move |store, _| match store.call(run, &[Val::I64(value)]).as_deref() {
                    Ok([Val::I64(result)]) => *result as u64,
                    other => panic!("{other:?}"),
                })
                .unwrap()
        })
        .collect();
    for fiber in &mut fibers {
        assert_eq!(store.resume(fiber, 0), Step::Suspended(0));
    }
    // Others come and go meanwhile.
    for _ in 0..100 {
        let mut fiber = store.fiber(move |store, _| {
            let _ = store.call(run, &[Val::I64(-1)]);
            0
        });
        let fiber = fiber.as_mut().unwrap();
        assert_eq!(store.resume(fiber, 0), Step::Suspended(0));
        assert_eq!(store.resume(fiber, 0), Step::Done(0));
    }
    for (value, fiber) in (0..).zip(&mut fibers) {
        assert_eq!(store.resume(fiber, 0), Step::Done(value));
    }
}

#[test]
fn hoarding_is_a_trap() {
    let store = tight(1 << 16, true);
    let instance = instantiate(
        &store,
        r#"(module
            (tag $e (param i64))
            (table $table 1000000 exnref)
            (func (export "hoard") (local $n i32)
                (loop $again
                    (table.set $table (local.get $n)
                        (block $h (result exnref)
                            (try_table (catch_all_ref $h) (throw $e (i64.const 1)))
                            (unreachable)))
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br $again))))"#,
        &[],
    );
    let trap = call(&store, instance, "hoard", &[]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::TooManyExceptions));
    assert!(trap.to_string().contains("exceptions"), "{trap}");
}

#[test]
fn the_host_keeps_what_it_holds() {
    let store = tight(1 << 12, true);
    let instance = instantiate(&store, DEEP, &[]);
    let thrown: Vec<Trap> =
        (0..10).map(|depth| call(&store, instance, "miss", &[Val::I32(depth)]).unwrap_err()).collect();
    for _ in 0..1000 {
        call(&store, instance, "miss", &[Val::I32(0)]).unwrap_err();
    }
    for trap in &thrown {
        let TrapKind::Exception(thrown) = trap.kind() else { panic!("{trap:?}") };
        assert_eq!(thrown.values(&store)[0], Val::I32(7));
    }
    drop(store);
    assert_eq!(thrown[0].to_string(), "uncaught exception with the tag `oops`");
}

#[test]
fn an_interrupt_may_come_between() {
    let mut config = Config::default();
    (config.interruptible, config.fuel) = (true, true);
    let registry = Arc::new(TypeRegistry::default());
    let engine = TrampolineCache::new(Arc::new(Compiler::new(&config).unwrap()), registry);
    let interrupted: InterruptFn = Box::new(|store, code| {
        assert_eq!(code, TrapCode::Interrupted);
        // SAFETY: nothing is borrowed here.
        unsafe { store.suspend(7) }?;
        Ok(())
    });
    let config =
        StoreConfig { max_exception_bytes: 1 << 12, interrupted: Some(interrupted), ..Default::default() };
    let store = Store::new(engine, config);
    store.set_fuel(1 << 40);
    let handle = store.interrupt_handle();
    let arm = store.host_func(store.trampolines().registry().intern(FuncType::new([], [])), move |_| {
        handle.interrupt();
        Ok(())
    });
    let instance = instantiate(
        &store,
        r#"(module
            (import "host" "arm" (func $arm))
            (tag $e (param i64))
            (func (export "litter") (local $n i32)
                (local.set $n (i32.const 1000))
                (loop $again
                    (block $h (try_table (catch_all $h) (throw $e (i64.const -1))))
                    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
            (func (export "run") (param $value i64) (result i64) (local $kept exnref)
                (block $h (result exnref)
                    (try_table (catch_all_ref $h) (throw $e (local.get $value)))
                    (unreachable))
                (local.set $kept)
                (call $arm)
                (loop $here)
                (block $h (result i64)
                    (try_table (catch $e $h) (throw_ref (local.get $kept)))
                    (unreachable))))"#,
        &[arm.unwrap().into()],
    );
    let run = func(&store, instance, "run");
    let mut fiber = store
        .fiber(move |store, _| match store.call(run, &[Val::I64(42)]).as_deref() {
            Ok([Val::I64(result)]) => *result as u64,
            other => panic!("{other:?}"),
        })
        .unwrap();
    assert_eq!(store.resume(&mut fiber, 0), Step::Suspended(7));
    let before = store.fuel();
    call(&store, instance, "litter", &[]).unwrap();
    assert!(store.fuel() < before - 1000, "throwing costs fuel");
    assert_eq!(store.resume(&mut fiber, 0), Step::Done(42));
}
