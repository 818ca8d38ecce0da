//! What a program is not to have: `--deny`.

use std::str::FromStr;

use tombolo::Linker;

use crate::provided;

/// An interface that is taken away, or all of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied(String);

impl FromStr for Denied {
    type Err = String;

    /// Reads the name of an interface, such as `wasi:random/random`, or of a package, such as `wasi:sockets`; a version
    /// behind it does not count.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, _version) = text.split_once('@').unwrap_or((text, ""));
        let denied = Denied(name.to_owned());
        match provided::interfaces().any(|interface| denied.covers(interface)) {
            true => Ok(denied),
            false => {
                Err("nothing of that name is provided: write an interface, such as wasi:random/random, or a \
                 package, such as wasi:sockets"
                    .to_owned())
            }
        }
    }
}

impl Denied {
    /// Whether an interface, with its version or without, is taken away.
    pub(crate) fn covers(&self, interface: &str) -> bool {
        let (name, _version) = interface.split_once('@').unwrap_or((interface, ""));
        name == self.0 || name.split_once('/').is_some_and(|(package, _)| package == self.0)
    }

    /// Takes it out of what components find.
    pub(crate) fn take_from<T: Send + 'static>(&self, linker: &mut Linker<T>) {
        for interface in provided::interfaces().filter(|interface| self.covers(interface)) {
            linker.remove(&format!("{interface}@{}", provided::VERSION));
        }
    }

    /// The option that takes it away.
    pub(crate) fn option(&self) -> String {
        format!("--deny {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_and_packages_are_denied() {
        let denied = |text: &str| text.parse::<Denied>().unwrap();
        assert!(denied("wasi:random/random").covers("wasi:random/random@0.3.1"));
        assert!(!denied("wasi:random/random@0.3.2").covers("wasi:random/insecure"));
        assert!(denied("wasi:random").covers("wasi:random/insecure@0.3.2"));
        assert!(!denied("wasi:random").covers("wasi:clocks/types"));
        for nothing in ["", "random", "wasi:random/rnadom", "wasi:rand", "acme:a/b"] {
            assert!(nothing.parse::<Denied>().is_err(), "{nothing}");
        }
    }
}
