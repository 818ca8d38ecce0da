//! `resource.drop` and destructors.

use tombolo_tasks::{Dropped, InstanceId};
use tombolo_vm::RawVal;

use crate::error::Result;
use crate::resource::ResourceType;
use crate::runtime::core::StoreCore;
use crate::runtime::resource_type::GuestResource;
use crate::runtime::thread::Code;

impl StoreCore {
    #[inline]
    pub(super) fn resource_drop(
        &self,
        instance: InstanceId,
        ty: ResourceType,
        definition: Option<&GuestResource>,
        index: u32,
    ) -> Result<()> {
        let dropped = self.tasks.borrow_mut().resource_drop(instance, ty, index)?;
        match (dropped, definition) {
            (Dropped::Borrow, _) => Ok(()),
            (Dropped::Own { rep }, None) => self.destroy_resource(ty, rep),
            // The definer's island may have ended since.
            (Dropped::Own { .. }, Some(_)) if self.resources.borrow().get(ty).is_none() => Ok(()),
            (Dropped::Own { rep }, Some(definition)) => self.destroy_guest_resource(definition, rep),
        }
    }

    /// Runs the destructor of an owned resource that nobody holds any more.
    pub fn destroy_resource(&self, ty: ResourceType, rep: u64) -> Result<()> {
        match ty {
            ResourceType::Guest(_) => {
                let definition = self.resources.borrow().get(ty).cloned();
                definition.map_or(Ok(()), |definition| self.destroy_guest_resource(&definition, rep))
            }
            ResourceType::Host(_) => {
                let drop = self.host_drops.borrow().get(&ty).cloned();
                match drop {
                    // The host's are numbers of 32 bits.
                    Some(drop) => drop(self, rep as u32),
                    None => Ok(()),
                }
            }
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
