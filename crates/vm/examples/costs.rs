//! What entries, exits, switches and traps cost: `cargo run --release -p tombolo-vm --example costs`.
//!
//! Each figure is the least of several runs, in nanoseconds.

#![allow(unsafe_code, reason = "measures the lowest forms")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement that fails may just end")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use tombolo_compile::{Compiler, Config};
use tombolo_types::TypeRegistry;
use tombolo_types::core::{FuncType, ValType};
use tombolo_vm::*;

const GUEST: &str = r#"(module
    (import "" "raw" (func $raw (param i32) (result i32)))
    (import "" "guarded" (func $guarded (param i32) (result i32)))
    (import "" "closure" (func $closure (param i32) (result i32)))
    (import "" "suspend" (func $suspend (param i32) (result i32)))
    (import "" "fail" (func $fail (param i32) (result i32)))
    (memory (export "memory") 1)
    (func $id (param i32) (result i32) (local.get 0))
    (func (export "id") (param i32) (result i32) (local.get 0))
    (func (export "fail") (param i32) (result i32) (call $fail (local.get 0)))
    (func (export "unreachable") (param i32) (result i32) unreachable)
    (func (export "divide") (param i32) (result i32) (i32.div_u (local.get 0) (i32.const 0)))
    (func (export "load") (param i32) (result i32) (i32.load (i32.const -4)))
    (func (export "loop") (param $n i32) (result i32)
        (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n))
    (func (export "loop-raw") (param $n i32) (result i32)
        (loop $l (drop (call $raw (local.get $n)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n))
    (func (export "loop-guarded") (param $n i32) (result i32)
        (loop $l (drop (call $guarded (local.get $n)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n))
    (func (export "loop-closure") (param $n i32) (result i32)
        (loop $l (drop (call $closure (local.get $n)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n))
    (func (export "loop-suspend") (param $n i32) (result i32)
        (loop $l (drop (call $suspend (local.get $n)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n)))"#;

/// Each throws and catches so many exceptions.
const THROWS: &str = r#"(module
    (tag $e (param i32))
    (func $down (param $depth i32)
        (if (local.get $depth)
            (then (call $down (i32.sub (local.get $depth) (i32.const 1))))
            (else (throw $e (local.get $depth)))))
    (func (export "here") (param $n i32) (result i32)
        (loop $l
            (block $h (result i32) (try_table (catch $e $h) (throw $e (local.get $n))) unreachable)
            drop
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n))
    (func (export "ref") (param $n i32) (result i32)
        (loop $l
            (block $h (result i32)
                (try_table (catch $e $h)
                    (block $r (result exnref)
                        (try_table (catch_all_ref $r) (throw $e (local.get $n)))
                        unreachable)
                    throw_ref)
                unreachable)
            drop
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n))
    (func $deep (param $n i32) (param $depth i32) (result i32)
        (loop $l
            (block $h (result i32) (try_table (catch $e $h) (call $down (local.get $depth))) unreachable)
            drop
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (local.get $n))
    (func (export "one") (param $n i32) (result i32) (call $deep (local.get $n) (i32.const 0)))
    (func (export "hundred") (param $n i32) (result i32) (call $deep (local.get $n) (i32.const 99))))"#;

unsafe extern "sysv64" fn raw(_: *mut HostContext, values: *mut RawVal) -> usize {
    // SAFETY: there is one parameter and one result.
    unsafe { *values = RawVal::from_i32((*values).i32() + 1) };
    0
}

unsafe extern "sysv64" fn guarded(host: *mut HostContext, values: *mut RawVal) -> usize {
    // SAFETY: as above; compiled code calls, and the result is returned to it.
    unsafe {
        guard(host, |_| {
            *values = RawVal::from_i32((*values).i32() + 1);
            Ok(())
        })
    }
}

fn main() {
    let compiler = Compiler::new(&Config::default()).unwrap();
    let registry = Arc::new(TypeRegistry::default());
    let ty = registry.intern(FuncType::new([ValType::I32], [ValType::I32]));
    let cache = TrampolineCache::new(Arc::new(compiler), registry);
    let store = Store::new(cache.clone(), StoreConfig::default());
    // SAFETY: the functions do what is asked of them.
    let (raw, guarded) = unsafe {
        (store.raw_host_func(ty, raw, &[]).unwrap(), store.raw_host_func(ty, guarded, &[]).unwrap())
    };
    let closure = store.host_func(ty, |mut call| {
        let value = call.param(0).i32();
        call.set_result(0, RawVal::from_i32(value + 1));
        Ok(())
    });
    let suspend = store.host_func(ty, |call| {
        // SAFETY: nothing of value is on the stack.
        unsafe { call.store.suspend(call.param(0).u64()) }?;
        Ok(())
    });
    let fail = store.host_func(ty, |_| Err(Trap::new(tombolo_compile::vmctx::TrapCode::OutOfFuel)));
    let imports = [raw, guarded, closure.unwrap(), suspend.unwrap(), fail.unwrap()].map(Extern::Func);
    let wasm = wat::parse_str(GUEST).unwrap();
    let module = Module::compile(&cache, &wasm).unwrap();
    let instance = store.instantiate(&module, &imports).unwrap();
    let entry = cache.entry(ty).unwrap();
    let func = |name: &str| instance.export(&store, name).unwrap().func().unwrap();
    let call = |func: FuncHandle, argument: i32| {
        let mut values = [RawVal::from_i32(argument)];
        // SAFETY: there are no references.
        let result = unsafe { store.call_raw(func, &entry, &mut values) };
        (result, values[0].i32())
    };

    println!("host -> guest");
    measure("  a call of a host function, saving 6 registers", 1_000_000, |n| {
        extern "sysv64" fn callee(value: u64) -> u64 {
            // SAFETY: does nothing.
            unsafe {
                std::arch::asm!("", out("r12") _, out("r13") _, out("r14") _, out("r15") _, options(nomem, nostack))
            };
            value + 1
        }
        let mut callee: extern "sysv64" fn(u64) -> u64 = callee;
        for index in 0..n {
            black_box(black_box(&mut callee)(index));
        }
    });
    let id = func("id");
    measure("  entry (call_raw)", 1_000_000, |n| {
        for index in 0..n {
            black_box(call(id, index as i32)).0.unwrap();
        }
    });
    println!("guest -> host, beyond the loop");
    let n = 1_000_000;
    let base = measure("  the loop itself", n, |n| call(func("loop"), n as i32).0.unwrap());
    for name in ["loop-raw", "loop-guarded", "loop-closure"] {
        let took = measure_quietly(n, |n| call(func(name), n as i32).0.unwrap());
        println!("{:<44}{:>10.2}", format!("  {name}"), took - base);
    }
    println!("fibers");
    measure("  corosensei alone: resume + suspend", 1_000_000, |n| {
        let run = |yielder: &corosensei::Yielder<u64, u64>, _| {
            for index in 0..n {
                black_box(yielder.suspend(index));
            }
            0
        };
        let coroutine = corosensei::ScopedCoroutine::<u64, u64, u64, _>::new(run);
        coroutine.scope(|mut coroutine| {
            while let corosensei::CoroutineResult::Yield(word) = coroutine.as_mut().resume(1) {
                black_box(word);
            }
        });
    });
    measure("  resume + suspend, host code only", 1_000_000, |n| {
        let run = move |store: &Store, _| {
            for index in 0..n {
                // SAFETY: nothing of value is on the stack.
                let _ = unsafe { store.suspend(index) };
            }
            0
        };
        let mut fiber = store.fiber(run).unwrap();
        while let Step::Suspended(word) = store.resume(&mut fiber, 1) {
            black_box(word);
        }
    });
    measure("  resume + suspend under a guest", 1_000_000, |n| {
        let (func, entry) = (func("loop-suspend"), entry.clone());
        let run = move |store: &Store, _| {
            // SAFETY: there are no references.
            let result = unsafe { store.call_raw(func, &entry, &mut [RawVal::from_u64(n)]) };
            u64::from(result.is_err())
        };
        let mut fiber = store.fiber(run).unwrap();
        while let Step::Suspended(word) = store.resume(&mut fiber, 1) {
            black_box(word);
        }
    });
    measure("  make, run to completion, recycle", 1_000_000, |n| {
        for index in 0..n {
            let mut fiber = store.fiber(move |_, word| word + index).unwrap();
            black_box(store.resume(&mut fiber, 1));
        }
    });
    measure("  … with a stack of its own", 2_000, |n| {
        let fibers: Vec<_> = (0..n).map(|_| store.fiber(|_, word| word).unwrap()).collect();
        for mut fiber in fibers {
            black_box(store.resume(&mut fiber, 1));
        }
    });
    println!("traps, caught by the host outside");
    for name in ["fail", "unreachable", "divide", "load"] {
        measure(&format!("  {name}"), 10_000, |n| {
            let func = func(name);
            for _ in 0..n {
                black_box(call(func, 1)).0.unwrap_err();
            }
        });
    }
    println!("exceptions, thrown and caught");
    let wasm = wat::parse_str(THROWS).unwrap();
    let throws = store.instantiate(&Module::compile(&cache, &wasm).unwrap(), &[]).unwrap();
    for (name, what, times) in [
        ("here", "  in one function", 1_000_000),
        ("ref", "  … with a reference that is thrown on", 1_000_000),
        ("one", "  through one frame", 1_000_000),
        ("hundred", "  through a hundred frames", 100_000),
    ] {
        let func = throws.export(&store, name).unwrap().func().unwrap();
        measure(what, times, |n| call(func, n as i32).0.unwrap());
    }
    println!("making things");
    measure("  store", 1_000, |n| {
        for _ in 0..n {
            black_box(Store::new(cache.clone(), StoreConfig::default()));
        }
    });
    measure("  store, instance with a memory, and dropping both", 1_000, |n| {
        for _ in 0..n {
            let store = Store::new(cache.clone(), StoreConfig::default());
            let import = store.host_func(ty, |_| Ok(())).unwrap();
            store.instantiate(&module, &[Extern::Func(import); 5]).unwrap();
        }
    });
    measure("  publishing a module's code", 200, |n| {
        for _ in 0..n {
            let compiled = cache.compiler().compile_module(EMPTY, cache.registry()).unwrap();
            // SAFETY: it was compiled from these bytes.
            black_box(unsafe { Module::new(compiled, EMPTY, Default::default()) }.unwrap());
        }
    });
}

const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

fn measure(what: &str, times: u64, run: impl FnMut(u64)) -> f64 {
    let least = measure_quietly(times, run);
    println!("{what:<44}{least:>10.2}");
    least
}

fn measure_quietly(times: u64, mut run: impl FnMut(u64)) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..7 {
        let begin = Instant::now();
        run(times);
        least = least.min(begin.elapsed().as_nanos() as f64 / times as f64);
    }
    least
}
