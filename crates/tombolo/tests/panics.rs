//! Panics of the host's code, wherever a guest can bring it to run.
#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tombolo::{
    Accessor, Component, Config, Destination, Engine, Error, Linker, Resource, Result, Store, StoreMut,
    StreamProducer, StreamReader, StreamState, TrapReason,
};

/// A guest in which every function of core code that the canonical ABI may call calls the host, if told to.
const GUEST: &str = r#"(component
    (import "host" (func $host (param "place" u32)))
    (import "later" (func $later async))
    (core func $host' (canon lower (func $host)))
    (core func $later' (canon lower (func $later)))
    (core module $m
        (import "" "host" (func $host (param i32)))
        (import "" "later" (func $later))
        (memory (export "mem") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (call $host (i32.const 1))
            (i32.const 64))
        (func (export "post-return") (call $host (i32.const 2)))
        (func (export "nothing"))
        (func (export "call") (call $host (i32.const 0)))
        (func (export "text") (param i32 i32))
        (func (export "wait") (call $later)))
    (core instance $i (instantiate $m
        (with "" (instance (export "host" (func $host')) (export "later" (func $later'))))))
    (func (export "call") (canon lift (core func $i "call")))
    (func (export "text") (param "text" string)
        (canon lift (core func $i "text") (memory (core memory $i "mem")) (realloc (core func $i "realloc"))))
    (func (export "returns") (canon lift (core func $i "nothing") (post-return (core func $i "post-return"))))
    (func (export "wait") async (canon lift (core func $i "wait"))))"#;

fn store_with(guest: &str) -> (Store<()>, Result<tombolo::Instance>) {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, guest).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    let mut root = linker.root();
    root.func("host", |_: StoreMut<'_, ()>, (place,): (u32,)| -> Result<()> { panic!("at {place}") })
        .unwrap();
    root.func_async("later", |_: Accessor<()>, (): ()| async {
        let mut waited = false;
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        if waited {
            panic!("later");
        }
        Ok(())
    })
    .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component);
    (store, instance)
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

/// Checks that it is the panic, with its payload.
fn is_panic(error: &Error, message: &str) {
    let TrapReason::HostPanic(panic) = &error.trap().unwrap_or_else(|| panic!("{error}")).reason else {
        panic!("{error}");
    };
    assert_eq!(panic.message(), message);
    assert!(panic.take_payload().is_some() && panic.take_payload().is_none());
}

/// Calls a function of the guest; then the store is at its end, and nothing else is.
fn ends(name: &str, message: &str) {
    let (mut store, instance) = store_with(GUEST);
    let instance = instance.unwrap();
    let call = |store: &mut Store<()>| match name {
        "text" => {
            instance.typed_func::<(String,), ()>(&mut *store, name).unwrap().call(store, ("x".to_owned(),))
        }
        "wait" => block_on(instance.typed_func::<(), ()>(&mut *store, name).unwrap().call_async(store, ())),
        _ => instance.typed_func::<(), ()>(&mut *store, name).unwrap().call(store, ()),
    };
    is_panic(&call(&mut store).unwrap_err(), message);
    let again = call(&mut store).unwrap_err();
    assert!(matches!(again.trap().unwrap().reason, TrapReason::CannotEnter(_)), "{again}");
    assert!(again.to_string().contains(message), "{again}");
}

#[test]
fn in_a_function() {
    ends("call", "at 0");
}

#[test]
fn in_a_future_after_it_waited() {
    ends("wait", "later");
}

#[test]
fn under_the_guest_s_start_function() {
    let guest = r#"(component
        (import "host" (func $host (param "place" u32)))
        (core func $host' (canon lower (func $host)))
        (core module $m
            (import "" "host" (func $host (param i32)))
            (func $start (call $host (i32.const 4)))
            (start $start))
        (core instance $i (instantiate $m (with "" (instance (export "host" (func $host')))))))"#;
    let (_store, instance) = store_with(guest);
    is_panic(&instance.unwrap_err(), "at 4");
}

/// Where a guest may not call out of itself at all, the trap says so and the host's code does not run.
#[test]
fn realloc_and_post_return_do_not_reach_the_host() {
    for (name, argument) in [("text", true), ("returns", false)] {
        let (mut store, instance) = store_with(GUEST);
        let instance = instance.unwrap();
        let error = if argument {
            instance
                .typed_func::<(String,), ()>(&mut store, name)
                .unwrap()
                .call(&mut store, ("x".to_owned(),))
        } else {
            instance.typed_func::<(), ()>(&mut store, name).unwrap().call(&mut store, ())
        }
        .unwrap_err();
        assert!(error.to_string().contains("cannot leave component instance"), "{error}");
    }
}

/// Stands for nothing.
struct Buoy;

#[test]
fn in_the_destructor_of_a_resource() {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(
        &engine,
        r#"(component
            (import "buoy" (type $buoy (sub resource)))
            (core func $drop (canon resource.drop $buoy))
            (core module $m
                (import "" "drop" (func $drop (param i32)))
                (func (export "sink") (param i32) (call $drop (local.get 0))))
            (core instance $i (instantiate $m (with "" (instance (export "drop" (func $drop))))))
            (func (export "sink") (param "buoy" (own $buoy)) (canon lift (core func $i "sink"))))"#,
    )
    .unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker.root().resource::<Buoy>("buoy", |_, _| panic!("it sank")).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let sink = instance.typed_func::<(Resource<Buoy>,), ()>(&mut store, "sink").unwrap();
    is_panic(&sink.call(&mut store, (Resource::new_own(1),)).unwrap_err(), "it sank");
    let again = sink.call(&mut store, (Resource::new_own(2),)).unwrap_err();
    assert!(matches!(again.trap().unwrap().reason, TrapReason::CannotEnter(_)), "{again}");
}

/// Panics when it is asked for something.
struct Bad;

impl StreamProducer<()> for Bad {
    type Item = u8;

    fn poll_produce(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut Destination<'_, (), u8>,
    ) -> Poll<Result<StreamState>> {
        panic!("no more")
    }
}

#[test]
fn in_the_producer_of_a_stream() {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(
        &engine,
        r#"(component
            (type $s (stream u8))
            (core module $libc (memory (export "mem") 1))
            (core instance $libc (instantiate $libc))
            (core func $read (canon stream.read $s async (memory (core memory $libc "mem"))))
            (core module $m
                (import "" "read" (func $read (param i32 i32 i32) (result i32)))
                (func (export "read") (param i32)
                    (drop (call $read (local.get 0) (i32.const 0) (i32.const 8)))))
            (core instance $i (instantiate $m (with "" (instance (export "read" (func $read))))))
            (func (export "read") (param "s" (stream u8)) (canon lift (core func $i "read"))))"#,
    )
    .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let read = instance.typed_func::<(StreamReader<u8>,), ()>(&mut store, "read").unwrap();
    let stream = StreamReader::new(&mut store, Bad).unwrap();
    is_panic(&read.call(&mut store, (stream,)).unwrap_err(), "no more");
    let stream = StreamReader::new(&mut store, Bad).unwrap();
    let again = read.call(&mut store, (stream,)).unwrap_err();
    assert!(matches!(again.trap().unwrap().reason, TrapReason::CannotEnter(_)), "{again}");
}
