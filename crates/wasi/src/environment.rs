//! What a program is told about the way it was started.

use std::sync::Arc;

/// Arguments, environment variables and the working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The arguments, the program's own name first.
    pub arguments: Arc<Vec<String>>,
    /// The environment variables, each name once.
    pub variables: Arc<Vec<(String, String)>>,
    /// Where relative paths begin, as a path among the preopened directories.
    pub initial_cwd: Option<String>,
}

impl Environment {
    /// Sets a variable, in place of an earlier one of that name.
    pub(crate) fn set(&mut self, name: String, value: String) {
        let variables = Arc::make_mut(&mut self.variables);
        match variables.iter_mut().find(|(existing, _)| *existing == name) {
            Some((_, existing)) => *existing = value,
            None => variables.push((name, value)),
        }
    }

    /// Copies the host process's variables, without those that are not Unicode.
    pub(crate) fn inherit(&mut self) {
        for (name, value) in std::env::vars_os() {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                self.set(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_again_is_replaced() {
        let mut environment = Environment::default();
        environment.set("A".into(), "1".into());
        environment.set("B".into(), "2".into());
        environment.set("A".into(), "3".into());
        assert_eq!(*environment.variables, [("A".into(), "3".into()), ("B".into(), "2".into())]);
    }
}
