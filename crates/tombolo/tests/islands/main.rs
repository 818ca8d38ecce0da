//! One root instance ends, and the others in its store go on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

#[path = "../support/block_on.rs"]
mod block_on;
mod guests;

mod budgets;
mod cancelling;
mod causes;
mod ending;
mod hundred;
mod instantiating;
mod limits;
mod million;
mod moments;
mod places;
mod waiting;

use tombolo::{Component, Config, EndCause, Ended, Engine, Error, Instance, Linker, Store, TrapReason};

pub(crate) use block_on::block_on;

pub(crate) fn engine(change: impl FnOnce(&mut Config) -> &mut Config) -> Engine {
    let mut config = Config::new();
    change(&mut config);
    Engine::new(&config).unwrap()
}

/// Instantiates a component that imports nothing.
pub(crate) fn instantiate<T: Send + 'static>(store: &mut Store<T>, text: &str) -> Instance {
    let engine = store.engine().clone();
    let component = Component::new(&engine, text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Linker::new(&engine).instantiate(store, &component).unwrap()
}

/// Calls a function that takes and returns nothing.
pub(crate) fn run<T: Send + 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    name: &str,
) -> Result<(), Error> {
    let func = instance.typed_func::<(), ()>(&mut *store, name).unwrap();
    if func.func().is_async() { block_on(func.call_async(store, ())) } else { func.call(store, ()) }
}

/// What an error says of a root instance that ended.
pub(crate) fn ended(error: &Error) -> &Ended {
    match &error.trap().unwrap_or_else(|| panic!("{error}")).reason {
        TrapReason::Ended(ended) | TrapReason::CannotEnter(ended) => ended,
        reason => panic!("{reason}"),
    }
}

/// Checks that an instance has ended because it waited for another, and returns that other's end.
pub(crate) fn waited(instance: &Instance) -> Ended {
    match instance.ended().unwrap().cause() {
        EndCause::Waited(other) => other.clone(),
        other => panic!("{other:?}"),
    }
}
