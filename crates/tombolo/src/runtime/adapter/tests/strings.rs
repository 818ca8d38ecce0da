//! Strings of every length that adapters treat in a way of its own, with something other than ASCII at each place.

use crate::{Component, Config, Engine, Instance, Linker, Store};

/// `echo` passes a string of so many letters there and back. If `at` is below that, the bytes there are those of `bytes`,
/// the low one first; there is one if the other is 0. Returns whether it came back as it was.
const ECHO: &str = r#"(component
    (component $callee
        (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1001))
            (func (export "echo") (param i32 i32) (result i32)
                (i32.store (i32.const 16) (local.get 0))
                (i32.store (i32.const 20) (local.get 1))
                (i32.const 16)))
        (core instance $m (instantiate $m))
        (func (export "echo") (param "text" string) (result string)
            (canon lift (core func $m "echo") (memory (core memory $m "memory"))
                (realloc (core func $m "realloc")))))
    (component $caller
        (import "echo" (func $echo (param "text" string) (result string)))
        (core module $libc
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 3003)))
        (core instance $libc (instantiate $libc))
        (core func $echo (canon lower (func $echo) (memory (core memory $libc "memory"))
            (realloc (core func $libc "realloc"))))
        (core module $m
            (import "" "memory" (memory 1))
            (import "" "echo" (func $echo (param i32 i32 i32)))
            (func (export "echo") (param $length i32) (param $at i32) (param $bytes i32) (result i32)
                (local $i i32)
                (memory.fill (i32.const 3003) (i32.const 0) (i32.const 256))
                (loop $next
                    (i32.store8 offset=2000 (local.get $i)
                        (i32.add (i32.const 97) (i32.rem_u (local.get $i) (i32.const 26))))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 256))))
                (if (i32.lt_u (local.get $at) (local.get $length)) (then
                    (if (i32.shr_u (local.get $bytes) (i32.const 8))
                        (then (i32.store16 offset=2000 (local.get $at) (local.get $bytes)))
                        (else (i32.store8 offset=2000 (local.get $at) (local.get $bytes))))))
                (call $echo (i32.const 2000) (local.get $length) (i32.const 24))
                (if (i32.ne (i32.load (i32.const 24)) (i32.const 3003)) (then (return (i32.const 0))))
                (if (i32.ne (i32.load (i32.const 28)) (local.get $length)) (then (return (i32.const 0))))
                (local.set $i (i32.const 0))
                (loop $next
                    (if (i32.ne
                            (i32.load8_u offset=3003 (local.get $i))
                            (select (i32.load8_u offset=2000 (local.get $i)) (i32.const 0)
                                (i32.lt_u (local.get $i) (local.get $length))))
                        (then (return (i32.const 0))))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 256))))
                (i32.const 1)))
        (core instance $m (instantiate $m (with "" (instance
            (export "memory" (memory $libc "memory")) (export "echo" (func $echo))))))
        (func (export "echo") (param "length" u32) (param "at" u32) (param "bytes" u32) (result bool)
            (canon lift (core func $m "echo"))))
    (instance $callee (instantiate $callee))
    (instance $caller (instantiate $caller (with "echo" (func $callee "echo"))))
    (export "echo" (func $caller "echo")))"#;

struct Echo {
    engine: Engine,
    component: Component,
}

impl Echo {
    fn new() -> Self {
        let mut config = Config::new();
        config.adapters_after(0);
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, ECHO).unwrap();
        Echo { engine, component }
    }

    /// An instance in whose calls there is an adapter.
    fn instantiate(&self) -> (Store<()>, Instance) {
        let mut store = Store::new(&self.engine, ());
        let instance = Linker::new(&self.engine).instantiate(&mut store, &self.component).unwrap();
        assert!(call(&mut store, &instance, (1, 1, 0)).unwrap());
        assert_eq!(store.core().islands.borrow().adapters(), 1);
        (store, instance)
    }
}

fn call(store: &mut Store<()>, instance: &Instance, args: (u32, u32, u32)) -> Result<bool, crate::Error> {
    instance.typed_func::<(u32, u32, u32), bool>(&mut *store, "echo").unwrap().call(store, args)
}

const E_ACUTE: u32 = u32::from_le_bytes([0xc3, 0xa9, 0, 0]);

#[test]
fn strings_of_each_length_are_carried() {
    let (mut store, instance) = Echo::new().instantiate();
    for length in 0..=70 {
        assert!(call(&mut store, &instance, (length, length, 0)).unwrap(), "{length} letters");
        for at in 0..length.saturating_sub(1) {
            assert!(call(&mut store, &instance, (length, at, E_ACUTE)).unwrap(), "{length}, at {at}");
        }
    }
}

#[test]
fn strings_of_each_length_are_checked() {
    let echo = Echo::new();
    for length in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48] {
        for at in 0..length {
            let (mut store, instance) = echo.instantiate();
            let error = call(&mut store, &instance, (length, at, 0xff)).unwrap_err();
            assert!(error.to_string().contains("utf-8"), "{length}, at {at}: {error}");
        }
    }
}
