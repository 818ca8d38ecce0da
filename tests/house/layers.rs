//! A crate depends only on crates of lower layers, and reaches a library only where it is at home.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::tree::{assert_none, packages, root};

/// The layer of each crate in `crates/`.
const LAYERS: &[(&str, u32)] = &[
    ("tombolo-types", 0),
    ("tombolo-macros", 0),
    ("tombolo-tasks", 1),
    ("tombolo-compile", 1),
    ("tombolo-vm", 2),
    ("tombolo", 3),
    ("tombolo-wasi", 4),
    ("tombolo-wast", 4),
    ("tombolo-http", 5),
    ("tombolo-cli", 6),
];

/// Crates that reach the runtime as an embedder does: from layer 3 they see `tombolo`, and nothing below.
const EMBEDDERS: &[&str] = &["tombolo-wasi", "tombolo-http", "tombolo-cli"];

/// Families of libraries, and the only crates that may bring them in, directly or through another library.
const AT_HOME: &[(&str, &[&str])] = &[
    ("cranelift", &["tombolo-compile"]),
    ("corosensei", &["tombolo-vm"]),
    ("tokio", EMBEDDERS),
    ("hyper", &["tombolo-http", "tombolo-cli"]),
    ("clap", &["tombolo-cli"]),
];

#[test]
fn crates_depend_on_lower_layers_only() {
    let mut broken = Vec::new();
    for Crate { name, local, .. } in crates() {
        let Some(layer) = layer(&name) else {
            broken.push(format!("{name} has no layer: give it one in LAYERS"));
            continue;
        };
        for dependency in local {
            match self::layer(&dependency) {
                None => broken.push(format!("{name} depends on {dependency}, which has no layer")),
                Some(lower) if lower >= layer => {
                    broken.push(format!("{name} [{layer}] depends on {dependency} [{lower}]"));
                }
                Some(lower) if lower < 3 && EMBEDDERS.contains(&name.as_str()) => {
                    broken.push(format!("{name} must reach {dependency} through tombolo"));
                }
                Some(_) => {}
            }
        }
    }
    assert_none(&broken, "a crate depends only on crates of lower layers");
}

#[test]
fn libraries_stay_at_home() {
    let lock = Lock::read();
    let mut broken = Vec::new();
    for Crate { name, external, .. } in crates() {
        for (library, path) in lock.reach(&external) {
            let home = AT_HOME.iter().find(|(family, _)| is_of_family(&library, family));
            if home.is_some_and(|(_, homes)| !homes.contains(&name.as_str())) {
                broken.push(format!("{name} brings in {path}"));
            }
        }
    }
    assert_none(&broken, "these libraries have a home, and it is elsewhere");
}

/// Tombolo is a second implementation: nothing of the first is in it, but for the one support crate that
/// Cranelift cannot do without.
#[test]
fn nothing_of_wasmtime_is_in_here() {
    const SUPPORT: &str = "wasmtime-internal-core";
    let lock = Lock::read();
    let mut broken = Vec::new();
    for (name, dependencies) in &lock.dependencies {
        for dependency in dependencies.iter().filter(|dependency| dependency.starts_with("wasmtime")) {
            if dependency != SUPPORT || !is_of_family(name, "cranelift") {
                broken.push(format!("{name} brings {dependency}"));
            }
        }
    }
    assert_none(&broken, "no wasmtime crate but what Cranelift brings");
}

/// A crate of the workspace and what it is built with; what only its tests need is not counted.
struct Crate {
    name: String,
    /// Crates of the workspace.
    local: Vec<String>,
    /// Libraries.
    external: Vec<String>,
}

/// The crates in `crates/`: tests, benches and examples may depend on anything.
fn crates() -> Vec<Crate> {
    let root = root().join("crates");
    let mut crates = Vec::new();
    for package in packages() {
        if !package["manifest_path"].as_str().unwrap().starts_with(root.to_str().unwrap()) {
            continue;
        }
        let mut found = Crate {
            name: package["name"].as_str().unwrap().to_owned(),
            local: Vec::new(),
            external: Vec::new(),
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["kind"].as_str() == Some("dev") {
                continue;
            }
            let name = dependency["name"].as_str().unwrap().to_owned();
            if dependency["path"].is_string() { found.local.push(name) } else { found.external.push(name) }
        }
        crates.push(found);
    }
    assert!(!crates.is_empty());
    crates
}

fn layer(name: &str) -> Option<u32> {
    LAYERS.iter().find(|(layered, _)| *layered == name).map(|(_, layer)| *layer)
}

/// Whether `name` is `family` or `family-something`.
fn is_of_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// What `Cargo.lock` says: which package depends on which. Versions of one package are taken together.
struct Lock {
    dependencies: BTreeMap<String, BTreeSet<String>>,
}

impl Lock {
    fn read() -> Lock {
        let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
        let mut dependencies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut name = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("name = ") {
                name = rest.trim_matches('"');
                dependencies.entry(name.to_owned()).or_default();
            } else if let Some(rest) = line.strip_prefix(" \"") {
                // "NAME", or "NAME VERSION" where there are several versions.
                let dependency = rest.split(['"', ' ']).next().unwrap();
                dependencies.entry(name.to_owned()).or_default().insert(dependency.to_owned());
            }
        }
        assert!(dependencies.contains_key("tombolo"), "Cargo.lock is not as expected");
        Lock { dependencies }
    }

    /// All libraries that `first` bring, each with the way to it.
    fn reach(&self, first: &[String]) -> BTreeMap<String, String> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let mut open: Vec<(String, String)> = first.iter().map(|name| (name.clone(), name.clone())).collect();
        while let Some((name, path)) = open.pop() {
            if found.contains_key(&name) {
                continue;
            }
            for next in self.dependencies.get(&name).into_iter().flatten() {
                open.push((next.clone(), format!("{path} > {next}")));
            }
            found.insert(name, path);
        }
        found
    }
}
