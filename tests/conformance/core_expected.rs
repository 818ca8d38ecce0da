//! What of the reference tests of core WebAssembly does not pass, and why.

use crate::suite::{Expected, Fails};

/// The list of a suite.
pub(crate) fn expected(suite: &str) -> &'static [Expected] {
    match suite {
        "wasm-v3" | "wasm-latest" => V3,
        "proposals/gc" => GC,
        "proposals/bulk-memory" => BULK_MEMORY,
        "proposals/exceptions" => EXCEPTIONS,
        "proposals/mutable-global" => MUTABLE_GLOBAL,
        "proposals/reference-types" => REFERENCE_TYPES,
        _ => &[],
    }
}

/// A script with modules that use the types of the GC proposal, which the engine refuses by that name.
const fn gc(script: &'static str) -> Expected {
    Expected {
        script,
        fails: Fails::Saying("(GC proposal)"),
        reason: "the engine refuses modules that use the types of the GC proposal",
    }
}

const fn lines(script: &'static str, lines: &'static [usize], reason: &'static str) -> Expected {
    Expected { script, fails: Fails::Lines(lines), reason }
}

const V3: &[Expected] = &[
    gc("ref_null.wast"),
    gc("type-canon.wast"),
    gc("type-equivalence.wast"),
    gc("type-rec.wast"),
    lines("type-rec.wast", &[156], "imports from a module that uses types of the GC proposal"),
];

const GC: &[Expected] = &[
    gc("array.wast"),
    gc("array_copy.wast"),
    gc("array_fill.wast"),
    gc("array_init_data.wast"),
    gc("array_init_elem.wast"),
    gc("array_new_data.wast"),
    gc("array_new_elem.wast"),
    gc("br_on_cast.wast"),
    gc("br_on_cast_fail.wast"),
    gc("extern.wast"),
    gc("i31.wast"),
    gc("ref_cast.wast"),
    gc("ref_eq.wast"),
    gc("ref_test.wast"),
    gc("struct.wast"),
    gc("type-subtyping.wast"),
];

const BULK_MEMORY: &[Expected] = &[gc("table_init.wast")];

const EXCEPTIONS: &[Expected] =
    &[gc("tag.wast"), lines("tag.wast", &[59], "imports from a module that uses types of the GC proposal")];

const MUTABLE_GLOBAL: &[Expected] = &[lines(
    "linking.wast",
    &[206, 227, 236, 238, 248, 298, 334, 342, 344, 354],
    "from before the second version, in which a segment that does not fit is a trap, and those before it stay copied",
)];

const REFERENCE_TYPES: &[Expected] = &[lines(
    "unreached-invalid.wast",
    &[539],
    "from before the second version, in which operands that cannot be reached fit labels of different types at once",
)];
