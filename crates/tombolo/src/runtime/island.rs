//! Islands: what is made by one instantiation of a component, and ends together.
//!
//! An island is a root instance with all that is inside it: component instances, core instances with their memories,
//! lowered functions, built-ins, resource types. [`Island`] is its identity, which everything in it knows; [`Parts`] is
//! what the store keeps alive for it, because compiled code points to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_tasks::{Budget, InstanceId};
use tombolo_vm::GroupHandle;

use super::LoweredFunc;
use super::adapter::AdapterCode;
use super::builtins::BuiltinFunc;
use super::core::StoreCore;
use crate::component::ComponentInner;
use crate::resource::ResourceType;
use crate::store::Limits;

/// An island's identity.
#[derive(Debug)]
pub(crate) struct Island {
    /// No other island of the store has it, not even a later one.
    pub number: u64,
    /// What its core instances, their memories and functions are made in.
    pub group: GroupHandle,
    /// What the host holds for it.
    pub budget: Budget,
}

/// The islands of a store.
#[derive(Default)]
pub(crate) struct Islands {
    next: u64,
    live: BTreeMap<u64, Parts>,
}

/// What an island is made of.
#[derive(Default)]
pub(crate) struct Parts {
    pub instances: Vec<InstanceId>,
    pub resources: Vec<ResourceType>,
    /// Keep alive what core code's contexts point to.
    pub lowered: Vec<Arc<LoweredFunc>>,
    pub builtins: Vec<Arc<BuiltinFunc>>,
    /// The code of adapters that its links lead to.
    pub adapters: Vec<AdapterCode>,
    /// The code that runs in it.
    pub components: Vec<Arc<ComponentInner>>,
}

impl Islands {
    /// Takes the parts of all islands out.
    pub fn take_all(&mut self) -> impl Iterator<Item = Parts> + use<> {
        std::mem::take(&mut self.live).into_values()
    }

    /// How many links lead to adapters.
    #[cfg(test)]
    pub fn adapters(&self) -> usize {
        self.live.values().map(|parts| parts.adapters.len()).sum()
    }

    /// The instances of all islands.
    pub fn instances(&self) -> impl Iterator<Item = InstanceId> {
        self.live.values().flat_map(|parts| parts.instances.iter().copied())
    }
}

impl StoreCore {
    /// Makes an island, which is empty.
    pub fn new_island(&self, limits: &Limits) -> Arc<Island> {
        let mut islands = self.islands.borrow_mut();
        let number = islands.next;
        islands.next += 1;
        islands.live.insert(number, Parts::default());
        Arc::new(Island {
            number,
            group: self.vm.new_group(limits.of_group()),
            budget: Budget::new(limits.host_bytes),
        })
    }

    /// Adds to what an island is made of.
    pub fn add_part(&self, island: &Island, add: impl FnOnce(&mut Parts)) {
        if let Some(parts) = self.islands.borrow_mut().live.get_mut(&island.number) {
            add(parts);
        }
    }
}
