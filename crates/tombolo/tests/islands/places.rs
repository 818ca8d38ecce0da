//! Ending a root instance that is suspended at the end of a time slice, wherever it is: in `realloc`, in a post-return
//! function, in a destructor, in a callback, in a thread, while it carries elements of a host's stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tombolo::{
    Component, Destination, EndCause, Engine, Feature, Instance, Limits, Linker, Result, Store,
    StreamProducer, StreamReader, StreamState, TrapCode, TrapReason, Val,
};

use super::cancelling::poll;
use super::causes::yield_now;
use super::guests::COUNTER;
use super::{block_on, engine, instantiate};

/// Goes round for good in the place that each of its functions is named after.
pub(crate) const SPINS: &str = r#"(component $spins
    (type $texts (stream string))
    (core module $libc
        (memory (export "memory") 1)
        (table (export "table") 1 funcref)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop $l (br $l)) unreachable)
        (func (export "spin") (param i32) (loop $l (br $l))))
    (core instance $libc (instantiate $libc))
    (type $r (resource (rep i32) (dtor (core func $libc "spin"))))
    (core func $new (canon resource.new $r))
    (core func $drop (canon resource.drop $r))
    (core type $start (func (param i32)))
    (core func $new-thread (canon thread.new-indirect $start (core table $libc "table")))
    (core func $later (canon thread.resume-later))
    (core func $yield (canon thread.yield))
    (core func $read (canon stream.read $texts
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core module $m
        (import "" "table" (table 1 funcref))
        (import "" "new" (func $new (param i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (import "" "new-thread" (func $new-thread (param i32 i32) (result i32)))
        (import "" "later" (func $later (param i32)))
        (import "" "yield" (func $yield (result i32)))
        (import "" "read" (func $read (param i32 i32 i32) (result i32)))
        (func $spin (param i32) (loop $l (br $l)))
        (elem (i32.const 0) func $spin)
        (func (export "takes") (param i32 i32))
        (func (export "gives") (result i32) (i32.const 0))
        (func (export "post-return") (param i32) (loop $l (br $l)))
        (func (export "drops") (call $drop (call $new (i32.const 1))))
        (func (export "yields") (result i32) (i32.const 1 (; YIELD ;)))
        (func (export "callback") (param i32 i32 i32) (result i32) (loop $l (br $l)) unreachable)
        (func (export "stack") (call $spin (i32.const 1)))
        (func (export "thread")
            (call $later (call $new-thread (i32.const 0) (i32.const 0)))
            (loop $l (drop (call $yield)) (br $l)))
        (func (export "reads") (param i32) (drop (call $read (local.get 0) (i32.const 256) (i32.const 4)))))
    (core instance $i (instantiate $m (with "" (instance
        (export "table" (table $libc "table"))
        (export "new" (func $new)) (export "drop" (func $drop)) (export "new-thread" (func $new-thread))
        (export "later" (func $later)) (export "yield" (func $yield)) (export "read" (func $read))))))
    (func (export "realloc") (param "s" string) (canon lift (core func $i "takes")
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (func (export "realloc-async") async (param "s" string) (canon lift (core func $i "takes")
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (func (export "post-return") (result string) (canon lift (core func $i "gives")
        (memory (core memory $libc "memory")) (post-return (core func $i "post-return"))))
    (func (export "destructor") (canon lift (core func $i "drops")))
    (func (export "callback") async
        (canon lift (core func $i "yields") async (callback (core func $i "callback"))))
    (func (export "stack") async (canon lift (core func $i "stack")))
    (func (export "thread") async (canon lift (core func $i "thread")))
    (func (export "reads") async (param "s" $texts) (canon lift (core func $i "reads"))))"#;

pub(crate) const PLACES: [&str; 7] =
    ["realloc", "realloc-async", "post-return", "destructor", "callback", "stack", "thread"];

/// Calls one of them by way of an adapter or of the interpreter.
pub(crate) const CALLS: &str = r#"(component $calls
    (import "spins" (instance $spins
        (export "realloc" (func (param "s" string)))
        (export "realloc-async" (func async (param "s" string)))
        (export "post-return" (func (result string)))
        (export "destructor" (func))
        (export "callback" (func async))
        (export "stack" (func async))
        (export "thread" (func async))))
    (core module $libc
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
    (core instance $libc (instantiate $libc))
    (core func $realloc (canon lower (func $spins "realloc") (memory (core memory $libc "memory"))))
    (core func $realloc-async (canon lower (func $spins "realloc-async") (memory (core memory $libc "memory"))))
    (core func $post-return (canon lower (func $spins "post-return")
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $destructor (canon lower (func $spins "destructor")))
    (core func $callback (canon lower (func $spins "callback")))
    (core func $stack (canon lower (func $spins "stack")))
    (core func $thread (canon lower (func $spins "thread")))
    (core module $m
        (import "" "realloc" (func $realloc (param i32 i32)))
        (import "" "realloc-async" (func $realloc-async (param i32 i32)))
        (import "" "post-return" (func $post-return (param i32)))
        (import "" "destructor" (func $destructor))
        (import "" "callback" (func $callback))
        (import "" "stack" (func $stack))
        (import "" "thread" (func $thread))
        (func (export "realloc") (call $realloc (i32.const 0) (i32.const 5)))
        (func (export "realloc-async") (call $realloc-async (i32.const 0) (i32.const 5)))
        (func (export "post-return") (call $post-return (i32.const 0)))
        (func (export "destructor") (call $destructor))
        (func (export "callback") (call $callback))
        (func (export "stack") (call $stack))
        (func (export "thread") (call $thread)))
    (core instance $i (instantiate $m (with "" (instance
        (export "realloc" (func $realloc)) (export "realloc-async" (func $realloc-async))
        (export "post-return" (func $post-return)) (export "destructor" (func $destructor))
        (export "callback" (func $callback)) (export "stack" (func $stack)) (export "thread" (func $thread))))))
    (func (export "realloc") async (canon lift (core func $i "realloc")))
    (func (export "realloc-async") async (canon lift (core func $i "realloc-async")))
    (func (export "post-return") async (canon lift (core func $i "post-return")))
    (func (export "destructor") async (canon lift (core func $i "destructor")))
    (func (export "callback") async (canon lift (core func $i "callback")))
    (func (export "stack") async (canon lift (core func $i "stack")))
    (func (export "thread") async (canon lift (core func $i "thread"))))"#;

fn spinning(after: u32) -> Engine {
    engine(|config| {
        config.feature(Feature::Threading, true).feature(Feature::MoreAsyncBuiltins, true);
        config.deadlines(true).adapters_after(after)
    })
}

struct World {
    store: Store<()>,
    linker: Linker<()>,
    spins: Component,
    counter: Instance,
    counted: u32,
}

impl World {
    /// There is room for no more than one that has ended beside those that live.
    fn new(engine: &Engine) -> World {
        let limits = Limits { memories: 5, ..Limits::default() };
        let mut store = Store::with_limits(engine, (), limits);
        let counter = instantiate(&mut store, COUNTER);
        store.set_time_slice(Some(Duration::from_micros(200))).unwrap();
        let spins = Component::new(engine, SPINS).unwrap();
        World { store, linker: Linker::new(engine), spins, counter, counted: 0 }
    }

    fn spins(&mut self) -> Instance {
        block_on(self.linker.instantiate_async(&mut self.store, &self.spins)).unwrap()
    }

    /// Begins a call, leaves it in the midst of a slice, and ends an instance.
    fn end_within(&mut self, called: &Instance, name: &str, ends: &Instance) {
        let func = called.func(name).unwrap();
        let args: &[Val] = if func.params().is_empty() { &[] } else { &[Val::from("text")] };
        assert!(!poll(4, func.call_async(&mut self.store, args)), "{name}");
        ends.end(&mut self.store).unwrap();
        assert!(matches!(ends.ended().unwrap().cause(), EndCause::Removed), "{name}");
        self.count(name);
    }

    /// Others go on.
    fn count(&mut self, name: &str) {
        block_on(self.store.run_concurrent(async |_| yield_now().await)).unwrap();
        self.counted += 1;
        let count = self.counter.typed_func::<(), u32>(&mut self.store, "count").unwrap();
        assert_eq!(block_on(count.call_async(&mut self.store, ())).unwrap(), self.counted, "{name}");
    }
}

#[test]
fn one_that_the_host_called() {
    let mut world = World::new(&spinning(0));
    for _ in 0..3 {
        for name in PLACES {
            let spins = world.spins();
            world.end_within(&spins, name, &spins);
        }
    }
}

#[test]
fn one_that_another_called() {
    for after in [0, 1000] {
        let engine = spinning(after);
        let calls = Component::new(&engine, CALLS).unwrap();
        let mut world = World::new(&engine);
        for name in PLACES {
            let spins = world.spins();
            let mut linker = world.linker.clone();
            linker.define_instance("spins", &spins).unwrap();
            let calls = block_on(linker.instantiate_async(&mut world.store, &calls)).unwrap();
            world.end_within(&calls, name, &spins);
            assert!(calls.ended().is_some(), "{name}: it waited for it");
        }
    }
}

/// What it called goes round still: only a deadline would stop that.
#[test]
fn one_that_waits_for_what_it_called() {
    for after in [0, 1000] {
        let engine = spinning(after);
        let calls = Component::new(&engine, CALLS).unwrap();
        for name in PLACES {
            let mut world = World::new(&engine);
            let spins = world.spins();
            let mut linker = world.linker.clone();
            linker.define_instance("spins", &spins).unwrap();
            let calls = block_on(linker.instantiate_async(&mut world.store, &calls)).unwrap();
            let func = calls.func(name).unwrap();
            assert!(!poll(4, func.call_async(&mut world.store, &[])), "{name}");
            calls.end(&mut world.store).unwrap();
            assert!(!poll(4, world.store.run_concurrent(async |_| std::future::pending::<()>().await)));
            assert!(spins.ended().is_none(), "{name}: {:?}", spins.ended());
            spins.end(&mut world.store).unwrap();
            world.count(name);
        }
    }
}

/// Has texts without end.
struct Texts;

impl StreamProducer<()> for Texts {
    type Item = String;

    fn poll_produce(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        destination: &mut Destination<'_, (), String>,
    ) -> Poll<Result<StreamState>> {
        destination.push("text".to_owned())?;
        Poll::Ready(Ok(StreamState::Open))
    }
}

/// The host's producer is running then, which cannot be suspended: a deadline ends the guest.
#[test]
fn one_that_takes_elements_of_a_stream_of_the_host() {
    let mut world = World::new(&spinning(0));
    for _ in 0..3 {
        let spins = world.spins();
        let reads = spins.typed_func::<(StreamReader<String>,), ()>(&mut world.store, "reads").unwrap();
        let stream = StreamReader::new(&mut world.store, Texts).unwrap();
        world.store.set_deadline(Some(Instant::now() + Duration::from_millis(5))).unwrap();
        let error = block_on(reads.call_async(&mut world.store, (stream,))).unwrap_err();
        let reason = &error.trap().unwrap().reason;
        assert!(matches!(reason, TrapReason::Core(TrapCode::Interrupted)), "{error}");
        world.store.set_deadline(None).unwrap();
        assert!(spins.ended().is_some());
        block_on(world.store.run_concurrent(async |_| yield_now().await)).unwrap();
    }
}
