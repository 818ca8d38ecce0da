//! Single operations on a lot of data. None outruns a deadline.
//!
//! Each guest has the host set a deadline, does one operation, and then calls the host again: which it does not come to.
//! There are no checks between the calls but those inside the operation. Where that begins with a call of the guest's
//! `realloc`, which has a check, the deadline comes a little later; otherwise it has passed already.

use std::time::{Duration, Instant};

use tombolo::{Component, Engine, Linker, Store, StoreMut, TrapCode, Val};

use super::{code, engine, innermost};

/// Runs a component's `run`.
fn run(engine: &Engine, deadline: Duration, text: &str) {
    let component = Component::new(engine, text).unwrap();
    let mut linker = Linker::new(engine);
    let mut root = linker.root();
    root.func("deadline", move |mut store: StoreMut<'_, u32>, (): ()| {
        store.set_deadline(Some(Instant::now() + deadline))
    })
    .unwrap();
    root.func("after", |mut store: StoreMut<'_, u32>, (): ()| {
        *store.data_mut() += 1;
        Ok(())
    })
    .unwrap();
    root.func("string", |_: StoreMut<'_, u32>, (_,): (String,)| Ok(())).unwrap();
    root.func("bytes", |_: StoreMut<'_, u32>, (_,): (Vec<u8>,)| Ok(())).unwrap();
    root.func("chars", |_: StoreMut<'_, u32>, (_,): (Vec<char>,)| Ok(())).unwrap();
    root.func_dynamic("values", |_: StoreMut<'_, u32>, _: &[Val], _| Ok(None)).unwrap();
    root.func("give-bytes", |_: StoreMut<'_, u32>, (): ()| Ok(vec![1_u8; LENGTH])).unwrap();
    root.func("give-string", |_: StoreMut<'_, u32>, (): ()| Ok("a".repeat(LENGTH))).unwrap();
    let mut store = Store::new(engine, 0);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.typed_func::<(), ()>(&mut store, "run").unwrap();
    let start = Instant::now();
    let error = run.call(&mut store, ()).unwrap_err();
    println!("    ended after {:?}", start.elapsed());
    assert_eq!(code(&error), TrapCode::Interrupted);
    assert!(["run", "realloc"].contains(&&*innermost(&error)), "{error}");
    assert_eq!(*store.data(), 0, "the operation went to its end");
}

/// Long after a call has begun, long before it ends.
const LATER: Duration = Duration::from_millis(5);

/// Bytes of most operations.
const LENGTH: usize = 48 << 20;

#[test]
fn instructions_on_memories_and_tables() {
    let engine = engine(|config| config.deadlines(true));
    for operation in [
        "(memory.fill (i32.const 0) (i32.const 1) (i32.const LENGTH))",
        "(memory.copy (i32.const 0) (i32.const 100) (i32.const LENGTH))",
        "(memory.copy (i32.const 100) (i32.const 0) (i32.const LENGTH))",
        "(table.fill (i32.const 0) (ref.func $run) (i32.const 5000000))",
        "(table.copy (i32.const 0) (i32.const 100) (i32.const 4000000))",
        "(drop (table.grow (ref.func $run) (i32.const 4000000)))",
    ] {
        println!("{operation}");
        let operation = operation.replace("LENGTH", &LENGTH.to_string());
        run(
            &engine,
            Duration::ZERO,
            &format!(
                r#"(component
                (import "deadline" (func $deadline)) (core func $deadline' (canon lower (func $deadline)))
                (import "after" (func $after)) (core func $after' (canon lower (func $after)))
                (core module $m
                    (import "" "deadline" (func $deadline))
                    (import "" "after" (func $after))
                    (memory 1000) (table 5000000 10000000 funcref)
                    (elem declare func $run)
                    (func $run (export "run") (call $deadline) {operation} (call $after)))
                (core instance $i (instantiate $m (with "" (instance
                    (export "deadline" (func $deadline')) (export "after" (func $after'))))))
                (func (export "run") (canon lift (core func $i "run"))))"#
            ),
        );
    }
}

/// What goes from component to component, in memories that are all zero: a valid string, too, in every encoding.
#[test]
fn values_between_components() {
    let engine = engine(|config| config.deadlines(true));
    for (ty, from, to, length) in [
        ("string", "utf8", "utf8", LENGTH),
        ("string", "utf8", "utf16", LENGTH),
        ("string", "utf8", "latin1+utf16", LENGTH),
        ("string", "utf16", "utf8", LENGTH / 2),
        ("string", "utf16", "utf16", LENGTH / 2),
        ("string", "latin1+utf16", "utf8", LENGTH),
        ("string", "latin1+utf16", "utf16", LENGTH),
        // The tag says UTF-16.
        ("string", "latin1+utf16", "latin1+utf16", (LENGTH / 2) | (1 << 31)),
        ("string", "latin1+utf16", "latin1+utf16", LENGTH),
        ("(list bool)", "utf8", "utf8", LENGTH),
        ("(list (option u8))", "utf8", "utf8", LENGTH / 2),
        ("(list (list u8))", "utf8", "utf8", LENGTH / 8),
        ("(list (list u8 16))", "utf8", "utf8", LENGTH / 16),
    ] {
        println!("{ty}, {from} to {to}");
        // Twice the room, for the encodings that need it. What is never touched costs nothing.
        run(
            &engine_for(&engine, ty),
            if ty == "string" { Duration::ZERO } else { LATER },
            &format!(
                r#"(component
                (import "deadline" (func $deadline)) (core func $deadline' (canon lower (func $deadline)))
                (import "after" (func $after)) (core func $after' (canon lower (func $after)))
                (type $value {ty})
                (component $taker
                    (type $value {ty})
                    (core module $m
                        (memory (export "memory") 2000)
                        (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                        (func (export "take") (param i32 i32)))
                    (core instance $i (instantiate $m))
                    (func (export "take") (param "value" $value) (canon lift (core func $i "take")
                        (memory (core memory $i "memory")) (realloc (core func $i "realloc"))
                        string-encoding={to})))
                (instance $taker (instantiate $taker))
                (core module $libc (memory (export "memory") 1000))
                (core instance $libc (instantiate $libc))
                (core func $take (canon lower (func $taker "take") (memory (core memory $libc "memory"))
                    string-encoding={from}))
                (core module $m
                    (import "" "deadline" (func $deadline))
                    (import "" "after" (func $after))
                    (import "" "take" (func $take (param i32 i32)))
                    (func $run (export "run")
                        (call $deadline) (call $take (i32.const 0) (i32.const {length})) (call $after)))
                (core instance $i (instantiate $m (with "" (instance
                    (export "deadline" (func $deadline')) (export "after" (func $after'))
                    (export "take" (func $take))))))
                (func (export "run") (canon lift (core func $i "run"))))"#
            ),
        );
    }
}

/// An engine with what a type needs.
fn engine_for(engine: &Engine, ty: &str) -> Engine {
    if ty.ends_with("16))") {
        return super::engine(|config| {
            config.deadlines(true).feature(tombolo::Feature::FixedLengthLists, true)
        });
    }
    engine.clone()
}

#[test]
fn values_to_the_host_and_from_it() {
    let engine = engine(|config| config.deadlines(true));
    for (func, ty, encoding, length) in [
        ("string", "(param \"value\" string)", "utf8", LENGTH),
        ("string", "(param \"value\" string)", "utf16", LENGTH / 2),
        ("string", "(param \"value\" string)", "latin1+utf16", LENGTH),
        ("bytes", "(param \"value\" (list u8))", "utf8", LENGTH),
        ("chars", "(param \"value\" (list char))", "utf8", LENGTH / 4),
        ("values", "(param \"value\" (list (option u8)))", "utf8", LENGTH / 64),
        ("give-bytes", "(result (list u8))", "utf8", 0),
        ("give-string", "(result string)", "utf8", 0),
        ("give-string", "(result string)", "utf16", 0),
    ] {
        println!("{func}, {encoding}");
        let call = match func.starts_with("give") {
            true => "(func $cross (param i32))",
            false => "(func $cross (param i32 i32))",
        };
        let args = match func.starts_with("give") {
            true => "(i32.const 16)".to_owned(),
            false => format!("(i32.const 0) (i32.const {length})"),
        };
        run(
            &engine,
            Duration::ZERO,
            &format!(
                r#"(component
                (import "deadline" (func $deadline)) (core func $deadline' (canon lower (func $deadline)))
                (import "after" (func $after)) (core func $after' (canon lower (func $after)))
                (import "{func}" (func $cross {ty}))
                (core module $libc
                    (memory (export "memory") 2000)
                    (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
                (core instance $libc (instantiate $libc))
                (core func $cross' (canon lower (func $cross) (memory (core memory $libc "memory"))
                    (realloc (core func $libc "realloc")) string-encoding={encoding}))
                (core module $m
                    (import "" "deadline" (func $deadline))
                    (import "" "after" (func $after))
                    (import "" "cross" {call})
                    (func $run (export "run") (call $deadline) (call $cross {args}) (call $after)))
                (core instance $i (instantiate $m (with "" (instance
                    (export "deadline" (func $deadline')) (export "after" (func $after'))
                    (export "cross" (func $cross'))))))
                (func (export "run") (canon lift (core func $i "run"))))"#
            ),
        );
    }
}
