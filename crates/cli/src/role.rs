//! What kind of program a file is, and what can be done with it.
//!
//! `inspect` says so of any file; `run` and `serve` say so of a file that they cannot run.

use serde::Serialize;

use crate::contents::{Part, Producer};
use crate::provided::Release;

/// What kind of program a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "role", rename_all = "kebab-case")]
pub(crate) enum Role {
    /// A component that exports `wasi:cli/run` of WASI 0.3.
    Command { export: String },
    /// A component that exports `wasi:http/handler` of WASI 0.3.
    HttpService { export: String },
    /// A component that exports what a command or an HTTP service exports in another version of WASI.
    OtherWasi { export: String },
    /// Any other component.
    Library,
    /// A component that holds interface definitions and nothing else.
    WitPackage,
    /// A core module that imports WASI 0.1.
    Wasi01Module,
    /// A core module that carries the types of the component it is to become.
    ComponentCore,
    /// Any other core module.
    CoreModule,
}

impl Role {
    /// Finds out what `part`, the outermost of a file, is; a WIT package counts as a library here.
    pub(crate) fn of(part: &Part) -> Role {
        match part {
            Part::Component(_) => Role::of_component(part),
            Part::Module(_) => Role::of_module(part),
        }
    }

    fn of_component(part: &Part) -> Role {
        let common = part.common();
        let mut other = None;
        for export in common.exports.iter().filter(|export| export.kind == "instance") {
            let name = export.name.clone();
            let (interface, version) = name.split_once('@').unwrap_or((&name, ""));
            match (interface, Release::of(version)) {
                ("wasi:cli/run", Release::Wasi03) => return Role::Command { export: name },
                ("wasi:http/handler", Release::Wasi03) => return Role::HttpService { export: name },
                ("wasi:cli/run" | "wasi:http/handler" | "wasi:http/incoming-handler", _) => {
                    other = Some(Role::OtherWasi { export: name });
                }
                _ => {}
            }
        }
        other.unwrap_or(Role::Library)
    }

    fn of_module(part: &Part) -> Role {
        let common = part.common();
        let imports = |module: &str| common.imports.iter().any(|import| import.name.starts_with(module));
        if imports("wasi_snapshot_preview1.") || imports("wasi_unstable.") {
            Role::Wasi01Module
        } else if common.custom_sections.iter().any(|section| section.name.starts_with("component-type")) {
            Role::ComponentCore
        } else {
            Role::CoreModule
        }
    }

    /// What the file is, as a phrase: "a command (it exports …)".
    pub(crate) fn phrase(&self) -> String {
        match self {
            Role::Command { export } => format!("a command: it exports {export}"),
            Role::HttpService { export } => format!("an HTTP service: it exports {export}"),
            Role::OtherWasi { export } => {
                format!("a program for a version of WASI that Tombolo does not run: it exports {export}")
            }
            Role::Library => {
                "a library: it exports neither wasi:cli/run nor wasi:http/handler, so it cannot run on its own".to_owned()
            }
            Role::WitPackage => "a WIT package: interface definitions in binary form, nothing to run".to_owned(),
            Role::Wasi01Module => "a core module for WASI 0.1, not a component".to_owned(),
            Role::ComponentCore => "a core module that is to become a component".to_owned(),
            Role::CoreModule => "a core module, not a component".to_owned(),
        }
    }

    /// What to do with `file`, which is this.
    pub(crate) fn next_step(&self, file: &str) -> String {
        match self {
            Role::Command { .. } => format!("run it: tombolo run {file}"),
            Role::HttpService { .. } => format!("serve it: tombolo serve {file}"),
            Role::OtherWasi { .. } => "build it again with bindings for WASI 0.3, such as wasip3 for Rust".to_owned(),
            Role::Library => "link it to a command that imports what it exports (`wac plug`, `wasm-tools compose`), or call it from a Rust program through the tombolo crate".to_owned(),
            Role::WitPackage => format!("print it: tombolo inspect --wit {file}"),
            Role::Wasi01Module => "build it again with bindings for WASI 0.3, such as wasip3 for Rust, and make that a component: wasm-tools component new".to_owned(),
            Role::ComponentCore => {
                format!("make it a component: wasm-tools component new {file} -o {}", component_name(file))
            }
            Role::CoreModule => format!(
                "describe it in WIT and make it a component: wasm-tools component embed WIT {file} -o typed.wasm && wasm-tools component new typed.wasm -o {}",
                component_name(file)
            ),
        }
    }
}

/// A name for the component made of `file`.
fn component_name(file: &str) -> String {
    // The standard input has no name to begin with.
    let file = if file == "-" { "app" } else { file };
    let stem = file.strip_suffix(".wasm").or_else(|| file.strip_suffix(".wat")).unwrap_or(file);
    format!("{stem}.component.wasm")
}

/// The tools that made a file and all parts in it, each once, in the order of their fields and names.
pub(crate) fn producers(part: &Part) -> Vec<Producer> {
    let mut all = Vec::new();
    part.visit(0, &mut |part, _| all.extend(part.common().producers.iter().cloned()));
    all.sort();
    all.dedup();
    all
}
