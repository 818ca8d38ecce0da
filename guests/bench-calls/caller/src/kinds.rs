use std::pin::Pin;

use crate::{between, memory, to_host};

/// One kind of work to measure.
pub struct Kind {
    pub name: &'static str,
    /// How often, unless the command line says.
    pub iterations: u64,
    /// Works in the first preopened directory.
    pub needs_directory: bool,
    pub run: fn(u64) -> Work,
}

pub type Work = Pin<Box<dyn Future<Output = ()>>>;

pub const KINDS: &[Kind] = &[
    // From component to component.
    kind("nothing", 20_000_000, |n| at_once(|| between::nothing(n))),
    kind("add", 20_000_000, |n| at_once(|| between::add(n))),
    kind("string-32", 2_000_000, |n| at_once(|| between::string(n))),
    kind("list-64k", 5_000, |n| at_once(|| between::bytes(n))),
    kind("records-100", 20_000, |n| at_once(|| between::samples(n))),
    kind("method", 2_000_000, |n| at_once(|| between::method(n))),
    kind("resource", 500_000, |n| at_once(|| between::resource(n))),
    kind("async-ready", 200_000, |n| Box::pin(between::ready(n))),
    kind("async-100", 100_000, |n| Box::pin(between::hundred_at_once(n))),
    // One iteration is one write.
    kind("stream-64k", 20_000, |n| Box::pin(between::stream(n, 64 * 1024))),
    kind("stream-4k", 200_000, |n| Box::pin(between::stream(n, 4 * 1024))),
    kind("stream-64", 500_000, |n| Box::pin(between::stream(n, 64))),
    // From component to host.
    kind("yield", 500_000, |n| Box::pin(to_host::yields(n))),
    kind("now", 2_000_000, |n| at_once(|| to_host::clock(n))),
    kind("random", 2_000_000, |n| at_once(|| to_host::random(n))),
    kind("arguments", 500_000, |n| at_once(|| to_host::arguments(n))),
    kind("wait-for-0", 500_000, |n| Box::pin(to_host::wait(n))),
    Kind { needs_directory: true, ..kind("stat", 100_000, |n| Box::pin(to_host::stat(n))) },
    Kind { needs_directory: true, ..kind("open", 50_000, |n| Box::pin(to_host::open(n))) },
    // Within the component's memory.
    kind("copy-1m", 2_000, |n| at_once(|| memory::copy(n, 1 << 20))),
    kind("copy-64k", 50_000, |n| at_once(|| memory::copy(n, 64 << 10))),
    kind("copy-32", 10_000_000, |n| at_once(|| memory::copy(n, 32))),
    kind("fill-64k", 50_000, |n| at_once(|| memory::fill(n, 64 << 10))),
    kind("fill-32", 10_000_000, |n| at_once(|| memory::fill(n, 32))),
];

const fn kind(name: &'static str, iterations: u64, run: fn(u64) -> Work) -> Kind {
    Kind { name, iterations, needs_directory: false, run }
}

/// Work that never waits.
fn at_once(work: impl FnOnce()) -> Work {
    work();
    Box::pin(std::future::ready(()))
}
