//! What ends a guest, and what is left afterwards.

use tombolo::{Component, Config, Engine, Linker, Store, TrapReason};

#[test]
fn a_guest_that_trapped_is_not_entered_again() {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(
        &engine,
        r#"(component
            (core module $m (func (export "f") unreachable))
            (core instance $i (instantiate $m))
            (func (export "f") (canon lift (core func $i "f"))))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let f = instance.typed_func::<(), ()>(&mut store, "f").unwrap();
    let first = f.call(&mut store, ()).unwrap_err();
    assert!(matches!(first.trap().unwrap().reason, TrapReason::Core(_)), "{first}");
    let second = f.call(&mut store, ()).unwrap_err();
    assert!(matches!(second.trap().unwrap().reason, TrapReason::CannotEnter(_)), "{second}");
    assert!(second.to_string().contains("unreachable"), "{second}");
}

#[test]
fn a_start_function_cannot_block() {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(
        &engine,
        r#"(component
            (core module $libc (memory (export "mem") 1))
            (core instance $libc (instantiate $libc))
            (core func $new (canon waitable-set.new))
            (core func $wait (canon waitable-set.wait (memory (core memory $libc "mem"))))
            (core module $m
                (import "" "new" (func $new (result i32)))
                (import "" "wait" (func $wait (param i32 i32) (result i32)))
                (func $start (drop (call $wait (call $new) (i32.const 0))))
                (start $start))
            (core instance (instantiate $m
                (with "" (instance (export "new" (func $new)) (export "wait" (func $wait)))))))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, ());
    let error = Linker::new(&engine).instantiate(&mut store, &component).unwrap_err();
    assert!(error.to_string().starts_with("cannot block a synchronous task before returning"), "{error}");
}
