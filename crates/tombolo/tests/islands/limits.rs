//! What one root instance may take up, beside what its store may.

use tombolo::{Component, ErrorKind, LimitKind, Limits, Linker, Store};

use super::guests::COUNTER;
use super::{engine, instantiate, run};

/// Two component instances inside one, that each make waitable sets, and grow a memory.
const TWINS: &str = r#"(component $twins
    (component $twin
        (core func $set (canon waitable-set.new))
        (core module $m
            (import "" "set" (func $set (result i32)))
            (memory 1)
            (func (export "sets") (local $n i32)
                (loop $l
                    (drop (call $set))
                    (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 500)))))
            (func (export "grow") (result i32) (memory.grow (i32.const 1))))
        (core instance $i (instantiate $m (with "" (instance (export "set" (func $set))))))
        (func (export "sets") (canon lift (core func $i "sets")))
        (func (export "grow") (result s32) (canon lift (core func $i "grow"))))
    (instance $a (instantiate $twin))
    (instance $b (instantiate $twin))
    (export "a" (func $a "sets"))
    (export "b" (func $b "sets"))
    (export "grow-a" (func $a "grow"))
    (export "grow-b" (func $b "grow")))"#;

#[test]
fn limits_hold_for_all_that_is_inside_a_root_instance() {
    let engine = engine(|config| config);
    let twins = Component::new(&engine, TWINS).unwrap();
    let linker = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    let counter = instantiate(&mut store, COUNTER);
    // Enough for the sets of one, and for three pages.
    let limits = Limits { host_bytes: 64 << 10, memory_bytes: 3 << 16, ..Limits::default() };
    let few = linker.within(&limits).instantiate(&mut store, &twins).unwrap();
    let many = linker.instantiate(&mut store, &twins).unwrap();
    for (instance, expected) in [(&few, [1, -1]), (&many, [1, 1])] {
        let grown = ["grow-a", "grow-b"].map(|name| {
            instance.typed_func::<(), i32>(&mut store, name).unwrap().call(&mut store, ()).unwrap()
        });
        assert_eq!(grown, expected);
    }
    for name in ["a", "b"] {
        run(&mut store, &many, name).unwrap();
    }
    run(&mut store, &few, "a").unwrap();
    let error = run(&mut store, &few, "b").unwrap_err();
    assert!(error.to_string().contains("budget"), "{error}");
    assert!(few.ended().is_some() && many.ended().is_none());
    let count = counter.typed_func::<(), u32>(&mut store, "count").unwrap();
    assert_eq!(count.call(&mut store, ()).unwrap(), 1);
    assert!(counter.ended().is_none());
}

#[test]
fn a_component_that_needs_more_than_its_limits_is_refused() {
    let engine = engine(|config| config);
    let twins = Component::new(&engine, TWINS).unwrap();
    let mut store = Store::new(&engine, ());
    let limits = Limits { memories: 1, ..Limits::default() };
    let error = Linker::new(&engine).within(&limits).instantiate(&mut store, &twins).unwrap_err();
    let ErrorKind::Limit(exceeded) = error.kind() else { panic!("{error}") };
    assert_eq!((exceeded.kind, exceeded.limit, exceeded.wanted), (LimitKind::Memories, 1, 2));
}
