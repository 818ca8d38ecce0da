//! What is refused before it runs, and what traps when it does.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tombolo::{
    Accessor, Component, Config, Engine, Error, Feature, Instance, Linker, Result, Store, TrapReason,
};

fn engine() -> Engine {
    let mut config = Config::new();
    for feature in Feature::ALL {
        config.feature(*feature, true);
    }
    Engine::new(&config).unwrap()
}

/// Instantiates a component that may import `never`, an `async` function of the host that does not return.
fn instantiate(text: &str) -> (Store<()>, Instance) {
    let engine = engine();
    let mut linker = Linker::<()>::new(&engine);
    linker
        .root()
        .func_async("never", |_: Accessor<()>, (): ()| std::future::pending::<Result<()>>())
        .unwrap();
    let component = Component::new(&engine, text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

fn error_of(store: &mut Store<()>, instance: &Instance, name: &str) -> Error {
    let func = instance.typed_func::<(), ()>(&mut *store, name).unwrap();
    if !func.func().is_async() {
        return func.call(store, ()).unwrap_err();
    }
    let mut call = pin!(func.call_async(store, ()));
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.unwrap_err(),
        Poll::Pending => panic!("it waits"),
    }
}

/// Core functions are called by the component's types: so whatever a component passes for one is checked.
#[test]
fn core_functions_of_another_signature_are_refused() {
    let with = |module: &str, uses: &str| {
        let text =
            format!("(component (core module $m {module}) (core instance $i (instantiate $m)) {uses})");
        Component::new(&engine(), &text).map(drop)
    };
    let lift = r#"(memory (export "memory") 1) (func (export "f") (param i32 i32) (result i32) unreachable)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "post") (param i32)) (func (export "callback") (param i32 i32 i32) (result i32) unreachable)
        (func (export "other") (param i64) (result i32) unreachable)"#;
    let text = |core: &str, realloc: &str, post: &str| {
        format!(
            r#"(func (export "f") (param "s" string) (result string) (canon lift (core func $i "{core}")
                (memory (core memory $i "memory")) (realloc (core func $i "{realloc}"))
                (post-return (core func $i "{post}"))))"#
        )
    };
    with(lift, &text("f", "realloc", "post")).unwrap();
    for (core, realloc, post) in [
        ("other", "realloc", "post"),
        ("f", "other", "post"),
        ("f", "realloc", "other"),
        ("post", "realloc", "post"),
    ] {
        let error = with(lift, &text(core, realloc, post)).unwrap_err();
        assert!(error.to_string().contains("type") || error.to_string().contains("signature"), "{error}");
    }
    let callback = |core: &str, callback: &str| {
        format!(
            r#"(func (export "f") async (param "a" u32) (param "b" u32)
                (canon lift (core func $i "{core}") async (callback (core func $i "{callback}"))))"#
        )
    };
    with(lift, &callback("f", "callback")).unwrap();
    for (core, back) in [("f", "other"), ("f", "f"), ("post", "callback"), ("other", "callback")] {
        assert!(with(lift, &callback(core, back)).is_err(), "{core} {back}");
    }
    let destructor = |core: &str| format!(r#"(type (resource (rep i32) (dtor (core func $i "{core}"))))"#);
    with(lift, &destructor("post")).unwrap();
    assert!(with(lift, &destructor("other")).is_err());
}

#[test]
fn what_belongs_to_another_engine_is_refused() {
    let text = r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    let (one, other) = (engine(), engine());
    let component = Component::new(&one, text).unwrap();
    let foreign = Component::new(&other, text).unwrap();
    let mut store = Store::new(&one, ());
    let linker = Linker::new(&one);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    for error in [
        linker.instantiate(&mut store, &foreign).unwrap_err(),
        Linker::new(&other).instantiate(&mut store, &component).unwrap_err(),
        linker.instantiate(&mut Store::new(&other, ()), &component).unwrap_err(),
    ] {
        assert!(error.to_string().contains("different engines"), "{error}");
    }
    // What belongs to another store of the same engine is refused too.
    let f = instance.typed_func::<(), ()>(&mut store, "f").unwrap();
    let mut store_too = Store::new(&one, ());
    assert!(f.call(&mut store_too, ()).unwrap_err().to_string().contains("another store"));
    assert!(instance.end(&mut store_too).unwrap_err().to_string().contains("another store"));
    f.call(&mut store, ()).unwrap();
}

/// Whether it waits for the host, for another guest, for events, or for a stream.
#[test]
fn a_sync_typed_call_that_blocks_traps() {
    let text = r#"(component
        (import "never" (func $never async))
        (type $bytes (stream u8))
        (core module $libc (memory (export "memory") 1))
        (core instance $libc (instantiate $libc))
        (component $other
            (import "never" (func $never async))
            (core func $never (canon lower (func $never)))
            (core module $m (import "" "never" (func $never)) (func (export "wait") (call $never)))
            (core instance $i (instantiate $m (with "" (instance (export "never" (func $never))))))
            (func (export "wait") async (canon lift (core func $i "wait"))))
        (instance $other (instantiate $other (with "never" (func $never))))
        (core func $never (canon lower (func $never)))
        (core func $wait (canon lower (func $other "wait")))
        (core func $set (canon waitable-set.new))
        (core func $events (canon waitable-set.wait (memory (core memory $libc "memory"))))
        (core func $new (canon stream.new $bytes))
        (core func $read (canon stream.read $bytes (memory (core memory $libc "memory"))))
        (core module $m
            (import "" "never" (func $never))
            (import "" "wait" (func $wait))
            (import "" "set" (func $set (result i32)))
            (import "" "events" (func $events (param i32 i32) (result i32)))
            (import "" "new" (func $new (result i64)))
            (import "" "read" (func $read (param i32 i32 i32) (result i32)))
            (func (export "host") (call $never))
            (func (export "guest") (call $wait))
            (func (export "events") (drop (call $events (call $set) (i32.const 0))))
            (func (export "stream") (drop (call $read (i32.wrap_i64 (call $new)) (i32.const 0) (i32.const 1)))))
        (core instance $i (instantiate $m (with "" (instance
            (export "never" (func $never)) (export "wait" (func $wait)) (export "set" (func $set))
            (export "events" (func $events)) (export "new" (func $new)) (export "read" (func $read))))))
        (func (export "host") (canon lift (core func $i "host")))
        (func (export "guest") (canon lift (core func $i "guest")))
        (func (export "events") (canon lift (core func $i "events")))
        (func (export "stream") (canon lift (core func $i "stream"))))"#;
    for name in ["host", "guest", "events", "stream"] {
        let (mut store, instance) = instantiate(text);
        let error = error_of(&mut store, &instance, name);
        assert!(error.to_string().contains("cannot block"), "{name}: {error}");
    }
}

#[test]
fn what_is_done_with_the_wrong_end_of_a_stream_traps() {
    let text = r#"(component
        (type $bytes (stream u8))
        (type $word (future u32))
        (core module $libc (memory (export "memory") 1))
        (core instance $libc (instantiate $libc))
        (core func $new (canon stream.new $bytes))
        (core func $new-future (canon future.new $word))
        (core func $read (canon stream.read $bytes async (memory (core memory $libc "memory"))))
        (core func $write (canon stream.write $bytes async (memory (core memory $libc "memory"))))
        (core func $cancel-read (canon stream.cancel-read $bytes))
        (core func $cancel-write (canon stream.cancel-write $bytes))
        (core func $drop-readable (canon stream.drop-readable $bytes))
        (core func $drop-writable (canon stream.drop-writable $bytes))
        (core module $m
            (import "" "new" (func $new (result i64)))
            (import "" "new-future" (func $new-future (result i64)))
            (import "" "read" (func $read (param i32 i32 i32) (result i32)))
            (import "" "write" (func $write (param i32 i32 i32) (result i32)))
            (import "" "cancel-read" (func $cancel-read (param i32) (result i32)))
            (import "" "cancel-write" (func $cancel-write (param i32) (result i32)))
            (import "" "drop-readable" (func $drop-readable (param i32)))
            (import "" "drop-writable" (func $drop-writable (param i32)))
            (func $readable (result i32) (i32.wrap_i64 (call $new)))
            (func $writable (result i32) (i32.wrap_i64 (i64.shr_u (call $new) (i64.const 32))))
            (func $reading (result i32) (local $end i32)
                (drop (call $read (local.tee $end (call $readable)) (i32.const 0) (i32.const 1)))
                (local.get $end))
            (func (export "read") (drop (call $read (call $writable) (i32.const 0) (i32.const 1))))
            (func (export "write") (drop (call $write (call $readable) (i32.const 0) (i32.const 1))))
            (func (export "cancel-write") (drop (call $cancel-write (call $reading))))
            (func (export "cancel-read") (local $end i32)
                (drop (call $write (local.tee $end (call $writable)) (i32.const 0) (i32.const 1)))
                (drop (call $cancel-read (local.get $end))))
            (func (export "cancel-nothing") (drop (call $cancel-read (call $readable))))
            (func (export "cancel-twice") (local $end i32)
                (drop (call $cancel-read (local.tee $end (call $reading))))
                (drop (call $cancel-read (local.get $end))))
            (func (export "drop-readable") (call $drop-readable (call $writable)))
            (func (export "drop-writable") (call $drop-writable (call $readable)))
            (func (export "drop-reading") (call $drop-readable (call $reading)))
            (func (export "read-future") (drop (call $read (i32.wrap_i64 (call $new-future)) (i32.const 0) (i32.const 1)))))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "new-future" (func $new-future)) (export "read" (func $read))
            (export "write" (func $write)) (export "cancel-read" (func $cancel-read))
            (export "cancel-write" (func $cancel-write)) (export "drop-readable" (func $drop-readable))
            (export "drop-writable" (func $drop-writable))))))
        (func (export "read") (canon lift (core func $i "read")))
        (func (export "write") (canon lift (core func $i "write")))
        (func (export "cancel-read") (canon lift (core func $i "cancel-read")))
        (func (export "cancel-write") (canon lift (core func $i "cancel-write")))
        (func (export "cancel-nothing") (canon lift (core func $i "cancel-nothing")))
        (func (export "cancel-twice") (canon lift (core func $i "cancel-twice")))
        (func (export "drop-readable") (canon lift (core func $i "drop-readable")))
        (func (export "drop-writable") (canon lift (core func $i "drop-writable")))
        (func (export "drop-reading") (canon lift (core func $i "drop-reading")))
        (func (export "read-future") (canon lift (core func $i "read-future"))))"#;
    let names = ["read", "write", "cancel-read", "cancel-write", "cancel-nothing", "cancel-twice"];
    for name in names.into_iter().chain(["drop-readable", "drop-writable", "drop-reading", "read-future"]) {
        let (mut store, instance) = instantiate(text);
        let error = error_of(&mut store, &instance, name);
        assert!(matches!(error.trap().unwrap().reason, TrapReason::Concurrency(_)), "{name}: {error}");
    }
}
