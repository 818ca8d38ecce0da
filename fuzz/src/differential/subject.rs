//! A module in Tombolo.

use std::sync::{Arc, Mutex, PoisonError};

use tombolo_compile::vmctx::TrapCode;
use tombolo_compile::{CompileError, Compiler, Config, OptLevel};
use tombolo_types::TypeRegistry;
use tombolo_types::core::{ExternType, HeapType, RefType, ValType};
use tombolo_vm::{
    CallError, CodeError, Extern, InstanceHandle, InstantiationError, Module, RawVal, Store, StoreConfig,
    TrampolineCache, Trap, TrapKind, Val,
};

use super::event::{Event, Outcome, Value};
use super::generate::{FUEL, Plan, Setting};
use super::{oracle, oracle::WASM_STACK};
use crate::{Bits, Finding};

/// Engines for all settings.
pub(super) struct Subject {
    engines: Vec<Arc<TrampolineCache>>,
    /// How many modules the engines are still good for: they keep a trampoline for each type that they ever saw.
    left: u32,
}

/// Why a module was not run to its end.
pub(super) enum Unsuitable {
    /// It needs what Tombolo says it does not have.
    Unsupported(String),
    /// Tombolo is wrong.
    Wrong(Finding),
}

impl From<Finding> for Unsuitable {
    fn from(finding: Finding) -> Self {
        Unsuitable::Wrong(finding)
    }
}

const MODULES_PER_ENGINE: u32 = 1000;

impl Subject {
    pub(super) fn new() -> anyhow::Result<Subject> {
        Ok(Subject { engines: engines()?, left: MODULES_PER_ENGINE })
    }

    /// Runs a module in a store of its own.
    pub(super) fn run(&mut self, plan: &Plan) -> Result<Vec<Event>, Unsuitable> {
        if self.left == 0 {
            *self = Subject::new().map_err(|error| Finding::while_doing("making a compiler", error))?;
        }
        self.left -= 1;
        if let Some(fuel) = plan.little_fuel {
            let [plain, optimized] =
                [false, true].map(|optimize| self.run_as(plan, Setting { optimize, ..plan.setting }, fuel));
            let (plain, optimized) = (plain?, optimized?);
            if plain != optimized {
                return Err(Finding(format!("with {fuel} fuel: {plain:?}\noptimized: {optimized:?}")).into());
            }
        }
        Ok(self.run_as(plan, plan.setting, ENOUGH_FUEL)?.0)
    }

    /// Returns what happened and how much fuel is left.
    fn run_as(&self, plan: &Plan, setting: Setting, fuel: i64) -> Result<(Vec<Event>, i64), Unsuitable> {
        let engine = &self.engines[index(setting)];
        let module = Module::compile(engine, &plan.wasm).map_err(|error| match error {
            CodeError::Compile(CompileError::Unsupported { what, .. }) => Unsuitable::Unsupported(what),
            other => Finding(format!("compiling ({setting}): {other:?}")).into(),
        })?;
        let run = Run::new(engine);
        if setting.fuel {
            run.store.set_fuel(fuel);
        }
        run.run(&module, plan)?;
        Ok((run.events(), run.store.fuel()))
    }
}

/// More than any module uses.
const ENOUGH_FUEL: i64 = i64::MAX / 2;

fn index(setting: Setting) -> usize {
    usize::from(setting.optimize) | usize::from(setting.fuel) << 1 | usize::from(setting.interruptible) << 2
}

fn engines() -> anyhow::Result<Vec<Arc<TrampolineCache>>> {
    let mut engines = Vec::new();
    for index in 0..8 {
        let mut config = Config::default();
        config.opt_level = if index & 1 != 0 { OptLevel::Speed } else { OptLevel::None };
        config.fuel = index & 2 != 0;
        config.interruptible = index & 4 != 0;
        config.verify = false;
        config.threads = 1;
        let compiler = Arc::new(Compiler::new(&config)?);
        engines.push(TrampolineCache::new(compiler, Arc::new(TypeRegistry::default())));
    }
    Ok(engines)
}

/// A store, and what happened in it.
struct Run {
    store: Store,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Run {
    fn new(engine: &Arc<TrampolineCache>) -> Run {
        let config = StoreConfig { max_wasm_stack: WASM_STACK, ..StoreConfig::default() };
        Run { store: Store::new(engine.clone(), config), events: Arc::default() }
    }

    fn run(&self, module: &Arc<Module>, plan: &Plan) -> Result<(), Finding> {
        let imports = self.imports(module, plan)?;
        let mut seen: Vec<(String, Extern)> = Vec::new();
        match self.instantiate(module, &imports)? {
            Ok(instance) => {
                self.note(Event::Instantiated(Outcome::Returned(Vec::new())));
                for (name, seed) in &plan.calls {
                    let outcome = self.call(instance, plan, name, *seed)?;
                    let exhausted = outcome == Outcome::Exhausted;
                    self.note(Event::Called(name.clone(), outcome));
                    if exhausted {
                        return Ok(());
                    }
                }
                for export in &module.info().exports {
                    let item = instance.export_item(&self.store, export.item);
                    let item = item.ok_or_else(|| Finding(format!("export {:?} is missing", export.name)))?;
                    seen.push((export.name.clone(), item));
                }
            }
            Err(outcome) => self.note(Event::Instantiated(outcome)),
        }
        // What a module did to its imports before it failed can be seen.
        seen.extend(imports.iter().enumerate().map(|(index, import)| (format!("import {index}"), *import)));
        for (name, item) in seen {
            self.look(name, item);
        }
        Ok(())
    }

    fn instantiate(
        &self,
        module: &Arc<Module>,
        imports: &[Extern],
    ) -> Result<Result<InstanceHandle, Outcome>, Finding> {
        let instance = match self.store.instantiate(module, imports) {
            Ok(instance) => instance,
            Err(InstantiationError::Trap(trap)) => return Ok(Err(outcome_of(&trap)?)),
            Err(error) => return Err(Finding::while_doing("instantiating", error)),
        };
        Ok(match self.store.start(instance) {
            Ok(()) => Ok(instance),
            Err(trap) => Err(outcome_of(&trap)?),
        })
    }

    fn call(&self, instance: InstanceHandle, plan: &Plan, name: &str, seed: u64) -> Result<Outcome, Finding> {
        let missing = || Finding(format!("export {name:?} is missing"));
        if let Some(fuel) = instance.export(&self.store, FUEL).and_then(Extern::global) {
            let set = fuel.set(&self.store, Val::I32(plan.fuel_per_call));
            set.map_err(|error| Finding::while_doing("setting the fuel", error))?;
        }
        let func = instance.export(&self.store, name).and_then(Extern::func).ok_or_else(missing)?;
        let ty = self.store.trampolines().registry().get(func.type_id(&self.store)).ok_or_else(missing)?;
        let mut bits = Bits::new(seed);
        let arguments = ty.params.iter().map(|ty| argument(*ty, bits.value())).collect::<Option<Vec<_>>>();
        let Some(arguments) = arguments else { return Ok(Outcome::NotCalled) };
        match self.store.call(func, &arguments) {
            Ok(results) => Ok(Outcome::Returned(results.into_iter().map(Value::from).collect())),
            Err(CallError::Trap(trap)) => outcome_of(&trap),
            Err(error) => Err(Finding::while_doing("calling", error)),
        }
    }

    fn imports(&self, module: &Module, plan: &Plan) -> Result<Vec<Extern>, Finding> {
        let mut bits = Bits::new(plan.seed);
        let mut imports = Vec::new();
        for (index, import) in module.info().imports.iter().enumerate() {
            let value = bits.value();
            let wrong = |error: &dyn std::fmt::Debug| Finding(format!("making import {index}: {error:?}"));
            imports.push(match &import.ty {
                ExternType::Func(id) => {
                    let ty = self.store.trampolines().registry().get(*id).ok_or_else(|| wrong(&id))?;
                    let (events, seed) = (self.events.clone(), plan.seed);
                    let function = move |call: tombolo_vm::HostCall<'_>| {
                        let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
                        let values = ty.params.iter().zip(call.values.iter());
                        let values = values.map(|(ty, value)| raw_value(*ty, *value)).collect();
                        events.push(Event::Host(index, values));
                        let results = oracle::host_results(seed, events.len(), ty.results.len());
                        let results = results.ok_or_else(|| Trap::host(oracle::HostTrap))?;
                        for ((ty, bits), slot) in ty.results.iter().zip(results).zip(call.values) {
                            let value = argument(*ty, bits).ok_or_else(|| Trap::host(oracle::HostTrap))?;
                            *slot = raw(value).ok_or_else(|| Trap::host(oracle::HostTrap))?;
                        }
                        Ok(())
                    };
                    // SAFETY: references among the results are null or words of the host's.
                    unsafe { self.store.host_func_unchecked(*id, function) }
                        .map_err(|error| wrong(&error))?
                        .into()
                }
                ExternType::Table(ty) => {
                    let null = null(ty.element);
                    self.store.new_table(*ty, null).map_err(|error| wrong(&error))?.into()
                }
                ExternType::Memory(ty) => self.store.new_memory(*ty).map_err(|error| wrong(&error))?.into(),
                ExternType::Global(ty) => {
                    let value = argument(ty.value, value).ok_or_else(|| wrong(&ty))?;
                    self.store.new_global(*ty, value).map_err(|error| wrong(&error))?.into()
                }
                ExternType::Tag(id) => self.store.new_tag(*id, &import.name).into(),
            });
        }
        Ok(imports)
    }

    /// Notes what can be seen of an item.
    fn look(&self, name: String, item: Extern) {
        let store = &self.store;
        match item {
            Extern::Func(_) | Extern::Tag(_) => {}
            Extern::Memory(memory) => {
                // SAFETY: the guest does not run.
                let bytes = unsafe { memory.bytes(store) }.to_vec();
                self.note(Event::Memory(name, bytes));
            }
            Extern::Global(global) => self.note(Event::Global(name, global.get(store).into())),
            Extern::Table(table) => {
                let elements = (0..table.len(store)).map(|index| match table.get(store, index) {
                    Some(value) => Value::from(value) == Value::Null,
                    None => false,
                });
                self.note(Event::Table(name, elements.collect()));
            }
        }
    }

    fn note(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How a trap is told apart, as by [`oracle::outcome_of`].
fn outcome_of(trap: &Trap) -> Result<Outcome, Finding> {
    Ok(Outcome::Trapped(match trap.kind() {
        TrapKind::Wasm(code) => match code {
            TrapCode::StackOverflow => return Ok(Outcome::Exhausted),
            TrapCode::Unreachable => "unreachable",
            TrapCode::MemoryOutOfBounds => "memory out of bounds",
            TrapCode::HeapMisaligned => "unaligned atomic",
            TrapCode::TableOutOfBounds => "table out of bounds",
            TrapCode::IndirectCallToNull => "call of a null element",
            TrapCode::BadSignature => "call of another type",
            TrapCode::IntegerOverflow => "integer overflow",
            TrapCode::IntegerDivisionByZero => "division by zero",
            TrapCode::BadConversionToInteger => "invalid conversion",
            TrapCode::NullReference => "null reference",
            TrapCode::OutOfFuel => "out of fuel",
            TrapCode::AtomicWaitForever => "wait in a memory that is not shared",
            code => return Err(Finding::while_doing("trap", code)),
        },
        TrapKind::Exception(_) => return Ok(Outcome::Thrown),
        TrapKind::Host(error) if error.is::<oracle::HostTrap>() => "host",
        kind => return Err(Finding::while_doing("trap", kind)),
    }))
}

/// A value of a type from bits; `None` if there is none that the host can make.
fn argument(ty: ValType, bits: u128) -> Option<Val> {
    Some(match ty {
        ValType::I32 => Val::I32(bits as i32),
        ValType::I64 => Val::I64(bits as i64),
        ValType::F32 => Val::F32(bits as u32),
        ValType::F64 => Val::F64(bits as u64),
        ValType::V128 => Val::V128(bits),
        ValType::Ref(RefType { heap: HeapType::Extern, nullable }) if !nullable || bits & 1 != 0 => {
            Val::ExternRef(oracle::host_word(bits))
        }
        ValType::Ref(ty) if ty.nullable => null(ty),
        ValType::Ref(_) => return None,
    })
}

fn null(ty: RefType) -> Val {
    match ty.heap {
        HeapType::Extern | HeapType::NoExtern => Val::ExternRef(0),
        HeapType::Exn | HeapType::NoExn => Val::ExnRef(0),
        _ => Val::FuncRef(None),
    }
}

fn raw(value: Val) -> Option<RawVal> {
    Some(match value {
        Val::I32(value) => RawVal::from_i32(value),
        Val::I64(value) => RawVal::from_i64(value),
        Val::F32(bits) => RawVal::from_u32(bits),
        Val::F64(bits) => RawVal::from_u64(bits),
        Val::V128(bits) => RawVal::from_v128(bits),
        Val::ExternRef(word) => RawVal::from_u64(word),
        Val::FuncRef(None) | Val::ExnRef(0) => RawVal::ZERO,
        _ => return None,
    })
}

fn raw_value(ty: ValType, value: RawVal) -> Value {
    match ty {
        ValType::I32 | ValType::F32 => Value::Bits(value.u32().into()),
        ValType::I64 | ValType::F64 => Value::Bits(value.u64().into()),
        ValType::V128 => Value::Bits(value.v128()),
        ValType::Ref(_) if value.usize() == 0 => Value::Null,
        ValType::Ref(RefType { heap: HeapType::Extern, .. }) => Value::Host(value.u64()),
        ValType::Ref(_) => Value::Reference,
    }
}

impl From<Val> for Value {
    fn from(value: Val) -> Self {
        match value {
            Val::I32(value) => Value::Bits((value as u32).into()),
            Val::I64(value) => Value::Bits((value as u64).into()),
            Val::F32(bits) => Value::Bits(bits.into()),
            Val::F64(bits) => Value::Bits(bits.into()),
            Val::V128(bits) => Value::Bits(bits),
            Val::FuncRef(None) | Val::ExternRef(0) | Val::ExnRef(0) => Value::Null,
            Val::ExternRef(word) => Value::Host(word),
            Val::FuncRef(Some(_)) | Val::ExnRef(_) => Value::Reference,
        }
    }
}
