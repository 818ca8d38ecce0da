//! The specification as the test: traces of random guests, replayed on its own reference definitions.
//!
//! `reference.py` runs `definitions.py`, from where the `wasm-tools` package has it, unmodified; every result,
//! event and trap must be the same, and every choice one that the definitions allow. Without Python or the
//! package the test says so and passes; `TOMBOLO_DEFINITIONS` may name the file.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::runtime::World;
use crate::Limits;

#[test]
fn the_reference_definitions_agree() {
    let Some(definitions) = definitions() else {
        eprintln!("skipped: definitions.py not found in Cargo's registry (package wasm-tools)");
        return;
    };
    let mut traces = Vec::new();
    for seed in 1..=seeds() {
        let mut world = World::new(choices(seed, 1200), Limits::default(), false);
        let _ = world.run();
        traces.push(world.trace.join("\n") + "\n");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/reference.py");
    let child = Command::new("python3")
        .arg(script)
        .arg(definitions)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: python3: {error}");
            return;
        }
    };
    // A write fails when Python ends early; its own words say why.
    let written = child.stdin.take().unwrap().write_all(traces.join("----\n").as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    written.unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

fn seeds() -> u64 {
    std::env::var("TOMBOLO_TRACES").ok().and_then(|number| number.parse().ok()).unwrap_or(60)
}

fn choices(seed: u64, length: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as u32
    };
    (0..length).map(step).collect()
}

fn definitions() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("TOMBOLO_DEFINITIONS") {
        return Some(path.into());
    }
    let cargo = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    for registry in std::fs::read_dir(cargo?.join("registry/src")).ok()? {
        let mut packages: Vec<_> =
            std::fs::read_dir(registry.ok()?.path()).ok()?.flatten().map(|p| p.path()).collect();
        packages.sort();
        let inside = "tests/component-model/design/mvp/canonical-abi/definitions.py";
        let of_package = packages.into_iter().filter(|package| {
            package.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wasm-tools-"))
        });
        if let Some(found) = of_package.map(|package| package.join(inside)).rfind(|path| path.exists()) {
            return Some(found);
        }
    }
    None
}
