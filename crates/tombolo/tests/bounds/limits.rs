//! Limits on what a store may hold.

use tombolo::{Component, Config, Engine, ErrorKind, LimitExceeded, LimitKind, Limits, Linker, Store};

/// A component with a memory of 2 pages and a table of 10 elements, that it grows.
const GROWS: &str = r#"(component
    (core module $m
        (memory 2) (table 10 funcref)
        (func (export "memory") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "table") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))
    (core instance $i (instantiate $m))
    (func (export "memory") (param "by" u32) (result s32) (canon lift (core func $i "memory")))
    (func (export "table") (param "by" u32) (result s32) (canon lift (core func $i "table"))))"#;

const PAGE: u64 = 64 << 10;

fn exceeded(limits: Limits, times: usize) -> LimitExceeded {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, GROWS).unwrap();
    let linker = Linker::new(&engine);
    let mut store = Store::with_limits(&engine, (), limits);
    for _ in 0..times {
        linker.instantiate(&mut store, &component).unwrap();
    }
    match linker.instantiate(&mut store, &component).unwrap_err().kind() {
        ErrorKind::Limit(exceeded) => *exceeded,
        kind => panic!("{kind}"),
    }
}

#[test]
fn instantiation_says_which_limit_it_would_pass() {
    let none = Limits::default();
    for (limits, times, kind, limit, wanted) in [
        (Limits { memory_bytes: 3 * PAGE, ..none.clone() }, 1, LimitKind::MemoryBytes, 3 * PAGE, 4 * PAGE),
        (Limits { memory_bytes: 0, ..none.clone() }, 0, LimitKind::MemoryBytes, 0, 2 * PAGE),
        (Limits { table_elements: 25, ..none.clone() }, 2, LimitKind::TableElements, 25, 30),
        (Limits { memories: 3, ..none.clone() }, 3, LimitKind::Memories, 3, 4),
        (Limits { tables: 1, ..none.clone() }, 1, LimitKind::Tables, 1, 2),
        // A component's instance, and that of its core module.
        (Limits { instances: 5, ..none.clone() }, 2, LimitKind::Instances, 5, 6),
        (Limits { instances: 0, ..none }, 0, LimitKind::Instances, 0, 1),
    ] {
        let found = exceeded(limits, times);
        assert_eq!(found, LimitExceeded { kind, limit, wanted });
        assert!(found.to_string().contains(&limit.to_string()), "{found}");
    }
}

#[test]
fn growing_past_a_limit_fails_as_the_specification_says() {
    let limits = Limits { memory_bytes: 5 * PAGE, table_elements: 12, ..Limits::default() };
    let mut config = Config::new();
    config.limits(limits);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, GROWS).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    for (name, by, result) in [
        ("memory", 4, -1),
        ("memory", 3, 2),
        ("memory", 1, -1),
        ("memory", 0, 5),
        ("table", 3, -1),
        ("table", 2, 10),
        ("table", 1, -1),
        ("table", u32::MAX, -1),
        ("memory", u32::MAX, -1),
    ] {
        let grow = instance.typed_func::<(u32,), i32>(&mut store, name).unwrap();
        assert_eq!(grow.call(&mut store, (by,)).unwrap(), result, "{name} by {by}");
    }
}

/// The largest memory that there is, in a store that may have little: nothing is tried.
#[test]
fn nothing_is_reserved_before_it_is_allowed() {
    let engine = Engine::new(&Config::new()).unwrap();
    for module in ["(memory i64 0x10_0000_0000)", "(memory 65536)", "(table 9999999 funcref)"] {
        let component = format!("(component (core module $m {module}) (core instance (instantiate $m)))");
        let component = Component::new(&engine, component).unwrap();
        let limits = Limits { memory_bytes: PAGE, table_elements: 10, ..Limits::default() };
        let mut store = Store::with_limits(&engine, (), limits);
        let error = Linker::new(&engine).instantiate(&mut store, &component).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    }
}
