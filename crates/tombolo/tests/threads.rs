//! Functions that wait although they are not `async`, and threads that a guest makes.
#![expect(clippy::unwrap_used, reason = "a test")]

use tombolo::{Component, Config, Engine, Feature, Instance, Linker, Store};

fn instantiate(features: &[Feature], text: &str) -> (Store<()>, Instance) {
    let mut config = Config::new();
    for feature in features {
        config.feature(*feature, true);
    }
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// The function yields (3 is what it notes afterwards). Meanwhile, a thread (1) calls another component, which calls the
/// function again, which yields too: now the first call goes on, though the second lies above it, and then the second (2).
#[test]
fn a_sync_function_that_yields_can_be_entered_again() {
    let (mut store, instance) = instantiate(
        &[Feature::Threading],
        r#"(component
            (component $back
                (import "f" (func $f (param "again" bool) (result u32)))
                (core func $f (canon lower (func $f)))
                (core module $m
                    (import "" "f" (func $f (param i32) (result i32)))
                    (func (export "call") (drop (call $f (i32.const 1)))))
                (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
                (func (export "call") (canon lift (core func $i "call"))))
            (core module $libc (table (export "table") 2 funcref))
            (core instance $libc (instantiate $libc))
            (core type $start (func (param i32)))
            (core func $new (canon thread.new-indirect $start (core table $libc "table")))
            (core func $later (canon thread.resume-later))
            (core func $yield (canon thread.yield))
            (core module $m
                (import "" "table" (table 2 funcref))
                (import "" "new" (func $new (param i32 i32) (result i32)))
                (import "" "later" (func $later (param i32)))
                (import "" "yield" (func $yield (result i32)))
                (type $back (func))
                (global $log (mut i32) (i32.const 0))
                (func $note (param i32)
                    (global.set $log (i32.add (i32.mul (global.get $log) (i32.const 10)) (local.get 0))))
                (func $thread (param i32)
                    (call $note (i32.const 1))
                    (call_indirect (type $back) (i32.const 1)))
                (elem (i32.const 0) func $thread)
                (func (export "f") (param $again i32) (result i32)
                    (if (local.get $again)
                        (then
                            (drop (call $yield))
                            (call $note (i32.const 2)))
                        (else
                            (call $later (call $new (i32.const 0) (i32.const 0)))
                            (drop (call $yield))
                            (call $note (i32.const 3))
                            (drop (call $yield))))
                    (global.get $log)))
            (core instance $i (instantiate $m (with "" (instance
                (export "table" (table $libc "table")) (export "new" (func $new))
                (export "later" (func $later)) (export "yield" (func $yield))))))
            (func $f (param "again" bool) (result u32) (canon lift (core func $i "f")))
            (instance $back (instantiate $back (with "f" (func $f))))
            (core func $back (canon lower (func $back "call")))
            (core module $fixup
                (import "" "table" (table 2 funcref))
                (import "" "back" (func $back))
                (elem (i32.const 1) func $back))
            (core instance (instantiate $fixup
                (with "" (instance (export "table" (table $libc "table")) (export "back" (func $back))))))
            (export "f" (func $f)))"#,
    );
    let f = instance.typed_func::<(bool,), u32>(&mut store, "f").unwrap();
    assert_eq!(f.call(&mut store, (false,)).unwrap(), 132);
}

/// The main thread makes two threads, which take turns by handing over to each other.
#[test]
fn threads_take_turns() {
    let (mut store, instance) = instantiate(
        &[Feature::Threading],
        r#"(component
            (core module $libc (table (export "table") 1 funcref))
            (core instance $libc (instantiate $libc))
            (core type $start (func (param i32)))
            (core func $new (canon thread.new-indirect $start (core table $libc "table")))
            (core func $later (canon thread.resume-later))
            (core func $yield (canon thread.yield))
            (core module $m
                (import "" "table" (table 1 funcref))
                (import "" "new" (func $new (param i32 i32) (result i32)))
                (import "" "later" (func $later (param i32)))
                (import "" "yield" (func $yield (result i32)))
                (global $log (mut i32) (i32.const 0))
                (func $note (param i32)
                    (global.set $log (i32.add (i32.mul (global.get $log) (i32.const 10)) (local.get 0))))
                (func $worker (param i32)
                    (call $note (local.get 0))
                    (drop (call $yield))
                    (call $note (local.get 0)))
                (elem (i32.const 0) func $worker)
                (func (export "run") (result i32)
                    (call $later (call $new (i32.const 0) (i32.const 1)))
                    (call $later (call $new (i32.const 0) (i32.const 2)))
                    (drop (call $yield))
                    (drop (call $yield))
                    (drop (call $yield))
                    (global.get $log)))
            (core instance $i (instantiate $m (with "" (instance
                (export "table" (table $libc "table")) (export "new" (func $new))
                (export "later" (func $later)) (export "yield" (func $yield))))))
            (func (export "run") (result u32) (canon lift (core func $i "run"))))"#,
    );
    let run = instance.typed_func::<(), u32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 1212);
}

/// Runs a function that calls itself by way of another component, without end; its core code also has `more`.
fn recurse(more: &str) -> tombolo::Error {
    let component = r#"(component
            (component $back
                (import "f" (func $f))
                (core func $f (canon lower (func $f)))
                (core module $m
                    (import "" "f" (func $f))
                    (func (export "call") (call $f)))
                (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
                (func (export "call") (canon lift (core func $i "call"))))
            (core module $libc (table (export "table") 1 funcref) (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $wait (canon waitable-set.wait (memory (core memory $libc "memory"))))
            (core module $m
                (import "" "table" (table 1 funcref))
                (import "" "wait" (func $wait (param i32 i32) (result i32)))
                (type $back (func))
                (func (export "f") MORE (call_indirect (type $back) (i32.const 0))))
            (core instance $i (instantiate $m (with "" (instance
                (export "table" (table $libc "table")) (export "wait" (func $wait))))))
            (func $f (canon lift (core func $i "f")))
            (instance $back (instantiate $back (with "f" (func $f))))
            (core func $back (canon lower (func $back "call")))
            (core module $fixup
                (import "" "table" (table 1 funcref))
                (import "" "back" (func $back))
                (elem (i32.const 0) func $back))
            (core instance (instantiate $fixup
                (with "" (instance (export "table" (table $libc "table")) (export "back" (func $back))))))
            (export "f" (func $f)))"#;
    let (mut store, instance) = instantiate(&[], &component.replace("MORE", more));
    let f = instance.typed_func::<(), ()>(&mut store, "f").unwrap();
    f.call(&mut store, ()).unwrap_err()
}

/// Each call takes a stack of its own, so it is not the stack that runs out.
#[test]
fn endless_recursion_through_what_may_block_ends() {
    let error = recurse("(if (i32.const 0) (then (drop (call $wait (i32.const 0) (i32.const 0)))))");
    assert!(error.to_string().contains("exceed their budget"), "{error}");
}

/// That the component has a built-in that waits makes no difference to a function that cannot reach it.
#[test]
fn endless_recursion_through_what_cannot_block_ends() {
    let error = recurse("");
    assert!(error.to_string().contains("call stack exhausted"), "{error}");
}

/// A function that is expected not to block, because it does so only where it does not return from, blocks all the same:
/// as a panic hook does that waits for its output.
#[test]
fn what_a_panic_waits_for_is_waited_for() {
    let (mut store, instance) = instantiate(
        &[Feature::Threading],
        r#"(component
            (component $callee
                (core func $yield (canon thread.yield))
                (core module $m
                    (import "" "yield" (func $yield (result i32)))
                    (func $panic
                        (drop (call $yield))
                        (drop (i32.div_u (i32.const 1) (i32.const 0))))
                    (func (export "f") (call $panic) unreachable))
                (core instance $m (instantiate $m (with "" (instance (export "yield" (func $yield))))))
                (func (export "f") (canon lift (core func $m "f"))))
            (component $caller
                (import "f" (func $f))
                (core func $f (canon lower (func $f)))
                (core module $m (import "" "f" (func $f)) (func (export "call") (call $f)))
                (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
                (func (export "call") (canon lift (core func $m "call"))))
            (instance $callee (instantiate $callee))
            (instance $caller (instantiate $caller (with "f" (func $callee "f"))))
            (export "call" (func $caller "call")))"#,
    );
    let call = instance.typed_func::<(), ()>(&mut store, "call").unwrap();
    let error = call.call(&mut store, ()).unwrap_err();
    assert!(error.to_string().contains("integer divide by zero"), "{error}");
}
