//! Why a file cannot be run.

use std::collections::BTreeSet;

use tombolo::{ErrorKind, LimitKind};

use crate::diagnostics::Failure;
use crate::grants::GrantArgs;
use crate::load::Source;
use crate::provided::Needs;
use crate::role::Role;

/// What a file was to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What `tombolo run` runs.
    Command,
    /// What `tombolo serve` serves.
    Service,
    /// What `tombolo serve` puts in front of it.
    Middleware,
}

/// What middleware imports, and every service exports.
const HANDLER: &str = "wasi:http/handler@";

impl Wanted {
    fn verb(self) -> &'static str {
        match self {
            Wanted::Command => "run",
            Wanted::Service | Wanted::Middleware => "serve",
        }
    }

    fn is(self, role: &Role) -> bool {
        match self {
            Wanted::Command => matches!(role, Role::Command { .. }),
            Wanted::Service | Wanted::Middleware => matches!(role, Role::HttpService { .. }),
        }
    }
}

/// Says why a file is not what was wanted, and what to do about it, after `error` has refused it.
///
/// Only then is the file looked at more closely: what runs does not pay for it.
pub(crate) fn explain(source: &Source, wanted: Wanted, grants: &GrantArgs, error: tombolo::Error) -> Failure {
    let file = source.path.display().to_string();
    let part = match source.check() {
        Ok(part) => part,
        Err(malformed) => return malformed,
    };
    let role = Role::of(&part);
    if !wanted.is(&role) {
        return Failure::new(format!("{file} is {}", role.phrase())).hint(role.next_step(&file));
    }
    let Needs { provided, mut missing } = Needs::of(&part);
    if wanted == Wanted::Middleware {
        missing.retain(|import| !import.name.starts_with(HANDLER));
    }
    if let Some(failure) = grants.withheld(&file, &provided) {
        return failure;
    }
    if missing.is_empty() {
        let hint = hint(&error);
        let failure = Failure::caused_by(format!("cannot {} {file}", wanted.verb()), error);
        return hint.into_iter().fold(failure, Failure::hint);
    }
    if wanted == Wanted::Service && missing.iter().any(|import| import.name.starts_with(HANDLER)) {
        return Failure::new(format!("{file} is middleware: it imports what is to answer behind it"))
            .hint(format!("put it in front of a service: tombolo serve --middleware {file} SERVICE.wasm"));
    }
    let names: Vec<&str> = missing.iter().map(|import| import.name.as_str()).collect();
    let mut failure = Failure::new(format!("{file} imports what nothing provides: {}", names.join(", ")));
    let reasons: BTreeSet<&str> = missing.iter().map(|import| import.why.as_str()).collect();
    for reason in reasons {
        failure = failure.hint(reason);
    }
    failure
}

/// What to do about an error of a valid command that imports nothing unknown.
fn hint(error: &tombolo::Error) -> Option<&'static str> {
    match error.kind() {
        // Valid, but not to the engine: something is switched off.
        ErrorKind::Unsupported { .. } | ErrorKind::Malformed { .. } => {
            Some("this version of Tombolo does not have it yet: build the component without it")
        }
        ErrorKind::Limit(exceeded) if exceeded.kind == LimitKind::MemoryBytes => {
            Some("`--max-memory` says how much memory it may have")
        }
        ErrorKind::MissingImport { .. } | ErrorKind::TypeMismatch { .. } => {
            Some("the interface is not that of WASI 0.3.0 to 0.3.2: build the component with their bindings")
        }
        _ => None,
    }
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

    fn explanation(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.wat");
        std::fs::write(&path, text).unwrap();
        let source = Source::read(&path).unwrap();
        let Wrapper { grants } = Wrapper::parse_from(["run"]);
        let failure =
            explain(&source, Wanted::Command, &grants, tombolo::Error::host("the engine's own words"));
        format!("{failure:?}")
    }

    #[test]
    fn what_is_not_a_command_is_said() {
        assert!(explanation("(module)").contains("a core module, not a component"));
        assert!(explanation("(component)").contains("a library"));
    }

    #[test]
    fn imports_that_nothing_provides_are_named() {
        let command = |imports: &str| {
            format!(
                "(component {imports} (component $c) (instance $run (instantiate $c))
                    (export \"wasi:cli/run@0.3.2\" (instance $run)))"
            )
        };
        let missing = "(import \"acme:a/b\" (instance)) (import \"wasi:http/handler@0.3.2\" (instance))";
        let text = explanation(&command(missing));
        assert!(text.contains("nothing provides: acme:a/b, wasi:http/handler@0.3.2"), "{text}");
        assert!(text.contains("wac plug") && text.contains("--middleware"), "{text}");
        assert!(explanation(&command("")).contains("the engine's own words"));
    }
}
