//! The resource types that guests define.
//!
//! A type is named by a slot and a generation, which no other type of this process has: so a name that outlives the island
//! of its definer, or gets into another store, finds nothing instead of another's type.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use tombolo_tasks::InstanceId;

use super::blocking::CoreCode;
use super::guest::Callable;
use crate::resource::{GuestType, ResourceType};

/// A resource type that a guest defined.
pub(crate) struct GuestResource {
    pub code: Arc<CoreCode>,
    pub instance: InstanceId,
    pub dtor: Option<Callable>,
    /// Whether the destructor may block, once it was asked.
    pub known_to_block: OnceLock<bool>,
}

/// The resource types of a store's guests.
#[derive(Default)]
pub(crate) struct ResourceTypes {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    resource: Option<Arc<GuestResource>>,
}

static NEXT_GENERATION: AtomicU32 = AtomicU32::new(0);

impl ResourceTypes {
    /// Adds a type.
    pub fn add(&mut self, resource: GuestResource) -> ResourceType {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let generation = NEXT_GENERATION.fetch_add(1, Ordering::Relaxed);
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            *entry = Slot { generation, resource: Some(Arc::new(resource)) };
        }
        ResourceType::Guest(GuestType::new(slot, generation))
    }

    /// Looks a type up; `None` if it is the host's, or gone with its definer.
    #[inline]
    pub fn get(&self, ty: ResourceType) -> Option<&Arc<GuestResource>> {
        let ResourceType::Guest(ty) = ty else { return None };
        let entry = self.slots.get(ty.slot() as usize)?;
        if entry.generation == ty.generation() { entry.resource.as_ref() } else { None }
    }

    /// Removes a type.
    pub fn remove(&mut self, ty: ResourceType) {
        let ResourceType::Guest(ty) = ty else { return };
        if let Some(entry) = self.slots.get_mut(ty.slot() as usize)
            && entry.generation == ty.generation()
            && entry.resource.take().is_some()
        {
            self.free.push(ty.slot());
        }
    }
}
