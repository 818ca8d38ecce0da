//! A store that makes and ends instances all the time does not grow.
//!
//! Ten thousand here; `TOMBOLO_INSTANCES=1000000` makes it a million. Both say what they measured.

use std::fs;

use tombolo::{Component, Linker, Store};

use super::{engine, run};

/// Has one of each thing that an instance is charged for, some of it left open.
const GUEST: &str = r#"(component
    (type $r (resource (rep i32)))
    (core func $new (canon resource.new $r))
    (core func $set (canon waitable-set.new))
    (type $stream (stream u8))
    (core func $stream (canon stream.new $stream))
    (core module $m
        (import "" "new" (func $new (param i32) (result i32)))
        (import "" "set" (func $set (result i32)))
        (import "" "stream" (func $stream (result i64)))
        (memory 1) (table 4 funcref) (global (mut i32) (i32.const 0)) (tag $tag)
        (func (export "use")
            (i32.store (i32.const 0) (i32.const 1))
            (drop (call $new (i32.const 1))) (drop (call $set)) (drop (call $stream)))
        (func (export "trap") (throw $tag))
        (func (export "wait") (result i32) (i32.const 1 (; YIELD ;)))
        (func (export "callback") (param i32 i32 i32) (result i32) (i32.const 1)))
    (core instance $i (instantiate $m (with "" (instance
        (export "new" (func $new)) (export "set" (func $set)) (export "stream" (func $stream))))))
    (func (export "use") (canon lift (core func $i "use")))
    (func (export "trap") (canon lift (core func $i "trap")))
    (func (export "wait") async
        (canon lift (core func $i "wait") async (callback (core func $i "callback")))))"#;

/// Kilobytes of this process that are in memory.
pub(crate) fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

#[test]
fn a_store_that_makes_and_ends_instances_stays_flat() {
    let instances = std::env::var("TOMBOLO_INSTANCES").map_or(10_000, |count| count.parse::<u64>().unwrap());
    let engine = engine(|config| config);
    let component = Component::new(&engine, GUEST).unwrap();
    let linker = Linker::new(&engine);
    let mut store = Store::new(&engine, ());
    let mut before = 0;
    for number in 0..instances {
        if number == instances / 10 {
            before = resident();
        }
        let instance = linker.instantiate(&mut store, &component).unwrap();
        run(&mut store, &instance, "use").unwrap();
        match number % 3 {
            0 => instance.end(&mut store).unwrap(),
            1 => drop(run(&mut store, &instance, "trap").unwrap_err()),
            _ => {
                // Ends in the midst of a call.
                let wait = instance.typed_func::<(), ()>(&mut store, "wait").unwrap();
                wait.call_then(&mut store, (), |_, _| Ok(())).unwrap();
                instance.end(&mut store).unwrap();
            }
        }
        assert!(instance.ended().is_some());
    }
    let after = resident();
    println!("{instances} instances: {before} KiB resident after a tenth of them, {after} KiB after all");
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
}
