//! What the tests share: an engine, and ways to say "instantiate this text".
#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::{Arc, LazyLock};

use tombolo_compile::{Compiler, Config};
use tombolo_types::core::{FuncType, ValType};
use tombolo_types::{TypeId, TypeRegistry};
use tombolo_vm::*;

static CACHE: LazyLock<Arc<TrampolineCache>> = LazyLock::new(|| {
    let compiler = Compiler::new(&Config::default()).unwrap();
    TrampolineCache::new(Arc::new(compiler), Arc::new(TypeRegistry::default()))
});

pub(crate) fn cache() -> Arc<TrampolineCache> {
    CACHE.clone()
}

pub(crate) fn store() -> Store {
    Store::new(cache(), StoreConfig::default())
}

pub(crate) fn type_id(params: &[ValType], results: &[ValType]) -> TypeId {
    CACHE.registry().intern(FuncType::new(params, results))
}

pub(crate) fn module(text: &str) -> Arc<Module> {
    Module::compile(&CACHE, &wat::parse_str(text).unwrap()).unwrap()
}

/// Instantiates a module and runs its start function.
pub(crate) fn instance(store: &Store, text: &str, imports: &[Extern]) -> InstanceHandle {
    let instance = store.instantiate(&module(text), imports).unwrap();
    store.start(instance).unwrap();
    instance
}

pub(crate) fn func(store: &Store, instance: InstanceHandle, name: &str) -> FuncHandle {
    instance.export(store, name).and_then(Extern::func).unwrap()
}

pub(crate) fn call(
    store: &Store,
    instance: InstanceHandle,
    name: &str,
    args: &[Val],
) -> Result<Vec<Val>, Trap> {
    match store.call(func(store, instance, name), args) {
        Ok(values) => Ok(values),
        Err(CallError::Trap(trap)) => Err(trap),
        Err(error) => panic!("{error}"),
    }
}

/// Calls a function from `i32`s to an `i32`.
pub(crate) fn call_i32(
    store: &Store,
    instance: InstanceHandle,
    name: &str,
    args: &[i32],
) -> Result<i32, Trap> {
    let args: Vec<Val> = args.iter().map(|value| Val::I32(*value)).collect();
    match call(store, instance, name, &args)?[..] {
        [Val::I32(value)] => Ok(value),
        [] => Ok(0),
        ref other => panic!("{other:?}"),
    }
}

/// A host function from an `i32` to an `i32`.
pub(crate) fn host_i32(
    store: &Store,
    function: impl Fn(&Store, i32) -> Result<i32, Trap> + Send + 'static,
) -> Extern {
    let ty = type_id(&[ValType::I32], &[ValType::I32]);
    let func = store.host_func(ty, move |mut call| {
        let result = function(call.store, call.param(0).i32())?;
        call.set_result(0, RawVal::from_i32(result));
        Ok(())
    });
    Extern::Func(func.unwrap())
}

/// The names of the functions in a trap's backtrace, innermost first.
pub(crate) fn names(trap: &Trap) -> Vec<String> {
    let name = |frame: &Frame| {
        frame.function_name().map_or_else(|| format!("#{}", frame.function_index()), str::to_owned)
    };
    trap.frames().iter().map(name).collect()
}
