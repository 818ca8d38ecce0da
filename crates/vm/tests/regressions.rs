//! What fuzzing found (`fuzz/`): each test is a finding, as small as it got.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use std::sync::Arc;

use support::call;
use tombolo_compile::{Compiler, Config, OptLevel};
use tombolo_types::TypeRegistry;
use tombolo_vm::{Module, Store, StoreConfig, TrampolineCache, Val};

/// Was charged as if the elements had come to be, so that a few attempts used up any fuel.
#[test]
fn growing_a_table_beyond_its_maximum_costs_no_fuel() {
    const GROW: &str = r#"(module
        (table $t i64 1 10 funcref)
        (func (export "grow") (param i64) (result i64) (table.grow $t (ref.null func) (local.get 0))))"#;
    for opt_level in [OptLevel::None, OptLevel::Speed] {
        let mut config = Config::default();
        config.opt_level = opt_level;
        config.fuel = true;
        let compiler = Arc::new(Compiler::new(&config).unwrap());
        let cache = TrampolineCache::new(compiler, Arc::new(TypeRegistry::default()));
        let module = Module::compile(&cache, &wat::parse_str(GROW).unwrap()).unwrap();
        let store = Store::new(cache, StoreConfig::default());
        store.set_fuel(1_000);
        let instance = store.instantiate(&module, &[]).unwrap();
        for delta in [10, 1 << 40, i64::MAX, -1] {
            let grown = call(&store, instance, "grow", &[Val::I64(delta)]).unwrap();
            assert_eq!(grown, [Val::I64(-1)], "{delta}");
        }
        assert_eq!(call(&store, instance, "grow", &[Val::I64(9)]).unwrap(), [Val::I64(1)]);
        assert!(store.fuel() > 900, "{}", store.fuel());
    }
}
