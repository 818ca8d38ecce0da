//! How much a store may hold, and how long what is in it may run.

use std::time::Instant;

use crate::runtime::SHALLOW_STACK;

/// How much the guests of a store may take up, and make the host take up for them: all of them together, or those of one
/// root instance ([`Linker::within`](crate::Linker::within)). And how long each root instance may run.
///
/// Nothing is reserved before it is allowed. What would pass a limit while a component is instantiated fails with
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit), which says the limit; `memory.grow` and `table.grow` return -1, as
/// WebAssembly has it; and over `host_bytes`, `stack_bytes` or `fuel` a guest traps.
///
/// More limits may come: begin with [`Limits::default`].
///
/// ```
/// use tombolo::{Config, Engine, Limits, Store};
///
/// let engine = Engine::new(&Config::new())?;
/// let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
/// let store = Store::with_limits(&engine, (), limits);
/// # Ok::<(), tombolo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of all linear memories together. No limit by default, beyond that of each memory's type.
    pub memory_bytes: u64,
    /// Elements of all tables together, of 8 bytes each. 20 million by default.
    pub table_elements: u64,
    /// Linear memories. 10,000 by default. Each takes address space: 6 GiB, mostly.
    pub memories: u64,
    /// Tables. 10,000 by default.
    pub tables: u64,
    /// Instances, those of components and those of core modules. 10,000 by default.
    pub instances: u64,
    /// Bytes that the host holds for one root instance, with all component instances inside it: handles, tasks, queued
    /// events, stacks that are suspended (24 KiB each, and for one that is deep its depth), functions of the host that have not
    /// returned with what they were passed, streams of the host. No call may
    /// pass more values to the host than are left of them. 64 MiB by default. A store's limits say it for each root instance that has no limits of its own.
    pub host_bytes: u64,
    /// Bytes of exceptions that guests refer to; as much again may be taken by those that they no longer refer to. 4 MiB by
    /// default. Counted for the store alone.
    pub exception_bytes: usize,
    /// Bytes of stack that guests use, on the thread's stack and on each fiber. 512 KiB by default. On a thread's stack
    /// it is less if that is shorter. Functions of the host that guests call have 256 KiB beyond it. Said by the store alone.
    pub stack_bytes: usize,
    /// Fuel that each root instance has of its own, from the first instruction of its start functions on: see
    /// [`Instance::set_fuel`](crate::Instance::set_fuel). `None`, the default, for all that go by their store's
    /// ([`Store::set_fuel`](crate::Store::set_fuel)). A store's limits say it for each root instance that has no limits of
    /// its own. Needs [`Config::fuel`](crate::Config::fuel): without, what has it is not instantiated.
    pub fuel: Option<u64>,
    /// The time at which each root instance is ended: see [`Instance::set_deadline`](crate::Instance::set_deadline), by which
    /// it can be moved once the instance is there. `None`, the default, for never. For whom a store's limits say it, see
    /// `fuel`. Needs [`Config::deadlines`](crate::Config::deadlines): without, what has it is not instantiated.
    pub deadline: Option<Instant>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: u64::MAX,
            table_elements: 20_000_000,
            memories: 10_000,
            tables: 10_000,
            instances: 10_000,
            host_bytes: 64 << 20,
            exception_bytes: 4 << 20,
            stack_bytes: 512 << 10,
            fuel: None,
            deadline: None,
        }
    }
}

impl Limits {
    /// How the layer below makes a store with these limits.
    pub(crate) fn store_config(&self) -> tombolo_vm::StoreConfig {
        let config = tombolo_vm::StoreConfig::default();
        tombolo_vm::StoreConfig {
            max_wasm_stack: self.stack_bytes,
            fiber_stack: self.stack_bytes.saturating_add(config.host_stack),
            shallow_stack: SHALLOW_STACK,
            limits: self.of_group(),
            max_exception_bytes: self.exception_bytes,
            ..config
        }
    }

    /// What the layer below is told of a store, and of each island in it.
    pub(crate) fn of_group(&self) -> tombolo_vm::Limits {
        let Limits { memory_bytes, table_elements, memories, tables, instances, .. } = *self;
        tombolo_vm::Limits { memory_bytes, table_elements, memories, tables, instances }
    }
}
