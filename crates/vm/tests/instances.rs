//! Calls, and what instances share.

#![allow(unsafe_code, reason = "the tests use the lowest forms too")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use support::*;
use tombolo_compile::vmctx::TrapCode;
use tombolo_compile::{Compiler, Config};
use tombolo_types::TypeRegistry;
use tombolo_types::core::{GlobalType, MemoryType, RefType, TableType, ValType};
use tombolo_vm::*;

#[test]
fn arithmetic_and_calls() {
    let store = store();
    let instance = instance(
        &store,
        r#"(module
            (func $fac (export "fac") (param i64) (result i64)
                (if (result i64) (i64.eqz (local.get 0))
                    (then (i64.const 1))
                    (else (i64.mul (local.get 0) (call $fac (i64.sub (local.get 0) (i64.const 1)))))))
            (func (export "many") (param i32 f32 f64 v128) (result f64 i32 v128 f32 i64)
                (local.get 2) (local.get 0) (local.get 3) (local.get 1) (i64.const -1)))"#,
        &[],
    );
    assert_eq!(call(&store, instance, "fac", &[Val::I64(10)]).unwrap(), [Val::I64(3_628_800)]);
    let (a, b, c, d) =
        (Val::I32(-7), Val::F32(1.5f32.to_bits()), Val::F64(2.5f64.to_bits()), Val::V128(1 << 99 | 5));
    assert_eq!(call(&store, instance, "many", &[a, b, c, d]).unwrap(), [c, a, d, b, Val::I64(-1)]);
    assert!(matches!(
        store.call(func(&store, instance, "fac"), &[]),
        Err(CallError::Arity { expected: 1, found: 0 })
    ));
    assert!(matches!(store.call(func(&store, instance, "fac"), &[Val::I32(1)]), Err(CallError::Type(0))));
}

#[test]
fn start_runs_when_asked_and_once() {
    let store = store();
    let module = module(
        r#"(module (global $n (export "n") (mut i32) (i32.const 0))
            (func $start (global.set $n (i32.add (global.get $n) (i32.const 1)))) (start $start))"#,
    );
    let instance = store.instantiate(&module, &[]).unwrap();
    let n = instance.export(&store, "n").and_then(Extern::global).unwrap();
    assert_eq!(n.get(&store), Val::I32(0));
    store.start(instance).unwrap();
    store.start(instance).unwrap();
    assert_eq!(n.get(&store), Val::I32(1));
}

#[test]
fn instances_share_tables_memories_globals_and_functions() {
    let store = store();
    let a = instance(
        &store,
        r#"(module
            (memory (export "memory") 1 4)
            (table (export "table") 4 funcref)
            (global (export "global") (mut i32) (i32.const 5))
            (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
            (data (i32.const 8) "hello")
            (func $first (result i32) (i32.const 11))
            (elem (i32.const 0) $first))"#,
        &[],
    );
    let imports: Vec<Extern> =
        ["memory", "table", "global", "double"].iter().map(|name| a.export(&store, name).unwrap()).collect();
    let b = instance(
        &store,
        r#"(module
            (import "a" "memory" (memory 1))
            (import "a" "table" (table 2 funcref))
            (import "a" "global" (global $g (mut i32)))
            (import "a" "double" (func $double (param i32) (result i32)))
            (func $second (result i32) (i32.const 22))
            (elem (i32.const 1) $second)
            (data (i32.const 13) " world")
            (export "memory" (memory 0))
            (export "double" (func $double))
            (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
            (func (export "sum") (result i32)
                (i32.add (call $double (global.get $g)) (i32.load8_u (i32.const 8))))
            (func (export "grow") (result i32) (memory.grow (i32.const 1)))
            (func (export "size") (result i32) (memory.size)))"#,
        &imports,
    );
    assert_eq!(call_i32(&store, b, "call", &[0]).unwrap(), 11);
    assert_eq!(call_i32(&store, b, "call", &[1]).unwrap(), 22);
    assert_eq!(call_i32(&store, b, "sum", &[]).unwrap(), 10 + i32::from(b'h'));
    assert_eq!(call_i32(&store, b, "double", &[21]).unwrap(), 42);
    let Some(Extern::Memory(memory)) = b.export(&store, "memory") else { panic!() };
    assert_eq!(a.export(&store, "memory"), Some(Extern::Memory(memory)));
    let mut text = [0; 11];
    memory.read(&store, 8, &mut text).unwrap();
    assert_eq!(&text, b"hello world");
    assert_eq!(call_i32(&store, b, "grow", &[]).unwrap(), 1);
    assert_eq!(memory.pages(&store), 2);
    assert_eq!(memory.grow(&store, 2), Some(2));
    assert_eq!(call_i32(&store, b, "size", &[]).unwrap(), 4);
    assert_eq!(memory.grow(&store, 1), None);
    assert!(memory.write(&store, 4 * 65536 - 2, b"abc").is_err());
    memory.write(&store, 4 * 65536 - 3, b"abc").unwrap();
}

#[test]
fn imports_are_checked() {
    let store = store();
    let module =
        module(r#"(module (import "env" "mem" (memory 2 4)) (import "env" "f" (func (param i32))))"#);
    let memory = |minimum, maximum| {
        let ty = MemoryType { memory64: false, shared: false, minimum, maximum, page_size_log2: 16 };
        Extern::Memory(store.new_memory(ty).unwrap())
    };
    let f = store.host_func(type_id(&[ValType::I32], &[]), |_| Ok(())).unwrap().into();
    let g = store.host_func(type_id(&[ValType::I64], &[]), |_| Ok(())).unwrap().into();
    store.instantiate(&module, &[memory(2, Some(4)), f]).unwrap();
    store.instantiate(&module, &[memory(3, Some(3)), f]).unwrap();
    for imports in [[memory(1, Some(4)), f], [memory(2, None), f], [memory(2, Some(5)), f], [f, f]] {
        let error = store.instantiate(&module, &imports).unwrap_err();
        assert!(error.to_string().contains("`env` `mem`"), "{error}");
    }
    let error = store.instantiate(&module, &[memory(2, Some(4)), g]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "incompatible import `env` `f`: the module expects a function (i32) -> (), it was given a function (i64) -> ()"
    );
    assert!(matches!(
        store.instantiate(&module, &[f]),
        Err(InstantiationError::ImportCount { expected: 2, found: 1 })
    ));
}

#[test]
fn a_segment_out_of_bounds_leaves_what_came_before() {
    let store = store();
    let table_type = TableType { element: RefType::FUNCREF, table64: false, minimum: 2, maximum: None };
    let table = store.new_table(table_type, Val::FuncRef(None)).unwrap();
    let module = module(
        r#"(module (import "" "t" (table 2 funcref))
            (memory (export "m") 1)
            (func $f (result i32) (i32.const 3))
            (elem (i32.const 1) $f)
            (data (i32.const 65535) "ab"))"#,
    );
    let error = store.instantiate(&module, &[table.into()]).unwrap_err();
    let InstantiationError::Trap(trap) = error else { panic!("{error}") };
    assert_eq!(trap.code(), Some(TrapCode::MemoryOutOfBounds));
    let Some(Val::FuncRef(Some(f))) = table.get(&store, 1) else { panic!() };
    assert_eq!(store.call(f, &[]).unwrap(), [Val::I32(3)]);
}

#[test]
fn host_definitions_are_seen_by_guests() {
    let store = store();
    let mutable = GlobalType { value: ValType::I32, mutable: true };
    let global = store.new_global(mutable, Val::I32(40)).unwrap();
    let table_type = TableType { element: RefType::EXTERNREF, table64: false, minimum: 1, maximum: Some(10) };
    let table = store.new_table(table_type, Val::ExternRef(7)).unwrap();
    let add = host_i32(&store, |_, value| Ok(value + 1));
    let instance = instance(
        &store,
        r#"(module
            (import "" "g" (global $g (mut i32)))
            (import "" "t" (table $t 1 externref))
            (import "" "add" (func $add (param i32) (result i32)))
            (func (export "run") (result i32)
                (drop (table.grow $t (table.get $t (i32.const 0)) (i32.const 2)))
                (global.set $g (call $add (global.get $g)))
                (global.get $g)))"#,
        &[global.into(), table.into(), add],
    );
    assert_eq!(call_i32(&store, instance, "run", &[]).unwrap(), 41);
    assert_eq!(global.get(&store), Val::I32(41));
    assert_eq!(global.set(&store, Val::I64(1)), Err(SetError::Type));
    assert_eq!(table.len(&store), 3);
    assert_eq!(table.get(&store, 2), Some(Val::ExternRef(7)));
    assert_eq!(table.get(&store, 3), None);
    assert_eq!(table.grow(&store, 8, Val::ExternRef(0)), None);
}

#[test]
fn bulk_operations() {
    let store = store();
    let instance = instance(
        &store,
        r#"(module
            (memory (export "m") 1)
            (data $d "abcdef")
            (table $t 8 funcref)
            (func $f (result i32) (i32.const 9))
            (elem $e func $f $f)
            (func (export "init") (param i32 i32 i32)
                (memory.init $d (local.get 0) (local.get 1) (local.get 2)))
            (func (export "drop") (data.drop $d) (elem.drop $e))
            (func (export "copy") (param i32 i32 i32)
                (memory.copy (local.get 0) (local.get 1) (local.get 2)))
            (func (export "fill") (param i32 i32 i32)
                (memory.fill (local.get 0) (local.get 1) (local.get 2)))
            (func (export "tinit") (param i32 i32 i32)
                (table.init $t $e (local.get 0) (local.get 1) (local.get 2)))
            (func (export "tcopy") (param i32 i32 i32)
                (table.copy (local.get 0) (local.get 1) (local.get 2)))
            (func (export "tcall") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#,
        &[],
    );
    let run =
        |name: &str, args: [i32; 3]| call_i32(&store, instance, name, &args).map_err(|t| t.code().unwrap());
    let Some(Extern::Memory(memory)) = instance.export(&store, "m") else { panic!() };
    run("init", [10, 1, 3]).unwrap();
    run("copy", [11, 10, 3]).unwrap();
    run("fill", [0, 0x1ff, 2]).unwrap();
    let mut bytes = [0; 15];
    memory.read(&store, 0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\xff\xff\0\0\0\0\0\0\0\0bbcd\0");
    assert_eq!(run("init", [65535, 0, 2]), Err(TrapCode::MemoryOutOfBounds));
    assert_eq!(run("init", [0, 5, 2]), Err(TrapCode::MemoryOutOfBounds));
    assert_eq!(run("copy", [65536, 0, 0]), Ok(0));
    assert_eq!(run("copy", [65537, 0, 0]), Err(TrapCode::MemoryOutOfBounds));
    assert_eq!(run("fill", [1, 0, -1]), Err(TrapCode::MemoryOutOfBounds));
    run("tinit", [2, 0, 2]).unwrap();
    run("tcopy", [0, 3, 1]).unwrap();
    assert_eq!(call_i32(&store, instance, "tcall", &[0]).unwrap(), 9);
    assert_eq!(run("tinit", [7, 0, 2]), Err(TrapCode::TableOutOfBounds));
    assert_eq!(run("tcopy", [7, 0, 2]), Err(TrapCode::TableOutOfBounds));
    call(&store, instance, "drop", &[]).unwrap();
    assert_eq!(run("init", [0, 0, 1]), Err(TrapCode::MemoryOutOfBounds));
    assert_eq!(run("init", [0, 0, 0]), Ok(0));
    assert_eq!(run("tinit", [0, 0, 1]), Err(TrapCode::TableOutOfBounds));
}

#[test]
fn memories_of_other_shapes_grow_and_are_zero() {
    let store = store();
    let instance = instance(
        &store,
        r#"(module (memory (export "m") i64 0 100000)
            (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
            (func (export "get") (param i64) (result i32) (i32.load8_u (local.get 0)))
            (func (export "set") (param i64 i32) (i32.store8 (local.get 0) (local.get 1))))"#,
        &[],
    );
    let Some(Extern::Memory(memory)) = instance.export(&store, "m") else { panic!() };
    assert_eq!(call(&store, instance, "grow", &[Val::I64(1)]).unwrap(), [Val::I64(0)]);
    call(&store, instance, "set", &[Val::I64(65535), Val::I32(7)]).unwrap();
    assert_eq!(call(&store, instance, "grow", &[Val::I64(1000)]).unwrap(), [Val::I64(1)]);
    assert_eq!(call(&store, instance, "get", &[Val::I64(65535)]).unwrap(), [Val::I32(7)]);
    let trap = call(&store, instance, "get", &[Val::I64(1001 * 65536)]).unwrap_err();
    assert_eq!(trap.code(), Some(TrapCode::MemoryOutOfBounds));
    // SAFETY: nothing else happens meanwhile.
    let bytes = unsafe { memory.bytes(&store) };
    assert_eq!(bytes.len(), 1001 * 65536);
    assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 1);
    assert_eq!(call(&store, instance, "grow", &[Val::I64(i64::MAX)]).unwrap(), [Val::I64(-1)]);
}

#[test]
fn what_one_store_wrote_no_other_finds() {
    let text = r#"(module (memory (export "m") 16) (func (export "fill") (memory.fill (i32.const 0) (i32.const 7) (i32.const 1048576))))"#;
    for _ in 0..8 {
        let store = store();
        let instance = instance(&store, text, &[]);
        let Some(Extern::Memory(memory)) = instance.export(&store, "m") else { panic!() };
        // SAFETY: nothing else happens meanwhile.
        assert!(unsafe { memory.bytes(&store) }.iter().all(|byte| *byte == 0));
        call(&store, instance, "fill", &[]).unwrap();
        memory.grow(&store, 1).unwrap();
        // SAFETY: nothing else happens meanwhile.
        assert!(unsafe { memory.bytes(&store) }[1 << 20..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn limits_refuse() {
    let limits = Limits { memory_bytes: 3 << 16, table_elements: 10, ..Limits::default() };
    let config = StoreConfig { limits, ..StoreConfig::default() };
    let store = Store::new(cache(), config);
    let text = r#"(module (memory 2) (table 6 funcref)
        (func (export "m") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "t") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))"#;
    let a = instance(&store, text, &[]);
    assert_eq!(call_i32(&store, a, "m", &[2]).unwrap(), -1);
    assert_eq!(call_i32(&store, a, "m", &[1]).unwrap(), 2);
    assert_eq!(call_i32(&store, a, "t", &[5]).unwrap(), -1);
    assert_eq!(call_i32(&store, a, "t", &[4]).unwrap(), 6);
    let error = store.instantiate(&module(text), &[]).unwrap_err();
    let InstantiationError::Resource(ResourceError::Limit(exceeded)) = error else { panic!("{error}") };
    assert_eq!(exceeded, LimitExceeded { kind: LimitKind::TableElements, limit: 10, wanted: 16 });
}

#[test]
fn huge_memories_and_tables_are_refused() {
    let store = store();
    let instance = instance(
        &store,
        r#"(module (memory 0) (table 0 funcref)
            (func (export "m") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "t") (param i32) (result i32) (table.grow (ref.null func) (local.get 0))))"#,
        &[],
    );
    assert_eq!(call_i32(&store, instance, "m", &[65537]).unwrap(), -1);
    assert_eq!(call_i32(&store, instance, "m", &[-1]).unwrap(), -1);
    assert_eq!(call_i32(&store, instance, "t", &[-1]).unwrap(), -1);
    assert_eq!(call_i32(&store, instance, "m", &[65536]).unwrap(), 0);
}

#[test]
fn modules_of_another_engine_are_refused() {
    let compiler = Compiler::new(&Config::default()).unwrap();
    let other = TrampolineCache::new(Arc::new(compiler), Arc::new(TypeRegistry::default()));
    let store = Store::new(other, StoreConfig::default());
    let module = module("(module)");
    assert!(matches!(store.instantiate(&module, &[]), Err(InstantiationError::OtherEngine)));
}

#[test]
#[should_panic(expected = "another store than its own")]
fn handles_of_another_store_are_refused() {
    let (a, b) = (store(), store());
    let instance = instance(&a, r#"(module (memory (export "m") 1))"#, &[]);
    let _ = instance.export(&b, "m");
}

#[test]
fn a_store_moves_between_threads() {
    let calls = Arc::new(AtomicU32::new(0));
    let store = store();
    let counter = calls.clone();
    let host = host_i32(&store, move |_, value| Ok(counter.fetch_add(1, Ordering::Relaxed) as i32 + value));
    let instance = instance(
        &store,
        r#"(module (import "" "h" (func $h (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (call $h (local.get 0)))
            (func (export "trap") unreachable))"#,
        &[host],
    );
    assert_eq!(call_i32(&store, instance, "run", &[10]).unwrap(), 10);
    let store = std::thread::spawn(move || {
        assert_eq!(call_i32(&store, instance, "run", &[10]).unwrap(), 11);
        assert_eq!(call_i32(&store, instance, "trap", &[]).unwrap_err().code(), Some(TrapCode::Unreachable));
        store
    })
    .join()
    .unwrap();
    assert_eq!(call_i32(&store, instance, "run", &[10]).unwrap(), 12);
}

#[test]
fn a_host_function_of_the_lowest_form() {
    unsafe extern "sysv64" fn add(host: *mut HostContext, values: *mut RawVal) -> usize {
        // SAFETY: there is one data word, and one parameter and result.
        unsafe {
            let data = HostContext::data(host);
            *data += 1;
            *values = RawVal::from_i32((*values).i32() + *data as i32);
        }
        0
    }
    let store = store();
    let ty = type_id(&[ValType::I32], &[ValType::I32]);
    // SAFETY: `add` does what is asked of it.
    let add = unsafe { store.raw_host_func(ty, add, &[100]) }.unwrap();
    assert_eq!(store.call(add, &[Val::I32(1)]).unwrap(), [Val::I32(102)]);
    assert_eq!(store.call(add, &[Val::I32(1)]).unwrap(), [Val::I32(103)]);
}
