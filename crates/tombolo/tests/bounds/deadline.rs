//! Deadlines.

use std::time::{Duration, Instant};

use tombolo::{Component, Config, Engine, Linker, Store, TrapCode};

use super::executor::block_on;
use super::{code, engine, guest, innermost, linker, sum};

const SOON: Duration = Duration::from_millis(20);

fn soon() -> Option<Instant> {
    Some(Instant::now() + SOON)
}

#[test]
fn guests_are_stopped_in_calls_without_an_executor() {
    for optimize in [true, false] {
        let engine = engine(|config| config.deadlines(true).optimize(optimize));
        for (name, function) in [("forever", "forever"), ("calls", ""), ("recurses", "again")] {
            let (mut store, instance) = guest(&engine);
            let func = instance.typed_func::<(), ()>(&mut store, name).unwrap();
            let deadline = soon();
            store.set_deadline(deadline).unwrap();
            let error = func.call(&mut store, ()).unwrap_err();
            assert_eq!(code(&error), TrapCode::Interrupted);
            assert!(Some(Instant::now()) >= deadline);
            assert_eq!(innermost(&error), function);
            // As after any trap.
            let error = func.call(&mut store, ()).unwrap_err();
            assert!(error.to_string().contains("deadline"), "{error}");
        }
    }
}

#[test]
fn guests_are_stopped_while_an_executor_drives_them() {
    let engine = engine(|config| config.deadlines(true));
    for name in ["forever", "forever-async", "calls", "rests", "yields", "waits", "callback"] {
        for slice in [None, Some(Duration::from_millis(1))] {
            let (mut store, instance) = guest(&engine);
            let func = instance.typed_func::<(), ()>(&mut store, name).unwrap();
            store.set_time_slice(slice).unwrap();
            let deadline = soon();
            store.set_deadline(deadline).unwrap();
            let error = block_on(func.call_async(&mut store, ())).unwrap_err();
            assert_eq!(code(&error), TrapCode::Interrupted, "{name}, {slice:?}");
            assert!(Some(Instant::now()) >= deadline);
            let error = block_on(func.call_async(&mut store, ())).unwrap_err();
            assert!(error.to_string().contains("deadline"), "{error}");
        }
    }
}

/// … by a waker, not by being polled over and over.
#[test]
fn waiting_for_the_deadline_costs_nothing() {
    let engine = engine(|config| config.deadlines(true));
    let (mut store, instance) = guest(&engine);
    let func = instance.typed_func::<(), ()>(&mut store, "waits").unwrap();
    store.set_deadline(soon()).unwrap();
    let mut call = std::pin::pin!(func.call_async(&mut store, ()));
    let mut polls = 0;
    let error = block_on(std::future::poll_fn(|cx| {
        polls += 1;
        call.as_mut().poll(cx)
    }));
    assert_eq!(code(&error.unwrap_err()), TrapCode::Interrupted);
    assert!(polls <= 4, "{polls}");
}

#[test]
fn start_functions_are_stopped() {
    const STARTS: &str = r#"(component
        (core module $m
            (func $spin (loop $l (br $l)))
            (start $spin))
        (core instance (instantiate $m)))"#;
    let engine = engine(|config| config.deadlines(true));
    let component = Component::new(&engine, STARTS).unwrap();
    for driven in [false, true] {
        for slice in [None, Some(Duration::from_millis(1))] {
            let linker = Linker::new(&engine);
            let mut store = Store::new(&engine, ());
            store.set_deadline(soon()).unwrap();
            store.set_time_slice(slice).unwrap();
            let error = match driven {
                false => linker.instantiate(&mut store, &component),
                true => block_on(linker.instantiate_async(&mut store, &component)),
            };
            let error = error.unwrap_err();
            assert_eq!(code(&error), TrapCode::Interrupted);
            assert_eq!(innermost(&error), "spin");
        }
    }
}

#[test]
fn a_deadline_can_be_moved_and_taken_away() {
    let engine = engine(|config| config.deadlines(true));
    let (mut store, instance) = guest(&engine);
    let count = instance.typed_func::<(u32,), u32>(&mut store, "count").unwrap();
    store.set_deadline(soon()).unwrap();
    store.set_deadline(Some(Instant::now() + Duration::from_secs(3600))).unwrap();
    std::thread::sleep(SOON * 2);
    assert_eq!(count.call(&mut store, (1_000,)).unwrap(), sum(1_000));
    store.set_deadline(soon()).unwrap();
    store.set_deadline(None).unwrap();
    std::thread::sleep(SOON * 2);
    assert_eq!(count.call(&mut store, (1_000,)).unwrap(), sum(1_000));
    // One that has passed already stops the next call, even though nothing ran when it did.
    store.set_deadline(Some(Instant::now())).unwrap();
    let error = block_on(count.call_async(&mut store, (1,))).unwrap_err();
    assert_eq!(code(&error), TrapCode::Interrupted);
}

/// What a deadline stops is one store.
#[test]
fn other_stores_go_on() {
    let engine = engine(|config| config.deadlines(true));
    let component = Component::new(&engine, super::GUEST).unwrap();
    let mut stores: Vec<_> = (0..3)
        .map(|_| {
            let mut store = Store::new(&engine, 0);
            let instance = linker(&engine).instantiate(&mut store, &component).unwrap();
            (store, instance)
        })
        .collect();
    for (store, instance) in &mut stores[..2] {
        let forever = instance.typed_func::<(), ()>(&mut *store, "forever").unwrap();
        store.set_deadline(soon()).unwrap();
        assert_eq!(code(&forever.call(store, ()).unwrap_err()), TrapCode::Interrupted);
    }
    let (store, instance) = &mut stores[2];
    let count = instance.typed_func::<(u32,), u32>(&mut *store, "count").unwrap();
    assert_eq!(count.call(store, (1_000,)).unwrap(), sum(1_000));
}

#[test]
fn engines_without_checks_say_so() {
    let (mut store, _) = guest(&Engine::new(&Config::new()).unwrap());
    for error in [store.set_deadline(None).unwrap_err(), store.set_time_slice(None).unwrap_err()] {
        assert!(error.to_string().contains("Config::deadlines"), "{error}");
    }
}
