//! Whether a message is the one that a script expects.

/// Whether `message` says what `expected` does: contains it, or contains what stands for it here.
pub(crate) fn says(message: &str, expected: &str) -> bool {
    // The reference interpreter's scripts were recorded with this in front of every trap.
    let expected = expected.strip_prefix("wasm trap: ").unwrap_or(expected);
    message.contains(expected)
        || OURS.iter().any(|(theirs, ours)| expected.starts_with(theirs) && message.contains(ours))
}

/// Messages of which only the wording differs: how the scripts' begin, and what ours contain instead.
const OURS: &[(&str, &str)] = &[
    ("deadlock detected: event loop cannot make further progress", "deadlock: every task waits for another"),
    ("incompatible import type", "incompatible import"),
    // In the first version's scripts.
    ("undefined", "out of bounds table access"),
    ("uninitialized element", "uninitialized element"),
    ("indirect call signature mismatch", "indirect call type mismatch"),
    ("null function reference", "null reference"),
    ("null exception reference", "null reference"),
    ("unaligned pointer", "is not aligned to"),
    ("realloc return: result not aligned", "is not aligned to"),
    ("realloc return: beyond end of memory", "beyond the memory's"),
    ("list content out-of-bounds", "realloc returned"),
    (
        "handle index 1 used with the wrong type, expected guest-defined resource but found a different guest-defined",
        "handle index 1 used with the wrong type, expected resource but found a different resource",
    ),
    // The scripts come from a text parser that has no words for these.
    ("unexpected token", "duplicate `implements` attribute"),
    ("unexpected token", "duplicate `external-id` attribute"),
    // The validator reads these bytes as a number that may only be 0.
    ("invalid boolean value", "for zero byte"),
    ("non-zero reserved byte", "for zero byte"),
    // The validator knows a built-in by this byte, and misses the rest of it.
    ("invalid leading byte (0x2e) for canonical function", "unexpected end-of-file"),
    // The import is called `FOOB-ar`: the script misspells it.
    ("import name `foob-ar` conflicts", "import name `FOOB-ar` conflicts"),
];
