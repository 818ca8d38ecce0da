//! `waitable-set.wait` and `waitable-set.poll`.

use tombolo_tasks::{Event, WaitFor};

use crate::error::{Error, Result};
use crate::runtime::core::StoreCore;
use crate::runtime::guest::Guest;

impl StoreCore {
    pub fn waitable_set_wait(&self, guest: &Guest, set: u32, out: u64) -> Result<u32> {
        let event = self.tasks.borrow_mut().poll(guest.instance, set)?;
        let event = match event {
            Some(event) => event,
            None => {
                let id = self.tasks.borrow().set_handle(guest.instance, set)?;
                self.block(WaitFor::Set(id))?;
                let event = self.tasks.borrow_mut().take_event(id)?;
                event.ok_or_else(|| Error::usage("a wait ended without an event"))?
            }
        };
        self.unpack_event(guest, event, out)
    }

    pub fn waitable_set_poll(&self, guest: &Guest, set: u32, out: u64) -> Result<u32> {
        let event = self.tasks.borrow_mut().poll(guest.instance, set)?;
        self.unpack_event(guest, event.unwrap_or(Event::NONE), out)
    }

    /// Stores an event's payload where the guest wants it (`unpack_event`).
    fn unpack_event(&self, guest: &Guest, event: Event, ptr: u64) -> Result<u32> {
        let memory = guest.bytes_mut(self);
        let at = usize::try_from(ptr).unwrap_or(usize::MAX);
        if !ptr.is_multiple_of(4) {
            return Err(Error::abi(format!("the event's address {ptr:#x} is not aligned to 4")));
        }
        let Some(bytes) = at.checked_add(8).and_then(|end| memory.get_mut(at..end)) else {
            return Err(Error::abi(format!("the event's address {ptr:#x} is out of bounds")));
        };
        let (first, second) = bytes.split_at_mut(4);
        first.copy_from_slice(&event.p1.to_le_bytes());
        second.copy_from_slice(&event.p2.to_le_bytes());
        Ok(event.code as u32)
    }
}
