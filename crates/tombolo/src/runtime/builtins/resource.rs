//! `resource.drop` and destructors.

use std::sync::Arc;

use tombolo_tasks::{Dropped, InstanceId};
use tombolo_vm::RawVal;

use crate::error::Result;
use crate::resource::ResourceType;
use crate::runtime::core::{HostDrop, StoreCore};
use crate::runtime::resource_type::GuestResource;
use crate::runtime::thread::Code;

/// What destroys the resources of a type.
pub(crate) enum Destructor {
    /// What the type's definition says, if a guest defines it.
    Guest(Arc<GuestResource>),
    Host(HostDrop),
}

impl StoreCore {
    /// What destroys the resources of a type, unless its definer has ended.
    pub fn destructor(&self, ty: ResourceType) -> Option<Destructor> {
        match ty {
            ResourceType::Guest(_) => self.resources.borrow().get(ty).cloned().map(Destructor::Guest),
            ResourceType::Host(_) => self.host_drops.borrow().get(&ty).cloned().map(Destructor::Host),
        }
    }

    #[inline]
    pub fn resource_drop(
        &self,
        instance: InstanceId,
        ty: ResourceType,
        destructor: Option<&Destructor>,
        index: u32,
    ) -> Result<()> {
        let dropped = self.tasks.borrow_mut().resource_drop(instance, ty, index)?;
        match (dropped, destructor) {
            (Dropped::Borrow, _) => Ok(()),
            (Dropped::Own { rep }, None) => self.destroy_resource(ty, rep),
            // The definer's island may have ended since.
            (Dropped::Own { .. }, Some(Destructor::Guest(_)))
                if self.resources.borrow().get(ty).is_none() =>
            {
                Ok(())
            }
            (Dropped::Own { rep }, Some(destructor)) => self.destroy(destructor, rep),
        }
    }

    /// Runs the destructor of an owned resource that nobody holds any more.
    pub fn destroy_resource(&self, ty: ResourceType, rep: u64) -> Result<()> {
        self.destructor(ty).map_or(Ok(()), |destructor| self.destroy(&destructor, rep))
    }

    #[inline]
    fn destroy(&self, destructor: &Destructor, rep: u64) -> Result<()> {
        match destructor {
            Destructor::Guest(definition) => self.destroy_guest_resource(definition, rep),
            // The host's are numbers of 32 bits.
            Destructor::Host(drop) => drop(self, rep as u32),
        }
    }

    fn destroy_guest_resource(&self, definition: &GuestResource, rep: u64) -> Result<()> {
        let Some(dtor) = &definition.dtor else { return Ok(()) };
        let rep = RawVal::from_u64(rep);
        if !definition.code.blocks(self, &definition.known_to_block, [dtor.func]) {
            return self.run_on_stack(definition.instance, || self.call(dtor, &mut [rep]));
        }
        self.run_in_instance(definition.instance, Code::Call(dtor.clone(), rep), true)
    }
}
