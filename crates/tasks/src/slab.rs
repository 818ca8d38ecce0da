//! A generational slab: where all entities of one kind live.
//!
//! Invariants: a slot's generation is never zero and changes whenever its value is removed; the free list
//! links exactly the slots without a value; an id finds a value only if slot and generation both match.

use std::marker::PhantomData;
use std::num::NonZeroU32;

use crate::id::Id;
use crate::trap::Trap;

const NO_SLOT: u32 = u32::MAX;

pub(crate) struct Slab<I, T> {
    slots: Vec<Slot<T>>,
    free: u32,
    len: u32,
    id: PhantomData<fn() -> I>,
}

struct Slot<T> {
    generation: NonZeroU32,
    entry: Entry<T>,
}

enum Entry<T> {
    Full(T),
    Free(u32),
}

impl<I: Id, T> Slab<I, T> {
    pub(crate) fn new() -> Self {
        Slab { slots: Vec::new(), free: NO_SLOT, len: 0, id: PhantomData }
    }

    /// Adds a value. Fails only when 2³² - 1 slots are in use.
    // Always inlined: a value is made in its slot then, instead of moved there.
    #[inline(always)]
    pub(crate) fn insert(&mut self, value: T) -> Result<I, Trap> {
        if let Some(slot) = self.slots.get_mut(self.free as usize) {
            let index = self.free;
            if let Entry::Free(next) = slot.entry {
                self.free = next;
                slot.entry = Entry::Full(value);
                self.len = self.len.saturating_add(1);
                return Ok(I::new(index, slot.generation));
            }
        }
        self.grow(value)
    }

    #[cold]
    fn grow(&mut self, value: T) -> Result<I, Trap> {
        let index = u32::try_from(self.slots.len()).unwrap_or(NO_SLOT);
        if index == NO_SLOT {
            return Err(Trap::StoreFull(I::ENTITY));
        }
        self.slots.push(Slot { generation: NonZeroU32::MIN, entry: Entry::Full(value) });
        self.len = self.len.saturating_add(1);
        Ok(I::new(index, NonZeroU32::MIN))
    }

    #[inline]
    pub(crate) fn find(&self, id: I) -> Option<&T> {
        match self.slots.get(id.slot() as usize) {
            Some(Slot { generation, entry: Entry::Full(value) }) if generation.get() == id.generation() => {
                Some(value)
            }
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, id: I) -> Option<&mut T> {
        match self.slots.get_mut(id.slot() as usize) {
            Some(Slot { generation, entry: Entry::Full(value) }) if generation.get() == id.generation() => {
                Some(value)
            }
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: I) -> Result<&T, Trap> {
        self.find(id).ok_or(Trap::Gone(I::ENTITY))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: I) -> Result<&mut T, Trap> {
        self.find_mut(id).ok_or(Trap::Gone(I::ENTITY))
    }

    /// Looks up two different values at once.
    #[inline]
    pub(crate) fn get_two_mut(&mut self, a: I, b: I) -> Result<(&mut T, &mut T), Trap> {
        let slots = [a.slot() as usize, b.slot() as usize];
        match self.slots.get_disjoint_mut(slots) {
            Ok(
                [
                    Slot { generation: generation_a, entry: Entry::Full(value_a) },
                    Slot { generation: generation_b, entry: Entry::Full(value_b) },
                ],
            ) if generation_a.get() == a.generation() && generation_b.get() == b.generation() => {
                Ok((value_a, value_b))
            }
            _ => Err(Trap::Gone(I::ENTITY)),
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: I) -> Result<T, Trap> {
        let gone = Trap::Gone(I::ENTITY);
        let slot = self.slots.get_mut(id.slot() as usize).ok_or(gone)?;
        if slot.generation.get() != id.generation() || matches!(slot.entry, Entry::Free(_)) {
            return Err(gone);
        }
        slot.generation = slot.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        match std::mem::replace(&mut slot.entry, Entry::Free(self.free)) {
            Entry::Full(value) => {
                self.free = id.slot();
                self.len = self.len.saturating_sub(1);
                Ok(value)
            }
            Entry::Free(_) => Err(gone),
        }
    }

    /// Removes a value and drops it where it is.
    #[inline]
    pub(crate) fn discard(&mut self, id: I) -> Result<(), Trap> {
        match self.slots.get_mut(id.slot() as usize) {
            Some(Slot { generation, entry: entry @ Entry::Full(_) })
                if generation.get() == id.generation() =>
            {
                *generation = generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
                *entry = Entry::Free(self.free);
                self.free = id.slot();
                self.len = self.len.saturating_sub(1);
                Ok(())
            }
            _ => Err(Trap::Gone(I::ENTITY)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match &slot.entry {
            Entry::Full(value) => Some((I::new(index as u32, slot.generation), value)),
            Entry::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Entity, TaskId};

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut slab = Slab::<TaskId, &str>::new();
        let a = slab.insert("a").unwrap();
        assert_eq!(slab.get(a), Ok(&"a"));
        assert_eq!(slab.remove(a), Ok("a"));
        let b = slab.insert("b").unwrap();
        assert_eq!(b.slot(), a.slot());
        assert_eq!(slab.get(a), Err(Trap::Gone(Entity::Task)));
        assert_eq!(slab.remove(a), Err(Trap::Gone(Entity::Task)));
        assert_eq!(slab.get_mut(b), Ok(&mut "b"));
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.discard(a), Err(Trap::Gone(Entity::Task)));
        assert_eq!(slab.discard(b), Ok(()));
        assert_eq!(slab.discard(b), Err(Trap::Gone(Entity::Task)));
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn two_values_at_once_must_differ() {
        let mut slab = Slab::<TaskId, u8>::new();
        let a = slab.insert(1).unwrap();
        let b = slab.insert(2).unwrap();
        assert_eq!(slab.get_two_mut(a, b), Ok((&mut 1, &mut 2)));
        assert!(slab.get_two_mut(a, a).is_err());
        slab.remove(b).unwrap();
        assert!(slab.get_two_mut(a, b).is_err());
    }

    #[test]
    fn slots_are_reused() {
        let mut slab = Slab::<TaskId, u32>::new();
        for n in 0..10_000 {
            let id = slab.insert(n).unwrap();
            slab.remove(id).unwrap();
        }
        assert_eq!(slab.slots.len(), 1);
        assert_eq!(slab.len(), 0);
    }
}
