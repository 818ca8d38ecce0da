//! What came of a script.

use std::fmt;

/// What came of a script, directive by directive.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Directives that did as they should.
    pub passed: usize,
    /// Of those, the text that the text format's parser refused, as it should: the machines never saw it.
    pub by_text: usize,
    /// Directives that could not be tried, because what they need failed before.
    pub skipped: usize,
    /// Directives that did not do as they should, in order.
    pub failures: Vec<Failure>,
}

/// Why a directive did not do as it should.
pub(crate) enum Wrong {
    /// What it needs failed already, and that was reported.
    Before,
    Here(String),
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Wrong::Here(message)
    }
}

/// A directive that did not do as it should, or a script that does not parse.
///
/// `Display` writes it in one paragraph: `file.wast:3:2: assert_return: …`.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The script's name.
    pub script: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column, counted from 1.
    pub column: usize,
    /// The directive; empty if the script does not parse.
    pub directive: &'static str,
    /// What went wrong.
    pub message: String,
}

impl Report {
    /// Whether all went as it should.
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.script, self.line, self.column)?;
        if !self.directive.is_empty() {
            write!(f, "{}: ", self.directive)?;
        }
        f.write_str(&self.message)
    }
}
