//! The handles that calls through adapters have lent.
//!
//! An adapter has a place in its frame for each `borrow` among its parameters (CanonicalABI.md, `lift_borrow`). The place
//! holds the index of the handle that was lent there; 0 for none. Where the `borrow` stands in a list there may be several:
//! from the second on they are kept here, and the place holds the number of their list with [`LIST`] set.

use smallvec::SmallVec;
use tombolo_tasks::{InstanceId, Lenders};

use super::activation::Activation;
use super::core::StoreCore;

/// What distinguishes the number of a list from the index of a handle, which is smaller.
const LIST: u32 = 1 << 31;

/// The lists of a store.
#[derive(Default)]
pub(crate) struct LentLists {
    lists: Vec<Option<LentList>>,
    free: Vec<u32>,
}

struct LentList {
    /// Whose handles they are.
    instance: InstanceId,
    handles: Vec<u32>,
}

impl LentLists {
    /// Notes another handle that an instance has lent, in a place that holds one or more.
    #[cold]
    fn add(&mut self, instance: InstanceId, place: &mut u32, index: u32) {
        if *place & LIST == 0 {
            let list = LentList { instance, handles: vec![*place] };
            let number = self.free.pop().unwrap_or(self.lists.len() as u32);
            match self.lists.get_mut(number as usize) {
                Some(slot) => *slot = Some(list),
                None => self.lists.push(Some(list)),
            }
            *place = LIST | number;
        }
        let slot = self.lists.get_mut((*place & !LIST) as usize);
        if let Some(list) = slot.and_then(Option::as_mut) {
            list.handles.push(index);
        }
    }

    /// Takes the handles that an instance has lent in a place that holds a list. They are none if the instance has ended since.
    fn take(&mut self, instance: InstanceId, place: u32) -> Vec<u32> {
        let number = place & !LIST;
        let slot = self.lists.get_mut(number as usize);
        let Some(list) = slot.and_then(|slot| slot.take_if(|list| list.instance == instance)) else {
            return Vec::new();
        };
        self.free.push(number);
        list.handles
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lists.len() == self.free.len()
    }

    /// Forgets what instances have lent that are no more.
    pub(super) fn forget(&mut self, instances: &[InstanceId]) {
        for (number, slot) in self.lists.iter_mut().enumerate() {
            if slot.take_if(|list| instances.contains(&list.instance)).is_some() {
                self.free.push(number as u32);
            }
        }
    }
}

impl StoreCore {
    /// Notes in its place a handle that an instance has lent.
    #[inline]
    pub(super) fn note_lent(&self, instance: InstanceId, place: &mut u32, index: u32) {
        match *place {
            0 => *place = index,
            _ => self.lent_lists.borrow_mut().add(instance, place, index),
        }
    }

    /// Takes the handles that a call of an instance has lent.
    pub(super) fn take_lent(&self, activation: &Activation<'_>, instance: InstanceId) -> Lenders {
        let mut handles = SmallVec::<[u32; 4]>::new();
        for place in activation.lent() {
            self.each_lent(instance, place.take(), |index| handles.push(index));
        }
        handles.into_iter().collect()
    }

    /// Ends what an instance has lent in these places.
    pub(super) fn end_lent(&self, instance: InstanceId, places: &[u32]) {
        let mut tasks = self.tasks.borrow_mut();
        for place in places {
            self.each_lent(instance, *place, |index| tasks.end_lend(instance, index));
        }
    }

    /// Takes what an instance has lent out of a place.
    #[inline]
    fn each_lent(&self, instance: InstanceId, place: u32, mut each: impl FnMut(u32)) {
        match place {
            0 => {}
            list if list & LIST != 0 => {
                self.lent_lists.borrow_mut().take(instance, list).into_iter().for_each(each);
            }
            index => each(index),
        }
    }
}
