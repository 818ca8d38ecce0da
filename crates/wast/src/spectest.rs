//! The module `spectest`, from which the standard's scripts import.

use std::collections::HashMap;

use tombolo_types::core::{FuncType, GlobalType, MemoryType, RefType, TableType, ValType};
use tombolo_vm::{Extern, Store, Val};

/// What it exports, as things of the host's. Its functions would print their arguments; nobody reads them.
pub(crate) fn exports(
    store: &Store,
) -> Result<HashMap<&'static str, Extern>, Box<dyn std::error::Error + Send + Sync>> {
    use ValType::{F32, F64, I32, I64};
    let mut exports = HashMap::new();
    let functions: [(&'static str, &[ValType]); 7] = [
        ("print", &[]),
        ("print_i32", &[I32]),
        ("print_i64", &[I64]),
        ("print_f32", &[F32]),
        ("print_f64", &[F64]),
        ("print_i32_f32", &[I32, F32]),
        ("print_f64_f64", &[F64, F64]),
    ];
    for (name, params) in functions {
        let ty = store.trampolines().registry().intern(FuncType::new(params, []));
        exports.insert(name, store.host_func(ty, |_| Ok(()))?.into());
    }
    let globals = [
        ("global_i32", I32, Val::I32(666)),
        ("global_i64", I64, Val::I64(666)),
        ("global_f32", F32, Val::F32(666.6f32.to_bits())),
        ("global_f64", F64, Val::F64(666.6f64.to_bits())),
    ];
    for (name, value, initial) in globals {
        let ty = GlobalType { value, mutable: false };
        exports.insert(name, store.new_global(ty, initial)?.into());
    }
    for (name, table64) in [("table", false), ("table64", true)] {
        let ty = TableType { element: RefType::FUNCREF, table64, minimum: 10, maximum: Some(20) };
        exports.insert(name, store.new_table(ty, Val::FuncRef(None))?.into());
    }
    for (name, shared) in [("memory", false), ("shared_memory", true)] {
        let ty = MemoryType { memory64: false, shared, minimum: 1, maximum: Some(2), page_size_log2: 16 };
        exports.insert(name, store.new_memory(ty)?.into());
    }
    Ok(exports)
}
