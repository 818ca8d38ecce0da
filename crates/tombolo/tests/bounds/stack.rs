//! Guests that use up their stack.

use tombolo::{Component, Config, Engine, Limits, Linker, Store, StoreMut, TrapCode};

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
