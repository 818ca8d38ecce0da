//! The reference tests of the Component Model, from the `wasm-tools` package that `suite/Cargo.toml` names.
//!
//! Where the scripts and the specification beside them disagree:
//!
//! - `async/cross-abi-calls.wast` lets `task.return` leave out the memory that its function is lifted with, when the
//!   values need none; `canon_task_return` in `definitions.py` traps. Tools emit such components, so we follow the script.
//! - `binary/binary.wast` calls 0x2e an unallocated built-in; `Binary.md` has `stream.forward` there. Both refuse the
//!   script's bytes, which end after it.
//! - `validation/kebab.wast` misspells the name that one error message should quote.

use std::sync::Arc;

use tombolo::{Config, Engine, Feature};
use tombolo_wast::{Components, ModuleEngine, Modules, Report};

use crate::packages::Packages;
use crate::suite::Suite;

/// The suite, with optimisation or without: with calls between components as they come, and with compiled ones from the
/// start.
pub(crate) fn suites(packages: &Packages, optimize: bool) -> [Suite; 2] {
    let mut config = Config::new();
    config.optimize(optimize);
    let plain = suite(packages, config.clone(), optimize, "component-model");
    [plain, suite(packages, config.adapters_after(0).clone(), optimize, "component-model, adapters")]
}

fn suite(packages: &Packages, mut config: Config, optimize: bool, name: &str) -> Suite {
    for feature in Feature::ALL {
        config.feature(*feature, true);
    }
    let (engine, modules) = (Engine::new(&config).unwrap(), ModuleEngine::new(optimize).unwrap());
    let run = move |name: &str, text: &str| -> Report {
        let mut modules = Modules::new(&modules).unwrap();
        tombolo_wast::run(name, text, &mut Components::new(&engine), &mut modules)
    };
    Suite {
        name: name.to_owned(),
        folder: packages.folder("wasm-tools").join("tests/component-model/test"),
        expected: &[],
        run: Arc::new(run),
    }
}
