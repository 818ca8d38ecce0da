//! Which interfaces `tombolo run` and `tombolo serve` give a component, and the flags that grant what is behind them.
//!
//! `inspect` says from this table what a component would need; `run` says from it what to do about an import
//! that nothing provides.

use semver::Version;
use serde::Serialize;

use crate::contents::Part;

/// An interface of WASI 0.3 that components are provided with.
struct Interface {
    name: &'static str,
    grant: Option<Grant>,
}

/// What a component finds behind an interface only when a flag grants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Grant {
    /// The flag, as it is written on the command line.
    pub(crate) flag: &'static str,
    /// What the flag grants.
    pub(crate) gives: &'static str,
}

const VARIABLES: Grant = Grant { flag: "--env NAME[=VALUE]", gives: "environment variables" };
const FOLDERS: Grant = Grant { flag: "--dir HOST[::GUEST][:ro]", gives: "folders" };

const SOCKETS: Grant = Grant { flag: "--tcp HOST:PORT, --udp HOST:PORT", gives: "network connections" };
const REQUESTS: Grant = Grant { flag: "--tcp HOST:PORT", gives: "requests to other servers" };
const NAMES: Grant = Grant { flag: "--lookup NAME", gives: "names of the network" };

const TIMEZONE: Grant = Grant { flag: "--unstable clocks-timezone", gives: "the time zone" };

const fn free(name: &'static str) -> Interface {
    Interface { name, grant: None }
}

const fn granted(name: &'static str, grant: Grant) -> Interface {
    Interface { name, grant: Some(grant) }
}

/// The version of the definitions.
pub(crate) const VERSION: &str = "0.3.2";

/// The names of all interfaces, without a version.
pub(crate) fn interfaces() -> impl Iterator<Item = &'static str> {
    INTERFACES.iter().map(|interface| interface.name)
}

/// Every minor version of WASI 0.3 is compatible with those before it, so only names are listed.
const INTERFACES: &[Interface] = &[
    granted("wasi:cli/environment", VARIABLES),
    free("wasi:cli/exit"),
    free("wasi:cli/types"),
    free("wasi:cli/stdin"),
    free("wasi:cli/stdout"),
    free("wasi:cli/stderr"),
    free("wasi:cli/terminal-input"),
    free("wasi:cli/terminal-output"),
    free("wasi:cli/terminal-stdin"),
    free("wasi:cli/terminal-stdout"),
    free("wasi:cli/terminal-stderr"),
    free("wasi:clocks/types"),
    free("wasi:clocks/monotonic-clock"),
    free("wasi:clocks/system-clock"),
    granted("wasi:clocks/timezone", TIMEZONE),
    free("wasi:random/random"),
    free("wasi:random/insecure"),
    free("wasi:random/insecure-seed"),
    granted("wasi:filesystem/types", FOLDERS),
    granted("wasi:filesystem/preopens", FOLDERS),
    granted("wasi:sockets/types", SOCKETS),
    granted("wasi:sockets/ip-name-lookup", NAMES),
    free("wasi:http/types"),
    granted("wasi:http/client", REQUESTS),
];

/// A component's imports.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Needs {
    /// What the command provides.
    pub(crate) provided: Vec<Provided>,
    /// What nothing provides.
    pub(crate) missing: Vec<Missing>,
}

/// An import that the command provides.
#[derive(Debug, Serialize)]
pub(crate) struct Provided {
    pub(crate) name: String,
    /// The flag that grants what is behind it, where one is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<Grant>,
}

/// An import that nothing provides.
#[derive(Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) name: String,
    /// Why, and what to do.
    pub(crate) why: String,
}

impl Needs {
    /// Sorts the imports of `component`.
    pub(crate) fn of(component: &Part) -> Needs {
        let mut needs = Needs::default();
        for import in &component.common().imports {
            // Types are imported along with what uses them.
            if import.kind == "type" {
                continue;
            }
            let name = import.name.clone();
            match look_up(&name) {
                Provision::Provided(grant) => needs.provided.push(Provided { name, grant }),
                Provision::Missing(why) => needs.missing.push(Missing { name, why }),
            }
        }
        needs
    }
}

/// What becomes of an import when a component is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Provision {
    /// the command provides it; some of what is behind it has to be granted.
    Provided(Option<Grant>),
    /// Nothing provides it; the text says what to do.
    Missing(String),
}

/// Looks up an import by its full name, such as `wasi:cli/environment@0.3.2`.
pub(crate) fn look_up(import: &str) -> Provision {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    if !name.starts_with("wasi:") {
        return Provision::Missing(
            "no host provides it: link it to a component that exports it (`wac plug`, `wasm-tools compose`)"
                .to_owned(),
        );
    }
    match Release::of(version) {
        Release::Wasi03 => {}
        Release::Draft => {
            return Provision::Missing(
                "a draft of WASI 0.3: build the component again with bindings for 0.3.0 or later".to_owned(),
            );
        }
        Release::Wasi02 => {
            return Provision::Missing(
                "WASI 0.2: build the component again with bindings for WASI 0.3".to_owned(),
            );
        }
        Release::Other => {
            return Provision::Missing(
                "not a version of WASI that Tombolo knows: it provides 0.3".to_owned(),
            );
        }
    }
    match INTERFACES.iter().find(|interface| interface.name == name) {
        Some(interface) => Provision::Provided(interface.grant),
        None if name == "wasi:http/handler" => Provision::Missing(
            "it answers requests behind this component: `tombolo serve --middleware` links the two"
                .to_owned(),
        ),
        None => Provision::Missing("this version of Tombolo does not have it yet".to_owned()),
    }
}

/// The generations of WASI, as an interface's version tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// 0.3.0 and everything compatible with it.
    Wasi03,
    /// A pre-release of 0.3: compatible with nothing but itself.
    Draft,
    /// 0.2, which polls instead of awaiting.
    Wasi02,
    /// Anything else.
    Other,
}

impl Release {
    /// Reads the part of an interface's name behind `@`: a whole version, or `0.3` alone.
    pub(crate) fn of(version: &str) -> Release {
        let parsed = match version {
            "0.2" => return Release::Wasi02,
            "0.3" => return Release::Wasi03,
            whole => Version::parse(whole),
        };
        match parsed {
            Ok(version) if (version.major, version.minor) == (0, 3) && version.pre.is_empty() => {
                Release::Wasi03
            }
            Ok(version) if (version.major, version.minor) == (0, 3) => Release::Draft,
            Ok(version) if (version.major, version.minor) == (0, 2) => Release::Wasi02,
            _ => Release::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_of_0_3_is_provided() {
        for version in ["0.3", "0.3.0", "0.3.1", "0.3.2", "0.3.17"] {
            assert_eq!(
                look_up(&format!("wasi:cli/environment@{version}")),
                Provision::Provided(Some(VARIABLES)),
                "{version}"
            );
        }
    }

    #[test]
    fn other_versions_are_missing_and_say_why() {
        let reason = |import: &str| match look_up(import) {
            Provision::Missing(reason) => reason,
            Provision::Provided(_) => String::new(),
        };
        assert!(reason("wasi:cli/environment@0.3.0-rc-2026-01-06").starts_with("a draft"));
        assert!(reason("wasi:cli/environment@0.2.9").starts_with("WASI 0.2"));
        assert!(reason("wasi:cli/environment@1.0.0").contains("provides 0.3"));
        assert!(reason("wasi:cli/environment").contains("provides 0.3"));
        assert!(reason("wasi:http/handler@0.3.2").contains("--middleware"));
        assert!(reason("acme:widgets/factory@0.3.2").contains("wac plug"));
    }
}
