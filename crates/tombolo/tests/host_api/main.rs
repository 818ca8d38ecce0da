//! The embedding API against a real guest: `guests/pair`'s callee, called by the host instead of by a component.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../support/block_on.rs"]
mod block_on;
mod flow;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tombolo::{Accessor, Component, Config, Engine, Instance, Linker, Result, Store};

use block_on::block_on;

/// What the host keeps in its store.
#[derive(Default)]
struct Host {
    waits: u32,
}

/// A timer of a thread's own: the host side needs no particular executor.
async fn sleep(duration: Duration) {
    let slept = Arc::new(AtomicBool::new(false));
    let mut begun = false;
    std::future::poll_fn(|cx| {
        if !begun {
            begun = true;
            let (slept, waker) = (slept.clone(), cx.waker().clone());
            thread::spawn(move || {
                thread::sleep(duration);
                slept.store(true, Ordering::Release);
                waker.wake();
            });
        }
        if slept.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The callee, in a store of its own.
fn callee() -> (Store<Host>, Instance) {
    let engine = Engine::new(Config::new().optimize(false)).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/pair/callee.wasm");
    let component = Component::from_file(&engine, path).unwrap();
    let mut linker = Linker::<Host>::new(&engine);
    linker
        .instance("wasi:clocks/monotonic-clock@0.3.2")
        .unwrap()
        .func_async("wait-for", |store: Accessor<Host>, (nanoseconds,): (u64,)| async move {
            store.with(|mut store| store.data_mut().waits += 1);
            sleep(Duration::from_nanos(nanoseconds)).await;
            Result::Ok(())
        })
        .unwrap();
    let mut store = Store::new(&engine, Host::default());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}
