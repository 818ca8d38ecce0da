//! The reference tests of the Component Model, from the `wasm-tools` package that `suite/Cargo.toml` names.
//!
//! Where the scripts and the specification beside them disagree:
//!
//! - `async/cross-abi-calls.wast` lets `task.return` leave out the memory that its function is lifted with, when the
//!   values need none; `canon_task_return` in `definitions.py` traps. Tools emit such components, so we follow the script.
//! - `binary/binary.wast` calls 0x2e an unallocated built-in; `Binary.md` has `stream.forward` there. Both refuse the
//!   script's bytes, which end after it.
//! - `validation/kebab.wast` misspells the name that one error message should quote.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tombolo::{Config, Engine, Feature};
use tombolo_wast::{Components, NoModules, Report};

use crate::suite::{Expected, Selection, check};

/// What does not pass.
const EXPECTED: &[Expected] = &[];

pub(crate) fn run(selection: &Selection) -> bool {
    let folder = folder();
    let optimized =
        check("component model", &folder, EXPECTED, selection, |name, text| run_script(name, text, true));
    let plain = check("component model, code not optimized", &folder, EXPECTED, selection, |name, text| {
        run_script(name, text, false)
    });
    optimized && plain
}

fn run_script(name: &str, text: &str, optimize: bool) -> Report {
    let mut config = Config::new();
    config.optimize(optimize);
    for feature in Feature::ALL {
        config.feature(*feature, true);
    }
    let engine = Engine::new(&config).unwrap();
    tombolo_wast::run(name, text, &mut Components::new(&engine), &mut NoModules)
}

/// Where cargo keeps the tests.
fn folder() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/suite/Cargo.toml");
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &target])
        .arg("--manifest-path")
        .arg(&manifest)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cannot find the test suite; without a network, run `cargo fetch --manifest-path {}` beforehand\n{}",
        manifest.display(),
        String::from_utf8_lossy(&output.stderr),
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "wasm-tools").unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().join("tests/component-model/test")
}
