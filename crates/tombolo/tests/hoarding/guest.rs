//! A component that hoards.

/// The functions of [`GUEST`] that never stop.
pub(crate) const HOARDS: &[&str] = &[
    "sets",
    "streams",
    "futures",
    "resources",
    "error-contexts",
    "threads",
    "stacks",
    "stacks-that-were-deep",
    "stacks-that-are-deep",
    "stacks-on-stacks",
    "subtasks",
    "strings",
    "large",
    "host-streams",
    "writes",
    "queued-calls",
];

/// The functions of [`GUEST`] that do much, and give back what they take.
pub(crate) const FRUGAL: &[&str] =
    &["cancelled-calls", "dropped-streams", "dropped-host-streams", "ended-threads", "deep-threads"];

pub(crate) const GUEST: &str = r#"(component $hoarder
    (import "never" (func $never async (param "s" string)))
    (import "large" (func $large async (result u32)))
    (import "stream" (func $stream (result (stream u8))))
    (type $bytes (stream u8))
    (type $word (future u32))
    (core module $libc
        (memory (export "memory") 32)
        (table (export "table") 6 funcref)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
    (core instance $libc (instantiate $libc))
    (component $held-back
        (core func $inc (canon backpressure.inc))
        (core module $m
            (import "" "inc" (func $inc))
            (func (export "hold") (call $inc))
            (func (export "wait") (result i32) (i32.const 0))
            (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
        (core instance $i (instantiate $m (with "" (instance (export "inc" (func $inc))))))
        (func (export "hold") (canon lift (core func $i "hold")))
        (func (export "wait") async (canon lift (core func $i "wait") async (callback (core func $i "callback")))))
    (instance $held-back (instantiate $held-back))
    (core func $hold (canon lower (func $held-back "hold")))
    (core func $wait (canon lower (func $held-back "wait") async))
    (type $r (resource (rep i32)))
    (core func $set (canon waitable-set.new))
    (core func $new-stream (canon stream.new $bytes))
    (core func $new-future (canon future.new $word))
    (core func $write (canon stream.write $bytes async (memory (core memory $libc "memory"))))
    (core func $read (canon stream.read $bytes async (memory (core memory $libc "memory"))))
    (core func $cancel-write (canon stream.cancel-write $bytes))
    (core func $drop-readable (canon stream.drop-readable $bytes))
    (core func $drop-writable (canon stream.drop-writable $bytes))
    (core func $cancel (canon subtask.cancel))
    (core func $drop (canon subtask.drop))
    (core func $new-resource (canon resource.new $r))
    (core func $new-context (canon error-context.new (memory (core memory $libc "memory"))))
    (core type $start (func (param i32)))
    (core func $new-thread (canon thread.new-indirect $start (core table $libc "table")))
    (core func $later (canon thread.resume-later))
    (core func $suspend (canon thread.suspend))
    (core func $yield (canon thread.yield))
    (core func $switch (canon thread.suspend-then-resume))
    (core func $never' (canon lower (func $never) async (memory (core memory $libc "memory"))))
    (core func $large' (canon lower (func $large) async (memory (core memory $libc "memory"))))
    (core func $stream' (canon lower (func $stream)))
    (core module $m
        (import "" "table" (table 6 funcref))
        (import "" "set" (func $set (result i32)))
        (import "" "new-stream" (func $new-stream (result i64)))
        (import "" "new-future" (func $new-future (result i64)))
        (import "" "write" (func $write (param i32 i32 i32) (result i32)))
        (import "" "new-resource" (func $new-resource (param i32) (result i32)))
        (import "" "new-context" (func $new-context (param i32 i32) (result i32)))
        (import "" "new-thread" (func $new-thread (param i32 i32) (result i32)))
        (import "" "later" (func $later (param i32)))
        (import "" "suspend" (func $suspend (result i32)))
        (import "" "yield" (func $yield (result i32)))
        (import "" "switch" (func $switch (param i32) (result i32)))
        (import "" "never" (func $never (param i32 i32) (result i32)))
        (import "" "large" (func $large (param i32) (result i32)))
        (import "" "stream" (func $stream (result i32)))
        (import "" "hold" (func $hold))
        (import "" "wait" (func $wait (result i32)))
        (import "" "cancel" (func $cancel (param i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (import "" "cancel-write" (func $cancel-write (param i32) (result i32)))
        (import "" "drop-readable" (func $drop-readable (param i32)))
        (import "" "drop-writable" (func $drop-writable (param i32)))
        (func $thread (param i32) (drop (call $suspend)))
        (func $ends (param i32))
        ;; Down to two thirds of what there is, and back.
        (func $down (param $levels i32) (result i32)
            (if (result i32) (local.get $levels)
                (then (i32.add (i32.const 1) (call $down (i32.sub (local.get $levels) (i32.const 1)))))
                (else (i32.const 0))))
        (func $suspend-at (param $levels i32) (result i32)
            (if (result i32) (local.get $levels)
                (then (i32.add (i32.const 1) (call $suspend-at (i32.sub (local.get $levels) (i32.const 1)))))
                (else (call $suspend))))
        (func $call-at (param $levels i32) (result i32)
            (if (result i32) (local.get $levels)
                (then (i32.add (i32.const 1) (call $call-at (i32.sub (local.get $levels) (i32.const 1)))))
                (else (call $switch (call $new-thread (i32.const 4) (i32.const 0))))))
        (func $was-deep (param i32) (drop (call $down (i32.const 20_000))) (drop (call $suspend)))
        (func $is-deep (param i32) (drop (call $suspend-at (i32.const 7_000))))
        (func $goes-on (param i32) (drop (call $call-at (i32.const 7_000))))
        (func $deep-ends (param i32) (drop (call $down (i32.const 20_000))))
        (elem (i32.const 0) func $thread $ends $was-deep $is-deep $goes-on $deep-ends)
        (func (export "sets") (loop $l (drop (call $set)) (br $l)))
        (func (export "streams") (loop $l (drop (call $new-stream)) (br $l)))
        (func (export "futures") (loop $l (drop (call $new-future)) (br $l)))
        (func (export "resources") (loop $l (drop (call $new-resource (i32.const 1))) (br $l)))
        (func (export "error-contexts") (loop $l (drop (call $new-context (i32.const 0) (i32.const 1000))) (br $l)))
        (func (export "threads") (loop $l (drop (call $new-thread (i32.const 0) (i32.const 0))) (br $l)))
        (func (export "stacks") (loop $l
            (call $later (call $new-thread (i32.const 0) (i32.const 0))) (drop (call $yield)) (br $l)))
        (func (export "stacks-that-were-deep") (loop $l
            (call $later (call $new-thread (i32.const 2) (i32.const 0))) (drop (call $yield)) (br $l)))
        (func (export "stacks-that-are-deep") (loop $l
            (call $later (call $new-thread (i32.const 3) (i32.const 0))) (drop (call $yield)) (br $l)))
        (func (export "stacks-on-stacks") (drop (call $call-at (i32.const 7_000))))
        (func (export "deep-threads") (local $n i32) (loop $l
            (call $later (call $new-thread (i32.const 5) (i32.const 0))) (drop (call $yield))
            (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000)))))
        (func (export "subtasks") (loop $l (drop (call $never (i32.const 0) (i32.const 0))) (br $l)))
        (func (export "strings") (loop $l (drop (call $never (i32.const 0) (i32.const 1000000))) (br $l)))
        (func (export "large") (loop $l (drop (call $large (i32.const 0))) (br $l)))
        (func (export "host-streams") (loop $l (drop (call $stream)) (br $l)))
        (func (export "writes") (loop $l
            (drop (call $write (i32.wrap_i64 (i64.shr_u (call $new-stream) (i64.const 32))) (i32.const 0) (i32.const 0)))
            (br $l)))
        (func (export "cancelled-calls") (local $n i32) (local $call i32)
            (loop $l
                (local.set $call (i32.shr_u (call $large (i32.const 0)) (i32.const 4)))
                (drop (call $cancel (local.get $call)))
                (call $drop (local.get $call))
                (local.set $call (i32.shr_u (call $never (i32.const 0) (i32.const 100000)) (i32.const 4)))
                (drop (call $cancel (local.get $call)))
                (call $drop (local.get $call))
                (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10000)))))
        (func (export "dropped-streams") (local $n i32) (local $ends i64)
            (loop $l
                (local.set $ends (call $new-stream))
                (drop (call $write (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))) (i32.const 0) (i32.const 0)))
                (call $drop-readable (i32.wrap_i64 (local.get $ends)))
                (drop (call $cancel-write (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32)))))
                (call $drop-writable (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
                (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000)))))
        (func (export "dropped-host-streams") (local $n i32)
            (loop $l
                (call $drop-readable (call $stream))
                (drop (call $yield))
                (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000)))))
        (func (export "ended-threads") (local $n i32)
            (loop $l
                (call $later (call $new-thread (i32.const 1) (i32.const 0))) (drop (call $yield))
                (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000)))))
        (func (export "fine"))
        (func (export "queued-calls") (call $hold) (loop $l (drop (call $wait)) (br $l))))
    (core instance $i (instantiate $m (with "" (instance
        (export "table" (table $libc "table"))
        (export "set" (func $set)) (export "new-stream" (func $new-stream)) (export "new-future" (func $new-future))
        (export "write" (func $write)) (export "new-resource" (func $new-resource))
        (export "new-context" (func $new-context)) (export "new-thread" (func $new-thread))
        (export "later" (func $later)) (export "suspend" (func $suspend)) (export "yield" (func $yield))
        (export "switch" (func $switch))
        (export "never" (func $never')) (export "large" (func $large')) (export "stream" (func $stream'))
        (export "hold" (func $hold)) (export "wait" (func $wait))
        (export "cancel" (func $cancel)) (export "drop" (func $drop)) (export "cancel-write" (func $cancel-write))
        (export "drop-readable" (func $drop-readable)) (export "drop-writable" (func $drop-writable))))))
    (func (export "sets") (canon lift (core func $i "sets")))
    (func (export "streams") (canon lift (core func $i "streams")))
    (func (export "futures") (canon lift (core func $i "futures")))
    (func (export "resources") (canon lift (core func $i "resources")))
    (func (export "error-contexts") (canon lift (core func $i "error-contexts")))
    (func (export "threads") async (canon lift (core func $i "threads")))
    (func (export "stacks") async (canon lift (core func $i "stacks")))
    (func (export "stacks-that-were-deep") async (canon lift (core func $i "stacks-that-were-deep")))
    (func (export "stacks-that-are-deep") async (canon lift (core func $i "stacks-that-are-deep")))
    (func (export "stacks-on-stacks") async (canon lift (core func $i "stacks-on-stacks")))
    (func (export "deep-threads") async (canon lift (core func $i "deep-threads")))
    (func (export "subtasks") (canon lift (core func $i "subtasks")))
    (func (export "strings") (canon lift (core func $i "strings")))
    (func (export "large") (canon lift (core func $i "large")))
    (func (export "host-streams") (canon lift (core func $i "host-streams")))
    (func (export "writes") (canon lift (core func $i "writes")))
    (func (export "queued-calls") (canon lift (core func $i "queued-calls")))
    (func (export "cancelled-calls") (canon lift (core func $i "cancelled-calls")))
    (func (export "dropped-streams") (canon lift (core func $i "dropped-streams")))
    (func (export "dropped-host-streams") async (canon lift (core func $i "dropped-host-streams")))
    (func (export "ended-threads") async (canon lift (core func $i "ended-threads")))
    (func (export "fine") (canon lift (core func $i "fine"))))"#;
