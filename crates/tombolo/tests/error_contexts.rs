//! `error-context` values: from guest to guest, and between guests and the host.
#![expect(clippy::unwrap_used, reason = "a test")]

use tombolo::{Component, Config, Engine, ErrorContextAny, Feature, Instance, Limits, Linker, Store};

/// An outer component that has an inner one make an error context, in UTF-16, and reads its message in UTF-8; and that
/// hands on one of the host's.
const COMPONENT: &str = r#"(component
    (core module $libc
        (memory (export "memory") 2)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at))
        (data (i32.const 0) "s\00u\00n\00k\00"))
    (component $inner
        (core module $libc
            (memory (export "memory") 1)
            (data (i32.const 0) "s\00u\00n\00k\00"))
        (core instance $libc (instantiate $libc))
        (core func $new (canon error-context.new (memory (core memory $libc "memory")) string-encoding=utf16))
        (core module $m
            (import "" "new" (func $new (param i32 i32) (result i32)))
            (func (export "why") (result i32) (call $new (i32.const 0) (i32.const 4))))
        (core instance $m (instantiate $m (with "" (instance (export "new" (func $new))))))
        (func (export "why") (result error-context) (canon lift (core func $m "why"))))
    (instance $inner (instantiate $inner))
    (core instance $libc (instantiate $libc))
    (core func $why (canon lower (func $inner "why")))
    (core func $new (canon error-context.new (memory (core memory $libc "memory"))))
    (core func $message (canon error-context.debug-message
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $drop (canon error-context.drop))
    (core module $m
        (import "" "why" (func $why (result i32)))
        (import "" "new" (func $new (param i32 i32) (result i32)))
        (import "" "message" (func $message (param i32 i32)))
        (import "" "drop" (func $drop (param i32)))
        (func $read (param i32) (result i32)
            (call $message (local.get 0) (i32.const 512))
            (call $drop (local.get 0))
            (i32.const 512))
        (func (export "of-inner") (result i32) (call $read (call $why)))
        (func (export "of-host") (param i32) (result i32) (call $read (local.get 0)))
        (func (export "hand-on") (param i32) (result i32) (local.get 0))
        (func (export "drop-twice") (call $drop (call $why)) (call $drop (i32.const 1)))
        (func (export "of-length") (param i32) (result i32) (call $new (i32.const 2048) (local.get 0)))
        (func (export "hoard") (loop (drop (call $new (i32.const 2048) (i32.const 4000))) (br 0))))
    (core instance $m (instantiate $m (with "" (instance
        (export "why" (func $why)) (export "new" (func $new))
        (export "message" (func $message)) (export "drop" (func $drop))))))
    (func (export "of-inner") (result string)
        (canon lift (core func $m "of-inner") (memory (core memory $libc "memory"))))
    (func (export "of-host") (param "why" error-context) (result string)
        (canon lift (core func $m "of-host") (memory (core memory $libc "memory"))))
    (func (export "hand-on") (param "why" error-context) (result error-context)
        (canon lift (core func $m "hand-on")))
    (func (export "drop-twice") (canon lift (core func $m "drop-twice")))
    (func (export "of-length") (param "length" u32) (result error-context)
        (canon lift (core func $m "of-length")))
    (func (export "hoard") (canon lift (core func $m "hoard"))))"#;

fn instantiate(limits: Limits) -> (Store<()>, Instance) {
    let mut config = Config::new();
    config.feature(Feature::ErrorContext, true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, COMPONENT).unwrap();
    let mut store = Store::with_limits(&engine, (), limits);
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

#[test]
fn the_message_arrives_in_another_component_and_its_encoding() {
    let (mut store, instance) = instantiate(Limits::default());
    let of_inner = instance.typed_func::<(), String>(&mut store, "of-inner").unwrap();
    assert_eq!(of_inner.call(&mut store, ()).unwrap(), "sunk");
}

#[test]
fn the_host_makes_reads_and_gets_them_back() {
    let (mut store, instance) = instantiate(Limits::default());
    let of_host = instance.typed_func::<(ErrorContextAny,), String>(&mut store, "of-host").unwrap();
    let why = ErrorContextAny::new("tide too high");
    assert_eq!(of_host.call(&mut store, (why.clone(),)).unwrap(), "tide too high");
    let hand_on = instance.typed_func::<(ErrorContextAny,), ErrorContextAny>(&mut store, "hand-on").unwrap();
    let back = hand_on.call(&mut store, (why.clone(),)).unwrap();
    assert_eq!((&back, back.debug_message()), (&why, "tide too high"));
}

#[test]
fn long_messages_are_cut_and_out_of_bounds_ones_trap() {
    let (mut store, instance) = instantiate(Limits::default());
    let of_length = instance.typed_func::<(u32,), ErrorContextAny>(&mut store, "of-length").unwrap();
    let whole = of_length.call(&mut store, (100,)).unwrap();
    assert_eq!(whole.debug_message().len(), 100);
    let cut = of_length.call(&mut store, (100_000,)).unwrap();
    assert_eq!(cut.debug_message().len(), ErrorContextAny::MAX_MESSAGE);
    let error = of_length.call(&mut store, (200_000,)).unwrap_err();
    assert!(error.to_string().contains("out of bounds"), "{error}");
}

#[test]
fn a_handle_that_was_dropped_is_unknown() {
    let (mut store, instance) = instantiate(Limits::default());
    let twice = instance.typed_func::<(), ()>(&mut store, "drop-twice").unwrap();
    let error = twice.call(&mut store, ()).unwrap_err();
    assert!(error.to_string().contains("unknown handle index 1"), "{error}");
}

#[test]
fn messages_are_charged_to_who_holds_them() {
    let (mut store, instance) = instantiate(Limits { host_bytes: 1 << 20, ..Limits::default() });
    let hoard = instance.typed_func::<(), ()>(&mut store, "hoard").unwrap();
    let error = hoard.call(&mut store, ()).unwrap_err();
    assert!(error.to_string().contains("1048576 bytes"), "{error}");
}

#[test]
fn they_are_refused_by_name_where_they_are_not_switched_on() {
    let engine = Engine::new(&Config::new()).unwrap();
    let error = Component::new(&engine, COMPONENT).unwrap_err();
    assert!(error.to_string().contains("error-context"), "{error}");
}
