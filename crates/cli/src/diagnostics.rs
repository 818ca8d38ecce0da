//! What the command says when something goes wrong, and what it exits with.
//!
//! The libraries below say what was wrong and where. Here, and only here, an error also learns what to do
//! next: a [`Failure`] carries hints, and [`report`] prints
//!
//! ```text
//! error: what was wrong
//!   caused by: what was wrong below that
//! hint: what to do next
//! ```
//!
//! on the standard error stream.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::trap;

/// What the command exits with for an error of its own.
const EXIT_ERROR: u8 = 1;

/// … for a mistake on the command line, as clap has it.
const EXIT_USAGE: u8 = 2;

/// … when the reader of its output went away: what a shell shows for a program that SIGPIPE ended.
const EXIT_BROKEN_PIPE: u8 = 141;

/// … when the program trapped: what a shell shows for a program that SIGABRT ended.
const EXIT_TRAP: u8 = 134;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Green.on_default().bold();

/// An error with what the user can do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    error: anyhow::Error,
    hints: Vec<String>,
    exit: u8,
}

impl Failure {
    /// A failure that says `message`.
    pub(crate) fn new(message: impl fmt::Display) -> Failure {
        Failure { error: anyhow::anyhow!("{message}"), hints: Vec::new(), exit: EXIT_ERROR }
    }

    /// A failure that says `message` and names `cause` below it.
    pub(crate) fn caused_by(message: impl fmt::Display, cause: impl Into<anyhow::Error>) -> Failure {
        Failure { error: cause.into().context(message.to_string()), hints: Vec::new(), exit: EXIT_ERROR }
    }

    /// A failure that says what is wrong with the command line.
    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure { exit: EXIT_USAGE, ..Failure::new(message) }
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hints.push(hint.into());
        self
    }

    /// Whether the reader of the command's own output went away: nobody is left to be told.
    fn is_broken_pipe(&self) -> bool {
        self.error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The message, its causes and the hints, as [`report`] prints them.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("{ERROR}error:{ERROR:#} {}\n", printable(&self.error.to_string()));
        let mut above = self.error.to_string();
        for cause in self.error.chain().skip(1).map(ToString::to_string) {
            // Many an error ends with its cause's message.
            if !above.ends_with(&cause) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  caused by: {}", indent_rest(&printable(&cause), "    "));
            }
            above = cause;
        }
        for hint in &self.hints {
            let _ = writeln!(text, "{HINT}hint:{HINT:#} {}", indent_rest(&printable(hint), "      "));
        }
        text
    }
}

impl From<io::Error> for Failure {
    /// An error of the command's own output.
    fn from(error: io::Error) -> Failure {
        Failure::caused_by("cannot write the output", error)
    }
}

/// Prints `failure` and returns what to exit with.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    if failure.is_broken_pipe() {
        return ExitCode::from(EXIT_BROKEN_PIPE);
    }
    print_error(&failure.render());
    ExitCode::from(failure.exit)
}

/// Prints a trap of the program with its backtrace, and returns what to exit with.
pub(crate) fn report_trap(trap: &tombolo::Trap) -> ExitCode {
    print_error(&render_trap(trap));
    ExitCode::from(EXIT_TRAP)
}

/// A trap of the program with its backtrace, as [`report_trap`] prints it.
pub(crate) fn render_trap(trap: &tombolo::Trap) -> String {
    let failure = Failure::new(trap::describe(trap));
    trap::hints(trap).into_iter().fold(failure, Failure::hint).render()
}

/// Says what the program was refused, and the option that would allow it.
pub(crate) fn report_refusal(what: &str, option: &str) {
    print_error(&format!("{HINT}refused:{HINT:#} {}; to allow it: {}\n", printable(what), printable(option)));
}

/// `text` without what a terminal would take for a command: names and messages come from the file, too.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// Prints what clap has to say (an error of usage, the help, the version) and returns what to exit with.
pub(crate) fn report_usage(error: &clap::Error) -> ExitCode {
    if let Err(error) = error.print() {
        return report(&Failure::from(error));
    }
    if let Some(hint) = usage_hint(error) {
        print_error(&format!("\n{HINT}hint:{HINT:#} {hint}\n"));
    }
    // 0 for the help and the version, 2 for an error.
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_ERROR))
}

/// Who types `tombolo app.wasm` wants `tombolo run app.wasm`.
fn usage_hint(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let ContextValue::String(word) = error.get(ContextKind::InvalidSubcommand)? else { return None };
    let path = std::path::Path::new(word);
    let is_program = path.extension().is_some_and(|extension| extension == "wasm" || extension == "wat");
    (is_program || path.is_file()).then(|| format!("to run a component: tombolo run {word}"))
}

/// Nothing is left to do when even the standard error stream is closed.
fn print_error(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Later lines of `text` begin below the first.
fn indent_rest(text: &str, indent: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{indent}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_hints_follow_the_message() {
        let cause = io::Error::other("first line\nsecond line");
        let failure = Failure::caused_by("it broke", cause).hint("mend it").hint("or\nleave it");
        let text = anstream::adapter::strip_str(&failure.render()).to_string();
        assert_eq!(
            text,
            "error: it broke\n  caused by: first line\n    second line\nhint: mend it\nhint: or\n      leave it\n"
        );
    }

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        let cause = io::Error::new(io::ErrorKind::NotFound, anyhow::anyhow!("gone").context("no x: gone"));
        let text = anstream::adapter::strip_str(&Failure::caused_by("it broke", cause).render()).to_string();
        assert_eq!(text, "error: it broke\n  caused by: no x: gone\n");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        let failure = Failure::new("no such function: \u{1b}[2Jgone\r\nnext");
        let text = anstream::adapter::strip_str(&failure.render()).to_string();
        assert_eq!(text, "error: no such function: \\u{1b}[2Jgone\\r\nnext\n");
    }

    #[test]
    fn a_closed_pipe_is_told_apart_from_other_errors() {
        assert!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).is_broken_pipe());
        assert!(!Failure::from(io::Error::from(io::ErrorKind::StorageFull)).is_broken_pipe());
    }
}
