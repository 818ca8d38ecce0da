//! Names of the store's entities.
//!
//! An id is a slab slot and the generation of that slot. It stays unique for 2³² reuses of its slot, so an id
//! that outlived its entity finds nothing instead of its successor. It is one word: ids are passed on, stored and
//! compared more than anything else here. Guests never see ids, only indices into the tables of their own instance.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

/// The kinds of entity that have ids, for error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Entity {
    /// A component instance.
    Instance,
    /// A task.
    Task,
    /// A thread.
    Thread,
    /// A subtask.
    Subtask,
    /// The readable or writable end of a stream or future.
    End,
    /// A waitable set.
    Set,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Entity::Instance => "component instance",
            Entity::Task => "task",
            Entity::Thread => "thread",
            Entity::Subtask => "subtask",
            Entity::End => "stream or future end",
            Entity::Set => "waitable set",
        })
    }
}

/// What all ids have in common.
pub(crate) trait Id: Copy {
    const ENTITY: Entity;
    fn new(slot: u32, generation: NonZeroU32) -> Self;
    fn slot(self) -> u32;
    fn generation(self) -> u32;
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $entity:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(NonZeroU64);

        impl Id for $name {
            const ENTITY: Entity = Entity::$entity;
            #[inline]
            fn new(slot: u32, generation: NonZeroU32) -> Self {
                let bits = u64::from(generation.get()) << 32 | u64::from(slot);
                // It is not zero, as the generation is not.
                $name(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MAX))
            }
            #[inline]
            fn slot(self) -> u32 {
                self.0.get() as u32
            }
            #[inline]
            fn generation(self) -> u32 {
                (self.0.get() >> 32) as u32
            }
        }

        impl $name {
            /// Packs the id into a word that compiled code can carry; never zero.
            #[inline]
            pub fn to_bits(self) -> u64 {
                self.0.get()
            }

            /// Unpacks what [`Self::to_bits`] packed; `None` if no id has these bits.
            #[inline]
            pub fn from_bits(bits: u64) -> Option<Self> {
                let id = $name(NonZeroU64::new(bits)?);
                (id.generation() != 0).then_some(id)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}.{})", stringify!($name), self.slot(), self.generation())
            }
        }
    };
}

id!(
    /// Names a component instance.
    InstanceId,
    Instance
);
id!(
    /// Names a task: one call into a component.
    TaskId,
    Task
);
id!(
    /// Names a thread. The index that guests see is another number: see [`Store::thread_index`].
    ///
    /// [`Store::thread_index`]: crate::Store::thread_index
    ThreadId,
    Thread
);
id!(
    /// Names a subtask: one call out of a component.
    SubtaskId,
    Subtask
);
id!(
    /// Names the readable or writable end of a stream or future.
    EndId,
    End
);
id!(
    /// Names a waitable set.
    SetId,
    Set
);
