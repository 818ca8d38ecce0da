//! A module in the oracle, wasmtime.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::{
    Caller, Config, Engine, Extern, ExternRef, ExternType, Func, Global, HeapType, Instance, Memory, Module,
    OptLevel, Ref, RegallocAlgorithm, SharedMemory, Store, Table, ThrownException, Trap, Val, ValType,
};

use super::event::{Event, Outcome, Value};
use super::generate::{FUEL, LARGEST_MEMORY, Plan};
use crate::{Bits, Finding};

/// Bytes of stack that guests may use on either side: enough for as many calls as there is fuel.
pub(super) const WASM_STACK: usize = 1 << 20;

/// What imports trap with.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the host traps")]
pub(super) struct HostTrap;

/// What an import returns whose call was the event of a number: bits for each result, or a trap.
pub(super) fn host_results(seed: u64, event: usize, results: usize) -> Option<Vec<u128>> {
    let mut bits = Bits::new(seed ^ event as u64);
    (bits.below(16) != 0).then(|| (0..results).map(|_| bits.value()).collect())
}

/// A reference of the host's that is not null.
pub(super) fn host_word(bits: u128) -> u64 {
    (bits as u64 >> 1 & 0xffff) + 1
}

/// An engine that compiles fast and one that optimises.
pub(super) struct Oracle {
    engines: [Engine; 2],
}

impl Oracle {
    pub(super) fn new() -> anyhow::Result<Oracle> {
        let engine = |level, registers| {
            let mut config = Config::new();
            config.cranelift_opt_level(level);
            config.cranelift_regalloc_algorithm(registers);
            config.max_wasm_stack(WASM_STACK);
            // Leaves the signals to Tombolo: whatever faults is its.
            config.signals_based_traps(false);
            // Memories are short-lived and small, but a shared one must have room to grow where it is.
            config.memory_reservation(LARGEST_MEMORY).memory_guard_size(0).memory_reservation_for_growth(0);
            config.memory_init_cow(false);
            config.wasm_backtrace_max_frames(None);
            config.wasm_tail_call(true).wasm_multi_memory(true).wasm_memory64(true).wasm_extended_const(true);
            config.wasm_function_references(true).wasm_gc(true).wasm_exceptions(true);
            config.wasm_custom_page_sizes(true).wasm_wide_arithmetic(true);
            config.wasm_threads(true).shared_memory(true);
            Engine::new(&config).map_err(|error| anyhow::anyhow!("{error:?}"))
        };
        let fast = engine(OptLevel::None, RegallocAlgorithm::SinglePass)?;
        let optimizing = engine(OptLevel::Speed, RegallocAlgorithm::Backtracking)?;
        Ok(Oracle { engines: [fast, optimizing] })
    }

    /// Runs a module in a store of its own.
    pub(super) fn run(&mut self, plan: &Plan) -> Result<Vec<Event>, Finding> {
        let engine = &self.engines[usize::from(plan.setting.oracle_optimizes)];
        let module = Module::new(engine, &plan.wasm);
        let module = module.map_err(|error| Finding::while_doing("the oracle refuses the module", error))?;
        let run = Run { store: Store::new(engine, ()), events: Arc::default() };
        run.run(&module, plan)
    }
}

/// A store, and what happened in it.
struct Run {
    store: Store<()>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Run {
    fn run(mut self, module: &Module, plan: &Plan) -> Result<Vec<Event>, Finding> {
        let imports = self.imports(module, plan)?;
        let mut seen: Vec<(String, Extern)> = Vec::new();
        match Instance::new(&mut self.store, module, &imports) {
            Ok(instance) => {
                self.note(Event::Instantiated(Outcome::Returned(Vec::new())));
                for (name, seed) in &plan.calls {
                    let outcome = self.call(instance, plan, name, *seed)?;
                    let exhausted = outcome == Outcome::Exhausted;
                    self.note(Event::Called(name.clone(), outcome));
                    if exhausted {
                        return Ok(self.into_events());
                    }
                }
                for export in module.exports() {
                    let item = instance.get_export(&mut self.store, export.name());
                    let item = item.ok_or_else(|| Finding("the oracle lacks an export".into()))?;
                    seen.push((export.name().to_owned(), item));
                }
            }
            Err(error) => {
                let outcome = outcome_of(&error)?;
                self.note(Event::Instantiated(outcome));
            }
        }
        seen.extend(
            imports.iter().enumerate().map(|(index, import)| (format!("import {index}"), import.clone())),
        );
        for (name, item) in seen {
            self.look(name, item)?;
        }
        Ok(self.into_events())
    }

    fn call(&mut self, instance: Instance, plan: &Plan, name: &str, seed: u64) -> Result<Outcome, Finding> {
        let wrong = |error: wasmtime::Error| Finding::while_doing("the oracle", error);
        if let Some(fuel) = instance.get_global(&mut self.store, FUEL) {
            fuel.set(&mut self.store, Val::I32(plan.fuel_per_call)).map_err(wrong)?;
        }
        let func = instance.get_func(&mut self.store, name);
        let func = func.ok_or_else(|| Finding("the oracle lacks an export".into()))?;
        let ty = func.ty(&self.store);
        let mut bits = Bits::new(seed);
        let mut arguments = Vec::new();
        for ty in ty.params() {
            let Some(value) = argument(&mut self.store, &ty, bits.value()).map_err(wrong)? else {
                return Ok(Outcome::NotCalled);
            };
            arguments.push(value);
        }
        let mut results = vec![Val::I32(0); ty.results().len()];
        match func.call(&mut self.store, &arguments, &mut results) {
            Ok(()) => {
                let results = results.iter().map(|result| value(&self.store, result));
                Ok(Outcome::Returned(results.collect::<Result<_, _>>().map_err(wrong)?))
            }
            Err(error) => outcome_of(&error),
        }
    }

    fn imports(&mut self, module: &Module, plan: &Plan) -> Result<Vec<Extern>, Finding> {
        let mut bits = Bits::new(plan.seed);
        let mut imports = Vec::new();
        for (index, import) in module.imports().enumerate() {
            let value = bits.value();
            let item = self.import(index, import.ty(), value, plan.seed);
            imports
                .push(item.map_err(|error| Finding::while_doing("making an import for the oracle", error))?);
        }
        Ok(imports)
    }

    fn import(&mut self, index: usize, ty: ExternType, bits: u128, seed: u64) -> wasmtime::Result<Extern> {
        let store = &mut self.store;
        Ok(match ty {
            ExternType::Func(ty) => {
                let events = self.events.clone();
                let result_types: Vec<ValType> = ty.results().collect();
                let function = move |mut caller: Caller<'_, ()>, arguments: &[Val], results: &mut [Val]| {
                    let values = arguments.iter().map(|argument| self::value(&caller, argument));
                    let values = values.collect::<wasmtime::Result<Vec<_>>>()?;
                    let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
                    events.push(Event::Host(index, values));
                    let bits = host_results(seed, events.len(), results.len()).ok_or(HostTrap)?;
                    for ((ty, bits), result) in result_types.iter().zip(bits).zip(results) {
                        *result = argument(&mut caller, ty, bits)?.ok_or(HostTrap)?;
                    }
                    Ok(())
                };
                Func::new(store, ty, function).into()
            }
            ExternType::Table(ty) => {
                let null = Ref::null(ty.element().heap_type());
                Table::new(store, ty, null)?.into()
            }
            ExternType::Memory(ty) if ty.is_shared() => SharedMemory::new(store.engine(), ty)?.into(),
            ExternType::Memory(ty) => Memory::new(store, ty)?.into(),
            ExternType::Global(ty) => {
                let value = argument(&mut *store, ty.content(), bits)?;
                let value = value.ok_or_else(|| wasmtime::Error::msg("there is no such value"))?;
                Global::new(store, ty, value)?.into()
            }
            ExternType::Tag(ty) => wasmtime::Tag::new(store, &ty)?.into(),
        })
    }

    /// Notes what can be seen of an item.
    fn look(&mut self, name: String, item: Extern) -> Result<(), Finding> {
        let wrong = |error: wasmtime::Error| Finding::while_doing("the oracle", error);
        match item {
            Extern::Func(_) | Extern::Tag(_) => {}
            Extern::Memory(memory) => self.note(Event::Memory(name, memory.data(&self.store).to_vec())),
            Extern::SharedMemory(memory) => {
                // SAFETY: there are no other threads.
                let bytes = memory.data().iter().map(|byte| unsafe { *byte.get() }).collect();
                self.note(Event::Memory(name, bytes));
            }
            Extern::Global(global) => {
                let found = global.get(&mut self.store);
                let found = value(&self.store, &found).map_err(wrong)?;
                self.note(Event::Global(name, found));
            }
            Extern::Table(table) => {
                let mut elements = Vec::new();
                for index in 0..table.size(&self.store) {
                    elements.push(table.get(&mut self.store, index).is_some_and(|element| element.is_null()));
                }
                self.note(Event::Table(name, elements));
            }
        }
        Ok(())
    }

    fn note(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn into_events(self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How an error is told apart.
fn outcome_of(error: &wasmtime::Error) -> Result<Outcome, Finding> {
    if error.is::<HostTrap>() {
        return Ok(Outcome::Trapped("host"));
    }
    if error.is::<ThrownException>() {
        return Ok(Outcome::Thrown);
    }
    let Some(trap) = error.downcast_ref::<Trap>() else {
        return Err(Finding::while_doing("the oracle", error));
    };
    Ok(Outcome::Trapped(match trap {
        Trap::StackOverflow => return Ok(Outcome::Exhausted),
        Trap::UnreachableCodeReached => "unreachable",
        Trap::MemoryOutOfBounds => "memory out of bounds",
        Trap::HeapMisaligned => "unaligned atomic",
        Trap::TableOutOfBounds => "table out of bounds",
        Trap::IndirectCallToNull => "call of a null element",
        Trap::BadSignature => "call of another type",
        Trap::IntegerOverflow => "integer overflow",
        Trap::IntegerDivisionByZero => "division by zero",
        Trap::BadConversionToInteger => "invalid conversion",
        Trap::NullReference => "null reference",
        Trap::AtomicWaitNonSharedMemory => "wait in a memory that is not shared",
        trap => return Err(Finding::while_doing("the oracle", trap)),
    }))
}

/// A value of a type from bits; `None` if there is none that the host can make.
fn argument(
    mut store: impl wasmtime::AsContextMut,
    ty: &ValType,
    bits: u128,
) -> wasmtime::Result<Option<Val>> {
    Ok(Some(match ty {
        ValType::I32 => Val::I32(bits as i32),
        ValType::I64 => Val::I64(bits as i64),
        ValType::F32 => Val::F32(bits as u32),
        ValType::F64 => Val::F64(bits as u64),
        ValType::V128 => Val::V128(bits.into()),
        ValType::Ref(ty)
            if matches!(ty.heap_type(), HeapType::Extern) && (!ty.is_nullable() || bits & 1 != 0) =>
        {
            Val::ExternRef(Some(ExternRef::new(&mut store, host_word(bits))?))
        }
        ValType::Ref(ty) if ty.is_nullable() => Ref::null(ty.heap_type()).into(),
        ValType::Ref(_) => return Ok(None),
    }))
}

fn value(store: impl wasmtime::AsContext, value: &Val) -> wasmtime::Result<Value> {
    Ok(match value {
        Val::I32(value) => Value::Bits((*value as u32).into()),
        Val::I64(value) => Value::Bits((*value as u64).into()),
        Val::F32(bits) => Value::Bits((*bits).into()),
        Val::F64(bits) => Value::Bits((*bits).into()),
        Val::V128(bits) => Value::Bits(bits.as_u128()),
        Val::ExternRef(Some(reference)) => {
            let data =
                reference.data(store.as_context())?.and_then(|data| data.downcast_ref::<u64>().copied());
            data.map_or(Value::Reference, Value::Host)
        }
        Val::FuncRef(None)
        | Val::ExternRef(None)
        | Val::AnyRef(None)
        | Val::ExnRef(None)
        | Val::ContRef(None) => Value::Null,
        Val::FuncRef(Some(_)) | Val::AnyRef(Some(_)) | Val::ExnRef(Some(_)) | Val::ContRef(Some(_)) => {
            Value::Reference
        }
    })
}
