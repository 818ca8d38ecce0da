//! What one root instance may spend: fuel and time of its own. When it is used up, the instance ends wherever it is, and
//! others go on.

mod deadline;
mod fuel;
mod streams;

use std::time::{Duration, Instant};

use tombolo::{
    Component, Config, EndCause, Engine, Error, Feature, Instance, Limits, Linker, Store, TrapCode,
    TrapReason, Val,
};

use super::guests::COUNTER;
use super::places::{CALLS, PLACES, SPINS};
use super::{block_on, engine, instantiate, waited};

/// What an instance is given that goes round for good.
#[derive(Clone, Copy, Debug)]
enum Budget {
    Fuel,
    Deadline,
}

const BUDGETS: [Budget; 2] = [Budget::Fuel, Budget::Deadline];

const LITTLE_FUEL: u64 = 20_000;

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(5))
}

fn late() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(3600))
}

impl Budget {
    fn give<T: Send + 'static>(self, store: &mut Store<T>, instance: &Instance) {
        match self {
            Budget::Fuel => instance.set_fuel(store, Some(LITTLE_FUEL)).unwrap(),
            Budget::Deadline => instance.set_deadline(store, soon()).unwrap(),
        }
    }

    /// What an instance has from the beginning.
    fn limits(self) -> Limits {
        match self {
            Budget::Fuel => Limits { fuel: Some(LITTLE_FUEL), ..Limits::default() },
            Budget::Deadline => Limits { deadline: soon(), ..Limits::default() },
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Budget::Deadline)
    }

    fn code(self) -> TrapCode {
        match self {
            Budget::Fuel => TrapCode::OutOfFuel,
            Budget::Deadline => TrapCode::Interrupted,
        }
    }

    /// Checks that an instance has ended because it had no more.
    #[track_caller]
    fn has_ended(self, instance: &Instance) {
        match instance.ended().unwrap().cause() {
            EndCause::Failed(error) => assert_eq!(code(error), Some(self.code()), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

fn code(error: &Error) -> Option<TrapCode> {
    match error.trap()?.reason {
        TrapReason::Core(code) => Some(code),
        _ => None,
    }
}

fn counting(change: impl FnOnce(&mut Config) -> &mut Config) -> Engine {
    engine(|config| {
        config.feature(Feature::Threading, true).feature(Feature::MoreAsyncBuiltins, true);
        change(config.fuel(true).deadlines(true))
    })
}

const SLICES: [Option<Duration>; 2] = [None, Some(Duration::from_micros(200))];

struct World {
    store: Store<()>,
    linker: Linker<()>,
    spins: Component,
    counter: Instance,
    counted: u32,
}

impl World {
    /// There is room for no more than one that has ended beside those that live.
    fn new(engine: &Engine, slice: Option<Duration>) -> World {
        let limits = Limits { memories: 5, ..Limits::default() };
        let mut store = Store::with_limits(engine, (), limits);
        store.set_fuel(u64::MAX).unwrap();
        let counter = instantiate(&mut store, COUNTER);
        store.set_time_slice(slice).unwrap();
        let spins = Component::new(engine, SPINS).unwrap();
        World { store, linker: Linker::new(engine), spins, counter, counted: 0 }
    }

    fn spins(&mut self) -> Instance {
        block_on(self.linker.instantiate_async(&mut self.store, &self.spins)).unwrap()
    }

    fn call(&mut self, instance: &Instance, name: &str) -> Error {
        let func = instance.func(name).unwrap();
        let args: &[Val] = if func.params().is_empty() { &[] } else { &[Val::from("text")] };
        block_on(func.call_async(&mut self.store, args)).unwrap_err()
    }

    /// Others go on.
    #[track_caller]
    fn count(&mut self) {
        self.counted += 1;
        let count = self.counter.typed_func::<(), u32>(&mut self.store, "count").unwrap();
        assert_eq!(block_on(count.call_async(&mut self.store, ())).unwrap(), self.counted);
    }
}

#[test]
fn a_budget_of_its_own_ends_one_wherever_it_is() {
    let engine = counting(|config| config);
    for budget in BUDGETS {
        for slice in SLICES {
            let mut world = World::new(&engine, slice);
            let mut places = PLACES.into_iter().peekable();
            while let Some(name) = places.peek() {
                let spins = world.spins();
                budget.give(&mut world.store, &spins);
                let error = world.call(&spins, name);
                if error.to_string().starts_with("cannot enter") {
                    // The time was over before the call had begun.
                    continue;
                }
                assert_eq!(code(&error), Some(budget.code()), "{name}: {error}");
                assert!(!error.trap().unwrap().backtrace().is_empty(), "{name}: {error}");
                budget.has_ended(&spins);
                world.count();
                places.next();
            }
        }
    }
}

#[test]
fn a_budget_of_its_own_ends_one_that_another_called_wherever_it_is() {
    for after in [0, 1000] {
        let engine = counting(|config| config.adapters_after(after));
        let calls = Component::new(&engine, CALLS).unwrap();
        for budget in BUDGETS {
            for slice in SLICES {
                let mut world = World::new(&engine, slice);
                let mut places = PLACES.into_iter().peekable();
                while let Some(name) = places.peek() {
                    let spins = world.spins();
                    let mut linker = world.linker.clone();
                    linker.define_instance("spins", &spins).unwrap();
                    let calls = block_on(linker.instantiate_async(&mut world.store, &calls)).unwrap();
                    budget.give(&mut world.store, &spins);
                    let error = world.call(&calls, name);
                    if error.to_string().starts_with("cannot enter") {
                        // The time was over before the call had come there.
                        continue;
                    }
                    assert!(error.to_string().contains(&budget.code().to_string()), "{name}: {error}");
                    budget.has_ended(&spins);
                    let EndCause::Failed(error) = waited(&calls).cause().clone() else { panic!("{name}") };
                    assert_eq!(code(&error), Some(budget.code()), "{name}: {error}");
                    world.count();
                    places.next();
                }
            }
        }
    }
}

#[test]
fn a_budget_of_its_own_bounds_a_start_function() {
    const STARTS: &str = r#"(component $starts
        (core module $m
            (memory 2)
            (func $spin (loop $l (br $l)))
            (start $spin))
        (core instance (instantiate $m)))"#;
    let engine = counting(|config| config);
    let starts = Component::new(&engine, STARTS).unwrap();
    for budget in BUDGETS {
        for slice in SLICES {
            let mut world = World::new(&engine, slice);
            for driven in [true, slice.is_some(), true] {
                let linker = world.linker.within(&budget.limits());
                let error = match driven {
                    true => block_on(linker.instantiate_async(&mut world.store, &starts)),
                    false => linker.instantiate(&mut world.store, &starts),
                };
                let error = error.unwrap_err();
                assert_eq!(code(&error), Some(budget.code()), "{error}");
                // The time may be over before it starts.
                assert!(budget.is_time() || error.to_string().contains("spin"), "{error}");
                world.count();
            }
        }
    }
}

#[test]
fn engines_without_the_checks_say_so() {
    let engine = engine(|config| config);
    let mut store = Store::new(&engine, ());
    let counter = instantiate(&mut store, COUNTER);
    let component = Component::new(&engine, COUNTER).unwrap();
    for (budget, what) in [(Budget::Fuel, "Config::fuel"), (Budget::Deadline, "Config::deadlines")] {
        let linker = Linker::new(&engine).within(&budget.limits());
        let given = match budget {
            Budget::Fuel => counter.set_fuel(&mut store, Some(1)),
            Budget::Deadline => counter.set_deadline(&mut store, None),
        };
        for error in [given.unwrap_err(), linker.instantiate(&mut store, &component).unwrap_err()] {
            assert!(error.to_string().contains(what), "{error}");
        }
    }
    assert!(counter.fuel(&mut store).unwrap_err().to_string().contains("Config::fuel"));
    let mut other = Store::new(&engine, ());
    let error = counter.fuel(&mut other).unwrap_err();
    assert!(error.to_string().contains("another store"), "{error}");
}
