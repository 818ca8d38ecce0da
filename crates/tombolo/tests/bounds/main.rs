//! How long and how much guests may run: fuel, deadlines, time slices.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod data;
mod deadline;
mod executor;
mod fuel;
mod limits;
mod reuse;
mod slice;
mod stack;

use tombolo::{Component, Config, Engine, Error, Instance, Linker, Store, TrapCode, TrapReason};

/// A component with functions that take their time.
const GUEST: &str = r#"(component $guest
    (import "nothing" (func $nothing))
    (import "rest" (func $rest async))
    (import "for-good" (func $for-good async))
    (core func $nothing' (canon lower (func $nothing)))
    (core func $rest' (canon lower (func $rest)))
    (core func $for-good' (canon lower (func $for-good)))
    (core func $yield (canon thread.yield))
    (core module $m
        (import "" "nothing" (func $nothing))
        (import "" "rest" (func $rest))
        (import "" "for-good" (func $for-good))
        (import "" "yield" (func $yield (result i32)))
        (memory (export "memory") 1)
        (func $forever (export "forever") (loop $l (br $l)))
        (func (export "calls") (loop $l (call $nothing) (br $l)))
        (func (export "rests") (loop $l (call $rest) (br $l)))
        (func (export "yields") (loop $l (drop (call $yield)) (br $l)))
        (func (export "waits") (call $for-good))
        (func $again (export "recurses") (return_call $again))
        (func (export "count") (param $n i32) (result i32) (local $sum i32)
            (loop $l
                (local.set $sum (i32.add (local.get $sum) (local.get $n)))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $sum))
        (func (export "callback") (result i32) (i32.const 1))
        (func (export "called-back") (param i32 i32 i32) (result i32) (i32.const 1)))
    (core instance $i (instantiate $m (with "" (instance
        (export "nothing" (func $nothing'))
        (export "rest" (func $rest'))
        (export "for-good" (func $for-good'))
        (export "yield" (func $yield))))))
    (func (export "forever") (canon lift (core func $i "forever")))
    (func (export "calls") (canon lift (core func $i "calls")))
    (func (export "recurses") (canon lift (core func $i "recurses")))
    (func (export "forever-async") async (canon lift (core func $i "forever")))
    (func (export "rests") async (canon lift (core func $i "rests")))
    (func (export "yields") async (canon lift (core func $i "yields")))
    (func (export "waits") async (canon lift (core func $i "waits")))
    (func (export "callback") async
        (canon lift (core func $i "callback") async (callback (core func $i "called-back"))))
    (func (export "count") (param "n" u32) (result u32) (canon lift (core func $i "count")))
    (func (export "count-async") async (param "n" u32) (result u32) (canon lift (core func $i "count"))))"#;

/// The sum that `count` makes, as it makes it.
fn sum(n: u32) -> u32 {
    (1..=n).fold(0, u32::wrapping_add)
}

fn engine(change: impl FnOnce(&mut Config) -> &mut Config) -> Engine {
    let mut config = Config::new();
    change(&mut config);
    Engine::new(&config).unwrap()
}

/// What [`GUEST`] imports; each call of a function that returns is counted.
fn linker(engine: &Engine) -> Linker<u64> {
    let mut linker = Linker::new(engine);
    let mut root = linker.root();
    root.func("nothing", |mut store: tombolo::StoreMut<'_, u64>, (): ()| {
        *store.data_mut() += 1;
        Ok(())
    })
    .unwrap();
    root.func_async("rest", |store: tombolo::Accessor<u64>, (): ()| async move {
        executor::rest().await;
        store.with(|mut store| *store.data_mut() += 1);
        Ok(())
    })
    .unwrap();
    root.func_async("for-good", |_: tombolo::Accessor<u64>, (): ()| async {
        std::future::pending::<()>().await;
        Ok(())
    })
    .unwrap();
    linker
}

fn guest(engine: &Engine) -> (Store<u64>, Instance) {
    let component = Component::new(engine, GUEST).unwrap();
    let mut store = Store::new(engine, 0);
    let instance = linker(engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// The code of the trap that an error is.
fn code(error: &Error) -> TrapCode {
    match &error.trap().unwrap_or_else(|| panic!("{error}")).reason {
        TrapReason::Core(code) => *code,
        reason => panic!("{reason}"),
    }
}

/// The innermost function of an error's backtrace.
fn innermost(error: &Error) -> String {
    let frames = error.trap().unwrap_or_else(|| panic!("{error}")).backtrace().frames();
    let frame = frames.first().unwrap_or_else(|| panic!("no frames: {error}"));
    frame.function_name().unwrap_or_default().to_owned()
}
