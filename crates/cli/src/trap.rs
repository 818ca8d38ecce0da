//! What the command says about a trap: the reason, where the program was, and what may help.

use std::fmt::Write as _;

use tombolo::{Frame, Trap, TrapReason};

/// Of a longer backtrace, so many of the innermost frames are shown …
const INNERMOST: usize = 20;
/// … and so many of the outermost.
const OUTERMOST: usize = 4;

/// The longest name of a function that is shown whole; instances of Rust generics have no bounds.
const LONGEST_NAME: usize = 160;

/// The reason and the backtrace, as the lines of an error's message.
pub(crate) fn describe(trap: &Trap) -> String {
    let frames: Vec<String> = trap.backtrace.iter().map(line).collect();
    format!("the program trapped: {}{}", trap.reason, backtrace(&frames))
}

/// What to do about the trap, where there is something to say.
pub(crate) fn hints(trap: &Trap) -> Vec<&'static str> {
    let mut hints = Vec::new();
    match &trap.reason {
        TrapReason::Deadlock(_) => hints.push(
            "the program waits for a stream, a future or a call that nobody serves: look for an end that was neither used nor dropped",
        ),
        TrapReason::HostPanic(_) => {
            hints.push("this is a mistake in Tombolo, not in the program: please report it");
        }
        _ => {}
    }
    let named = |frame: &Frame| frame.function_name().is_some() || frame.module_name().is_some();
    if !trap.backtrace.is_empty() && !trap.backtrace.iter().any(named) {
        hints.push("the program's functions have no names: build it without stripping its name sections");
    }
    hints
}

/// A frame, without its number.
fn line(frame: &Frame) -> String {
    let shown = frame.to_string();
    // The innermost frame of an exhausted stack has no offset; its name stands where the others' do.
    let shown = if frame.wasm_offset().is_none() { format!("{:11}{shown}", "") } else { shown };
    match shown.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
        None => shown,
    }
}

/// The backtrace with its head, below a message; empty if there are no frames.
fn backtrace(frames: &[String]) -> String {
    let mut text = String::new();
    if frames.is_empty() {
        return text;
    }
    text.push_str("\nwasm backtrace:");
    // One line that says that one frame is left out would be no shorter.
    let hidden = match frames.len().saturating_sub(INNERMOST + OUTERMOST) {
        1 => 0,
        hidden => hidden,
    };
    for (number, frame) in frames.iter().enumerate() {
        if hidden > 0 && number == INNERMOST {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n       … {hidden} more frames …");
        }
        if hidden == 0 || number < INNERMOST || number >= INNERMOST + hidden {
            let _ = write!(text, "\n  {number:>3}: {frame}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(frames: usize) -> String {
        backtrace(&(0..frames).map(|number| format!("f{number}")).collect::<Vec<_>>())
    }

    #[test]
    fn a_short_backtrace_is_shown_whole() {
        assert_eq!(shown(0), "");
        assert_eq!(shown(2), "\nwasm backtrace:\n    0: f0\n    1: f1");
        assert_eq!(shown(25).lines().count(), 2 + 25);
        assert!(!shown(25).contains('…'));
    }

    #[test]
    fn a_long_backtrace_loses_its_middle() {
        let text = shown(100);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines.len(), 20 + 1 + 4);
        assert_eq!(lines[19], "   19: f19");
        assert_eq!(lines[20], "       … 76 more frames …");
        assert_eq!(lines[21], "   96: f96");
        assert_eq!(lines[24], "   99: f99");
    }
}
