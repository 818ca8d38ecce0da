//! Islands: what is made by one instantiation of a component, and ends together.
//!
//! An island is a root instance with all that is inside it: component instances, core instances with their memories,
//! lowered functions, built-ins, resource types. [`Island`] is its identity, which everything in it knows; [`Parts`] is
//! what the store keeps alive for it, because compiled code points to it. How islands end stands in `ending.rs`.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tombolo_tasks::{Budget, InstanceId, TaskId};
use tombolo_vm::GroupHandle;

use super::LoweredFunc;
use super::adapter::AdapterCode;
use super::core::StoreCore;
use crate::component::ComponentInner;
use crate::ended::{EndCause, Ended};
use crate::error::{Error, Result, TrapReason};
use crate::resource::ResourceType;
use crate::store::Limits;

/// An island's identity.
#[derive(Debug)]
pub(crate) struct Island {
    /// No other island of the store has it, not even a later one.
    pub number: u64,
    /// What its component calls itself.
    name: Option<Arc<str>>,
    /// What its core instances, their memories and functions are made in.
    pub group: GroupHandle,
    /// What the host holds for it.
    pub budget: Budget,
    ended: OnceLock<Ended>,
}

/// The islands of a store.
#[derive(Default)]
pub(crate) struct Islands {
    next: u64,
    live: BTreeMap<u64, Parts>,
    /// Those that have ended, as long as there may be frames of them.
    dead: Vec<Parts>,
}

/// What an island is made of.
pub(crate) struct Parts {
    pub island: Arc<Island>,
    pub instances: Vec<InstanceId>,
    pub resources: Vec<ResourceType>,
    /// Keep alive what core code's contexts point to.
    pub lowered: Vec<Arc<LoweredFunc>>,
    pub builtins: Vec<Arc<dyn Any + Send + Sync>>,
    /// The code of adapters that its links lead to.
    pub adapters: Vec<AdapterCode>,
    /// The code that runs in it.
    pub components: Vec<Arc<ComponentInner>>,
    /// Tasks that adapters made in other islands for what they lent to calls. If such a call is cut off before it began,
    /// nobody else knows of its task.
    lent_to: Vec<TaskId>,
}

impl Island {
    /// Why it ended, if it has.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.get()
    }

    /// Fails if it has ended.
    pub fn check(&self) -> Result<()> {
        match self.ended() {
            Some(ended) => Err(TrapReason::CannotEnter(ended.clone()).into()),
            None => Ok(()),
        }
    }

    /// The error of what was going on in it when it ended: the one that it failed with, or that it has ended.
    pub fn error(&self) -> Option<Error> {
        Some(match self.ended()? {
            ended if let EndCause::Failed(error) = ended.cause() => error.clone(),
            ended => TrapReason::Ended(ended.clone()).into(),
        })
    }

    /// Notes that it has ended. It does so once.
    pub fn end(&self, cause: EndCause) {
        let name = match &self.name {
            Some(name) => format!("component instance `{name}` ({})", self.number),
            None => format!("component instance {}", self.number),
        };
        let _ = self.ended.set(Ended::new(name, cause));
    }
}

impl Islands {
    /// All that have not ended.
    pub fn live(&self) -> impl Iterator<Item = &Parts> {
        self.live.values()
    }

    /// The one with a number, unless it has ended.
    pub fn get(&self, number: u64) -> Option<Arc<Island>> {
        self.live.get(&number).map(|parts| parts.island.clone())
    }

    /// Moves an island to the dead.
    pub fn bury(&mut self, island: &Island) -> Option<&mut Parts> {
        let parts = self.live.remove(&island.number)?;
        self.dead.push(parts);
        self.dead.last_mut()
    }

    /// Takes out those that have ended.
    pub fn take_dead(&mut self) -> Vec<Parts> {
        std::mem::take(&mut self.dead)
    }

    /// The island of a component instance that has ended.
    pub fn dead_with(&self, instance: InstanceId) -> Option<&Arc<Island>> {
        self.dead.iter().find(|parts| parts.instances.contains(&instance)).map(|parts| &parts.island)
    }

    /// How many links lead to adapters.
    #[cfg(test)]
    pub fn adapters(&self) -> usize {
        self.live.values().map(|parts| parts.adapters.len()).sum()
    }
}

impl Parts {
    /// Takes the tasks in other islands that may be left over.
    pub fn take_lent_to(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.lent_to)
    }
}

impl StoreCore {
    /// Makes an island of a component, empty as yet.
    pub fn new_island(&self, component: &ComponentInner, limits: &Limits) -> Result<Arc<Island>> {
        if limits.fuel.is_some() {
            self.need_fuel()?;
        }
        if limits.deadline.is_some() {
            self.need_alarm()?;
        }
        let mut islands = self.islands.borrow_mut();
        let number = islands.next;
        islands.next += 1;
        let island = Arc::new(Island {
            number,
            name: component.name.clone(),
            group: self.vm.new_group(limits.of_group()),
            budget: Budget::new(limits.host_bytes),
            ended: OnceLock::new(),
        });
        let parts = Parts {
            island: island.clone(),
            instances: Vec::new(),
            resources: Vec::new(),
            lowered: Vec::new(),
            builtins: Vec::new(),
            adapters: Vec::new(),
            components: Vec::new(),
            lent_to: Vec::new(),
        };
        islands.live.insert(number, parts);
        drop(islands);
        if limits.fuel.is_some() {
            self.set_island_fuel(&island, limits.fuel)?;
        }
        if limits.deadline.is_some() {
            self.set_island_deadline(&island, limits.deadline)?;
        }
        Ok(island)
    }

    /// Adds to what an island is made of.
    pub fn add_part(&self, island: &Island, add: impl FnOnce(&mut Parts)) {
        if let Some(parts) = self.islands.borrow_mut().live.get_mut(&island.number) {
            add(parts);
        }
    }

    /// Notes a task that an adapter made in another island, for the sake of what it lends to a call.
    pub fn note_lent_to(&self, island: &Island, task: TaskId) {
        let tasks = self.tasks.borrow();
        self.add_part(island, |parts| {
            // Mostly the last one's call has ended.
            while parts.lent_to.pop_if(|task| tasks.task_instance(*task).is_err()).is_some() {}
            parts.lent_to.push(task);
        });
    }

    /// The island of a component instance; `None` once it has ended.
    pub fn island_of(&self, instance: InstanceId) -> Option<Arc<Island>> {
        self.tasks.borrow().instance(instance).ok().map(|instance| instance.data.clone())
    }
}
