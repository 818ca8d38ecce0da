//! Guests that use up their stack.

use tombolo::{Component, Config, Engine, Instance, Limits, Linker, Store, StoreMut, TrapCode};

use super::executor::block_on;
use super::{code, innermost};

/// A guest that calls itself, and at each level the host, with a string that the host works on.
const DEEP: &str = r#"(component
    (import "work" (func $work (param "text" string) (result string)))
    (core module $libc (memory (export "memory") 1)
        (data (i32.const 0) "the quick brown fox")
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $libc (instantiate $libc))
    (core func $work' (canon lower (func $work)
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $yield (canon thread.yield))
    (core module $m
        (import "" "work" (func $work (param i32 i32 i32)))
        (import "" "yield" (func $yield (result i32)))
        (func $deep (export "deep") (param i32)
            (call $work (i32.const 0) (i32.const 19) (i32.const 32))
            (call $deep (i32.const 0)))
        (func (export "deep-on-a-fiber") (drop (call $yield)) (call $deep (i32.const 0))))
    (core instance $i (instantiate $m (with "" (instance
        (export "work" (func $work')) (export "yield" (func $yield))))))
    (func (export "deep") (param "n" u32) (canon lift (core func $i "deep")))
    (func (export "deep-on-a-fiber") async (canon lift (core func $i "deep-on-a-fiber"))))"#;

/// Uses a good part of what host functions may rely on, and returns something that depends on all of it.
#[inline(never)]
fn work(text: &str) -> String {
    let room = std::hint::black_box([text.len() as u8; 64 << 10]);
    let sum: u64 = room.iter().step_by(4096).map(|byte| u64::from(*byte)).sum();
    format!("{sum} {:?}", text.split(' ').map(str::to_uppercase).collect::<Vec<_>>())
}

#[test]
fn the_host_has_room_where_the_guest_has_none() {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, DEEP).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .root()
        .func("work", |mut store: StoreMut<'_, u32>, (text,): (String,)| {
            *store.data_mut() += 1;
            Ok(work(&text))
        })
        .unwrap();
    let mut levels = Vec::new();
    for stack_bytes in [128 << 10, 512 << 10] {
        for on_fiber in [false, true] {
            let limits = Limits { stack_bytes, ..Limits::default() };
            let mut store = Store::with_limits(&engine, 0, limits);
            let instance = linker.instantiate(&mut store, &component).unwrap();
            let error = match on_fiber {
                true => {
                    let deep = instance.typed_func::<(), ()>(&mut store, "deep-on-a-fiber").unwrap();
                    block_on(deep.call_async(&mut store, ())).unwrap_err()
                }
                false => {
                    let deep = instance.typed_func::<(u32,), ()>(&mut store, "deep").unwrap();
                    deep.call(&mut store, (0,)).unwrap_err()
                }
            };
            assert_eq!(code(&error), TrapCode::StackOverflow);
            assert_eq!(innermost(&error), "deep");
            // Each level called the host, the last one right at the edge.
            levels.push(*store.data());
        }
    }
    assert!(levels[0] > 100 && levels[2] > 3 * levels[0], "{levels:?}");
    assert!(levels[1] > 100 && levels[3] > 3 * levels[1], "{levels:?}");
}

/// A guest that goes so many levels down and calls another one, with more values than registers hold. Before, it yields: so its
/// stack is no deeper than it then is.
const CALLER: &str = r#"(component
    (component $callee
        (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "sum") (param $at i32) (result i32) (local $sum i32) (local $end i32)
                (local.set $end (i32.add (local.get $at) (i32.const 400)))
                (loop $l
                    (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.load (local.get $at))))
                    (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $end))))
                (local.get $sum)))
        (core instance $i (instantiate $m))
        (func (export "sum") (param "many" MANY) (result u32)
            (canon lift (core func $i "sum") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
    (instance $callee (instantiate $callee))
    (core module $libc (memory (export "memory") 1))
    (core instance $libc (instantiate $libc))
    (core func $sum (canon lower (func $callee "sum") (memory (core memory $libc "memory"))))
    (core func $yield (canon thread.yield))
    (core module $m
        (import "" "memory" (memory 1))
        (import "" "sum" (func $sum (param i32) (result i32)))
        (import "" "yield" (func $yield (result i32)))
        (func $fill (local $at i32)
            (loop $l
                (i32.store (local.get $at) (i32.mul (local.get $at) (i32.const 7)))
                (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 400)))))
        (start $fill)
        (func $down (param $levels i32) (result i32)
            (if (result i32) (local.get $levels)
                (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $levels) (i32.const 1)))))
                (else (call $sum (i32.const 0)))))
        (func $wait-at (param $levels i32) (result i32)
            (if (result i32) (local.get $levels)
                (then (i32.add (i32.const 1) (call $wait-at (i32.sub (local.get $levels) (i32.const 1)))))
                (else (call $yield))))
        (func (export "call-at") (param $levels i32) (result i32)
            (drop (call $yield))
            (i32.sub (call $down (local.get $levels)) (local.get $levels)))
        (func (export "wait-at") (param $levels i32) (result i32) (call $wait-at (local.get $levels))))
    (core instance $i (instantiate $m (with "" (instance
        (export "memory" (memory $libc "memory")) (export "sum" (func $sum)) (export "yield" (func $yield))))))
    (func (export "call-at") async (param "levels" u32) (result u32) (canon lift (core func $i "call-at")))
    (func (export "wait-at") async (param "levels" u32) (result u32) (canon lift (core func $i "wait-at"))))"#;

fn caller(limits: Limits) -> (Store<()>, Instance) {
    let engine = Engine::new(&Config::new()).unwrap();
    let many = format!("(tuple{})", " u32".repeat(100));
    let component = Component::new(&engine, CALLER.replace("MANY", &many)).unwrap();
    let mut store = Store::with_limits(&engine, (), limits);
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

#[test]
fn calls_at_any_depth_are_the_same() {
    let (mut store, instance) = caller(Limits::default());
    let call = instance.typed_func::<(u32,), u32>(&mut store, "call-at").unwrap();
    let mut at = |levels| block_on(call.call_async(&mut store, (levels,))).unwrap();
    let expected = (0..100_u32).fold(0_u32, |sum, n| sum.wrapping_mul(31).wrapping_add(n * 4 * 7));
    // Each level takes less of the stack than the functions between the two guests do: each of these is the first that
    // goes too deep for a stack that is shallow, at some level.
    for levels in 0..1500 {
        assert_eq!(at(levels), expected);
    }
    assert_eq!(at(20_000), expected);
}

#[test]
fn who_waits_deep_down_is_charged_for_it() {
    let wait_at = |limits: Limits, levels| {
        let (mut store, instance) = caller(limits);
        let wait = instance.typed_func::<(u32,), u32>(&mut store, "wait-at").unwrap();
        let waited = block_on(wait.call_async(&mut store, (levels,)));
        // What it was charged for is given back.
        assert!(waited.is_err() || block_on(wait.call_async(&mut store, (levels,))).is_ok());
        waited
    };
    let little = || Limits { host_bytes: 128 << 10, ..Limits::default() };
    assert_eq!(wait_at(little(), 10).unwrap(), 10);
    assert_eq!(wait_at(Limits::default(), 10_000).unwrap(), 10_000);
    let error = wait_at(little(), 10_000).unwrap_err();
    assert!(error.to_string().contains("exceed their budget"), "{error}");
    assert_eq!(innermost(&error), "wait-at");
}
