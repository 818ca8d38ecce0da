//! What the command says about a trap: the reason, where the program was, and what may help.

use tombolo::{Frame, Trap, TrapCode, TrapReason};

/// The reason and the backtrace, as the lines of an error's message.
pub(crate) fn describe(trap: &Trap) -> String {
    // Both the reason and, below it, the backtrace.
    format!("the program trapped: {trap}")
}

/// What to do about the trap, where there is something to say.
pub(crate) fn hints(trap: &Trap) -> Vec<&'static str> {
    let mut hints = Vec::new();
    match &trap.reason {
        TrapReason::Deadlock(_) => hints.push(
            "the program waits for a stream, a future or a call that nobody serves: look for an end that was neither used nor dropped",
        ),
        TrapReason::Core(TrapCode::Interrupted) => {
            hints.push("it took longer than `--timeout` allows: give it more, or leave the flag out");
        }
        TrapReason::Core(TrapCode::OutOfFuel) => {
            hints.push("it spent what `--fuel` allows: give it more, or leave the flag out");
        }
        TrapReason::Core(TrapCode::StackOverflow) => {
            hints.push("if it is not an endless recursion, `--max-stack` gives it more");
        }
        TrapReason::HostPanic(_) => {
            hints.push("this is a mistake in Tombolo, not in the program: please report it");
        }
        _ => {}
    }
    let named = |frame: &Frame| frame.function_name().is_some() || frame.module_name().is_some();
    if !trap.backtrace().is_empty() && !trap.backtrace().frames().iter().any(named) {
        hints.push("the program's functions have no names: build it without stripping its name sections");
    }
    hints
}
