//! Error contexts, by the interpreter and through adapters.

use crate::{Component, Config, Engine, Feature, Linker, Store};

/// A component that passes two error contexts to another one in a list, and reads and drops the one that comes back.
const COMPONENT: &str = r#"(component
    (component $Inner
        (core module $m
            (import "" "drop" (func $drop (param i32)))
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
            (func (export "first") (param i32 i32) (result i32)
                (call $drop (i32.load (i32.add (local.get 0) (i32.const 4))))
                (i32.load (local.get 0))))
        (core func $drop (canon error-context.drop))
        (core instance $m (instantiate $m (with "" (instance (export "drop" (func $drop))))))
        (func (export "first") (param "all" (list error-context)) (result error-context)
            (canon lift (core func $m "first") (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))
    (instance $inner (instantiate $Inner))
    (core module $libc
        (memory (export "memory") 1)
        (data (i32.const 0) "sunk")
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
    (core instance $libc (instantiate $libc))
    (core func $first (canon lower (func $inner "first") (memory (core memory $libc "memory"))))
    (core func $new (canon error-context.new (memory (core memory $libc "memory"))))
    (core func $message (canon error-context.debug-message
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $drop (canon error-context.drop))
    (core module $m
        (import "" "memory" (memory 1))
        (import "" "first" (func $first (param i32 i32) (result i32)))
        (import "" "new" (func $new (param i32 i32) (result i32)))
        (import "" "message" (func $message (param i32 i32)))
        (import "" "drop" (func $drop (param i32)))
        (func (export "go") (param $second i32) (result i32) (local $one i32) (local $back i32)
            (local.set $one (call $new (i32.const 0) (i32.const 4)))
            (i32.store (i32.const 1024) (local.get $one))
            (i32.store (i32.const 1028) (i32.add (local.get $one) (local.get $second)))
            (local.set $back (call $first (i32.const 1024) (i32.const 2)))
            (call $message (local.get $back) (i32.const 512))
            (call $drop (local.get $back))
            (call $drop (local.get $one))
            (i32.load (i32.const 516))))
    (core instance $m (instantiate $m (with "" (instance
        (export "memory" (memory $libc "memory")) (export "first" (func $first)) (export "new" (func $new))
        (export "message" (func $message)) (export "drop" (func $drop))))))
    (func (export "go") (param "second" u32) (result u32) (canon lift (core func $m "go"))))"#;

/// What calls come to, the last of which passes an index that is none.
fn outcomes(adapters_after: u32) -> Vec<String> {
    let mut config = Config::new();
    config.feature(Feature::ErrorContext, true).adapters_after(adapters_after);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, COMPONENT).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let go = instance.typed_func::<(u32,), u32>(&mut store, "go").unwrap();
    let mut outcomes = Vec::new();
    for second in [0, 0, 0, 70] {
        assert_eq!(store.core().islands.borrow().adapters() > 0, adapters_after == 0 && !outcomes.is_empty());
        outcomes.push(format!("{:?}", go.call(&mut store, (second,))));
    }
    outcomes
}

#[test]
fn error_contexts_pass_through_adapters() {
    let interpreted = outcomes(u32::MAX);
    assert_eq!(outcomes(0), interpreted);
    assert_eq!(interpreted[..3], ["Ok(4)", "Ok(4)", "Ok(4)"]);
    assert!(interpreted[3].starts_with("Err") && interpreted[3].contains("71"), "{}", interpreted[3]);
}
