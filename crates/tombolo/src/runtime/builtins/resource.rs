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
            ResourceType::Guest { id } => {
                let resource = self.resources.borrow().get(id as usize).cloned();
                match resource.as_deref() {
                    Some(resource) => match &resource.dtor {
                        Some(dtor) => {
                            let blocks = resource.code.blocks(self, &resource.known_to_block, [dtor.func]);
                            let code = Code::Call(dtor.clone(), RawVal::from_u32(rep));
                            self.run_in_instance(resource.instance, code, blocks)
                        }
                        None => Ok(()),
                    },
                    None => Ok(()),
                }
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
