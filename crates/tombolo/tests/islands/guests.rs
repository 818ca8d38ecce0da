//! Components to run.

/// Counts how often it was called: if that goes on, nothing has happened to it.
pub(crate) const COUNTER: &str = r#"(component $counter
    (core module $m
        (memory 1)
        (func (export "count") (result i32)
            (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
            (i32.load (i32.const 8))))
    (core instance $i (instantiate $m))
    (func (export "count") (result u32) (canon lift (core func $i "count"))))"#;

/// Ends in each way in which a guest can. It imports: `fail` returns an error, `panic` panics, `later` fails after it
/// has waited, `rest` waits.
pub(crate) const TRAPS: &str = r#"(component $traps
    (import "fail" (func $fail))
    (import "panic" (func $panic))
    (import "later" (func $later async))
    (import "rest" (func $rest async))
    (core func $rest' (canon lower (func $rest)))
    (core func $fail' (canon lower (func $fail)))
    (core func $panic' (canon lower (func $panic)))
    (core func $later' (canon lower (func $later)))
    (core func $yield (canon thread.yield))
    (core func $set (canon waitable-set.new))
    (core module $libc
        (memory (export "memory") 1)
        (func (export "bad-realloc") (param i32 i32 i32 i32) (result i32) (i32.const -4))
        (func (export "trapping-realloc") (param i32 i32 i32 i32) (result i32) unreachable))
    (core instance $libc (instantiate $libc))
    (core module $m
        (import "" "fail" (func $fail))
        (import "" "panic" (func $panic))
        (import "" "later" (func $later))
        (import "" "rest" (func $rest))
        (import "" "yield" (func $yield (result i32)))
        (import "" "set" (func $set (result i32)))
        (memory (export "memory") 1)
        (table 3 funcref)
        (elem (i32.const 2) func $deep)
        (type $other (func (param i64)))
        (tag $tag)
        (func (export "unreachable") unreachable)
        (func (export "memory-bounds") (drop (i32.load (i32.const -1))))
        (func (export "table-bounds") (call_indirect (i32.const 9)))
        (func (export "null-element") (call_indirect (i32.const 0)))
        (func (export "other-signature") (call_indirect (type $other) (i64.const 1) (i32.const 2)))
        (func (export "overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
        (func (export "conversion") (drop (i32.trunc_f64_s (f64.const nan))))
        (func (export "divide") (drop (i32.div_u (i32.const 1) (i32.const 0))))
        (func $deep (export "stack-overflow") (call $deep) (call $yield) drop)
        (func (export "exception") (throw $tag))
        (func (export "forever") (loop $l (br $l)))
        (func (export "many-sets") (loop $l (drop (call $set)) (br $l)))
        (func (export "host-error") (call $fail))
        (func (export "host-panic") (call $panic))
        (func (export "host-error-later") (call $later))
        (func (export "rests") (loop $l (call $rest) (br $l)))
        (func (export "string") (result i32)
            (i32.store (i32.const 0) (i32.const -2)) (i32.store (i32.const 4) (i32.const 9)) (i32.const 0))
        (func (export "char") (result i32) (i32.const 0xd800))
        (func (export "takes") (param i32 i32))
        (func (export "returns") (result i32) (i32.const 7))
        (func (export "post-return") (param i32) unreachable)
        (func (export "waits-once") (result i32) (i32.const 1 (; YIELD ;)))
        (func (export "callback") (param i32 i32 i32) (result i32) unreachable)
        (func (export "unknown-code") (result i32) (i32.const 9))
        (func (export "exits") (result i32) (i32.const 0)))
    (core instance $i (instantiate $m (with "" (instance
        (export "fail" (func $fail')) (export "panic" (func $panic')) (export "later" (func $later'))
        (export "rest" (func $rest')) (export "yield" (func $yield)) (export "set" (func $set))))))
    (func (export "unreachable") (canon lift (core func $i "unreachable")))
    (func (export "memory-bounds") (canon lift (core func $i "memory-bounds")))
    (func (export "table-bounds") (canon lift (core func $i "table-bounds")))
    (func (export "null-element") (canon lift (core func $i "null-element")))
    (func (export "other-signature") (canon lift (core func $i "other-signature")))
    (func (export "overflow") (canon lift (core func $i "overflow")))
    (func (export "conversion") (canon lift (core func $i "conversion")))
    (func (export "divide") (canon lift (core func $i "divide")))
    (func (export "stack-overflow") (canon lift (core func $i "stack-overflow")))
    (func (export "exception") (canon lift (core func $i "exception")))
    (func (export "forever") (canon lift (core func $i "forever")))
    (func (export "limit") (canon lift (core func $i "many-sets")))
    (func (export "host-error") (canon lift (core func $i "host-error")))
    (func (export "host-panic") (canon lift (core func $i "host-panic")))
    (func (export "host-error-later") async (canon lift (core func $i "host-error-later")))
    (func (export "rests") async (canon lift (core func $i "rests")))
    (func (export "bad-string") (result string)
        (canon lift (core func $i "string") (memory (core memory $i "memory"))))
    (func (export "bad-char") (result char) (canon lift (core func $i "char")))
    (func (export "bad-realloc") (param "s" string) (canon lift (core func $i "takes")
        (memory (core memory $libc "memory")) (realloc (core func $libc "bad-realloc"))))
    (func (export "trapping-realloc") (param "s" string) (canon lift (core func $i "takes")
        (memory (core memory $libc "memory")) (realloc (core func $libc "trapping-realloc"))))
    (func (export "post-return") (result u32)
        (canon lift (core func $i "returns") (post-return (core func $i "post-return"))))
    (func (export "callback") async
        (canon lift (core func $i "waits-once") async (callback (core func $i "callback"))))
    (func (export "unknown-code") async
        (canon lift (core func $i "unknown-code") async (callback (core func $i "callback"))))
    (func (export "never-returns") async
        (canon lift (core func $i "exits") async (callback (core func $i "callback")))))"#;

/// The functions of [`TRAPS`] that end it, and what the error says.
pub(crate) const WAYS: &[(&str, &str)] = &[
    ("unreachable", "unreachable"),
    ("memory-bounds", "out of bounds memory access"),
    ("table-bounds", "out of bounds table access"),
    ("null-element", "uninitialized element"),
    ("other-signature", "indirect call type mismatch"),
    ("divide", "integer divide by zero"),
    ("overflow", "integer overflow"),
    ("conversion", "invalid conversion to integer"),
    ("stack-overflow", "call stack exhausted"),
    ("exception", "uncaught exception"),
    ("limit", "exceed their budget"),
    ("host-error", "the host's own error"),
    ("host-panic", "a host function panicked"),
    ("host-error-later", "the host's own error"),
    ("bad-string", "out of bounds"),
    ("bad-char", "invalid `char`"),
    ("bad-realloc", "realloc returned"),
    ("trapping-realloc", "unreachable"),
    ("post-return", "unreachable"),
    ("callback", "unreachable"),
    ("unknown-code", "unsupported callback code"),
    ("never-returns", "without"),
];
