//! `resource.drop` and destructors.

use tombolo_tasks::{Dropped, InstanceId};
use tombolo_vm::RawVal;

use crate::error::Result;
use crate::resource::ResourceType;
use crate::runtime::core::StoreCore;
use crate::runtime::thread::Code;

impl StoreCore {
    pub(super) fn resource_drop(&self, instance: InstanceId, ty: ResourceType, index: u32) -> Result<()> {
        let dropped = self.tasks.borrow_mut().resource_drop(instance, ty, index)?;
        match dropped {
            Dropped::Own { rep } => self.destroy_resource(ty, rep),
            Dropped::Borrow => Ok(()),
        }
    }

    /// Runs the destructor of an owned resource that nobody holds any more.
    pub fn destroy_resource(&self, ty: ResourceType, rep: u32) -> Result<()> {
        match ty {
            ResourceType::Guest { .. } => {
                let resource = self.resources.borrow().get(ty).cloned();
                let Some(resource) = resource.as_deref() else { return Ok(()) };
                let Some(dtor) = &resource.dtor else { return Ok(()) };
                let rep = RawVal::from_u32(rep);
                if !resource.code.blocks(self, &resource.known_to_block, [dtor.func]) {
                    return self.run_on_stack(resource.instance, || self.call(dtor, &mut [rep]));
                }
                self.run_in_instance(resource.instance, Code::Call(dtor.clone(), rep), true)
            }
            ResourceType::Host(_) => {
                let drop = self.host_drops.borrow().get(&ty).cloned();
                match drop {
                    Some(drop) => drop(self, rep),
                    None => Ok(()),
                }
            }
        }
    }
}
