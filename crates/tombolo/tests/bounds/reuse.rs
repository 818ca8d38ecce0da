//! What one guest had, the next does not see.

use tombolo::{Component, Config, Engine, Linker, Store};

use super::executor::block_on;

/// A guest that looks for what is not zero in its memory, table, globals and locals, and then leaves something in each.
const LEAVES: &str = r#"(component
    (core func $yield (canon thread.yield))
    (core module $m
        (import "" "yield" (func $yield (result i32)))
        (memory 16 64) (table $t 100 2000 funcref)
        (global $a (mut i64) (i64.const 0)) (global $v (mut v128) (v128.const i64x2 0 0))
        (elem declare func $run)
        ;; Locals of all kinds, that nothing but the language makes zero, in frames that go deep into the stack.
        (func $locals (param $depth i32) (result i64)
            (local $a i64) (local $b i64) (local $c f64) (local $d v128) (local $e i64) (local $f i64)
            (local $found i64)
            (local.set $found
                (i64.or
                    (i64.or (i64.or (local.get $a) (local.get $b)) (i64.or (local.get $e) (local.get $f)))
                    (i64.or (i64.reinterpret_f64 (local.get $c)) (i64x2.extract_lane 1 (local.get $d)))))
            (local.set $a (i64.const -1)) (local.set $b (i64.const -2)) (local.set $e (i64.const -3))
            (local.set $c (f64.const nan)) (local.set $d (v128.const i64x2 -1 -1)) (local.set $f (i64.const -4))
            (if (local.get $depth)
                (then (local.set $found (i64.or (local.get $found)
                    (call $locals (i32.sub (local.get $depth) (i32.const 1)))))))
            ;; Keeps them alive across the call, so that they lie on the stack.
            (if (i64.eqz (i64.and (i64.and (local.get $a) (local.get $b))
                    (i64.and (i64.and (local.get $e) (local.get $f))
                        (i64.and (i64.reinterpret_f64 (local.get $c)) (i64x2.extract_lane 0 (local.get $d))))))
                (then (return (i64.const 1))))
            (local.get $found))
        (func $run (export "run") (result i32) (local $i i32) (local $found i64)
            ;; What is there from the start, and what growing adds.
            (drop (memory.grow (i32.const 16)))
            (drop (table.grow $t (ref.null func) (i32.const 1000)))
            (loop $l
                (local.set $found (i64.or (local.get $found) (i64.load (local.get $i))))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 0x200000))))
            (local.set $i (i32.const 0))
            (loop $l
                (if (i32.eqz (ref.is_null (table.get $t (local.get $i))))
                    (then (local.set $found (i64.const 1))))
                (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (table.size $t))))
            (local.set $found (i64.or (local.get $found) (i64.or (global.get $a)
                (i64x2.extract_lane 0 (global.get $v)))))
            (local.set $found (i64.or (local.get $found) (call $locals (i32.const 200))))
            (drop (call $yield))
            (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 0x200000))
            (table.fill $t (i32.const 0) (ref.func $run) (table.size $t))
            (global.set $a (i64.const -1)) (global.set $v (v128.const i64x2 -1 -1))
            (i32.eqz (i64.eqz (local.get $found)))))
    (core instance $i (instantiate $m (with "" (instance (export "yield" (func $yield))))))
    (func (export "run") async (result bool) (canon lift (core func $i "run"))))"#;

/// In one store, where the stacks of fibers are used again, and in one after the other, where the system may give the
/// same memory again.
#[test]
fn the_next_guest_finds_nothing() {
    for optimize in [true, false] {
        let mut config = Config::new();
        config.optimize(optimize);
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, LEAVES).unwrap();
        let linker = Linker::new(&engine);
        for _ in 0..3 {
            let mut store = Store::new(&engine, ());
            for guest in 0..4 {
                let instance = linker.instantiate(&mut store, &component).unwrap();
                let run = instance.typed_func::<(), bool>(&mut store, "run").unwrap();
                let found = block_on(run.call_async(&mut store, ())).unwrap();
                assert!(!found, "guest {guest} found what another left, optimised: {optimize}");
            }
            // The test would notice: a guest finds what it left itself.
            let instance = linker.instantiate(&mut store, &component).unwrap();
            let run = instance.typed_func::<(), bool>(&mut store, "run").unwrap();
            assert!(!block_on(run.call_async(&mut store, ())).unwrap());
            assert!(block_on(run.call_async(&mut store, ())).unwrap());
        }
    }
}
