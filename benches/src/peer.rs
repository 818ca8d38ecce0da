//! The peer: the `wasmtime` on PATH, if there is one that runs WASI 0.3.

use std::path::PathBuf;
use std::process::Command;

use crate::programs::{guest, output};

/// The peer's command, and what it needs to be told.
#[derive(Debug)]
pub struct Peer {
    /// The command.
    pub program: PathBuf,
    /// Its name and version.
    pub version: String,
    flags: &'static [&'static str],
}

/// What turns WASI 0.3 on, by version: it is on by default, needs its flag, or needs the Component Model's too.
const FLAGS: &[&[&str]] = &[&["-Sp3", "-Wcomponent-model-async=y"], &["-Sp3"], &[]];

impl Peer {
    /// Finds `wasmtime` on PATH and tries how it runs a guest of WASI 0.3.
    pub fn find() -> Option<Peer> {
        let program = PathBuf::from("wasmtime");
        let version = output(Command::new(&program).arg("--version")).ok()?.trim().to_owned();
        for flags in FLAGS {
            let peer = Peer { program: program.clone(), version: version.clone(), flags };
            let greeting = output(Command::new(&program).args(peer.options()).arg(guest("hello")));
            if greeting.is_ok_and(|greeting| greeting == "Hello, world!\n") {
                return Some(peer);
            }
        }
        eprintln!("{version} is on PATH, but runs no WASI 0.3");
        None
    }

    /// What stands between the command and the guest's file.
    pub fn options(&self) -> Vec<String> {
        ["run"].iter().chain(self.flags).map(|option| (*option).to_owned()).collect()
    }

    /// What turns WASI 0.3 on.
    pub fn flags(&self) -> &'static [&'static str] {
        self.flags
    }

    /// The command that compiles a component.
    pub fn compile(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("compile").args(self.flags.iter().filter(|flag| flag.starts_with("-W")));
        command
    }
}
