//! Fuel.

use std::time::{Duration, Instant};

use tombolo::{Component, Instance, Linker, Result, Store, StoreMut, TrapCode};

use super::{BUDGETS, Budget, code, counting};
use crate::{run, waited};

/// Counts down from a number, and has its callee do so. Its `realloc` counts down too, from a number that can be set; 0 is for
/// good.
const DOWN: &str = r#"(component $down
    (import "next" (instance $next
        (export "down" (func (param "n" u32) (result u32)))
        (export "echo" (func (param "s" string) (result string)))
        (export "echo-async" (func async (param "s" string) (result string)))))
    (core module $libc
        (memory (export "memory") 1)
        (global $rounds (export "rounds") (mut i32) (i32.const 1))
        (func $down (export "down") (param $n i32) (result i32)
            (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (i32.const 7))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (loop $for-good (br_if $for-good (i32.eqz (global.get $rounds))))
            (drop (call $down (global.get $rounds)))
            (i32.const 64)))
    (core instance $libc (instantiate $libc))
    (core func $next-down (canon lower (func $next "down")))
    (core func $next-echo (canon lower (func $next "echo")
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $next-echo-async (canon lower (func $next "echo-async")
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core module $m
        (import "" "memory" (memory 1))
        (import "" "rounds" (global $rounds (mut i32)))
        (import "" "next-down" (func $next-down (param i32) (result i32)))
        (import "" "next-echo" (func $next-echo (param i32 i32 i32)))
        (import "" "next-echo-async" (func $next-echo-async (param i32 i32 i32)))
        (func (export "next-down") (param i32) (result i32) (call $next-down (local.get 0)))
        (func (export "next-down-twice") (param i32) (result i32)
            (drop (call $next-down (local.get 0)))
            (loop (result i32) (call $next-down (local.get 0))))
        (func (export "next-echo") (call $next-echo (i32.const 0) (i32.const 5) (i32.const 32)))
        (func (export "next-echo-async") (call $next-echo-async (i32.const 0) (i32.const 5) (i32.const 32)))
        (func (export "set") (param i32) (global.set $rounds (local.get 0)))
        (func (export "echo") (param i32 i32) (result i32)
            (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)))
    (core instance $i (instantiate $m (with "" (instance
        (export "memory" (memory $libc "memory")) (export "rounds" (global $libc "rounds"))
        (export "next-down" (func $next-down)) (export "next-echo" (func $next-echo))
        (export "next-echo-async" (func $next-echo-async))))))
    (func (export "down") (param "n" u32) (result u32) (canon lift (core func $libc "down")))
    (func (export "next-down") (param "n" u32) (result u32) (canon lift (core func $i "next-down")))
    (func (export "next-down-twice") (param "n" u32) (result u32) (canon lift (core func $i "next-down-twice")))
    (func (export "next-echo") (canon lift (core func $i "next-echo")))
    (func (export "next-echo-async") async (canon lift (core func $i "next-echo-async")))
    (func (export "set") (param "rounds" u32) (canon lift (core func $i "set")))
    (func (export "echo-async") async (param "s" string) (result string) (canon lift (core func $i "echo")
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (func (export "echo") (param "s" string) (result string) (canon lift (core func $i "echo")
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))"#;

/// Five instructions in each round, and the result.
fn cost_of_down(rounds: u64) -> u64 {
    5 * rounds + 1
}

/// A store with two instances, of which one calls the other, by the interpreter or by an adapter.
struct Pair {
    store: Store<()>,
    linker: Linker<()>,
    component: Component,
    caller: Instance,
    callee: Instance,
}

const PLENTY: u64 = 1_000_000;

impl Pair {
    fn new(after: u32) -> Pair {
        let engine = counting(|config| config.adapters_after(after));
        let component = Component::new(&engine, DOWN).unwrap();
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        let mut next = linker.instance("next").unwrap();
        next.func("down", |_: StoreMut<'_, ()>, (_,): (u32,)| Ok(0_u32)).unwrap();
        next.func("echo", |_: StoreMut<'_, ()>, (text,): (String,)| Ok(text)).unwrap();
        next.func("echo-async", |_: StoreMut<'_, ()>, (text,): (String,)| Ok(text)).unwrap();
        let callee = linker.instantiate(&mut store, &component).unwrap();
        linker.remove("next");
        linker.define_instance("next", &callee).unwrap();
        let caller = linker.instantiate(&mut store, &component).unwrap();
        store.set_fuel(PLENTY).unwrap();
        Pair { store, linker, component, caller, callee }
    }

    fn number(&mut self, instance: &Instance, name: &str, n: u32) -> Result<u32> {
        let func = instance.typed_func::<(u32,), u32>(&mut self.store, name).unwrap();
        func.call(&mut self.store, (n,))
    }

    /// How much the store, the caller and the callee have spent, of a million each.
    fn spent(&mut self) -> [u64; 3] {
        let [caller, callee] =
            [&self.caller, &self.callee].map(|one| one.fuel(&mut self.store).unwrap().unwrap_or(PLENTY));
        [self.store.fuel().unwrap(), caller, callee].map(|left| PLENTY - left)
    }

    fn refuel(&mut self, caller: bool, callee: bool) {
        self.store.set_fuel(PLENTY).unwrap();
        for (instance, own) in [(&self.caller, caller), (&self.callee, callee)] {
            instance.set_fuel(&mut self.store, own.then_some(PLENTY)).unwrap();
        }
    }

    fn set_rounds(&mut self, instance: &Instance, rounds: u32) {
        let set = instance.typed_func::<(u32,), ()>(&mut self.store, "set").unwrap();
        set.call(&mut self.store, (rounds,)).unwrap();
    }
}

#[test]
fn each_pays_for_its_own_code_to_the_instruction() {
    for after in [0, 1000] {
        let mut pair = Pair::new(after);
        let caller = pair.caller.clone();
        let callee = pair.callee.clone();
        for rounds in [1, 100, 1_000] {
            // The caller's two instructions: what is passed, and the call.
            let (called, calls) = (cost_of_down(rounds.into()), 2);
            for (own, expected) in [
                ([false, false], [called + calls, 0, 0]),
                ([true, false], [called, calls, 0]),
                ([false, true], [calls, 0, called]),
                ([true, true], [0, calls, called]),
            ] {
                pair.refuel(own[0], own[1]);
                assert_eq!(pair.number(&caller, "next-down", rounds).unwrap(), 7);
                assert_eq!(pair.spent(), expected, "{after} {rounds} {own:?}");
            }
            pair.refuel(true, true);
            assert_eq!(pair.number(&callee, "down", rounds).unwrap(), 7);
            assert_eq!(pair.spent(), [0, 0, called]);
        }
        // What `realloc` does is spent by whose it is.
        let before = pair.spent_in_echo();
        pair.set_rounds(&callee, 1 + 100);
        assert_eq!(pair.spent_in_echo(), [0, before[1], before[2] + 5 * 100]);
        pair.set_rounds(&caller, 1 + 10);
        assert_eq!(pair.spent_in_echo(), [0, before[1] + 5 * 10, before[2] + 5 * 100]);
    }
}

impl Pair {
    fn spent_in_echo(&mut self) -> [u64; 3] {
        self.refuel(true, true);
        let caller = self.caller.clone();
        run(&mut self.store, &caller, "next-echo").unwrap();
        self.spent()
    }
}

/// The callee has returned already.
#[test]
fn a_caller_that_takes_too_long_for_a_result_ends_alone() {
    let cases = [0, 1000].into_iter().flat_map(|after| BUDGETS.map(|budget| (after, budget)));
    for (after, budget, echo) in cases.flat_map(|(a, b)| [(a, b, "next-echo"), (a, b, "next-echo-async")]) {
        let mut pair = Pair::new(after);
        let (caller, callee) = (pair.caller.clone(), pair.callee.clone());
        let spent = pair.spent_in_echo()[1];
        pair.refuel(false, false);
        pair.store.set_fuel(u64::MAX).unwrap();
        pair.set_rounds(&caller, 0);
        match budget {
            // Enough for the instructions, and not for what comes back: its `realloc` goes on for long.
            Budget::Fuel => caller.set_fuel(&mut pair.store, Some(spent + 10_000)).unwrap(),
            Budget::Deadline => {
                let at = Instant::now() + Duration::from_millis(50);
                caller.set_deadline(&mut pair.store, Some(at)).unwrap();
            }
        }
        let error = run(&mut pair.store, &caller, echo).unwrap_err();
        assert_eq!(code(&error), Some(budget.code()), "{error}");
        budget.has_ended(&caller);
        assert!(callee.ended().is_none(), "{after}: {:?}", callee.ended());
        assert_eq!(pair.number(&callee, "down", 1_000).unwrap(), 7);
    }
}

#[test]
fn one_without_fuel_is_no_concern_of_others() {
    for after in [0, 1000] {
        let mut pair = Pair::new(after);
        let (caller, callee) = (pair.caller.clone(), pair.callee.clone());
        // It has none for what it does once its callee has returned.
        pair.refuel(true, true);
        caller.set_fuel(&mut pair.store, Some(1)).unwrap();
        let error = pair.number(&caller, "next-down-twice", 1_000).unwrap_err();
        assert_eq!(code(&error), Some(TrapCode::OutOfFuel), "{error}");
        Budget::Fuel.has_ended(&caller);
        assert!(callee.ended().is_none(), "{after}: {:?}", callee.ended());
        assert_eq!(pair.number(&callee, "down", 1_000).unwrap(), 7);

        // Another takes its place, and the store's own being used up is no concern of either.
        pair.caller = pair.linker.instantiate(&mut pair.store, &pair.component).unwrap();
        pair.refuel(true, true);
        pair.store.set_fuel(0).unwrap();
        let again = pair.caller.clone();
        assert_eq!(pair.number(&again, "next-down", 1_000).unwrap(), 7);
        // The other way round: it waits for its callee, and has fuel.
        callee.set_fuel(&mut pair.store, Some(100)).unwrap();
        let error = pair.number(&again, "next-down", 1_000).unwrap_err();
        assert_eq!(code(&error), Some(TrapCode::OutOfFuel), "{error}");
        Budget::Fuel.has_ended(&callee);
        assert!(waited(&again).error().is_some());
        assert_eq!(pair.store.fuel().unwrap(), 0);
    }
}

/// By a function of the host that it calls, before it knows of the fuel: the host gives it some, more, or takes it away.
#[test]
fn a_host_function_may_give_fuel_to_its_caller() {
    const RUNS: &str = r#"(component $runs
        (import "refuel" (func $refuel))
        (core func $refuel' (canon lower (func $refuel)))
        (core module $m
            (import "" "refuel" (func $refuel))
            (func (export "run") (param $n i32)
                (loop $l
                    (call $refuel)
                    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
        (core instance $i (instantiate $m (with "" (instance (export "refuel" (func $refuel'))))))
        (func (export "run") (param "n" u32) (canon lift (core func $i "run"))))"#;
    #[derive(Default)]
    struct Host {
        guest: Option<Instance>,
        found: Vec<Option<u64>>,
        next: Vec<Option<u64>>,
    }
    let engine = counting(|config| config);
    let component = Component::new(&engine, RUNS).unwrap();
    let mut linker = Linker::<Host>::new(&engine);
    linker
        .root()
        .func("refuel", |mut store: StoreMut<'_, Host>, (): ()| {
            let guest = store.data().guest.clone().unwrap();
            let found = guest.fuel(store.as_mut())?;
            store.data_mut().found.push(found);
            match store.data_mut().next.pop() {
                Some(fuel) => guest.set_fuel(store.as_mut(), fuel),
                None => Ok(()),
            }
        })
        .unwrap();
    let mut store = Store::new(&engine, Host::default());
    store.set_fuel(1_000).unwrap();
    let guest = linker.instantiate(&mut store, &component).unwrap();
    store.data_mut().guest = Some(guest.clone());
    // From the last to the first.
    store.data_mut().next = vec![Some(30), None, None, Some(50), Some(100), None];
    let run = guest.typed_func::<(u32,), ()>(&mut store, "run").unwrap();
    let error = run.call(&mut store, (1_000,)).unwrap_err();
    assert_eq!(code(&error), Some(TrapCode::OutOfFuel), "{error}");
    // Six instructions in each round, of which one is the call.
    let found = &store.data().found;
    let expected =
        [None, None, Some(94), Some(44), None, None, Some(24), Some(18), Some(12), Some(6), Some(0)];
    assert_eq!(*found, expected);
    // The rounds, in all of which but for the first one the call comes last, that went by the store's.
    assert_eq!(store.fuel().unwrap(), 1_000 - 1 - 6 - 6 - 6);
    for error in [guest.fuel(&mut store).unwrap_err(), guest.set_fuel(&mut store, None).unwrap_err()] {
        assert!(
            error.to_string().starts_with("cannot enter component instance: component instance `runs`"),
            "{error}"
        );
    }
}
