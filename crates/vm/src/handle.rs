//! Handles: how the host names what is in a store.
//!
//! A handle is an address and the number of the store that owns what is there. What a store owns is freed only with the
//! store, whose number is not used again, or with its group, whose handles nobody uses then (see
//! [`Store::free_group`](crate::Store::free_group)). So whoever has the handle and a reference to a store of that number
//! may follow the address.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a store, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(u64);

impl StoreId {
    pub(crate) fn next() -> StoreId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        StoreId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Defines a handle type and its way to the entity.
macro_rules! handle {
    ($(#[$attribute:meta])* $name:ident => $entity:ty) => {
        $(#[$attribute])*
        ///
        /// Copying it copies the name, not the thing. Using it with another store than the one it came from panics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name {
            pub(crate) pointer: std::ptr::NonNull<$entity>,
            pub(crate) store: crate::handle::StoreId,
        }

        // SAFETY: the address is followed only along with a `&Store`, of which one thread at a time has any.
        unsafe impl Send for $name {}
        // SAFETY: likewise.
        unsafe impl Sync for $name {}

        impl $name {
            /// What it names.
            #[track_caller]
            #[inline]
            pub(crate) fn entity(self, store: &crate::Store) -> &$entity {
                store.check(self.store);
                // SAFETY: the store is the one that owns the entity, which it keeps: nobody uses handles of what was
                // freed with its group.
                unsafe { self.pointer.as_ref() }
            }
        }
    };
}
pub(crate) use handle;
