//! Each kind of trap ends its root instance, and nothing else.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use tombolo::{
    Accessor, Component, EndCause, Engine, Error, Instance, Limits, Linker, Result, Store, StoreMut,
    TrapReason, Val,
};

use super::guests::{COUNTER, TRAPS, WAYS};
use super::{block_on, ended, engine, instantiate, run};

#[derive(Debug, thiserror::Error)]
#[error("the host's own error")]
struct HostError;

pub(crate) fn linker<T: Send + 'static>(engine: &Engine) -> Linker<T> {
    let mut linker = Linker::new(engine);
    let mut root = linker.root();
    root.func("fail", |_: StoreMut<'_, T>, (): ()| -> Result<()> { Err(Error::host(HostError)) }).unwrap();
    root.func("panic", |_: StoreMut<'_, T>, (): ()| -> Result<()> { panic!("the host's own panic") })
        .unwrap();
    root.func_async("later", |_: Accessor<T>, (): ()| async {
        yield_now().await;
        Result::<()>::Err(Error::host(HostError))
    })
    .unwrap();
    root.func_async("rest", |_: Accessor<T>, (): ()| async {
        yield_now().await;
        Result::Ok(())
    })
    .unwrap();
    linker
}

/// Is pending once.
pub(crate) async fn yield_now() {
    let mut first = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// Polls a future once, for whoever waits here.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Calls a function of [`TRAPS`], which ends it.
pub(crate) fn call<T: Send + 'static>(store: &mut Store<T>, instance: &Instance, name: &str) -> Error {
    let func = instance.func(name).unwrap();
    let args: &[Val] = if func.params().is_empty() { &[] } else { &[Val::String("some text".into())] };
    let result =
        if func.is_async() { block_on(func.call_async(store, args)) } else { func.call(store, args) };
    result.unwrap_err()
}

fn counted(store: &mut Store<()>, counter: &Instance) -> u32 {
    counter.typed_func::<(), u32>(&mut *store, "count").unwrap().call(store, ()).unwrap()
}

#[test]
fn each_kind_of_trap_ends_its_own_island_alone() {
    let engine = engine(|config| config);
    let traps = Component::new(&engine, TRAPS).unwrap();
    let linker = linker(&engine);
    let mut store = Store::with_limits(&engine, (), Limits { host_bytes: 1 << 20, ..Limits::default() });
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    store.on_ended(move |_, ended| tell.lock().unwrap().push(ended.to_string()));
    let counter = instantiate(&mut store, COUNTER);
    for (count, (name, text)) in (1..).zip(WAYS) {
        let instance = linker.instantiate(&mut store, &traps).unwrap();
        let error = call(&mut store, &instance, name);
        assert!(error.to_string().contains(text), "{name}: {error}");
        // It says so to whoever comes later, and is the same error.
        let later = run(&mut store, &instance, "unreachable").unwrap_err();
        assert!(matches!(later.trap().unwrap().reason, TrapReason::CannotEnter(_)), "{name}: {later}");
        assert!(ended(&later).error().unwrap().to_string().contains(text), "{name}: {later}");
        assert!(later.to_string().contains("component instance `traps`"), "{later}");
        assert!(matches!(instance.ended().unwrap().cause(), EndCause::Failed(_)));
        assert_eq!(told.lock().unwrap().len(), count as usize, "{name}");
        assert!(told.lock().unwrap().last().unwrap().contains(text));
        // Others go on, and so does the component.
        assert_eq!(counted(&mut store, &counter), count, "{name}");
        let again = linker.instantiate(&mut store, &traps).unwrap();
        assert!(again.ended().is_none());
        again.end(&mut store).unwrap();
    }
}

#[test]
fn used_up_fuel_ends_the_one_that_used_it() {
    let engine = engine(|config| config.fuel(true));
    let traps = Component::new(&engine, TRAPS).unwrap();
    let mut store = Store::new(&engine, ());
    let counter = instantiate(&mut store, COUNTER);
    let instance = linker(&engine).instantiate(&mut store, &traps).unwrap();
    store.set_fuel(10_000).unwrap();
    let error = call(&mut store, &instance, "forever");
    assert!(error.to_string().contains("all fuel consumed"), "{error}");
    assert!(instance.ended().is_some());
    store.set_fuel(10_000).unwrap();
    assert_eq!(counted(&mut store, &counter), 1);
}

#[test]
fn a_deadline_ends_those_that_run_or_wait() {
    let engine = engine(|config| config.deadlines(true));
    let traps = Component::new(&engine, TRAPS).unwrap();
    let linker = linker(&engine);
    let mut store = Store::new(&engine, ());
    let counter = instantiate(&mut store, COUNTER);
    let instance = linker.instantiate(&mut store, &traps).unwrap();
    store.set_deadline(Some(Instant::now() + Duration::from_millis(5))).unwrap();
    let error = call(&mut store, &instance, "forever");
    assert!(error.to_string().contains("deadline passed"), "{error}");
    // Nothing runs as long as it is past …
    store.set_deadline(None).unwrap();
    // … and one that had nothing to do goes on afterwards.
    assert_eq!(counted(&mut store, &counter), 1);
    assert!(instance.ended().is_some());
}

#[test]
fn a_start_function_that_traps_leaves_nothing_behind() {
    let engine = engine(|config| config);
    let text = r#"(component $starts
        (core module $m (memory 1) (func $start unreachable) (start $start))
        (core instance (instantiate $m)))"#;
    let component = Component::new(&engine, text).unwrap();
    let limits = Limits { memory_bytes: 1 << 17, instances: 4, memories: 2, ..Limits::default() };
    let mut store = Store::with_limits(&engine, (), limits);
    let counter = instantiate(&mut store, COUNTER);
    for count in 1..20 {
        let error = Linker::new(&engine).instantiate(&mut store, &component).unwrap_err();
        assert!(error.to_string().contains("unreachable"), "{error}");
        assert_eq!(counted(&mut store, &counter), count);
    }
}

/// The destructor is that of one component, the handle that of another.
#[test]
fn a_destructor_that_traps_ends_its_own_island_and_who_waits_for_it() {
    let engine = engine(|config| config);
    let mut store = Store::new(&engine, ());
    let owner = instantiate(
        &mut store,
        r#"(component $owner
            (core module $m
                (func (export "dtor") (param i32) unreachable))
            (core instance $i (instantiate $m))
            (type $r (resource (rep i32) (dtor (core func $i "dtor"))))
            (core func $new (canon resource.new $r))
            (core module $n
                (import "" "new" (func $new (param i32) (result i32)))
                (func (export "make") (result i32) (call $new (i32.const 5))))
            (core instance $n (instantiate $n (with "" (instance (export "new" (func $new))))))
            (export $r' "r" (type $r))
            (func (export "make") (result (own $r')) (canon lift (core func $n "make"))))"#,
    );
    let mut linker = Linker::new(&engine);
    linker.define_instance("owner", &owner).unwrap();
    let user = Component::new(
        &engine,
        r#"(component $user
            (import "owner" (instance $owner
                (export "r" (type $r (sub resource)))
                (export "make" (func (result (own $r))))))
            (alias export $owner "r" (type $r))
            (core func $make (canon lower (func $owner "make")))
            (core func $drop (canon resource.drop $r))
            (core module $m
                (import "" "make" (func $make (result i32)))
                (import "" "drop" (func $drop (param i32)))
                (func (export "make") (drop (call $make)))
                (func (export "make-and-drop") (call $drop (call $make))))
            (core instance $i (instantiate $m (with "" (instance
                (export "make" (func $make)) (export "drop" (func $drop))))))
            (func (export "make") (canon lift (core func $i "make")))
            (func (export "make-and-drop") (canon lift (core func $i "make-and-drop"))))"#,
    )
    .unwrap();
    let keeps = linker.instantiate(&mut store, &user).unwrap();
    let drops = linker.instantiate(&mut store, &user).unwrap();
    run(&mut store, &keeps, "make").unwrap();
    let error = run(&mut store, &drops, "make-and-drop").unwrap_err();
    assert!(error.to_string().contains("unreachable"), "{error}");
    assert!(matches!(owner.ended().unwrap().cause(), EndCause::Failed(_)));
    assert!(super::waited(&drops).instance().contains("`owner`"));
    // Who has a resource of one that has ended goes on, as long as it does not call it.
    assert!(keeps.ended().is_none());
    keeps.end(&mut store).unwrap();
}
