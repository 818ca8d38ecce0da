//! Bulk operations that are interrupted.

#![allow(unsafe_code, reason = "the tests use the lowest forms too")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use support::{call, names};
use tombolo_compile::vmctx::TrapCode;
use tombolo_compile::{Compiler, Config};
use tombolo_types::TypeRegistry;
use tombolo_vm::*;

/// Pages of 64 KiB: several pieces of an operation, and something over.
const PAGES: usize = 101;
const SIZE: usize = PAGES << 16;
/// As much of a table.
const ELEMENTS: i32 = 1_000_000;

fn guest() -> String {
    let data: String = (0..300_u32).map(|i| format!("\\{:02x}", i * 7 % 251)).collect();
    // A segment is as long as the text says; this one is repeated until it is long.
    let data = data.repeat(SIZE / 2 / 300);
    format!(
        r#"(module $m
            (memory $a (export "a") {PAGES}) (memory $b (export "b") {PAGES})
            (table $t (export "t") {ELEMENTS} 10000000 funcref) (table $u (export "u") {ELEMENTS} funcref)
            (data $data "{data}")
            (elem declare func $grow)
            (func $copy (export "copy") (param i32 i32 i32)
                (memory.copy $a $a (local.get 0) (local.get 1) (local.get 2)))
            (func $across (export "across") (param i32 i32 i32)
                (memory.copy $b $a (local.get 0) (local.get 1) (local.get 2)))
            (func $fill (export "fill") (param i32 i32 i32)
                (memory.fill $a (local.get 0) (local.get 1) (local.get 2)))
            (func $init (export "init") (param i32 i32 i32)
                (memory.init $a $data (local.get 0) (local.get 1) (local.get 2)))
            (func $grow (export "grow") (param i32 i32 i32)
                (drop (table.grow $t (ref.func $grow) (local.get 0)))
                (table.copy $u $t (i32.const 0) (local.get 1) (local.get 2)))
            (func $clear (export "clear") (param i32 i32 i32)
                (table.fill $t (local.get 0) (ref.null func) (local.get 1))))"#
    )
}

/// A store with [`guest`], and how often it was interrupted. Every look at the interrupt word finds it set.
fn setup(change: impl FnOnce(&mut Config), ends_after: u32) -> (Store, InstanceHandle, Arc<AtomicU32>) {
    let mut config = Config::default();
    change(&mut config);
    let cache =
        TrampolineCache::new(Arc::new(Compiler::new(&config).unwrap()), Arc::new(TypeRegistry::default()));
    let module = Module::compile(&cache, &wat::parse_str(guest()).unwrap()).unwrap();
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    let interrupted: InterruptFn = Box::new(move |store, code| {
        store.interrupt_handle().interrupt();
        let count = counter.fetch_add(1, Ordering::Relaxed);
        match count == ends_after || code == TrapCode::OutOfFuel {
            true => Err(code.into()),
            false => Ok(()),
        }
    });
    let store = Store::new(cache, StoreConfig { interrupted: Some(interrupted), ..StoreConfig::default() });
    let instance = store.instantiate(&module, &[]).unwrap();
    (store, instance, count)
}

fn run(store: &Store, instance: InstanceHandle, name: &str, args: [i32; 3]) -> Result<(), Trap> {
    call(store, instance, name, &args.map(Val::I32)).map(drop)
}

fn memory(store: &Store, instance: InstanceHandle, name: &str) -> Vec<u8> {
    let Some(Extern::Memory(memory)) = instance.export(store, name) else { panic!() };
    let mut bytes = vec![0; SIZE];
    memory.read(store, 0, &mut bytes).unwrap();
    bytes
}

#[test]
fn pieces_make_the_whole() {
    for interruptible in [true, false] {
        let (store, instance, count) = setup(|config| config.interruptible = interruptible, u32::MAX);
        let pieces = |operation: [i32; 3], name: &str| {
            if interruptible {
                store.interrupt_handle().interrupt();
            }
            let before = count.load(Ordering::Relaxed);
            run(&store, instance, name, operation).unwrap();
            // One more at the function's entry.
            let pieces = count.load(Ordering::Relaxed) - before;
            assert_eq!(pieces >= 2, interruptible, "{name}: {pieces}");
        };
        let half = SIZE as i32 / 2 - 300;
        pieces([5, 11, half], "init");
        let mut expected = vec![0; SIZE];
        for (place, i) in expected[5..][..half as usize].iter_mut().zip(11..) {
            *place = (i % 300 * 7 % 251) as u8;
        }
        assert!(memory(&store, instance, "a") == expected);
        // Ranges that overlap either way.
        for (to, from) in [(1000, 0), (0, 777), (3 << 20, 1), (1, 3 << 20)] {
            let length = SIZE - to.max(from);
            pieces([to as i32, from as i32, length as i32], "copy");
            expected.copy_within(from..from + length, to);
            assert!(memory(&store, instance, "a") == expected, "{to} {from}");
        }
        pieces([0, 0, SIZE as i32], "across");
        assert!(memory(&store, instance, "b") == expected);
        pieces([3, 0x5a, SIZE as i32 - 9], "fill");
        expected[3..SIZE - 6].fill(0x5a);
        assert!(memory(&store, instance, "a") == expected);

        pieces([ELEMENTS, 10, ELEMENTS], "grow");
        let (Some(Extern::Table(t)), Some(Extern::Table(u))) =
            (instance.export(&store, "t"), instance.export(&store, "u"))
        else {
            panic!()
        };
        let filled = |table: TableHandle, index: i32| {
            !matches!(table.get(&store, index as u64).unwrap(), Val::FuncRef(None))
        };
        assert_eq!(t.len(&store), 2 * ELEMENTS as u64);
        assert!((0..ELEMENTS).all(|i| !filled(t, i)) && (ELEMENTS..2 * ELEMENTS).all(|i| filled(t, i)));
        assert!((0..ELEMENTS - 10).all(|i| !filled(u, i)) && (ELEMENTS - 10..ELEMENTS).all(|i| filled(u, i)));
        pieces([1, 2 * ELEMENTS - 2, 0], "clear");
        assert!((0..2 * ELEMENTS - 1).all(|i| !filled(t, i)) && filled(t, 2 * ELEMENTS - 1));
    }
}

#[test]
fn an_operation_is_ended_in_its_midst() {
    for (name, args) in [
        ("copy", [100, 0, SIZE as i32 - 100]),
        ("across", [0, 0, SIZE as i32]),
        ("fill", [0, 1, SIZE as i32]),
        ("init", [0, 0, SIZE as i32 / 2 - 300]),
        ("grow", [ELEMENTS, 0, 0]),
        ("grow", [0, 0, ELEMENTS]),
        ("clear", [0, ELEMENTS, 0]),
    ] {
        let (store, instance, count) = setup(|config| config.interruptible = true, 1);
        store.interrupt_handle().interrupt();
        let trap = run(&store, instance, name, args).unwrap_err();
        assert_eq!(trap.code(), Some(TrapCode::Interrupted));
        assert_eq!(names(&trap), [name]);
        assert!(trap.frames()[0].wasm_offset().is_some());
        assert_eq!(count.load(Ordering::Relaxed), 2);
        if name == "fill" {
            let filled = memory(&store, instance, "a").iter().filter(|byte| **byte == 1).count();
            assert!(0 < filled && filled < SIZE, "{filled}");
        }
    }
}

#[test]
fn what_is_out_of_bounds_is_found_before_anything_is_done() {
    for interruptible in [true, false] {
        let (store, instance, _) = setup(|config| config.interruptible = interruptible, u32::MAX);
        let before = memory(&store, instance, "a");
        for (name, args, code) in [
            ("copy", [1, 0, SIZE as i32], TrapCode::MemoryOutOfBounds),
            ("copy", [0, -1, 2], TrapCode::MemoryOutOfBounds),
            ("across", [0, 1, SIZE as i32], TrapCode::MemoryOutOfBounds),
            ("fill", [1, 1, SIZE as i32], TrapCode::MemoryOutOfBounds),
            ("fill", [-1, 1, -1], TrapCode::MemoryOutOfBounds),
            ("init", [0, 1, SIZE as i32 / 2], TrapCode::MemoryOutOfBounds),
            ("grow", [0, 1, ELEMENTS], TrapCode::TableOutOfBounds),
            ("clear", [1, ELEMENTS, 0], TrapCode::TableOutOfBounds),
        ] {
            let trap = run(&store, instance, name, args).unwrap_err();
            assert_eq!(trap.code(), Some(code), "{name} {args:?}");
        }
        assert!(memory(&store, instance, "a") == before);
        // Growing that fails fills nothing.
        run(&store, instance, "grow", [i32::MAX, 0, 0]).unwrap();
    }
}

#[test]
fn operations_are_paid_for_by_their_length() {
    for (optimize, interruptible) in [(true, true), (false, false)] {
        let (store, instance, _) = setup(
            |config| {
                config.fuel = true;
                config.interruptible = interruptible;
                if !optimize {
                    config.opt_level = tombolo_compile::OptLevel::None;
                }
            },
            u32::MAX,
        );
        let cost = |name: &str, args: [i32; 3]| {
            store.set_fuel(1 << 40);
            if interruptible {
                store.interrupt_handle().interrupt();
            }
            run(&store, instance, name, args).unwrap();
            (1 << 40) - store.fuel()
        };
        assert_eq!(cost("fill", [0, 0, 63]), 4);
        assert_eq!(cost("fill", [0, 0, SIZE as i32]), 4 + (SIZE / 64) as i64);
        assert_eq!(cost("copy", [0, 0, SIZE as i32 - 1]), 4 + (SIZE / 64) as i64 - 1);
        assert_eq!(cost("init", [0, 0, 640]), 4 + 10);
        assert_eq!(cost("clear", [0, ELEMENTS, 0]), 4 + i64::from(ELEMENTS / 8));
        assert_eq!(cost("grow", [ELEMENTS, 0, 80]), 7 + i64::from(ELEMENTS / 8) + 10);
        // What cannot be paid for is not done.
        store.set_fuel(100);
        let trap = run(&store, instance, "fill", [0, 0xff, SIZE as i32]).unwrap_err();
        assert_eq!(trap.code(), Some(TrapCode::OutOfFuel));
        assert!(!memory(&store, instance, "a").contains(&0xff));
    }
}

/// What the host does for a guest.
#[test]
fn the_host_copies_in_pieces_too() {
    let (store, instance, count) = setup(|config| config.interruptible = true, 3);
    let from = vec![0x77; SIZE];
    let Some(Extern::Memory(memory)) = instance.export(&store, "a") else { panic!() };
    // SAFETY: the memory is as long, and no guest runs.
    let copy = || unsafe { store.copy(from.as_ptr(), memory.base(&store), SIZE) };
    copy().unwrap();
    assert!(memory_is(&store, instance, 0x77));
    store.interrupt_handle().interrupt();
    let before = count.load(Ordering::Relaxed);
    copy().unwrap();
    assert_eq!(count.load(Ordering::Relaxed) - before, 3);
    assert_eq!(copy().unwrap_err().code(), Some(TrapCode::Interrupted));
}

fn memory_is(store: &Store, instance: InstanceHandle, byte: u8) -> bool {
    memory(store, instance, "a").iter().all(|found| *found == byte)
}
