//! Fuel.

use tombolo::{Component, Config, Engine, Linker, Store, StoreMut, TrapCode};

use super::{code, engine, guest, innermost, sum};

/// What `count` spends: in each round 9 instructions, then the one that gets the result.
fn cost_of_count(rounds: u64) -> u64 {
    9 * rounds + 1
}

#[test]
fn fuel_is_counted_alike_on_every_run_and_with_and_without_optimisation() {
    for optimize in [true, false] {
        let engine = engine(|config| config.fuel(true).optimize(optimize));
        for _ in 0..3 {
            let (mut store, instance) = guest(&engine);
            assert_eq!(store.fuel().unwrap(), 0);
            store.set_fuel(1_000_000).unwrap();
            let count = instance.typed_func::<(u32,), u32>(&mut store, "count").unwrap();
            for rounds in [1, 1_000] {
                let before = store.fuel().unwrap();
                assert_eq!(count.call(&mut store, (rounds,)).unwrap(), sum(rounds));
                assert_eq!(before - store.fuel().unwrap(), cost_of_count(rounds.into()), "{optimize}");
            }
        }
    }
}

#[test]
fn a_guest_without_fuel_traps_where_it_is() {
    for optimize in [true, false] {
        let engine = engine(|config| config.fuel(true).optimize(optimize));
        for name in ["forever", "recurses"] {
            let (mut store, instance) = guest(&engine);
            store.set_fuel(1_000_000).unwrap();
            let func = instance.typed_func::<(), ()>(&mut store, name).unwrap();
            let error = func.call(&mut store, ()).unwrap_err();
            assert_eq!(code(&error), TrapCode::OutOfFuel);
            assert!(["forever", "again"].contains(&&*innermost(&error)), "{error}");
            assert_eq!(store.fuel().unwrap(), 0);
        }
    }
}

#[test]
fn what_exactly_enough_fuel_is_is_known() {
    let engine = engine(|config| config.fuel(true));
    let spend = |fuel: u64| {
        let (mut store, instance) = guest(&engine);
        store.set_fuel(fuel).unwrap();
        let count = instance.typed_func::<(u32,), u32>(&mut store, "count").unwrap();
        count.call(&mut store, (100,)).map_err(|error| code(&error))
    };
    // The last check is at the head of the last round.
    let least = 9 * 99;
    assert_eq!(spend(least), Ok(sum(100)));
    assert_eq!(spend(least - 1), Err(TrapCode::OutOfFuel));
    assert_eq!(spend(u64::MAX), Ok(sum(100)));
}

#[test]
fn a_host_function_may_refuel_its_guest() {
    let engine = engine(|config| config.fuel(true));
    let component = Component::new(
        &engine,
        r#"(component
            (import "refuel" (func $refuel))
            (core func $refuel' (canon lower (func $refuel)))
            (core module $m
                (import "" "refuel" (func $refuel))
                (func (export "run") (param $n i32)
                    (loop $l
                        (call $refuel)
                        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
            (core instance $i (instantiate $m (with "" (instance (export "refuel" (func $refuel'))))))
            (func (export "run") (param "n" u32) (canon lift (core func $i "run"))))"#,
    )
    .unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .root()
        .func("refuel", |mut store: StoreMut<'_, Vec<u64>>, (): ()| {
            let left = store.fuel()?;
            store.data_mut().push(left);
            store.set_fuel(100)
        })
        .unwrap();
    let mut store = Store::new(&engine, Vec::new());
    store.set_fuel(1).unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.typed_func::<(u32,), ()>(&mut store, "run").unwrap();
    run.call(&mut store, (1_000,)).unwrap();
    // The call itself costs one unit, and so do the five instructions around it.
    assert_eq!(store.data()[..3], [0, 94, 94]);
    assert!(store.data()[1..].iter().all(|left| *left == 94));
    assert_eq!(store.fuel().unwrap(), 95);
}

#[test]
fn engines_that_do_not_count_say_so() {
    let (mut store, _) = guest(&Engine::new(&Config::new()).unwrap());
    for error in [store.fuel().unwrap_err(), store.set_fuel(1).unwrap_err()] {
        assert!(error.to_string().contains("Config::fuel"), "{error}");
    }
}
