//! Ending a store while guests wait in it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use tombolo::{Accessor, Component, Config, Engine, Linker, Result, Store};

/// A guest that waits, on a stack of its own, for a function of the host.
const WAITS: &str = r#"(component
    (import "wait" (func $wait async))
    (core func $wait' (canon lower (func $wait)))
    (core module $m
        (import "" "wait" (func $wait))
        (func (export "run") (call $wait)))
    (core instance $i (instantiate $m (with "" (instance (export "wait" (func $wait'))))))
    (func (export "run") async (canon lift (core func $i "run"))))"#;

/// Counts the guards that live.
struct Guard(Arc<AtomicU32>);

impl Guard {
    fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Guard(count.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn a_store_with_suspended_guests_can_be_dropped() {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, WAITS).unwrap();
    let live = Arc::new(AtomicU32::new(0));
    let mut linker = Linker::<()>::new(&engine);
    let count = live.clone();
    linker
        .root()
        .func_async("wait", move |_: Accessor<()>, (): ()| {
            let guard = Guard::new(&count);
            async move {
                std::future::pending::<()>().await;
                drop(guard);
                Result::Ok(())
            }
        })
        .unwrap();
    for _ in 0..100 {
        let mut store = Store::new(&engine, ());
        let mut runs = Vec::new();
        for _ in 0..3 {
            let instance = linker.instantiate(&mut store, &component).unwrap();
            runs.push(instance.typed_func::<(), ()>(&mut store, "run").unwrap());
        }
        {
            let mut call = pin!(store.run_concurrent(async |store| {
                for run in &runs {
                    let mut call = pin!(run.call_concurrent(&store, ()));
                    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                }
                std::future::pending::<()>().await
            }));
            assert!(matches!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
        }
        assert_eq!(live.load(Ordering::Relaxed), 3);
        drop(store);
        assert_eq!(live.load(Ordering::Relaxed), 0);
    }
}
