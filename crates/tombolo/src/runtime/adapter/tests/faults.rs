//! Whose fault it is that a result cannot be carried: the interpreter and adapters tell caller and callee apart.

use std::future::poll_fn;
use std::task::Poll;

use super::async_calls::finish;
use crate::{Component, Config, Engine, Feature, Instance, Linker, Store};

const CALLEE: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (data (i32.const 16) "\20\00\00\00\03\00\00\00")
        (data (i32.const 32) "abc")
        (global $lie (mut i32) (i32.const 0))
        (func (export "lie") (global.set $lie (i32.const 1)))
        (func (export "text") (result i32)
            (if (result i32) (global.get $lie) (then (i32.const -8)) (else (i32.const 16))))
        (func (export "post") (param i32)))
    (core instance $m (instantiate $m))
    (func (export "text") (result string)
        (canon lift (core func $m "text") (memory (core memory $m "memory")) (post-return (core func $m "post"))))
    (func (export "lie") (canon lift (core func $m "lie"))))"#;

/// What `realloc` does when told to misbehave, and whether it is asked where to put the result.
fn caller(misbehave: &str) -> String {
    caller_of("func", "", misbehave)
}

/// Likewise, of a function of another kind, which is lowered with other options too.
fn caller_of(func: &str, options: &str, misbehave: &str) -> String {
    let result = if options.contains("async") { "(result i32)" } else { "" };
    let returned = if options.contains("async") { "(i32.ne (i32.const 2))" } else { "(i32.const 0)" };
    format!(
        r#"(component
            (import "callee" (instance $callee (export "text" ({func} (result string)))))
            (core module $libc
                (memory (export "memory") 1)
                (global $misbehave (export "misbehave") (mut i32) (i32.const 0))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (if (global.get $misbehave) (then {misbehave}))
                    (i32.const 256)))
            (core instance $libc (instantiate $libc))
            (core func $text (canon lower (func $callee "text") (memory (core memory $libc "memory"))
                (realloc (core func $libc "realloc")) {options}))
            (core module $m
                (import "" "text" (func $text (param i32) {result}))
                (import "" "misbehave" (global $misbehave (mut i32)))
                (global $out (mut i32) (i32.const 64))
                (func (export "call")
                    (call $text (global.get $out)) {returned} (if (then unreachable)))
                (func (export "misbehave") (global.set $misbehave (i32.const 1)))
                (func (export "mislead") (global.set $out (i32.const 65532))))
            (core instance $m (instantiate $m (with "" (instance
                (export "text" (func $text)) (export "misbehave" (global $libc "misbehave"))))))
            (func (export "call") (canon lift (core func $m "call")))
            (func (export "misbehave") (canon lift (core func $m "misbehave")))
            (func (export "mislead") (canon lift (core func $m "mislead"))))"#
    )
}

fn call(store: &mut Store<()>, instance: &Instance, name: &str) -> Result<(), crate::Error> {
    instance.typed_func::<(), ()>(&mut *store, name)?.call(store, ())
}

/// What is left after one of the two was told to do something wrong: the error, whether the caller has ended, whether the
/// callee has, and what another caller gets then.
fn outcome(adapters_after: u32, caller: &str, wrong: (&str, &str)) -> (String, bool, bool, bool) {
    let mut config = Config::new();
    config.adapters_after(adapters_after);
    let engine = Engine::new(&config).unwrap();
    let mut linker = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    let callee = linker.instantiate(&mut store, &Component::new(&engine, CALLEE).unwrap()).unwrap();
    linker.define_instance("callee", &callee).unwrap();
    let component = Component::new(&engine, caller).unwrap();
    let caller = linker.instantiate(&mut store, &component).unwrap();
    call(&mut store, &caller, "call").unwrap();
    assert_eq!(store.core().islands.borrow().adapters(), usize::from(adapters_after == 0));
    match wrong {
        ("caller", what) => call(&mut store, &caller, what).unwrap(),
        (_, what) => call(&mut store, &callee, what).unwrap(),
    }
    let error = call(&mut store, &caller, "call").unwrap_err();
    let ended = (caller.ended().is_some(), callee.ended().is_some());
    let other = linker.instantiate(&mut store, &component);
    let works = other.is_ok_and(|other| {
        // By the interpreter, then by an adapter if there is any.
        call(&mut store, &other, "call").is_ok() && call(&mut store, &other, "call").is_ok()
    });
    (format!("{error:?}"), ended.0, ended.1, works)
}

#[test]
fn who_is_at_fault_for_a_result_ends() {
    for (misbehave, wrong, callee_ends, expected) in [
        ("unreachable", ("caller", "misbehave"), false, "unreachable"),
        ("(return (i32.const 65535))", ("caller", "misbehave"), false, "realloc"),
        ("nop", ("caller", "mislead"), false, "out of bounds"),
        ("nop", ("callee", "lie"), true, "out of bounds"),
    ] {
        let caller = caller(misbehave);
        let interpreted = outcome(1000, &caller, wrong);
        let compiled = outcome(0, &caller, wrong);
        assert_eq!(interpreted, compiled, "{wrong:?}, {misbehave}");
        let (error, caller_ended, callee_ended, works) = compiled;
        assert!(error.to_lowercase().contains(expected), "{wrong:?}, {misbehave}: {error}");
        assert!(caller_ended, "{wrong:?}, {misbehave}");
        assert_eq!((callee_ended, works), (callee_ends, !callee_ends), "{wrong:?}, {misbehave}");
    }
}

/// A callee of an `async` function, lifted in one way or another, and what it does between its result and its end, or before
/// the result if it is lifted without `async`. Its `ends` says how often it has come to the end.
fn async_callee(lift: &str, on_fiber: bool, then: &str) -> String {
    let yields = match on_fiber {
        true => r#"(import "" "yield" (func $yield (result i32)))"#,
        false => "",
    };
    let options = r#"(memory (core memory $libc "memory"))"#;
    let (text, lift) = match lift {
        "sync" => (
            // It has returned when its post-return function runs.
            format!(
                r#"(func (export "text") (result i32) {then} (i32.const 16))
            (func (export "post") (param i32) (call $end))"#
            ),
            format!(r#"{options} (post-return (core func $m "post"))"#),
        ),
        "stackful" => (
            format!(
                r#"(func (export "text") (call $return (i32.const 32) (i32.const 3)) {then} (call $end))"#
            ),
            format!("{options} async"),
        ),
        _ => (
            format!(
                r#"(func (export "text") (result i32)
                (call $return (i32.const 32) (i32.const 3)) {then} (call $end) (i32.const 0))
            (func (export "callback") (param i32 i32 i32) (result i32) unreachable)"#
            ),
            format!(r#"{options} async (callback (core func $m "callback"))"#),
        ),
    };
    format!(
        r#"(component
        (core module $libc (memory (export "memory") 1)
            (data (i32.const 16) "\20\00\00\00\03\00\00\00")
            (data (i32.const 32) "abc"))
        (core instance $libc (instantiate $libc))
        (core func $return (canon task.return (result string) {options}))
        (core func $yield (canon thread.yield))
        (core func $index (canon thread.index))
        (core module $m
            (import "" "return" (func $return (param i32 i32)))
            (import "" "index" (func $index (result i32)))
            {yields}
            (global $ends (mut i32) (i32.const 0))
            (func $end (global.set $ends (i32.add (global.get $ends) (i32.const 1))))
            (func (export "ends") (result i32) (global.get $ends))
            {text})
        (core instance $m (instantiate $m (with "" (instance
            (export "return" (func $return)) (export "yield" (func $yield)) (export "index" (func $index))))))
        (func (export "text") async (result string) (canon lift (core func $m "text") {lift}))
        (func (export "ends") (result u32) (canon lift (core func $m "ends"))))"#
    )
}

/// Has callees do what they have yet to do.
fn come_to_rest(store: &mut Store<()>) {
    let mut turns = 0;
    let waits = poll_fn(move |_| {
        turns += 1;
        if turns < 10 { Poll::Pending } else { Poll::Ready(()) }
    });
    finish(store.run_concurrent(|_| waits)).unwrap().unwrap();
}

/// What becomes of the two when the caller misbehaves at its first call, or at a later one: the error, whether either has
/// ended, how often the callee has come to its end, and whether another caller is served.
fn async_outcome(
    adapters_after: u32,
    callee: &str,
    caller: &str,
    (misbehave, first): (&str, bool),
) -> (String, bool, bool, u32, bool) {
    let mut config = Config::new();
    for feature in Feature::ALL {
        config.feature(*feature, true);
    }
    config.adapters_after(adapters_after).optimize(false);
    let engine = Engine::new(&config).unwrap();
    let mut linker = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    let callee = linker.instantiate(&mut store, &Component::new(&engine, callee).unwrap()).unwrap();
    linker.define_instance("callee", &callee).unwrap();
    let component = Component::new(&engine, caller).unwrap();
    let caller = linker.instantiate(&mut store, &component).unwrap();
    assert_eq!(store.core().islands.borrow().adapters(), usize::from(adapters_after == 0));
    if !first {
        for _ in 0..3 {
            call(&mut store, &caller, "call").unwrap();
            come_to_rest(&mut store);
        }
    }
    call(&mut store, &caller, misbehave).unwrap();
    let error = call(&mut store, &caller, "call").unwrap_err();
    come_to_rest(&mut store);
    let ended = (caller.ended().is_some(), callee.ended().is_some());
    let ends = callee.typed_func::<(), u32>(&mut store, "ends").and_then(|ends| ends.call(&mut store, ()));
    let other = linker.instantiate(&mut store, &component);
    let works = other.is_ok_and(|other| {
        let first = call(&mut store, &other, "call");
        come_to_rest(&mut store);
        first.is_ok() && call(&mut store, &other, "call").is_ok()
    });
    (format!("{error:?}"), ended.0, ended.1, ends.unwrap_or(u32::MAX), works)
}

#[test]
fn a_caller_that_cannot_take_the_result_of_an_async_function_ends_alone() {
    let callees = [
        ("sync", false, ""),
        ("sync", true, ""),
        ("sync", false, "(drop (call $index))"),
        ("sync", true, "(drop (call $index))"),
        ("callback", false, ""),
        ("callback", false, "(drop (call $index))"),
        ("callback", true, ""),
        ("callback", true, "(drop (call $yield))"),
        ("stackful", false, ""),
        ("stackful", true, ""),
        ("stackful", true, "(drop (call $yield))"),
    ];
    let faults = [
        ("unreachable", "misbehave", "unreachable"),
        ("(return (i32.const 65535))", "misbehave", "realloc"),
        ("nop", "mislead", "out of bounds"),
    ];
    for (lift, on_fiber, then) in callees {
        let callee = async_callee(lift, on_fiber, then);
        for (misbehave, told, expected) in faults {
            let options = ["", "async", "string-encoding=utf16", "async string-encoding=utf16"];
            for (options, first) in options.iter().flat_map(|options| [(options, false), (options, true)]) {
                let caller = caller_of("func async", options, misbehave);
                let case = format!("{lift}, {on_fiber}, {then:?}, {options:?}, {misbehave}, {first}");
                let interpreted = async_outcome(1000, &callee, &caller, (told, first));
                let compiled = async_outcome(0, &callee, &caller, (told, first));
                assert_eq!(interpreted, compiled, "{case}");
                let (error, caller_ended, callee_ended, ends, works) = compiled;
                assert!(error.to_lowercase().contains(expected), "{case}: {error}");
                assert!(caller_ended && !callee_ended && works, "{case}");
                assert_eq!(ends, if first { 1 } else { 4 }, "{case}");
            }
        }
    }
}
