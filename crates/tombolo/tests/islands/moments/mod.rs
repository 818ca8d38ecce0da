//! Root instances end at any moment, in a chain of three that call each other in every way: those around them go on, and
//! nothing is left behind.
//!
//! `TOMBOLO_SEED=N` repeats one world, `TOMBOLO_WORLDS=N` tries more of them.

mod chain;
mod node;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tombolo::{
    Accessor, Component, EndCause, Ended, Engine, Error, ErrorKind, Feature, Instance, Limits, Linker,
    Resource, Result, Store, StoreMut, StreamReader, TrapReason,
};

use super::causes::{poll_once, yield_now};
use super::guests::COUNTER;
use super::{block_on, engine, instantiate};
use node::NODE;

/// Random numbers, the same for the same seed.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

struct Thing;

/// What kind of world it is.
#[derive(Clone, Copy)]
struct Kind {
    /// Whether guests run in time slices.
    sliced: bool,
    /// Whether they have checks for deadlines.
    checked: bool,
    /// Whether what they do is counted.
    counted: bool,
    /// After how many calls adapters are compiled.
    after: u32,
}

/// How an instance is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    End,
    Deadline,
}

struct Host {
    random: Random,
    /// Whom the host may strike.
    chain: Vec<Instance>,
    /// Whom it strikes for sure, and how.
    surely: Option<(Instance, Blow)>,
    /// Resources that it made and has not seen dropped.
    things: i32,
    kind: Kind,
}

/// A future of the host's that is under way.
struct Guard(Arc<AtomicI32>);

impl Guard {
    fn new(count: &Arc<AtomicI32>) -> Guard {
        count.fetch_add(1, Ordering::Relaxed);
        Guard(count.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn strike(mut store: StoreMut<'_, Host>) -> Result<()> {
    let host = store.data_mut();
    match host.surely.take() {
        Some((target, Blow::End)) => return target.end(store),
        Some((target, Blow::Deadline)) => return target.set_deadline(store, Some(Instant::now())),
        None => {}
    }
    // Not always, so that some scripts go on.
    let at = host.random.below(25) as usize;
    let how = host.random.next();
    match host.chain.get(at).cloned() {
        Some(target) => end_somehow(store, &target, how),
        None => Ok(()),
    }
}

/// Ends an instance, or gives it little to live on.
fn end_somehow(mut store: StoreMut<'_, Host>, target: &Instance, how: u64) -> Result<()> {
    let (how, little) = (how % 3, how / 3 % 200);
    if target.ended().is_some() {
        return Ok(());
    }
    match how {
        0 if store.data().kind.counted => target.set_fuel(store.as_mut(), Some(little)),
        1 if store.data().kind.checked => {
            target.set_deadline(store.as_mut(), Some(Instant::now() + Duration::from_micros(little / 2)))
        }
        _ => target.end(store),
    }
}

/// What the nodes import, and for the server the next one too.
fn linker(engine: &Engine, pending: &Arc<AtomicI32>) -> Linker<Host> {
    let mut linker = Linker::<Host>::new(engine);
    let mut root = linker.root();
    root.resource::<Thing>("thing", |mut store, _| {
        store.data_mut().things -= 1;
        Ok(())
    })
    .unwrap();
    root.func("make", |mut store: StoreMut<'_, Host>, (): ()| {
        store.data_mut().things += 1;
        Ok(Resource::<Thing>::new_own(1))
    })
    .unwrap();
    let rest = |count: &Arc<AtomicI32>, turns: u32| {
        let guard = Guard::new(count);
        async move {
            let _guard = guard;
            for _ in 0..turns {
                yield_now().await;
            }
            Result::Ok(())
        }
    };
    const FOR_GOOD: u32 = u32::MAX;
    let count = pending.clone();
    root.func_async("rest", move |_: Accessor<Host>, (): ()| rest(&count, 1)).unwrap();
    let count = pending.clone();
    root.func_async("never", move |_: Accessor<Host>, (): ()| rest(&count, FOR_GOOD)).unwrap();
    root.func("strike", |store: StoreMut<'_, Host>, (): ()| strike(store)).unwrap();
    let mut next = root.instance("next").unwrap();
    next.func("work", |store: StoreMut<'_, Host>, (_,): (u64,)| strike(store)).unwrap();
    for (name, turns) in [("stay", 1), ("go", 2), ("far", 3)] {
        let count = pending.clone();
        next.func_async(name, move |_: Accessor<Host>, (_,): (u64,)| rest(&count, turns)).unwrap();
    }
    let count = pending.clone();
    next.func_async("use", move |_: Accessor<Host>, (_, _): (Resource<Thing>, u64)| rest(&count, 2)).unwrap();
    let count = pending.clone();
    next.func_async("take", move |store: Accessor<Host>, (stream, _): (StreamReader<u8>, u64)| {
        let rest = rest(&count, 1);
        async move {
            rest.await?;
            store.with(|store| stream.close(store))
        }
    })
    .unwrap();
    next.func("text", |_: StoreMut<'_, Host>, (text,): (String,)| Ok(text)).unwrap();
    linker
}

/// A script for the node at a place of the chain, or for the server behind it, which does no harm. `sync` says whether it is
/// called by a function that must not block: mostly it does not then.
fn script(random: &mut Random, mut place: usize, mut sync: bool) -> u64 {
    let mut digits = Vec::new();
    for _ in 0..random.below(11) {
        let digit = match random.below(40) {
            _ if place == SERVER && sync => random.one_of(&[13, 14]),
            _ if place == SERVER => random.one_of(&[1, 1, 13, 14]),
            0 => 10,
            1 => 11,
            _ if sync => random.one_of(&[3, 3, 5, 9, 13, 14]),
            _ => random.one_of(&[1, 1, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 12, 12, 13, 13, 14, 15]),
        };
        digits.push(digit);
        sync = if digit == 3 { true } else { sync && !matches!(digit, 4..=8 | 12) };
        place += usize::from(matches!(digit, 3..=8 | 12));
    }
    digits.iter().rev().fold(0, |script, digit| script << 4 | digit)
}

/// The place behind the chain.
const SERVER: usize = 3;

type Call<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// A store in which a chain is made and ended again and again.
struct World {
    random: Random,
    store: Store<Host>,
    linker: Linker<Host>,
    component: Component,
    pending: Arc<AtomicI32>,
    /// What the last of the chain calls. It does nothing that would end it, and has little room for what others may leave.
    server: Instance,
    /// It has nothing to do with any of this.
    counter: Instance,
    counted: u32,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed);
        let [sliced, checked, counted] = [(); 3].map(|()| random.below(3) == 0);
        let after = random.one_of(&[0, 2, 30]);
        World::with(random, Kind { sliced, checked: checked || sliced, counted, after })
    }

    fn with(mut random: Random, kind: Kind) -> World {
        let engine = engine(|config| {
            for feature in Feature::ALL {
                config.feature(*feature, true);
            }
            config.optimize(false).deadlines(kind.checked).fuel(kind.counted).adapters_after(kind.after)
        });
        // Room for one chain, and the one that waits to be freed.
        let limits = Limits { memories: 9, instances: 40, host_bytes: 1 << 20, ..Limits::default() };
        let (random_of_host, chain) = (Random(random.next()), Vec::new());
        let host = Host { random: random_of_host, chain, surely: None, things: 0, kind };
        let mut store = Store::with_limits(&engine, host, limits);
        if kind.counted {
            store.set_fuel(u64::MAX).unwrap();
        }
        if kind.sliced {
            store.set_time_slice(Some(Duration::from_micros(20))).unwrap();
        }
        let grace = random.one_of(&[None, Some(Duration::ZERO), Some(Duration::from_micros(100))]);
        store.set_cancellation_grace(grace).unwrap();
        let pending = Arc::new(AtomicI32::new(0));
        let mut linker = linker(&engine, &pending);
        let counter = instantiate(&mut store, COUNTER);
        let component = Component::new(&engine, NODE).unwrap();
        let little = Limits { host_bytes: 128 << 10, ..Limits::default() };
        let server = block_on(linker.within(&little).instantiate_async(&mut store, &component)).unwrap();
        linker.remove("next");
        linker.define_instance("next", &server).unwrap();
        World { random, store, linker, component, pending, server, counter, counted: 0 }
    }

    /// Makes a chain, of which each can call the one behind it, and the last the server.
    fn chain(&mut self) -> Vec<Instance> {
        let mut linker = self.linker.clone();
        let mut chain: Vec<Instance> = Vec::new();
        for _ in 0..3 {
            let instance = block_on(linker.instantiate_async(&mut self.store, &self.component)).unwrap();
            linker.remove("next");
            linker.define_instance("next", &instance).unwrap();
            chain.insert(0, instance);
        }
        chain
    }

    /// Makes a chain, has it do things, and ends it.
    fn episode(&mut self) {
        let chain = self.chain();
        self.store.data_mut().chain = chain.clone();
        let random = &mut self.random;
        let store = &mut self.store;
        let calls = block_on(store.run_concurrent(async |store: Accessor<Host>| {
            let store = &store;
            let mut calls: Vec<Call<'_>> = Vec::new();
            for _ in 0..random.below(60) {
                match random.below(10) {
                    0..=3 => {
                        let place = random.below(3) as usize;
                        let name = random.one_of(&["work", "stay", "go", "far"]);
                        let script = script(random, place, name == "work");
                        let func =
                            store.with(|store| chain[place].typed_func::<(u64,), ()>(store, name)).unwrap();
                        calls.push(Box::pin(async move { func.call_concurrent(store, (script,)).await }));
                    }
                    4..=6 if !calls.is_empty() => {
                        let at = random.below(calls.len() as u64) as usize;
                        if let Poll::Ready(result) = poll_once(calls[at].as_mut()).await {
                            check(result);
                            drop(calls.swap_remove(at));
                        }
                    }
                    7 if !calls.is_empty() => {
                        let at = random.below(calls.len() as u64) as usize;
                        drop(calls.swap_remove(at));
                    }
                    8 if random.below(6) == 0 => {
                        let at = random.below(3) as usize;
                        let how = random.next();
                        store.with(|store| end_somehow(store, &chain[at], how)).unwrap();
                    }
                    _ => yield_now().await,
                }
            }
            // Some are waited for, in case that they end.
            for call in &mut calls {
                for _ in 0..random.below(3) {
                    if let Poll::Ready(result) = poll_once(call.as_mut()).await {
                        check(result);
                        break;
                    }
                    yield_now().await;
                }
            }
            // Those that are ready must not be polled again.
            calls.len()
        }));
        calls.unwrap();
        self.count();
        // The others end in some order.
        let mut order = chain;
        while !order.is_empty() {
            let at = self.random.below(order.len() as u64) as usize;
            let instance = order.swap_remove(at);
            instance.end(&mut self.store).unwrap();
            check_end(&instance.ended().unwrap());
            if self.random.below(2) == 0 {
                self.drive(1);
            }
        }
        // The server may have borrowed something, for as long as its script is.
        self.drive(20);
        assert!(self.server.ended().is_none(), "{:?}", self.server.ended());
        assert_eq!(self.pending.load(Ordering::Relaxed), 0, "futures of the host");
        assert_eq!(self.store.data().things, 0, "resources of the host");
    }

    /// Whoever has nothing to do with it goes on.
    fn count(&mut self) {
        self.counted += 1;
        let count = self.counter.typed_func::<(), u32>(&mut self.store, "count").unwrap();
        assert_eq!(block_on(count.call_async(&mut self.store, ())).unwrap(), self.counted);
    }

    fn drive(&mut self, turns: u32) {
        block_on(self.store.run_concurrent(async |_| {
            for _ in 0..turns {
                yield_now().await;
            }
        }))
        .unwrap();
    }
}

/// How a call may end.
fn check(result: Result<()>) {
    if let Err(error) = result {
        check_error(&error);
    }
}

/// What does not belong here is a mistake of the runtime's.
fn check_error(error: &Error) {
    if matches!(error.kind(), ErrorKind::Usage(text) if text.contains("was cancelled")) {
        return;
    }
    let Some(trap) = error.trap() else { panic!("{error}") };
    match &trap.reason {
        TrapReason::Ended(ended) | TrapReason::CannotEnter(ended) => check_end(ended),
        TrapReason::Core(_) | TrapReason::Deadlock(_) | TrapReason::CanonicalAbi(_) => {}
        // What guests do is wrong in other ways than that.
        TrapReason::Concurrency(trap) => {
            assert!(!trap.to_string().contains("internal error"), "{error}")
        }
        reason => panic!("{reason}"),
    }
}

fn check_end(ended: &Ended) {
    match ended.cause() {
        EndCause::Failed(error) => check_error(error),
        EndCause::Waited(other) => check_end(other),
        _ => {}
    }
}

/// Says which world it was if something is wrong with it.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat it with TOMBOLO_SEED={}", self.0);
        }
    }
}

#[test]
fn instances_end_at_any_moment() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("TOMBOLO_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TOMBOLO_WORLDS").unwrap_or(40),
    };
    for seed in seeds {
        let _seed = Seed(seed);
        let mut world = World::new(seed);
        for _ in 0..20 {
            world.episode();
        }
    }
}
