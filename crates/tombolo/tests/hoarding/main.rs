//! What the host holds for a guest is charged to its root instance: guests that make it hold more and more trap at their
//! limit, and the memory of this process does not grow beyond a small multiple of that.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

#[path = "../support/block_on.rs"]
mod block_on;
mod guest;

use std::fs;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll};

use tombolo::{
    Accessor, Component, Config, Destination, Engine, Error, Feature, Instance, Limits, Linker, Result,
    Store, StoreMut, StreamProducer, StreamReader, StreamState,
};

use block_on::block_on;
use guest::GUEST;

/// What a root instance may make the host hold.
const BUDGET: u64 = 4 << 20;

/// Bytes of this process that were in memory at most since it last asked.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    fs::write("/proc/self/clear_refs", "5").unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// A stream that never has anything.
struct Never;

impl StreamProducer<()> for Never {
    type Item = u8;

    fn poll_produce(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut Destination<'_, (), u8>,
    ) -> Poll<Result<StreamState>> {
        Poll::Pending
    }
}

fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::<()>::new(engine);
    let mut root = linker.root();
    root.func_async("never", |_: Accessor<()>, (_,): (String,)| std::future::pending::<Result<()>>())
        .unwrap();
    root.func_async("large", |_: Accessor<()>, (): ()| async {
        let large = [7_u8; 4096];
        std::future::pending::<()>().await;
        Result::Ok(u32::from(large[1]))
    })
    .unwrap();
    root.func("stream", |store: StoreMut<'_, ()>, (): ()| StreamReader::new(store, Never)).unwrap();
    linker
}

struct World {
    store: Store<()>,
    linker: Linker<()>,
    component: Component,
}

fn world() -> World {
    let mut config = Config::new();
    for feature in Feature::ALL {
        config.feature(*feature, true);
    }
    let engine = Engine::new(&config).unwrap();
    let store = Store::with_limits(&engine, (), Limits { host_bytes: BUDGET, ..Limits::default() });
    World { store, linker: linker(&engine), component: Component::new(&engine, GUEST).unwrap() }
}

impl World {
    fn instantiate(&mut self) -> Instance {
        self.linker.instantiate(&mut self.store, &self.component).unwrap()
    }

    fn run(&mut self, instance: &Instance, name: &str) -> Result<(), Error> {
        let func = instance.typed_func::<(), ()>(&mut self.store, name).unwrap();
        if func.func().is_async() {
            block_on(func.call_async(&mut self.store, ()))
        } else {
            func.call(&mut self.store, ())
        }
    }
}

/// Runs one of them, in a process of its own: what others have left there would hide what it takes.
fn alone(name: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let args = ["--exact", "one_of_them", "--ignored", "--nocapture"];
    let output = Command::new(test).args(args).env("TOMBOLO_HOARD", name).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
#[ignore = "run by the others, each time in a process of its own"]
fn one_of_them() {
    let name = std::env::var("TOMBOLO_HOARD").unwrap();
    let mut world = world();
    let instance = world.instantiate();
    peak();
    let before = peak();
    let result = world.run(&instance, &name);
    let more = peak() - before;
    match result {
        Ok(()) => println!("{name}: {} KiB, and goes on", more >> 10),
        Err(error) => {
            println!("{name}: {} KiB, {}", more >> 10, error.to_string().lines().next().unwrap());
            assert!(error.to_string().contains("exceed their budget"), "{error}");
            assert!(instance.ended().is_some());
        }
    }
    assert!(more < 2 * BUDGET + (1 << 20), "{more} bytes");
    // Nothing of it is left to whoever comes next.
    let next = world.instantiate();
    world.run(&next, "fine").unwrap();
}

#[test]
fn each_way_of_hoarding_traps_at_the_limit_and_memory_stays_flat() {
    for name in guest::HOARDS {
        let said = alone(name);
        println!("{said}");
        assert!(said.contains("exceed their budget"), "{said}");
    }
}

#[test]
fn what_is_given_back_is_given_back() {
    for name in guest::FRUGAL {
        let said = alone(name);
        println!("{said}");
        assert!(said.contains("goes on"), "{said}");
    }
}
