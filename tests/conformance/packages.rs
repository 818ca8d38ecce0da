//! Where cargo keeps the packages whose files hold the scripts.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The packages that `suite/Cargo.toml` names.
pub(crate) struct Packages(Vec<Value>);

impl Packages {
    /// Has cargo fetch them.
    pub(crate) fn fetch() -> Packages {
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
            "cannot find the test suites; without a network, run `cargo fetch --manifest-path {}` beforehand\n{}",
            manifest.display(),
            String::from_utf8_lossy(&output.stderr),
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        Packages(metadata["packages"].as_array().unwrap().clone())
    }

    /// The folder of one.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let package = self.0.iter().find(|package| package["name"] == name).unwrap();
        Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
    }
}
