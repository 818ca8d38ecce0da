//! Functions of the host that answer at once allocate nothing. Alone in its file, for its process has an allocator that counts.
#![allow(unsafe_code, reason = "an allocator is unsafe by its nature; this one passes everything on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tombolo::{Accessor, Component, Config, Engine, Linker, Result, Store, StoreMut};

struct Counting;

thread_local! {
    /// What this thread has allocated: those of the test's runner are no concern of ours.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all of it is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn host_functions_that_answer_at_once_never_allocate() {
    let engine = Engine::new(&Config::new()).unwrap();
    let text = r#"(component
        (import "now" (func $now (param "n" u64) (result u64)))
        (import "ready" (func $ready async (param "n" u64) (result u64)))
        (core module $libc (memory (export "memory") 1))
        (core instance $libc (instantiate $libc))
        (core func $now (canon lower (func $now)))
        (core func $ready (canon lower (func $ready) async (memory (core memory $libc "memory"))))
        (core module $m
            (import "" "now" (func $now (param i64) (result i64)))
            (import "" "ready" (func $ready (param i64 i32) (result i32)))
            (import "" "memory" (memory 1))
            (func (export "now") (param $n i32) (result i64)
                (local $sum i64)
                (loop $again
                    (local.set $sum (i64.add (local.get $sum) (call $now (i64.const 1))))
                    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (local.get $sum))
            (func (export "ready") (param $n i32) (result i64)
                (local $sum i64)
                (loop $again
                    (if (i32.ne (i32.const 2) (call $ready (i64.const 1) (i32.const 8))) (then unreachable))
                    (local.set $sum (i64.add (local.get $sum) (i64.load (i32.const 8))))
                    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (local.get $sum)))
        (core instance $m (instantiate $m (with "" (instance
            (export "now" (func $now)) (export "ready" (func $ready))
            (export "memory" (memory $libc "memory"))))))
        (func (export "now") (param "n" u32) (result u64) (canon lift (core func $m "now")))
        (func (export "ready") (param "n" u32) (result u64) (canon lift (core func $m "ready"))))"#;
    let component = Component::new(&engine, text).unwrap();
    let mut linker = Linker::new(&engine);
    linker.root().func("now", |_: StoreMut<'_, ()>, (n,): (u64,)| Result::Ok(n)).unwrap();
    linker.root().func_async("ready", |_: Accessor<()>, (n,): (u64,)| async move { Result::Ok(n) }).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    for name in ["now", "ready"] {
        let calls = instance.typed_func::<(u32,), u64>(&mut store, name).unwrap();
        let mut allocations = |count: u32| {
            let before = ALLOCATIONS.get();
            assert_eq!(calls.call(&mut store, (count,)).unwrap(), count.into());
            ALLOCATIONS.get() - before
        };
        allocations(100);
        // What the call of the host's takes, and nothing for those of the guest's.
        assert_eq!(allocations(1000), allocations(1), "{name}");
    }
}
