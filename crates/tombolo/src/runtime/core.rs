//! The part of a store that does not depend on the host's data.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use tombolo_tasks::{InstanceId, ThreadId};

use super::ending::Endings;
use super::host_end::HostEnds;
use super::host_task::HostTasks;
use super::id_hash::IdMap;
use super::island::Islands;
use super::lent::LentLists;
use super::resource_type::ResourceTypes;
use super::thread::Sliced;
use super::{HostCaller, LiftedFunc, Runtime};
use crate::ended::EndCause;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::resource::ResourceType;
use crate::store::{Cancellations, Deadlines, Limits, next_store_id};

/// Everything in a store but the host's data.
///
/// No borrow of a part may be held across a call into a guest.
pub(crate) struct StoreCore {
    /// No other store has it.
    pub id: u64,
    pub engine: Engine,
    pub vm: tombolo_vm::Store,
    pub tasks: RefCell<tombolo_tasks::Store<Runtime>>,
    /// The thread that the one that leaves its fiber now hands over to.
    pub handover: Cell<Option<ThreadId>>,
    pub host_tasks: HostTasks,
    /// What works on each stream or future end that the host owns.
    pub host_ends: RefCell<HostEnds>,
    pub resources: RefCell<ResourceTypes>,
    pub islands: RefCell<Islands>,
    pub lent_lists: RefCell<LentLists>,
    /// The error that a thread ended with, on its way from its fiber to whoever resumed it.
    pub failure: RefCell<Option<Error>>,
    pub endings: Endings,
    pub limits: Limits,
    pub deadlines: Deadlines,
    pub cancellations: Cancellations,
    /// What the event loop is to begin with.
    pub jobs: RefCell<VecDeque<Job>>,
    /// What the end of a time slice has suspended.
    sliced: Cell<Option<Sliced>>,
    /// Whether there is such, and so nothing else may run.
    suspended: Cell<bool>,
    /// The event loop's present turn.
    pub turn: Turn,
    /// What to do when the last handle to a host's resource is dropped.
    pub host_drops: RefCell<IdMap<ResourceType, HostDrop>>,
}

/// A turn of the event loop: so many threads run, or one so many times.
#[derive(Default)]
pub(crate) struct Turn {
    left: Cell<u32>,
    /// Which thread runs because the event loop has resumed it, and nobody else.
    thread: Cell<Option<ThreadId>>,
}

impl Turn {
    /// Begins a turn.
    pub fn begin(&self, threads: u32) {
        self.left.set(threads);
    }

    /// Whether another thread may run, and notes that none does.
    pub fn is_left(&self) -> bool {
        self.thread.set(None);
        self.left.get() > 0
    }

    /// Notes the thread that the event loop resumes.
    pub fn is_of(&self, thread: ThreadId) {
        self.left.set(self.left.get().saturating_sub(1));
        self.thread.set(Some(thread));
    }

    /// Whether a thread, which waits, may go on in place if it is the next, without the event loop.
    pub fn goes_on(&self, thread: ThreadId) -> bool {
        if self.thread.get() != Some(thread) || self.left.get() == 0 {
            return false;
        }
        self.left.set(self.left.get().saturating_sub(1));
        true
    }
}

/// Work for the event loop.
pub(crate) enum Job {
    /// To begin a call of the host's.
    Call(Arc<LiftedFunc>, Box<dyn HostCaller>),
    /// Whatever it is, and whether the guests that it runs have fibers of their own.
    Other(Box<dyn FnOnce(&StoreCore) + Send>, bool),
}

impl Job {
    pub fn new(job: impl FnOnce(&StoreCore) + Send + 'static) -> Self {
        Job::Other(Box::new(job), false)
    }

    /// One that begins a call, perhaps of an `async` function.
    pub fn beginning(is_async: bool, job: impl FnOnce(&StoreCore) + Send + 'static) -> Self {
        Job::Other(Box::new(job), is_async)
    }

    /// Whether the guests that it runs have fibers of their own.
    pub fn is_on_fibers(&self) -> bool {
        match self {
            Job::Call(func, _) => func.sig.is_async,
            Job::Other(_, on_fibers) => *on_fibers,
        }
    }

    pub fn run(self, core: &StoreCore) {
        match self {
            // The store says what goes wrong to whoever drives it.
            Job::Call(func, call) => drop(core.begin_call(func, call)),
            Job::Other(job, _) => job(core),
        }
    }
}

/// Drops a host's resource, given its representation.
pub(crate) type HostDrop = Arc<dyn Fn(&StoreCore, u32) -> Result<()> + Send + Sync>;

impl StoreCore {
    pub fn new(engine: &Engine, limits: Limits) -> Self {
        StoreCore {
            id: next_store_id(),
            engine: engine.clone(),
            vm: tombolo_vm::Store::new(
                engine.trampolines().clone(),
                tombolo_vm::StoreConfig {
                    interrupted: Some(Box::new(super::entry::interrupted)),
                    cutting: Some(super::entry::cutting),
                    ..limits.store_config()
                },
            ),
            tasks: RefCell::new(tombolo_tasks::Store::new()),
            handover: Cell::default(),
            host_tasks: HostTasks::default(),
            host_ends: RefCell::default(),
            resources: RefCell::default(),
            islands: RefCell::default(),
            lent_lists: RefCell::default(),
            failure: RefCell::default(),
            endings: Endings::default(),
            limits,
            deadlines: Deadlines::default(),
            cancellations: Cancellations::default(),
            jobs: RefCell::default(),
            sliced: Cell::default(),
            suspended: Cell::new(false),
            turn: Turn::default(),
            host_drops: RefCell::default(),
        }
    }

    /// Traps unless the instance may call out of itself (`may_leave`).
    pub fn check_may_leave(&self, instance: InstanceId) -> Result<()> {
        Ok(self.tasks.borrow().check_may_leave(instance)?)
    }

    /// Fails if nothing may run, because a guest is suspended at the end of its time slice.
    #[inline]
    pub fn check_running(&self) -> Result<()> {
        if self.is_suspended() { Err(why_stopped()) } else { Ok(()) }
    }

    /// Keeps what the end of a time slice has suspended for the next one.
    pub fn keep_sliced(&self, sliced: Sliced) {
        self.sliced.set(Some(sliced));
        self.suspended.set(true);
    }

    /// Takes that out, to go on with it.
    pub fn take_sliced(&self) -> Option<Sliced> {
        self.suspended.set(false);
        self.sliced.take()
    }

    /// Whether a guest is suspended at the end of its time slice.
    #[inline]
    pub fn is_suspended(&self) -> bool {
        self.suspended.get()
    }

    /// Whether an instance implements a resource type, and so is passed what its borrows stand for.
    #[inline]
    pub fn implements(&self, instance: InstanceId, ty: ResourceType) -> bool {
        self.resources.borrow().get(ty).is_some_and(|resource| resource.instance == instance)
    }

    /// Ends everything in the store. Suspended threads leave their stacks in an orderly way: what the host had on
    /// them is dropped.
    pub fn end(&self) {
        if let Some(sliced) = self.take_sliced() {
            self.cancel_sliced(sliced);
        }
        drop(self.jobs.take());
        self.host_tasks.clear();
        drop(self.host_ends.take());
        let islands: Vec<_> = self.islands.borrow().live().map(|parts| parts.island.clone()).collect();
        for island in islands {
            self.end_island(&island, EndCause::Removed);
        }
        drop(self.jobs.take());
    }
}

#[cold]
fn why_stopped() -> Error {
    Error::usage(
        "a guest of this store is suspended at the end of its time slice: let an executor drive the store",
    )
}

impl Drop for StoreCore {
    fn drop(&mut self) {
        self.end();
    }
}
