//! Calls between an embedder and guests, in process: with the types of the Component Model, and below them.
//!
//! The unsafe code here calls a function of vm's lowest interface, whose promises each call keeps.
#![expect(unsafe_code, reason = "the lowest form of a call is unsafe, and it is what is to be measured")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use tombolo::{Component, Config, Engine, Linker, Store, StoreMut};
use tombolo_compile::Compiler;
use tombolo_types::TypeRegistry;
use tombolo_types::core::{FuncType, ValType};
use tombolo_vm::{self as vm, RawVal, TrampolineCache};

use crate::bench::{Bench, Contestant, Measure, Row, Sample, Settings, Target, Unit, Who};

/// `add`, and `ask`, which has the host add so many times.
const COMPONENT: &str = r#"(component
    (import "add" (func $add (param "a" u32) (param "b" u32) (result u32)))
    (core func $add (canon lower (func $add)))
    (core module $m
        (import "" "add" (func $add (param i32 i32) (result i32)))
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func (export "ask") (param $times i32) (result i32) (local $sum i32)
            (loop $again
                (local.set $sum (call $add (local.get $sum) (local.get $times)))
                (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
            (local.get $sum)))
    (core instance $i (instantiate $m (with "" (instance (export "add" (func $add))))))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
    (func (export "ask") (param "times" u32) (result u32) (canon lift (core func $i "ask"))))"#;

/// The rows.
pub fn bench(settings: Settings) -> Bench {
    let times: u32 = if settings.quick { 1_000_000 } else { 10_000_000 };
    let row = |name: &str| Row { name: name.to_owned(), unit: Unit::Time, target: Target::None };
    let rows = [
        "host -> component, func(u32, u32) -> u32, in process",
        "component -> host, func(u32, u32) -> u32, in process",
        "host -> core module, func(i32, i32) -> i32, in process",
        "core module -> host, func(i32, i32) -> i32, in process",
    ];
    let ours: Measure = Box::new(move || Ok([component(times)?, core(times)?].concat()));
    let native: Measure = Box::new(move || {
        let add: fn(u32, u32) -> u32 = |a, b| a.wrapping_add(b);
        let sample = each(times, |time| {
            black_box(black_box(add)(time, 1));
            Ok(())
        })?;
        Ok(vec![sample; 4])
    });
    let contestant = |(who, measure)| Contestant { who, measure };
    Bench {
        rows: rows.map(row).into(),
        contestants: [(Who::Tombolo, ours), (Who::Native, native)].map(contestant).into(),
    }
}

fn component(times: u32) -> Result<[Sample; 2]> {
    let engine = Engine::new(&Config::new())?;
    let component = Component::new(&engine, COMPONENT)?;
    let mut linker = Linker::new(&engine);
    linker.root().func("add", |_: StoreMut<'_, ()>, (a, b): (u32, u32)| Ok(a.wrapping_add(b)))?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component)?;
    let add = instance.typed_func::<(u32, u32), u32>(&mut store, "add")?;
    let ask = instance.typed_func::<(u32,), u32>(&mut store, "ask")?;
    let entering = each(times, |time| {
        black_box(add.call(&mut store, (time, 1))?);
        Ok(())
    })?;
    let asking = per(times, || {
        black_box(ask.call(&mut store, (times,))?);
        Ok(())
    })?;
    Ok([entering, asking])
}

fn core(times: u32) -> Result<[Sample; 2]> {
    let registry = Arc::new(TypeRegistry::default());
    let binary = registry.intern(FuncType::new([ValType::I32; 2], [ValType::I32]));
    let unary = registry.intern(FuncType::new([ValType::I32], [ValType::I32]));
    let compiler = Compiler::new(&tombolo_compile::Config::default())?;
    let engine = TrampolineCache::new(Arc::new(compiler), registry);
    let (entry_of_add, entry_of_ask) = (engine.entry(binary)?, engine.entry(unary)?);
    let module = vm::Module::compile(&engine, &core_module()?)?;
    let store = vm::Store::new(engine, vm::StoreConfig::default());
    let add = store.host_func(binary, |mut call| {
        let sum = call.param(0).i32().wrapping_add(call.param(1).i32());
        call.set_result(0, RawVal::from_i32(sum));
        Ok(())
    })?;
    let instance = store.instantiate(&module, &[vm::Extern::Func(add)])?;
    store.start(instance)?;
    let function = |name| {
        let export = instance.export(&store, name).and_then(vm::Extern::func);
        export.with_context(|| format!("the module has no function {name}"))
    };
    let (add, ask) = (function("add")?, function("ask")?);
    let entering = each(times, |time| {
        let mut values = [RawVal::from_u32(time), RawVal::from_u32(1)];
        // SAFETY: no references are passed.
        unsafe { store.call_raw(add, &entry_of_add, &mut values)? };
        black_box(values);
        Ok(())
    })?;
    let asking = per(times, || {
        let mut values = [RawVal::from_u32(times)];
        // SAFETY: no references are passed.
        unsafe { store.call_raw(ask, &entry_of_ask, &mut values)? };
        black_box(values);
        Ok(())
    })?;
    Ok([entering, asking])
}

/// The core module of the component.
fn core_module() -> Result<Vec<u8>> {
    let start = COMPONENT.find("(core module $m").context("no module")? + "(core ".len();
    let end = COMPONENT.find("(core instance").context("no end of the module")?;
    let text = COMPONENT.get(start..end).context("no text of the module")?;
    wat::parse_str(format!("({text}")).map_err(|error| anyhow!("the module's text: {error}"))
}

/// The time of one of so many calls.
fn each(times: u32, mut call: impl FnMut(u32) -> Result<()>) -> Result<Sample> {
    per(times, || (0..times).try_for_each(&mut call))
}

/// The time of one of so many things that are done at once.
fn per(times: u32, work: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let start = Instant::now();
    work()?;
    Ok((start.elapsed().as_nanos() as f64 / f64::from(times)).into())
}
