//! Calls between host and guests, and between guests.

use tombolo::{Component, Config, Engine, Linker, Store, StoreMut, Val};

#[expect(clippy::unwrap_used, reason = "a test")]
fn engine() -> Engine {
    Engine::new(&Config::new()).unwrap()
}

#[test]
fn host_calls_a_guest() {
    let engine = engine();
    let component = Component::new(
        &engine,
        r#"(component
            (core module $m
                (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
            (core instance $i (instantiate $m))
            (func (export "add") (param "a" u32) (param "b" u32) (result u32)
                (canon lift (core func $i "add"))))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let add = instance.typed_func::<(u32, u32), u32>(&mut store, "add").unwrap();
    assert_eq!(add.call(&mut store, (40, 2)).unwrap(), 42);
    let add = instance.func("add").unwrap();
    assert_eq!(add.call(&mut store, &[Val::U32(1), Val::U32(2)]).unwrap(), Some(Val::U32(3)));
}

#[test]
fn a_guest_calls_the_host_and_another_guest() {
    let engine = engine();
    let component = Component::new(
        &engine,
        r#"(component
            (import "shout" (func $shout (param "text" string) (result string)))
            (component $inner
                (import "shout" (func $shout (param "text" string) (result string)))
                (core module $libc
                    (memory (export "memory") 1)
                    (global $next (mut i32) (i32.const 1024))
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                        (local $p i32)
                        (local.set $p (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                        (global.set $next (i32.add (local.get $p) (local.get 3)))
                        (local.get $p)))
                (core instance $libc (instantiate $libc))
                (core func $shout' (canon lower (func $shout)
                    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
                (core module $m
                    (import "libc" "memory" (memory 1))
                    (import "host" "shout" (func $shout (param i32 i32 i32)))
                    (func (export "twice") (param i32 i32) (result i32)
                        (call $shout (local.get 0) (local.get 1) (i32.const 16))
                        (call $shout (i32.load (i32.const 16)) (i32.load (i32.const 20)) (i32.const 16))
                        (i32.const 16)))
                (core instance $i (instantiate $m
                    (with "libc" (instance $libc))
                    (with "host" (instance (export "shout" (func $shout'))))))
                (func (export "twice") (param "text" string) (result string)
                    (canon lift (core func $i "twice")
                        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))
            (instance $a (instantiate $inner (with "shout" (func $shout))))
            (instance $b (instantiate $inner (with "shout" (func $a "twice"))))
            (export "four-times" (func $b "twice")))"#,
    )
    .unwrap();
    let mut linker = Linker::<u32>::new(&engine);
    linker
        .root()
        .func("shout", |mut store: StoreMut<'_, u32>, (text,): (String,)| {
            *store.data_mut() += 1;
            Ok(format!("{text}!"))
        })
        .unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let f = instance.typed_func::<(String,), String>(&mut store, "four-times").unwrap();
    assert_eq!(f.call(&mut store, ("hé".to_owned(),)).unwrap(), "hé!!!!");
    assert_eq!(*store.data(), 4);
}
