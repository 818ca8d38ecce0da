//! Handles that are lent within lists, by the interpreter and through adapters: as many as there are, until the call ends.

use super::async_calls::finish;
use crate::{Component, Config, Engine, Linker, Store};

/// The number of handles for which the callee keeps one, and for which the caller drops one while it is lent.
const KEEP: u32 = 7;
const DROP: u32 = 9;

/// An owner of a resource, somebody who borrows, and a caller that lends to both, the first handle twice.
fn world(callee: &str, lower: &str, count: &str) -> String {
    const LIBC: &str = r#"(core module $libc
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096)))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))"#;
    let with = |names: &[&str]| -> String {
        let exports =
            names.iter().map(|name| format!(r#"(export "{name}" (func ${name}))"#)).collect::<String>();
        format!(
            r#"(core instance $i (instantiate $m (with "" (instance {exports} (export "memory" (memory $memory))))))"#
        )
    };
    let (owner, borrower) = (with(&[]), with(&["drop", "return"]));
    // The first handle is in the list twice.
    let (keep, drop) = (KEEP + 1, DROP + 1);
    let user = with(&["new", "drop", "sum", "count", "set", "join", "wait", "end"]);
    format!(
        r#"(component
    (component $Owner
        {LIBC}
        (type $r' (resource (rep i32)))
        (export $r "r" (type $r'))
        (core func $new (canon resource.new $r'))
        (core module $m
            (import "" "memory" (memory 1))
            (func (export "sum") (param $at i32) (param $n i32) (result i32) (local $sum i32)
                (loop $next
                    (if (local.get $n) (then
                        (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
                        (local.set $at (i32.add (local.get $at) (i32.const 4)))
                        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                        (br $next))))
                (local.get $sum)))
        {owner}
        (func (export "new") (param "rep" u32) (result (own $r)) (canon lift (core func $new)))
        (func (export "sum") (param "all" (list (borrow $r))) (result u32)
            (canon lift (core func $i "sum") (memory $memory) (realloc $realloc))))
    (component $Borrower
        (import "r" (type $r (sub resource)))
        {LIBC}
        (core func $drop (canon resource.drop $r))
        (core func $return (canon task.return (result u32)))
        (core module $m
            (import "" "memory" (memory 1))
            (import "" "drop" (func $drop (param i32)))
            (import "" "return" (func $return (param i32)))
            (global $at (mut i32) (i32.const 0))
            (global $n (mut i32) (i32.const 0))
            (func $drop-all (param $at i32) (param $n i32) (result i32) (local $left i32)
                (local.set $left (local.get $n))
                (if (i32.eq (local.get $n) (i32.const {keep})) (then (local.set $left (i32.const {KEEP}))))
                (loop $next
                    (if (local.get $left) (then
                        (call $drop (i32.load (local.get $at)))
                        (local.set $at (i32.add (local.get $at) (i32.const 4)))
                        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                        (br $next))))
                (local.get $n))
            (func (export "now") (param i32 i32) (result i32) (call $drop-all (local.get 0) (local.get 1)))
            (func (export "ready") (param i32 i32) (result i32)
                (call $return (call $drop-all (local.get 0) (local.get 1))) (i32.const 0))
            (func (export "later") (param i32 i32) (result i32)
                (global.set $at (local.get 0)) (global.set $n (local.get 1)) (i32.const 1))
            (func (export "callback") (param i32 i32 i32) (result i32)
                (call $return (call $drop-all (global.get $at) (global.get $n))) (i32.const 0)))
        {borrower}
        (func (export "count") async (param "all" (list (borrow $r))) (result u32) (canon lift {callee}
            (memory $memory) (realloc $realloc))))
    (component $User
        (import "owner" (instance $owner
            (export "r" (type $r (sub resource)))
            (export "new" (func (param "rep" u32) (result (own $r))))
            (export "sum" (func (param "all" (list (borrow $r))) (result u32)))))
        (alias export $owner "r" (type $r))
        (import "borrower" (instance $borrower
            (export "count" (func async (param "all" (list (borrow $r))) (result u32)))))
        {LIBC}
        (core func $new (canon lower (func $owner "new")))
        (core func $drop (canon resource.drop $r))
        (core func $sum (canon lower (func $owner "sum") (memory $memory)))
        (core func $count (canon lower (func $borrower "count") (memory $memory) {lower}))
        (core func $set (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core func $wait (canon waitable-set.wait (memory $memory)))
        (core func $end (canon subtask.drop))
        (core module $m
            (import "" "memory" (memory 1))
            (import "" "new" (func $new (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32)))
            (import "" "sum" (func $sum (param i32 i32) (result i32)))
            (import "" "count" (func $count {count}))
            (import "" "set" (func $set (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            (import "" "wait" (func $wait (param i32 i32) (result i32)))
            (import "" "end" (func $end (param i32)))
            (func $count-async (param $at i32) (param $n i32) (result i32) (local $status i32) (local $set i32)
                (local.set $status (call $count (local.get $at) (local.get $n) CALL))
                (if (i32.eq (local.get $n) (i32.const {drop})) (then (call $drop (i32.load (local.get $at)))))
                WAIT)
            (func (export "go") (param $n i32) (result i32) (local $got i32) (local $i i32)
                (loop $next
                    (if (i32.lt_u (local.get $i) (local.get $n)) (then
                        (local.set $i (i32.add (local.get $i) (i32.const 1)))
                        (i32.store (i32.add (i32.const 1020) (i32.mul (i32.const 4) (local.get $i)))
                            (call $new (local.get $i)))
                        (br $next))))
                (i32.store (i32.add (i32.const 1024) (i32.mul (i32.const 4) (local.get $n))) (i32.load (i32.const 1024)))
                (local.set $i (i32.add (local.get $n) (i32.ne (local.get $n) (i32.const 0))))
                (local.set $got (i32.add
                    (i32.mul (i32.const 1000) (call $sum (i32.const 1024) (local.get $i)))
                    (call $count-async (i32.const 1024) (local.get $i))))
                (loop $next
                    (if (local.get $n) (then
                        (call $drop (i32.load (i32.add (i32.const 1020) (i32.mul (i32.const 4) (local.get $n)))))
                        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                        (br $next))))
                (local.get $got)))
        {user}
        (func (export "go") async (param "n" u32) (result u32) (canon lift (core func $i "go"))))
    (instance $owner (instantiate $Owner))
    (alias export $owner "r" (type $r))
    (instance $borrower (instantiate $Borrower (with "r" (type $r))))
    (instance $user (instantiate $User (with "owner" (instance $owner)) (with "borrower" (instance $borrower))))
    (export "go" (func $user "go")))"#
    )
}

/// The caller's world for a sync or an `async` lowering.
fn worlds(callee: &str) -> [String; 2] {
    let sync = world(callee, "", "(param i32 i32) (result i32)")
        .replace("CALL", "")
        .replace("WAIT", "(local.get $status)");
    let wait = r#"(if (i32.ne (local.get $status) (i32.const 2)) (then
                    (local.set $status (i32.shr_u (local.get $status) (i32.const 4)))
                    (local.set $set (call $set))
                    (call $join (local.get $status) (local.get $set))
                    (loop $again
                        (drop (call $wait (local.get $set) (i32.const 32)))
                        (br_if $again (i32.ne (i32.load (i32.const 36)) (i32.const 2))))
                    (call $end (local.get $status))))
                (i32.load (i32.const 16))"#;
    let lowered = world(callee, "async", "(param i32 i32 i32) (result i32)");
    [sync, lowered.replace("CALL", "(i32.const 16)").replace("WAIT", wait)]
}

/// What the calls come to.
fn outcomes(text: &str, adapters_after: u32) -> Vec<String> {
    let mut config = Config::new();
    config.adapters_after(adapters_after);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut outcomes = Vec::new();
    for numbers in [&[0, 1, 2, 30, 1, 30][..], &[2, KEEP], &[2, DROP]] {
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let go = instance.typed_func::<(u32,), u32>(&mut store, "go").unwrap();
        for n in numbers {
            outcomes.push(format!("{:?}", finish(go.call_async(&mut store, (*n,))).unwrap()));
        }
        let adapters = store.core().islands.borrow().adapters();
        // Those of an instance that has ended are gone.
        let expected = if adapters_after == 0 && instance.ended().is_none() { 3 } else { 0 };
        assert_eq!(adapters, expected, "{outcomes:?}");
        assert!(store.core().lent_lists.borrow().is_empty(), "{numbers:?}");
    }
    outcomes
}

#[test]
fn handles_are_lent_in_lists_until_the_call_ends() {
    for callee in [
        r#"(core func $i "now")"#,
        r#"(core func $i "ready") async (callback (core func $i "callback"))"#,
        r#"(core func $i "later") async (callback (core func $i "callback"))"#,
    ] {
        for text in worlds(callee) {
            let interpreted = outcomes(&text, u32::MAX);
            assert_eq!(outcomes(&text, 0), interpreted, "{text}");
            for (n, outcome) in [0, 1, 2, 30, 1, 30].into_iter().zip(&interpreted) {
                let (sum, count) = (n * (n + 1) / 2 + u32::from(n > 0), n + u32::from(n > 0));
                assert_eq!(*outcome, format!("Ok({})", sum * 1000 + count), "{text}");
            }
            assert!(interpreted[7].contains("BorrowsRemain"), "{}", interpreted[7]);
            let lent = callee.contains("later") && text.contains("(memory $memory) async");
            assert_eq!(interpreted[9].contains("Lent"), lent, "{}", interpreted[9]);
        }
    }
}
