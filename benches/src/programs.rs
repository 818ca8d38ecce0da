//! The programs that are measured: `tombolo`, the peer, and the guests that they run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::bench::{Contestant, Measure, Who};
use crate::peer::Peer;

/// Where the programs are.
pub struct Programs {
    /// The `tombolo` command.
    pub tombolo: PathBuf,
    /// The peer, if there is one.
    pub peer: Option<Peer>,
}

/// A command that runs WebAssembly.
#[derive(Clone, Debug)]
pub struct Runner {
    program: PathBuf,
    options: Vec<String>,
}

impl Programs {
    /// Finds the peer, and `tombolo`: the one that is named, or the one that cargo builds now.
    ///
    /// # Errors
    ///
    /// There is no such file, or it cannot be built.
    pub fn find(tombolo: Option<&Path>) -> Result<Self> {
        let tombolo = match tombolo {
            Some(file) => file.to_owned(),
            None => build()?,
        };
        ensure!(tombolo.is_file(), "there is no {}", tombolo.display());
        Ok(Programs { tombolo, peer: Peer::find() })
    }

    /// No programs, for those who only ask which rows there are.
    pub fn none() -> Self {
        Programs { tombolo: PathBuf::new(), peer: None }
    }

    /// Those that run WebAssembly, with how they run it.
    pub fn runners(&self) -> Vec<(Who, Runner)> {
        let tombolo = Runner { program: self.tombolo.clone(), options: vec!["run".to_owned()] };
        let mut runners = vec![(Who::Tombolo, tombolo)];
        if let Some(peer) = &self.peer {
            runners.push((Who::Wasmtime, Runner { program: peer.program.clone(), options: peer.options() }));
        }
        runners
    }

    /// A contestant for each that runs WebAssembly.
    pub fn contestants(&self, measure: impl Fn(Runner) -> Measure) -> Vec<Contestant> {
        let contestant = |(who, runner)| Contestant { who, measure: measure(runner) };
        self.runners().into_iter().map(contestant).collect()
    }
}

impl Runner {
    /// The command that runs a guest; `options` stand before it.
    pub fn command(&self, options: &[&str], guest: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.options).args(options).arg(guest);
        command
    }
}

/// The file of a built guest.
pub fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests").join(name).join(format!("{name}.wasm"))
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
///
/// It cannot be run, or it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Has cargo build `tombolo` as it is released, beside this program.
fn build() -> Result<PathBuf> {
    let beside = std::env::current_exe().context("finding out where this program is")?;
    let target = beside.parent().and_then(Path::parent).context("this program is in no target folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "-p", "tombolo-cli", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()
        .context("running cargo")?;
    ensure!(
        status.success(),
        "`cargo build --release -p tombolo-cli` failed; `--tombolo FILE` takes a built one"
    );
    Ok(target.join("release").join(format!("tombolo{}", std::env::consts::EXE_SUFFIX)))
}
