//! Whether a message is the one that a script expects.

/// Whether `message` says what `expected` does: contains it, or contains what stands for it here.
pub(crate) fn says(message: &str, expected: &str) -> bool {
    // The reference interpreter's scripts were recorded with this in front of every trap.
    let expected = expected.strip_prefix("wasm trap: ").unwrap_or(expected);
    message.contains(expected)
        || OURS.iter().any(|(theirs, ours)| expected.starts_with(theirs) && message.contains(ours))
}

/// Messages of which only the wording differs: how the scripts' begin, and what ours contain instead.
const OURS: &[(&str, &str)] = &[];
