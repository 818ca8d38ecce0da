//! What an embedder is told of where a guest was.
#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tombolo::{Accessor, Backtrace, Component, Config, Engine, Error, Linker, Store};

const TOWER: &[u8] = include_bytes!("../../../guests/tower/tower.wasm");

fn backtrace(error: &Error) -> &Backtrace {
    error.trap().unwrap_or_else(|| panic!("{error}")).backtrace()
}

fn climb(config: &Config) -> Error {
    let engine = Engine::new(config).unwrap();
    let component = Component::new(&engine, TOWER).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let climb = instance.typed_func::<(u32, u32), u32>(&mut store, "climb").unwrap();
    climb.call(&mut store, (3, 0)).unwrap_err()
}

#[test]
fn source_lines_also_where_functions_are_inlined() {
    let error = climb(&Config::new());
    let backtrace = backtrace(&error);
    let places: Vec<Vec<String>> = (0..backtrace.frames().len())
        .map(|frame| backtrace.source(frame).iter().map(ToString::to_string).collect())
        .collect();
    let expected =
        [&["guests/tower/tower.c:11:18", "guests/tower/tower.c:16:12"][..], &["guests/tower/tower.c:21:12"]];
    assert_eq!(places, expected);
    let step = &backtrace.source(0)[0];
    assert_eq!((step.function.as_deref(), step.line, step.column), (Some("step"), Some(11), Some(18)));
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert!(lines[2].ends_with("step (inlined)"), "{text}");
    assert_eq!(lines[3..5], ["at guests/tower/tower.c:11:18", "tower.wasm!floors"], "{text}");
    assert_eq!(lines[5], "at guests/tower/tower.c:16:12", "{text}");
}

#[test]
fn debug_information_can_be_left_out() {
    let error = climb(Config::new().debug_info(false));
    let backtrace = backtrace(&error);
    assert_eq!(backtrace.frames().len(), 2);
    assert!(backtrace.source(0).is_empty());
    assert!(backtrace.source(99).is_empty());
    assert_eq!(backtrace.frames()[0].function_name(), Some("floors"));
}

#[test]
fn a_recursion_shows_both_ends() {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, TOWER).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let climb = instance.typed_func::<(u32,), u32>(&mut store, "climb-for-ever").unwrap();
    let error = climb.call(&mut store, (1,)).unwrap_err();
    let backtrace = backtrace(&error);
    let (left_out, behind) = backtrace.left_out().unwrap();
    assert!(left_out > 1000, "{left_out}");
    let frames = backtrace.frames();
    assert_eq!(frames[behind].function_name(), Some("next"));
    assert_eq!(frames[frames.len() - 1].function_name(), Some("climb_for_ever"));
    assert!(backtrace.to_string().ends_with("at guests/tower/tower.c:32:12"), "{backtrace}");
}

/// One component inside another, which calls it; the inner one traps.
const NESTED: &str = r#"(component $harbour
    (component $lighthouse
        (core module $lamp (func $burn (export "burn") unreachable))
        (core instance $lamp (instantiate $lamp))
        (func (export "burn") (canon lift (core func $lamp "burn"))))
    (instance $lighthouse (instantiate $lighthouse))
    (core func $burn (canon lower (func $lighthouse "burn")))
    (core module $pier
        (import "" "burn" (func $burn))
        (func $sail (export "sail") (call $burn)))
    (core instance $pier (instantiate $pier (with "" (instance (export "burn" (func $burn))))))
    (func (export "sail") (canon lift (core func $pier "sail"))))"#;

#[test]
fn frames_name_their_components() {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, NESTED).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let error = instance.typed_func::<(), ()>(&mut store, "sail").unwrap().call(&mut store, ()).unwrap_err();
    let backtrace = backtrace(&error);
    let names: Vec<_> = (backtrace.frames().iter())
        .map(|frame| [frame.component_name(), frame.module_name(), frame.function_name()].map(Option::unwrap))
        .collect();
    assert_eq!(names, [["lighthouse", "lamp", "burn"], ["harbour", "pier", "sail"]]);
    let text = backtrace.to_string();
    assert!(text.contains(" - lighthouse/lamp!burn\n") && text.ends_with(" - harbour/pier!sail"), "{text}");
}

/// A guest that traps after it waited, on a stack of its own.
const WAITS: &str = r#"(component
    (import "wait" (func $wait async))
    (core func $wait' (canon lower (func $wait)))
    (core module $m
        (import "" "wait" (func $wait))
        (func $fall unreachable)
        (func $run (export "run") (call $wait) (call $fall)))
    (core instance $i (instantiate $m (with "" (instance (export "wait" (func $wait'))))))
    (func (export "run") async (canon lift (core func $i "run"))))"#;

/// Polls a future until it is done.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

/// Is pending once.
async fn wait_a_moment() {
    let mut waited = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[test]
fn a_task_that_waited_has_its_own_frames() {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, WAITS).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker
        .root()
        .func_async("wait", |_: Accessor<()>, (): ()| async {
            wait_a_moment().await;
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run = instance.typed_func::<(), ()>(&mut store, "run").unwrap();
    let error = block_on(run.call_async(&mut store, ())).unwrap_err();
    let names: Vec<_> = backtrace(&error).frames().iter().filter_map(|frame| frame.function_name()).collect();
    assert_eq!(names, ["fall", "run"]);
}
