//! What guests may do in functions that nobody called for their own sake: `realloc`, post-return, a resource's destructor,
//! a start function. In the first two an instance may not be left (CanonicalABI.md, `may_leave`); the others are calls
//! that must not block.
#![expect(clippy::unwrap_used, reason = "a test")]

use tombolo::{Component, Config, Engine, Feature, Linker, Result, Store, StoreMut};

/// What is done there.
const HOST: &str = "(call $host)";
const GUEST: &str = "(call $guest)";
const WAIT: &str = "(drop (call $wait (call $new) (i32.const 0)))";
const YIELD: &str = "(drop (call $yield))";
const ALL: [&str; 4] = [HOST, GUEST, WAIT, YIELD];

/// A component that does it in each of these places: `realloc` if it is passed a string, post-return if it is asked for
/// one, a destructor if it is told to drop a resource, and its start function.
fn component(realloc: &str, post_return: &str, destructor: &str, start: &str) -> String {
    format!(
        r#"(component
            (import "host" (func $host))
            (component $other
                (core module $m (func (export "guest")))
                (core instance $i (instantiate $m))
                (func (export "guest") (canon lift (core func $i "guest"))))
            (instance $other (instantiate $other))
            (core func $host (canon lower (func $host)))
            (core func $guest (canon lower (func $other "guest")))
            (core module $libc (memory (export "memory") 1))
            (core instance $libc (instantiate $libc))
            (core func $new (canon waitable-set.new))
            (core func $wait (canon waitable-set.wait (memory (core memory $libc "memory"))))
            (core func $yield (canon thread.yield))
            (core module $places
                (import "" "host" (func $host))
                (import "" "guest" (func $guest))
                (import "" "new" (func $new (result i32)))
                (import "" "wait" (func $wait (param i32 i32) (result i32)))
                (import "" "yield" (func $yield (result i32)))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc} (i32.const 16))
                (func (export "post-return") (param i32) {post_return})
                (func (export "destructor") (param i32) {destructor})
                (func $start {start})
                (start $start))
            (core instance $places (instantiate $places (with "" (instance
                (export "host" (func $host)) (export "guest" (func $guest)) (export "new" (func $new))
                (export "wait" (func $wait)) (export "yield" (func $yield))))))
            (type $r (resource (rep i32) (dtor (core func $places "destructor"))))
            (core func $make (canon resource.new $r))
            (core func $drop (canon resource.drop $r))
            (core module $m
                (import "" "make" (func $make (param i32) (result i32)))
                (import "" "drop" (func $drop (param i32)))
                (func (export "take") (param i32 i32))
                (func (export "give") (result i32) (i32.const 16))
                (func (export "drop") (call $drop (call $make (i32.const 7)))))
            (core instance $m (instantiate $m (with "" (instance
                (export "make" (func $make)) (export "drop" (func $drop))))))
            (func (export "take") (param "text" string) (canon lift (core func $m "take")
                (memory (core memory $libc "memory")) (realloc (core func $places "realloc"))))
            (func (export "give") (result string) (canon lift (core func $m "give")
                (memory (core memory $libc "memory")) (post-return (core func $places "post-return"))))
            (func (export "drop") (canon lift (core func $m "drop"))))"#
    )
}

/// Instantiates it, calls `function`, and says how often the host was called.
fn run(text: &str, function: &str) -> Result<u32> {
    let mut config = Config::new();
    config.feature(Feature::Threading, true);
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, text)?;
    let mut store = Store::new(&engine, 0);
    let mut linker = Linker::new(&engine);
    linker.root().func("host", |mut store: StoreMut<'_, u32>, ()| {
        *store.data_mut() += 1;
        Ok(())
    })?;
    let instance = linker.instantiate(&mut store, &component)?;
    match function {
        "take" => instance.typed_func::<(&str,), ()>(&mut store, "take")?.call(&mut store, ("text",))?,
        "give" => drop(instance.typed_func::<(), String>(&mut store, "give")?.call(&mut store, ())?),
        "drop" => instance.typed_func::<(), ()>(&mut store, "drop")?.call(&mut store, ())?,
        _ => {}
    }
    Ok(*store.data())
}

fn assert_traps(text: &str, function: &str, with: &str) {
    let error = run(text, function).unwrap_err().to_string();
    assert!(error.contains(with), "{error}");
}

#[test]
fn nothing_is_called_blocks_or_yields_inside_realloc() {
    for action in ALL {
        assert_traps(&component(action, "", "", ""), "take", "cannot leave");
    }
}

#[test]
fn nothing_is_called_blocks_or_yields_inside_post_return() {
    for action in ALL {
        assert_traps(&component("", action, "", ""), "give", "cannot leave");
    }
}

#[test]
fn a_destructor_may_call_out_and_yield_but_not_block() {
    assert_eq!(run(&component("", "", HOST, ""), "drop").unwrap(), 1);
    run(&component("", "", GUEST, ""), "drop").unwrap();
    run(&component("", "", YIELD, ""), "drop").unwrap();
    assert_traps(&component("", "", WAIT, ""), "drop", "block");
}

#[test]
fn a_start_function_may_call_out_and_yield_but_not_block() {
    assert_eq!(run(&component("", "", "", HOST), "").unwrap(), 1);
    run(&component("", "", "", GUEST), "").unwrap();
    run(&component("", "", "", YIELD), "").unwrap();
    assert_traps(&component("", "", "", WAIT), "", "block");
}
