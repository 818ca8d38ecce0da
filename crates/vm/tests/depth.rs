//! How deep the stacks of fibers are: functions begin again where a fiber becomes deep, and it gives back what it took.

#![allow(unsafe_code, reason = "the tests use the lowest forms too")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use support::*;
use tombolo_compile::vmctx::TrapCode;
use tombolo_types::core::ValType;
use tombolo_vm::*;

/// No stack is used twice, so every fiber is shallow at first.
fn fresh() -> Store {
    Store::new(cache(), StoreConfig { idle_fibers: 0, ..StoreConfig::default() })
}

fn on_fiber(store: &Store, run: impl FnOnce(&Store)) {
    // SAFETY: the fiber is done before this returns, and stays on this thread.
    let mut fiber = unsafe {
        store.fiber_unchecked(|store, _| {
            run(store);
            0
        })
    }
    .unwrap();
    assert_eq!(store.resume(&mut fiber, 0), Step::Done(0));
}

/// A host function that says whether the fiber is deep.
fn look(store: &Store) -> Extern {
    host_i32(store, |store, _| Ok(i32::from(!store.is_shallow())))
}

/// Functions of many shapes, each behind `down`, which goes so many levels deeper first. They return whether the fiber was deep
/// before, whether it was inside, and something that all of their arguments have a part in.
const SHAPES: &str = r#"(module
    (import "" "look" (func $look (param i32) (result i32)))
    (import "" "many" (func $many (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64)
        (result i32 i64)))
    (type $shape (func (param i32) (result i32 i32 i64)))
    (table funcref (elem $registers $stack $floats $vectors $results $tail $indirect $large $host))
    (func $down (export "down") (param $levels i32) (param $shape i32) (result i32 i32 i64)
        (if (result i32 i32 i64) (local.get $levels)
            (then (call $down (i32.sub (local.get $levels) (i32.const 1)) (local.get $shape)))
            (else (call_indirect (type $shape) (call $look (i32.const 0)) (local.get $shape)))))

    (func $registers (type $shape)
        (call $registers' (local.get 0) (i32.const 2) (i64.const 3) (i32.const 4)))
    (func $registers' (param i32 i32 i64 i32) (result i32 i32 i64)
        (local.get 0) (call $look (i32.const 0))
        (i64.add (i64.mul (local.get 2) (i64.const 100)) (i64.extend_i32_u
            (i32.add (i32.mul (local.get 1) (i32.const 10)) (local.get 3)))))

    (func $stack (type $shape)
        (call $stack' (local.get 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
            (i64.const 6) (i64.const 7) (i64.const 8) (i32.const 9)))
    (func $stack' (param i32 i64 i64 i64 i64 i64 i64 i64 i64 i32) (result i32 i32 i64)
        (local.get 0) (call $look (i32.const 0))
        (i64.add (i64.mul (local.get 8) (i64.const 10)) (i64.extend_i32_u (local.get 9)))
        (i64.add (i64.mul (local.get 7) (i64.const 100))) (i64.add (i64.mul (local.get 1) (i64.const 1000))))

    (func $floats (type $shape)
        (call $floats' (local.get 0) (f32.const 1) (f64.const 2) (f64.const 3) (f64.const 4) (f64.const 5)
            (f64.const 6) (f64.const 7) (f64.const 8) (f32.const 9)))
    (func $floats' (param i32 f32 f64 f64 f64 f64 f64 f64 f64 f32) (result i32 i32 i64)
        (local.get 0) (call $look (i32.const 0))
        (i64.trunc_f64_s (f64.add (f64.mul (local.get 8) (f64.const 10)) (f64.promote_f32 (local.get 9)))))

    (func $vectors (type $shape)
        (call $vectors' (local.get 0) (v128.const i64x2 1 2) (v128.const i64x2 3 4) (v128.const i64x2 5 6)))
    (func $vectors' (param i32 v128 v128 v128) (result i32 i32 i64)
        (local.get 0) (call $look (i32.const 0))
        (i64x2.extract_lane 1 (i64x2.add (local.get 1) (i64x2.add (local.get 2) (local.get 3)))))

    (func $results (type $shape) (local i64)
        (call $results' (local.get 0))
        (i64.add) (i64.add) (i64.add) (i64.add) (i64.add) (i64.add) (i64.add) (i64.add))
    (func $results' (param i32) (result i32 i32 i64 i64 i64 i64 i64 i64 i64 i64 i64)
        (local.get 0) (call $look (i32.const 0))
        (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
        (i64.const 6) (i64.const 7) (i64.const 8) (i64.const 9))

    (func $tail (type $shape)
        (return_call $stack' (local.get 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
            (i64.const 6) (i64.const 7) (i64.const 8) (i32.const 9)))

    (func $indirect (type $shape)
        (return_call_indirect (type $shape) (local.get 0) (i32.const 0)))

    ;; Has room in its frame for what is live across the call.
    (func $large (type $shape) (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
        LOCALS
        (local.get 0) (call $look (i32.const 0)) SUM)

    ;; The exit trampoline checks its own frame.
    (func $host (type $shape) (local i32 i64)
        (local.get 0)
        (call $many (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6) (i32.const 7)
            (i32.const 8) (i32.const 9) (i32.const 10) (i32.const 11) (i32.const 12) (i32.const 13) (i32.const 14)
            (i32.const 15) (i32.const 16) (i32.const 17) (i32.const 18) (i64.const 19))))"#;

fn shapes() -> String {
    let wide = (1..=16)
        .map(|n| format!("(local.set {n} (i64.add (i64.extend_i32_u (local.get 0)) (i64.const {n})))\n"));
    let sum = (1..=16).fold("(i64.const 0)".to_owned(), |sum, n| format!("(i64.add {sum} (local.get {n}))"));
    SHAPES.replace("LOCALS", &wide.collect::<String>()).replace("SUM", &sum)
}

fn many(store: &Store) -> Extern {
    let mut params = vec![ValType::I32; 18];
    params.push(ValType::I64);
    let ty = type_id(&params, &[ValType::I32, ValType::I64]);
    let func = store.host_func(ty, |mut call| {
        let sum: u64 = (0..18).map(|index| u64::from(call.param(index).u32())).sum();
        let sum = sum + call.param(18).u64();
        let deep = i32::from(!call.store.is_shallow());
        call.set_result(0, RawVal::from_i32(deep));
        call.set_result(1, RawVal::from_u64(sum));
        Ok(())
    });
    func.unwrap().into()
}

#[test]
fn a_function_that_begins_again_computes_the_same() {
    let store = fresh();
    let shapes = instance(&store, &shapes(), &[look(&store), many(&store)]);
    for shape in 0..9 {
        let call = |store: &Store, levels| {
            let values = call(store, shapes, "down", &[Val::I32(levels), Val::I32(shape)]).unwrap();
            match values[..] {
                [Val::I32(before), Val::I32(inside), Val::I64(value)] => (before, inside, value),
                ref other => panic!("{other:?}"),
            }
        };
        // On the thread's stack nothing begins again.
        let (before, inside, expected) = call(&store, 3000);
        assert_eq!((before, inside), (0, 0));
        // The levels at which it is the function that makes the fiber deep.
        let mut crossed = 0;
        let mut levels = 0;
        loop {
            let mut seen = (0, 0, 0);
            on_fiber(&store, |store| seen = call(store, levels));
            let (before, inside, value) = seen;
            assert_eq!(value, expected + if shape == 7 { 16 * i64::from(before) } else { 0 });
            crossed += i32::from(before != inside);
            if before != 0 {
                break;
            }
            levels += 1;
        }
        assert!(levels > 100 && crossed > 0, "shape {shape}: {levels} levels, {crossed} crossed");
    }
}

/// How deep a guest gets on a stack until it traps, with its stack left to it by `config`.
#[test]
fn the_stack_is_as_deep_as_before() {
    let deep = r#"(module (global $n (export "n") (mut i32) (i32.const 0))
        (func $deep (export "deep") (result i32)
            (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (i32.add (call $deep) (i32.const 1)))
        (func (export "count") (result i32) (global.get $n) (global.set $n (i32.const 0))))"#;
    let counts = [16 << 10, 32 << 10, usize::MAX].map(|shallow_stack| {
        let store = Store::new(cache(), StoreConfig { shallow_stack, ..StoreConfig::default() });
        let deep = instance(&store, deep, &[]);
        let mut counts = Vec::new();
        let check = |store: &Store, counts: &mut Vec<i32>| {
            let trap = call_i32(store, deep, "deep", &[]).unwrap_err();
            assert_eq!(trap.code(), Some(TrapCode::StackOverflow));
            let frames = trap.frames();
            assert!(frames.len() > 20 && frames.iter().all(|frame| frame.function_index() == 0));
            counts.push(call_i32(store, deep, "count", &[]).unwrap());
        };
        on_fiber(&store, |store| check(store, &mut counts));
        // Again, on the same stack.
        on_fiber(&store, |store| check(store, &mut counts));
        counts
    });
    assert_eq!(counts[0], counts[1]);
    assert_eq!(counts[1], counts[2]);
    assert!(counts[0][0] == counts[0][1] && counts[0][0] > 10_000, "{counts:?}");
}

/// The bytes of memory that the stack of the fiber that runs takes up below an address.
fn resident_below(store: &Store, sp: usize) -> usize {
    const PAGE: usize = 4096;
    let (end, bottom) = (sp & !(PAGE - 1), store.stack_top().unwrap() - StoreConfig::default().fiber_stack);
    let mut pages = vec![0_u8; (end - bottom) / PAGE];
    // SAFETY: asks about pages of the stack, and writes a byte for each.
    let asked = unsafe { libc::mincore(bottom as *mut libc::c_void, end - bottom, pages.as_mut_ptr()) };
    assert_eq!(asked, 0);
    pages.iter().filter(|present| **present & 1 != 0).count() * PAGE
}

#[inline(never)]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here) as usize
}

const DIVER: &str = r#"(module
    (import "" "host" (func $host (param i32) (result i32)))
    (func $down (param $levels i32) (result i32)
        (if (result i32) (local.get $levels)
            (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $levels) (i32.const 1)))))
            (else (i32.const 0))))
    (func $host-at (export "host-at") (param $levels i32) (result i32)
        (if (result i32) (local.get $levels)
            (then (i32.add (i32.const 1) (call $host-at (i32.sub (local.get $levels) (i32.const 1)))))
            (else (call $host (i32.const 0)))))
    ;; Goes down, comes back, and calls the host.
    (func (export "host-after") (param $levels i32) (result i32)
        (i32.add (call $down (local.get $levels)) (call $host (i32.const 0)))))"#;

#[test]
fn a_deep_fiber_gives_back_what_it_does_not_need() {
    let store = fresh();
    let seen: Arc<Mutex<Vec<(usize, usize, usize)>>> = Arc::default();
    let seen_inside = seen.clone();
    let host = host_i32(&store, move |store, _| {
        let before = resident_below(store, stack_pointer());
        let told = if store.is_shallow() { 0 } else { store.trim_stack() };
        let after = resident_below(store, stack_pointer());
        seen_inside.lock().unwrap().push((before, told, after));
        // Asked again, it says the same.
        assert_eq!(if store.is_shallow() { 0 } else { store.trim_stack() }, told);
        Ok(0)
    });
    let diver = instance(&store, DIVER, &[host]);
    let levels = 20_000;
    on_fiber(&store, |store| {
        for name in ["host-after", "host-at", "host-after", "host-at"] {
            assert_eq!(call_i32(store, diver, name, &[levels]).unwrap(), levels);
        }
        assert_eq!(call_i32(store, diver, "host-after", &[10]).unwrap(), 10);
    });
    let seen = seen.lock().unwrap().clone();
    for (index, (before, told, after)) in seen.iter().copied().enumerate() {
        assert!(after <= 64 << 10, "{seen:?}");
        match index {
            // As deep as it was.
            0 | 2 => assert!(before > 200 << 10 && told == 0, "{seen:?}"),
            1 | 3 => assert!(told > 200 << 10, "{seen:?}"),
            _ => assert!(told == 0, "{seen:?}"),
        }
    }
}

#[test]
fn of_the_stacks_that_are_kept_one_is_deep() {
    let store = store();
    // SAFETY: what is on the stack stays on this thread, and borrows nothing that ends.
    let wait = |store: &Store| unsafe { store.suspend(0) }.unwrap();
    let host = host_i32(&store, move |store, _| Ok(wait(store) as i32));
    let looks = look(&store);
    let (diver, looker) = (instance(&store, DIVER, &[host]), instance(&store, DIVER, &[looks]));
    let make = || {
        let run = move |store: &Store, _| call_i32(store, diver, "host-at", &[20_000]).unwrap() as u64;
        store.fiber(run).unwrap()
    };
    let mut deep: Vec<_> = (0..4).map(|_| make()).collect();
    for fiber in &mut deep {
        assert_eq!(store.resume(fiber, 0), Step::Suspended(0));
    }
    for fiber in &mut deep {
        assert_eq!(store.resume(fiber, 0), Step::Done(20_000));
    }
    // All four are used again; how each finds its stack:
    let found = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let mut fibers: Vec<_> = (0..4)
        .map(|_| {
            let found = found.clone();
            let run = move |store: &Store, _| {
                let deep = call_i32(store, looker, "host-at", &[1]).unwrap() - 1;
                found[usize::from(deep != 0)].fetch_add(1, Ordering::Relaxed);
                if deep == 0 {
                    // Something of the host's own frames may be there, but not of the guest's.
                    assert!(resident_below(store, stack_pointer()) < 64 << 10);
                }
                wait(store)
            };
            store.fiber(run).unwrap()
        })
        .collect();
    for fiber in &mut fibers {
        store.resume(fiber, 0);
    }
    assert_eq!([0, 1].map(|kind| found[kind].load(Ordering::Relaxed)), [3, 1]);
    for fiber in &mut fibers {
        store.resume(fiber, 0);
    }
}

#[test]
fn a_fiber_that_another_store_makes_deep_is_deep() {
    let inner = Store::new(cache(), StoreConfig { max_wasm_stack: 64 << 20, ..StoreConfig::default() });
    let looks = look(&inner);
    let diver = instance(&inner, DIVER, &[looks]);
    let outer = fresh();
    on_fiber(&outer, |outer| {
        assert!(outer.is_shallow());
        // The other store has no fiber.
        assert_eq!(call_i32(&inner, diver, "host-after", &[20_000]).unwrap(), 20_000);
        assert!(!outer.is_shallow());
        assert!(resident_below(outer, stack_pointer()) > 200 << 10);
        assert_eq!(outer.trim_stack(), 0);
        assert!(outer.is_shallow() && resident_below(outer, stack_pointer()) < 64 << 10);
    });
}
