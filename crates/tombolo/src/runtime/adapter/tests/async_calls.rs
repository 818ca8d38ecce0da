//! Calls of `async` functions, by the interpreter and through adapters: what callers see is the same, also where a call
//! begins without a task and somebody asks for it later.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::{Component, Config, Engine, Linker, Store};

/// What the callee does, by the number that it is passed.
const RETURNS: u32 = 0;
const RETURNS_THEN_YIELDS: u32 = 1;
const YIELDS_THEN_RETURNS: u32 = 2;
const RETURNS_TWICE: u32 = 3;
const NEVER_RETURNS: u32 = 4;
const TRAPS: u32 = 5;
const RETURNS_THEN_TRAPS_LATER: u32 = 6;
const ASKS_FOR_ITS_THREAD: u32 = 7;
const HOLDS_CALLS_BACK: u32 = 8;
const RETURNS_ANOTHER_TYPE: u32 = 9;
const UNKNOWN_CODE: u32 = 10;
const WAITS: u32 = 11;
const CANCELS_ITSELF: u32 = 12;
const THROWS: u32 = 13;
const RETURNS_THEN_TRAPS: u32 = 14;
const YIELDS_THEN_NEVER_RETURNS: u32 = 15;
const WAITS_ON_NO_SET: u32 = 16;
const BAD_STRING: u32 = 17;
const STREAMS: u32 = 18;
/// Only in callees that may block in the middle.
const BLOCKS_THEN_RETURNS: u32 = 32;
const RETURNS_THEN_BLOCKS: u32 = 33;
const BLOCKS_THEN_TRAPS: u32 = 34;
const BLOCKS_TWICE_THEN_YIELDS: u32 = 35;
const WAITS_IN_THE_MIDDLE: u32 = 36;

/// How the callee is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lift {
    Callback,
    /// With a callback, in an instance that has something to block with.
    CallbackOnFiber,
    /// Without the async ABI.
    Sync,
    SyncOnFiber,
    /// Without a callback.
    Stackful,
    StackfulOnFiber,
}

const ON_FIBER: &str = r#"
    (core func $yield (canon thread.yield))
    (core func $wait (canon waitable-set.wait (memory (core memory $libc "memory"))))"#;

const LIBC: &str = r#"
    (core module $libc
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $next (i32.add (global.get $next) (i32.const 64)))
            (global.get $next)))
    (core instance $libc (instantiate $libc))"#;

/// Two components: the callee's `f` takes a number, which says what it does, and a string, which it returns. The caller's
/// functions return how far the calls came, in decimal digits: first that of `canon lower`, then those of events.
fn pair(lift: Lift) -> String {
    let on_fiber = matches!(lift, Lift::CallbackOnFiber | Lift::SyncOnFiber | Lift::StackfulOnFiber);
    let (yields, wait) = match on_fiber {
        true => (
            r#"(import "" "yield" (func $yield (result i32)))"#,
            r#"(import "" "wait" (func $wait (param i32 i32) (result i32)))"#,
        ),
        false => (
            "(func $yield (result i32) unreachable)",
            "(func $wait (param i32 i32) (result i32) unreachable)",
        ),
    };
    let is_async = !matches!(lift, Lift::Sync | Lift::SyncOnFiber);
    let options = r#"(memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))"#;
    let lift_options = match lift {
        Lift::Callback | Lift::CallbackOnFiber => {
            format!(r#"(core func $m "f") async (callback (core func $m "callback")) {options}"#)
        }
        Lift::Stackful | Lift::StackfulOnFiber => format!(r#"(core func $m "stackful") async {options}"#),
        Lift::Sync | Lift::SyncOnFiber => {
            format!(r#"(core func $m "sync") (post-return (core func $m "post-return")) {options}"#)
        }
    };
    let task_builtins = if is_async {
        r#"(core func $return (canon task.return (result string) (memory (core memory $libc "memory"))))
        (core func $return-number (canon task.return (result u32)))
        (core func $cancel (canon task.cancel))"#
    } else {
        r#"(core module $none
            (func (export "return") (param i32 i32) unreachable)
            (func (export "return-number") (param i32) unreachable)
            (func (export "cancel") unreachable))
        (core instance $none (instantiate $none))
        (alias core export $none "return" (core func $return))
        (alias core export $none "return-number" (core func $return-number))
        (alias core export $none "cancel" (core func $cancel))"#
    };
    let modes: String = [
        (RETURNS, "(call $r)"),
        (RETURNS_THEN_YIELDS, "(call $r) (call $then (i32.const 0)) (return (i32.const 1))"),
        (YIELDS_THEN_RETURNS, "(call $then (i32.const 1)) (return (i32.const 1))"),
        (RETURNS_TWICE, "(call $r) (call $r)"),
        (NEVER_RETURNS, ""),
        (TRAPS, "unreachable"),
        (RETURNS_THEN_TRAPS_LATER, "(call $r) (call $then (i32.const 2)) (return (i32.const 1))"),
        (ASKS_FOR_ITS_THREAD, "(if (i32.eqz (call $index)) (then unreachable)) (call $r)"),
        (HOLDS_CALLS_BACK, "(call $hold) (call $r)"),
        (RETURNS_ANOTHER_TYPE, "(call $return-number (i32.const 1))"),
        (UNKNOWN_CODE, "(call $r) (return (i32.const 7))"),
        (
            WAITS,
            "(call $then (i32.const 3)) (return (i32.or (i32.const 2) (i32.shl (call $set) (i32.const 4))))",
        ),
        (CANCELS_ITSELF, "(call $cancel)"),
        (THROWS, "(throw $t)"),
        (RETURNS_THEN_TRAPS, "(call $r) unreachable"),
        (YIELDS_THEN_NEVER_RETURNS, "(call $then (i32.const 0)) (return (i32.const 1))"),
        (WAITS_ON_NO_SET, "(return (i32.const 0x5552))"),
        (BAD_STRING, "(call $return (i32.const 0) (i32.const -1))"),
        (STREAMS, "(if (i64.eqz (call $stream)) (then unreachable)) (call $r)"),
        (BLOCKS_THEN_RETURNS, "(drop (call $yield)) (call $r)"),
        (RETURNS_THEN_BLOCKS, "(call $r) (drop (call $yield))"),
        (BLOCKS_THEN_TRAPS, "(drop (call $yield)) unreachable"),
        (
            BLOCKS_TWICE_THEN_YIELDS,
            "(drop (call $yield)) (drop (call $yield)) (call $then (i32.const 1)) (return (i32.const 1))",
        ),
        (WAITS_IN_THE_MIDDLE, "(drop (call $wait (call $set) (i32.const 8))) (call $r)"),
    ]
    .iter()
    .map(|(mode, body)| format!("(if (i32.eq (global.get $mode) (i32.const {mode})) (then {body}))\n"))
    .collect();
    let fiber_exports =
        if on_fiber { r#"(export "yield" (func $yield)) (export "wait" (func $wait))"# } else { "" };
    let fiber_builtins = if on_fiber { ON_FIBER } else { "" };
    format!(
        r#"(component
            (component $callee {LIBC} {task_builtins} {fiber_builtins}
                (type $bytes (stream u8))
                (core func $index (canon thread.index))
                (core func $hold (canon backpressure.inc))
                (core func $go-on (canon backpressure.dec))
                (core func $set (canon waitable-set.new))
                (core func $stream (canon stream.new $bytes))
                (core func $get (canon context.get i32 0))
                (core func $put (canon context.set i32 0))
                (core module $m
                    (import "" "memory" (memory 1))
                    (import "" "return" (func $return (param i32 i32)))
                    (import "" "return-number" (func $return-number (param i32)))
                    (import "" "cancel" (func $cancel))
                    (import "" "index" (func $index (result i32)))
                    (import "" "hold" (func $hold))
                    (import "" "go-on" (func $go-on))
                    (import "" "set" (func $set (result i32)))
                    (import "" "stream" (func $stream (result i64)))
                    (import "" "get" (func $get (result i32)))
                    (import "" "put" (func $put (param i32)))
                    {yields} {wait}
                    (tag $t)
                    (global $is-sync i32 (i32.const {is_sync}))
                    (global $mode (mut i32) (i32.const 0))
                    ;; The string is where the thread's storage says, and behind it what the callback does.
                    (func $r
                        (if (i32.eqz (global.get $is-sync))
                            (then (call $return (call $get) (i32.const 34)))))
                    (func $then (param i32) (i32.store offset=48 (call $get) (local.get 0)))
                    (func $f (export "f") (param $mode i32) (param $at i32) (param $length i32) (result i32)
                        ;; A new thread's storage is empty.
                        (if (call $get) (then unreachable))
                        (call $put (local.get $at))
                        (global.set $mode (local.get $mode))
                        (call $then (i32.const 0))
                        {modes}
                        (i32.const 0))
                    (func (export "stackful") (param i32 i32 i32)
                        (if (call $f (local.get 0) (local.get 1) (local.get 2)) (then unreachable)))
                    (func (export "sync") (param i32 i32 i32) (result i32)
                        (if (call $f (local.get 0) (local.get 1) (local.get 2)) (then unreachable))
                        (i32.store (i32.const 16) (local.get 1))
                        (i32.store (i32.const 20) (local.get 2))
                        (i32.const 16))
                    (func (export "post-return") (param i32)
                        (if (i32.eqz (call $get)) (then unreachable))
                        (i32.store (i32.const 16) (i32.const 0)))
                    (func (export "callback") (param $event i32) (param i32 i32) (result i32)
                        (local $then i32)
                        (local.set $then (i32.load offset=48 (call $get)))
                        (if (i32.eq (local.get $event) (i32.const 6)) (then (call $cancel) (return (i32.const 0))))
                        (if (i32.eq (local.get $then) (i32.const 1)) (then (call $r)))
                        (if (i32.eq (local.get $then) (i32.const 2)) (then unreachable))
                        (i32.const 0))
                    (func (export "go-on") (call $go-on)))
                (core instance $m (instantiate $m (with "" (instance
                    (export "memory" (memory $libc "memory"))
                    (export "return" (func $return)) (export "return-number" (func $return-number))
                    (export "cancel" (func $cancel)) (export "index" (func $index))
                    (export "hold" (func $hold)) (export "go-on" (func $go-on))
                    (export "set" (func $set)) (export "stream" (func $stream))
                    (export "get" (func $get)) (export "put" (func $put))
                    {fiber_exports}))))
                (func (export "f") async (param "mode" u32) (param "text" string) (result string)
                    (canon lift {lift_options}))
                (func (export "go-on") (canon lift (core func $m "go-on"))))

            (component $caller
                (import "f" (func $f async (param "mode" u32) (param "text" string) (result string)))
                {LIBC}
                (core func $async (canon lower (func $f) async {options}))
                (core func $sync (canon lower (func $f) {options}))
                (core func $cancel (canon subtask.cancel async))
                (core func $drop (canon subtask.drop))
                (core func $set-new (canon waitable-set.new))
                (core func $set-drop (canon waitable-set.drop))
                (core func $wait (canon waitable-set.wait (memory (core memory $libc "memory"))))
                (core func $join (canon waitable.join))
                (core module $m
                    (import "" "memory" (memory 1))
                    (import "" "async" (func $async (param i32 i32 i32 i32) (result i32)))
                    (import "" "sync" (func $sync (param i32 i32 i32 i32)))
                    (import "" "cancel" (func $cancel (param i32) (result i32)))
                    (import "" "drop" (func $drop (param i32)))
                    (import "" "set-new" (func $set-new (result i32)))
                    (import "" "set-drop" (func $set-drop (param i32)))
                    (import "" "wait" (func $wait (param i32 i32) (result i32)))
                    (import "" "join" (func $join (param i32 i32)))
                    (data (i32.const 512) "text that is passed there and back")
                    (global $trace (mut i32) (i32.const 0))
                    (func $note (param i32)
                        (global.set $trace (i32.add (i32.mul (global.get $trace) (i32.const 10)) (local.get 0))))
                    (func $begin (param $mode i32) (param $out i32) (result i32)
                        (local $status i32)
                        (i64.store (local.get $out) (i64.const 0))
                        (local.set $status
                            (call $async (local.get $mode) (i32.const 512) (i32.const 34) (local.get $out)))
                        (call $note (i32.and (local.get $status) (i32.const 15)))
                        (i32.shr_u (local.get $status) (i32.const 4)))
                    (func $end (param $subtask i32)
                        (local $set i32)
                        (if (i32.eqz (local.get $subtask)) (then (return)))
                        (local.set $set (call $set-new))
                        (call $join (local.get $subtask) (local.get $set))
                        (loop $again
                            (if (i32.ne (call $wait (local.get $set) (i32.const 64)) (i32.const 1)) (then unreachable))
                            (call $note (i32.load (i32.const 68)))
                            (br_if $again (i32.lt_u (i32.load (i32.const 68)) (i32.const 2))))
                        (call $drop (local.get $subtask))
                        (call $set-drop (local.get $set)))
                    ;; The result is the string that was passed.
                    (func $check (param $out i32)
                        (local $i i32)
                        (if (i32.ne (i32.load offset=4 (local.get $out)) (i32.const 34)) (then (call $note (i32.const 9)) (return)))
                        (loop $again
                            (if (i32.ne
                                (i32.load8_u (i32.add (i32.load (local.get $out)) (local.get $i)))
                                (i32.load8_u offset=512 (local.get $i))) (then unreachable))
                            (br_if $again (i32.lt_u
                                (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 34))))
                        (call $note (i32.const 8)))
                    (func (export "one") (param $mode i32) (result i32)
                        (global.set $trace (i32.const 0))
                        (call $end (call $begin (local.get $mode) (i32.const 32)))
                        (call $check (i32.const 32))
                        (global.get $trace))
                    (func (export "waiting") (param $mode i32) (result i32)
                        (global.set $trace (i32.const 0))
                        (call $sync (local.get $mode) (i32.const 512) (i32.const 34) (i32.const 32))
                        (call $check (i32.const 32))
                        (global.get $trace))
                    (func (export "two") (param $first i32) (param $second i32) (result i32)
                        (local $a i32) (local $b i32)
                        (global.set $trace (i32.const 0))
                        (local.set $a (call $begin (local.get $first) (i32.const 32)))
                        (local.set $b (call $begin (local.get $second) (i32.const 40)))
                        (call $end (local.get $a))
                        (call $end (local.get $b))
                        (call $check (i32.const 32))
                        (call $check (i32.const 40))
                        (global.get $trace))
                    (func (export "cancel") (param $mode i32) (result i32)
                        (local $subtask i32) (local $state i32)
                        (global.set $trace (i32.const 0))
                        (local.set $subtask (call $begin (local.get $mode) (i32.const 32)))
                        (local.set $state (call $cancel (local.get $subtask)))
                        (if (i32.eq (local.get $state) (i32.const -1))
                            (then (call $note (i32.const 7)) (call $end (local.get $subtask)))
                            (else (call $note (local.get $state)) (call $drop (local.get $subtask))))
                        (call $check (i32.const 32))
                        (global.get $trace)))
                (core instance $m (instantiate $m (with "" (instance
                    (export "memory" (memory $libc "memory"))
                    (export "async" (func $async)) (export "sync" (func $sync))
                    (export "cancel" (func $cancel)) (export "drop" (func $drop))
                    (export "set-new" (func $set-new)) (export "set-drop" (func $set-drop))
                    (export "wait" (func $wait)) (export "join" (func $join))))))
                (func (export "one") async (param "mode" u32) (result u32) (canon lift (core func $m "one")))
                (func (export "waiting") async (param "mode" u32) (result u32)
                    (canon lift (core func $m "waiting")))
                (func (export "two") async (param "first" u32) (param "second" u32) (result u32)
                    (canon lift (core func $m "two")))
                (func (export "cancel") async (param "mode" u32) (result u32)
                    (canon lift (core func $m "cancel"))))

            (instance $callee (instantiate $callee))
            (instance $caller (instantiate $caller (with "f" (func $callee "f"))))
            (export "go-on" (func $callee "go-on"))
            (export "one" (func $caller "one"))
            (export "waiting" (func $caller "waiting"))
            (export "two" (func $caller "two"))
            (export "cancel" (func $caller "cancel")))"#,
        is_sync = u32::from(!is_async),
    )
}

/// A call of the caller's.
#[derive(Clone, Copy, Debug)]
enum Call {
    One(u32),
    Waiting(u32),
    Two(u32, u32),
    Cancel(u32),
    GoOn,
}

/// Polls a future as long as it says that it can go on.
pub(super) fn finish<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..1000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(output);
        }
    }
    None
}

/// The two components with a callee that is lifted so, once with calls that are interpreted, once with compiled ones.
struct Pair {
    lift: Lift,
    interpreted: (Engine, Component),
    compiled: (Engine, Component),
}

impl Pair {
    fn new(lift: Lift) -> Pair {
        let text = pair(lift);
        let of = |adapters_after| {
            let mut config = Config::new();
            for feature in crate::Feature::ALL {
                config.feature(*feature, true);
            }
            let engine = Engine::new(config.optimize(false).adapters_after(adapters_after)).unwrap();
            let component = Component::new(&engine, &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            (engine, component)
        };
        Pair { lift, interpreted: of(u32::MAX), compiled: of(0) }
    }

    /// The calls have the same outcomes either way. Returns those of adapters.
    fn same(&self, calls: &[Call]) -> Vec<String> {
        let interpreted = outcomes(&self.interpreted, false, calls);
        let compiled = outcomes(&self.compiled, true, calls);
        assert_eq!(interpreted, compiled, "{:?} {calls:?}", self.lift);
        compiled
    }
}

/// What each call returns, and what is left in the store.
fn outcomes((engine, component): &(Engine, Component), compiled: bool, calls: &[Call]) -> Vec<String> {
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, component).unwrap();
    assert_eq!(store.core().islands.borrow().adapters() > 0, compiled);
    let mut outcomes = Vec::new();
    for call in calls {
        let store = &mut store;
        let outcome = match *call {
            Call::GoOn => {
                let func = instance.typed_func::<(), ()>(&mut *store, "go-on").unwrap();
                Some(func.call(&mut *store, ()).map(|()| 0))
            }
            Call::Two(first, second) => {
                let func = instance.typed_func::<(u32, u32), u32>(&mut *store, "two").unwrap();
                finish(func.call_async(store, (first, second)))
            }
            Call::One(mode) | Call::Waiting(mode) | Call::Cancel(mode) => {
                let name = match call {
                    Call::One(_) => "one",
                    Call::Waiting(_) => "waiting",
                    _ => "cancel",
                };
                let func = instance.typed_func::<(u32,), u32>(&mut *store, name).unwrap();
                finish(func.call_async(store, (mode,)))
            }
        };
        let ended = matches!(outcome, Some(Ok(_)));
        outcomes.push(match outcome {
            Some(Ok(trace)) => trace.to_string(),
            Some(Err(error)) => error.to_string(),
            None => "it never ends".to_owned(),
        });
        // What a callee does after it has returned is not waited for.
        drop(finish(store.run_concurrent(async |_| ())));
        if ended {
            outcomes.push(format!("{:?}", store.core().tasks.borrow().census()));
        }
    }
    outcomes
}

const LIFTS: [Lift; 6] = [
    Lift::Callback,
    Lift::CallbackOnFiber,
    Lift::Sync,
    Lift::SyncOnFiber,
    Lift::Stackful,
    Lift::StackfulOnFiber,
];

#[test]
fn each_way_to_go_on_is_as_in_the_interpreter() {
    for lift in LIFTS {
        let pair = Pair::new(lift);
        let blocking = matches!(lift, Lift::CallbackOnFiber | Lift::SyncOnFiber | Lift::StackfulOnFiber);
        let mut modes: Vec<u32> = (RETURNS..=STREAMS).collect();
        if blocking {
            modes.extend(BLOCKS_THEN_RETURNS..=WAITS_IN_THE_MIDDLE);
        }
        for mode in modes {
            // The first call tells the `task.return` that fits.
            for call in [Call::One(mode), Call::Waiting(mode)] {
                let outcomes = pair.same(&[Call::One(RETURNS), Call::One(RETURNS), call, Call::One(RETURNS)]);
                assert_eq!(outcomes[..2], outcomes[2..4], "nothing is left over");
            }
            pair.same(&[call_first(mode), Call::One(RETURNS)]);
        }
    }
}

fn call_first(mode: u32) -> Call {
    if mode.is_multiple_of(2) { Call::One(mode) } else { Call::Waiting(mode) }
}

#[test]
fn what_goes_wrong_is_named() {
    let ready = Call::One(RETURNS);
    for lift in [Lift::Callback, Lift::CallbackOnFiber] {
        let pair = Pair::new(lift);
        for (mode, expected) in [
            (RETURNS_TWICE, "already returned"),
            (NEVER_RETURNS, "without"),
            (TRAPS, "unreachable"),
            (RETURNS_ANOTHER_TYPE, "another result type"),
            (UNKNOWN_CODE, "callback code"),
            (CANCELS_ITSELF, "cancel"),
            (THROWS, "exception"),
            (RETURNS_THEN_TRAPS, "unreachable"),
            (WAITS_ON_NO_SET, "unknown"),
            (BAD_STRING, "too large"),
        ] {
            let outcomes = pair.same(&[ready, ready, Call::One(mode)]);
            let error = outcomes.last().unwrap();
            assert!(error.contains(expected), "{mode}: {error}");
        }
    }
}

#[test]
fn a_call_that_blocks_is_told_of_later() {
    let ready = Call::One(RETURNS);
    let trace = |lift, call| Pair::new(lift).same(&[ready, ready, call])[4].clone();
    assert_eq!(trace(Lift::Callback, Call::One(RETURNS)), "28");
    assert_eq!(trace(Lift::Callback, Call::One(RETURNS_THEN_YIELDS)), "28");
    assert_eq!(trace(Lift::Callback, Call::One(YIELDS_THEN_RETURNS)), "128");
    assert_eq!(trace(Lift::Callback, Call::Waiting(YIELDS_THEN_RETURNS)), "8");
    assert_eq!(trace(Lift::CallbackOnFiber, Call::One(BLOCKS_THEN_RETURNS)), "128");
    assert_eq!(trace(Lift::CallbackOnFiber, Call::One(BLOCKS_TWICE_THEN_YIELDS)), "128");
    assert_eq!(trace(Lift::SyncOnFiber, Call::One(BLOCKS_THEN_RETURNS)), "128");
    assert_eq!(trace(Lift::StackfulOnFiber, Call::One(RETURNS_THEN_BLOCKS)), "28");
    assert_eq!(trace(Lift::StackfulOnFiber, Call::Waiting(BLOCKS_THEN_RETURNS)), "8");
}

#[test]
fn a_call_that_meets_another_waits_for_it_or_not() {
    for lift in LIFTS {
        let pair = Pair::new(lift);
        let blocking = matches!(lift, Lift::CallbackOnFiber | Lift::SyncOnFiber | Lift::StackfulOnFiber);
        let mut modes = vec![RETURNS, RETURNS_THEN_YIELDS, YIELDS_THEN_RETURNS, ASKS_FOR_ITS_THREAD];
        if blocking {
            modes.extend([BLOCKS_THEN_RETURNS, RETURNS_THEN_BLOCKS]);
        }
        for first in &modes {
            for second in &modes {
                if lift == Lift::Sync || lift == Lift::Stackful {
                    let simple = [RETURNS, ASKS_FOR_ITS_THREAD];
                    if !simple.contains(first) || !simple.contains(second) {
                        continue;
                    }
                }
                pair.same(&[Call::One(RETURNS), Call::Two(*first, *second), Call::Two(*second, *first)]);
            }
        }
    }
}

#[test]
fn backpressure_holds_calls_back() {
    for lift in LIFTS {
        let pair = Pair::new(lift);
        let held = [Call::One(RETURNS), Call::One(HOLDS_CALLS_BACK), Call::One(RETURNS)];
        let outcomes = pair.same(&held);
        assert!(outcomes.last().unwrap().contains("wait"), "{outcomes:?}");
        let lifted = [Call::One(RETURNS), Call::One(HOLDS_CALLS_BACK), Call::GoOn, Call::One(RETURNS)];
        assert_eq!(pair.same(&lifted)[6], "28");
    }
}

#[test]
fn a_promoted_subtask_is_cancelled() {
    let cancel =
        |lift, mode| Pair::new(lift).same(&[Call::One(RETURNS), Call::Cancel(mode), Call::One(RETURNS)]);
    // CANCELLED_BEFORE_RETURNED, and no result.
    assert_eq!(cancel(Lift::Callback, WAITS)[2], "149");
    assert_eq!(cancel(Lift::CallbackOnFiber, WAITS)[2], "149");
    assert_eq!(cancel(Lift::Callback, YIELDS_THEN_RETURNS)[2], "149");
    // This one is not told before it has returned.
    cancel(Lift::CallbackOnFiber, BLOCKS_THEN_RETURNS);
    cancel(Lift::StackfulOnFiber, BLOCKS_THEN_RETURNS);
    cancel(Lift::SyncOnFiber, BLOCKS_THEN_RETURNS);
}

#[test]
fn a_call_has_a_task_only_when_somebody_asks() {
    let pair = Pair::new(Lift::CallbackOnFiber);
    let one = |(engine, component): &(Engine, Component), host_bytes, mode| {
        let mut store =
            Store::with_limits(engine, (), crate::Limits { host_bytes, ..crate::Limits::default() });
        let instance = Linker::new(engine).instantiate(&mut store, component).unwrap();
        let one = instance.typed_func::<(u32,), u32>(&mut store, "one").unwrap();
        finish(one.call_async(&mut store, (mode,))).unwrap()
    };
    // The least that a call which returns at once can do with: two stacks, and tasks.
    let least = |of: &(Engine, Component)| {
        let (mut too_little, mut enough) = (0, 1 << 20);
        while enough - too_little > 1 {
            let middle = u64::midpoint(too_little, enough);
            match one(of, middle, RETURNS) {
                Ok(trace) => {
                    assert_eq!(trace, 28);
                    enough = middle;
                }
                Err(_) => too_little = middle,
            }
        }
        enough
    };
    let (interpreted, compiled) = (least(&pair.interpreted), least(&pair.compiled));
    assert!(compiled < interpreted, "{compiled} {interpreted}");
    let error = one(&pair.compiled, compiled, BLOCKS_THEN_RETURNS).unwrap_err();
    assert!(error.to_string().contains("bytes"), "{error}");
}

#[test]
fn stacks_of_calls_are_charged_before_anybody_asks() {
    let (engine, component) = &Pair::new(Lift::CallbackOnFiber).compiled;
    // Enough for the caller's stack, not for another.
    let limits = crate::Limits { host_bytes: 24 << 10, ..crate::Limits::default() };
    let mut store = Store::with_limits(engine, (), limits);
    let instance = Linker::new(engine).instantiate(&mut store, component).unwrap();
    let one = instance.typed_func::<(u32,), u32>(&mut store, "one").unwrap();
    let error = finish(one.call_async(&mut store, (RETURNS,))).unwrap().unwrap_err();
    assert!(error.to_string().contains("bytes"), "{error}");
}
