//! What a program is given of the world outside: `--dir`, `--env`, `--deny`, and beside them the network.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::Args;
use tombolo::Linker;
use tombolo_http::HttpView;
use tombolo_wasi::{WasiCtxBuilder, WasiView, p3};

use crate::denied::Denied;
use crate::diagnostics::Failure;
use crate::folders::{self, Folder};
use crate::provided::Provided;

/// The options that say so, but for the network's.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// Give the program the folder HOST, under the name GUEST (the same name, if none is given), with :ro for reading alone
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]")]
    folders: Vec<Folder>,

    /// Set an environment variable, or pass on one of yours by its name alone
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = parse_variable)]
    variables: Vec<Variable>,

    /// Pass on all of your environment variables
    #[arg(long)]
    inherit_env: bool,

    /// Take an interface away, such as wasi:random/random, or a package: a program that needs it is not started
    #[arg(long, value_name = "INTERFACE")]
    deny: Vec<Denied>,

    /// Provide an interface of WASI that is not stable yet
    #[arg(long, value_name = "FEATURE")]
    unstable: Vec<Unstable>,

    /// Show what the program wanted and may not have, and the option that would allow it
    #[arg(long)]
    pub(crate) show_refused: bool,
}

/// A feature of WASI's declarations that is marked as unstable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Unstable {
    /// The time zone, as wasi:clocks/timezone
    ClocksTimezone,
}

/// An environment variable that the program is given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    /// `None` passes on the host's.
    value: Option<String>,
}

impl GrantArgs {
    /// Grants folders and environment variables.
    ///
    /// # Errors
    ///
    /// A folder cannot be opened.
    pub(crate) fn grant(&self, wasi: WasiCtxBuilder) -> Result<WasiCtxBuilder, Failure> {
        let wasi = wasi.envs(self.environment(std::env::vars_os()));
        folders::grant(&self.folders, self.show_refused, wasi)
    }

    /// Provides what the program finds of WASI, HTTP included.
    ///
    /// # Errors
    ///
    /// The linker has something of it already.
    pub(crate) fn provide<T: WasiView + HttpView + 'static>(
        &self,
        linker: &mut Linker<T>,
    ) -> tombolo::Result<()> {
        p3::add_to_linker(linker)?;
        if self.unstable.contains(&Unstable::ClocksTimezone) {
            p3::clocks::add_timezone_to_linker(linker)?;
        }
        tombolo_http::add_to_linker(linker)
    }

    /// Takes away what is denied.
    pub(crate) fn deny<T: Send + 'static>(&self, linker: &mut Linker<T>) {
        for denied in &self.deny {
            denied.take_from(linker);
        }
    }

    /// Why a program that needs `provided` does not get all of it.
    pub(crate) fn withheld(&self, file: &str, provided: &[Provided]) -> Option<Failure> {
        for Provided { name, .. } in provided {
            if let Some(denied) = self.deny.iter().find(|denied| denied.covers(name)) {
                let hint = format!("leave out `{}`, or build the component without it", denied.option());
                return Some(Failure::new(format!("{file} needs {name}, which is denied")).hint(hint));
            }
            if name.starts_with("wasi:clocks/timezone@") && !self.unstable.contains(&Unstable::ClocksTimezone)
            {
                let failure = Failure::new(format!("{file} needs {name}, which is not stable"));
                return Some(failure.hint("`--unstable clocks-timezone` provides it all the same"));
            }
        }
        None
    }

    /// The program's environment: what `--inherit-env` and `--env` give it, the last of a name counting.
    ///
    /// `host` looks up the host's variables; what it does not find stays unset.
    fn environment(&self, host: impl IntoIterator<Item = (OsString, OsString)>) -> BTreeMap<String, String> {
        let host: BTreeMap<String, String> = host
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut environment = if self.inherit_env { host.clone() } else { BTreeMap::new() };
        for Variable { name, value } in &self.variables {
            if let Some(value) = value.as_ref().or_else(|| host.get(name)) {
                environment.insert(name.clone(), value.clone());
            }
        }
        environment
    }
}

/// Reads `NAME` or `NAME=VALUE`.
fn parse_variable(text: &str) -> Result<Variable, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("write NAME=VALUE, or NAME alone to pass on your own variable".to_owned());
    }
    Ok(Variable { name: name.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        grants: GrantArgs,
    }

    fn parse(words: &[&str]) -> Result<GrantArgs, String> {
        Wrapper::try_parse_from([&["run"], words].concat())
            .map(|wrapper| wrapper.grants)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_holds_what_was_given_and_nothing_else() {
        let host = || [("HOME", "/h"), ("TERM", "vt"), ("A", "host")].map(|(k, v)| (k.into(), v.into()));
        let environment = |words: &[&str]| -> Vec<String> {
            let run = parse(words).unwrap();
            run.environment(host()).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        assert!(environment(&[]).is_empty());
        assert_eq!(environment(&["--env", "A=1", "--env", "TERM"]), ["A=1", "TERM=vt"]);
        assert_eq!(environment(&["--env", "A=", "--env", "B=x=y"]), ["A=", "B=x=y"]);
        assert_eq!(environment(&["--env", "UNSET"]), [""; 0]);
        assert_eq!(environment(&["--env", "A=1", "--env", "A=2"]), ["A=2"]);
        assert_eq!(environment(&["--inherit-env", "--env", "A=1"]), ["A=1", "HOME=/h", "TERM=vt"]);
        assert!(parse(&["--env", "=x"]).unwrap_err().contains("NAME=VALUE"));
    }
}
