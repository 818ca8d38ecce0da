//! Whose fault it is that a result cannot be carried: the interpreter and adapters tell caller and callee apart.

use crate::{Component, Config, Engine, Instance, Linker, Store};

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
    format!(
        r#"(component
            (import "callee" (instance $callee (export "text" (func (result string)))))
            (core module $libc
                (memory (export "memory") 1)
                (global $misbehave (export "misbehave") (mut i32) (i32.const 0))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (if (global.get $misbehave) (then {misbehave}))
                    (i32.const 256)))
            (core instance $libc (instantiate $libc))
            (core func $text (canon lower (func $callee "text") (memory (core memory $libc "memory"))
                (realloc (core func $libc "realloc"))))
            (core module $m
                (import "" "text" (func $text (param i32)))
                (import "" "misbehave" (global $misbehave (mut i32)))
                (global $out (mut i32) (i32.const 64))
                (func (export "call") (call $text (global.get $out)))
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
