//! What stands in the way of leaving and entering an instance, as one word.
//!
//! Compiled code looks at the word before it calls from one instance into another: if no bit is in the way, the call
//! needs nothing from the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The word of one instance. A clone is the same word, and outlives the instance.
///
/// It is atomic so that whoever shares it needs no unsafe code; one thread at a time runs a store.
#[derive(Clone, Debug, Default)]
pub struct Door(Arc<AtomicU32>);

impl Door {
    /// The instance may not be left: it runs `realloc` or post-return (`not inst.may_leave`).
    pub const MAY_NOT_LEAVE: u32 = 1;
    /// Nothing may run in the instance any more.
    pub const DEAD: u32 = 2;
    /// The exclusive lock is taken (`inst.exclusive_thread is not None`).
    ///
    /// Compiled code takes it for a call that enters while no bit is in the way, and releases it by clearing the bit, or by
    /// [`Store::unlock`](crate::Store::unlock) if [others want it](Door::WANTED). The call has no thread as long as nobody asks
    /// for it: see [`Store::begin_entered`](crate::Store::begin_entered).
    pub const LOCKED: u32 = 4;
    /// Calls of async-typed functions wait before they enter: there is backpressure, or others wait already.
    pub const HELD_BACK: u32 = 8;
    /// A thread waits for nothing but the exclusive lock.
    pub const GATED: u32 = 16;
    /// Any of what makes whoever releases the exclusive lock look who is next.
    pub const WANTED: u32 = Door::HELD_BACK | Door::GATED;

    /// Where the word is, for compiled code.
    pub fn word(&self) -> &AtomicU32 {
        &self.0
    }

    /// Whether the instance may be left (`inst.may_leave`).
    #[inline]
    pub fn may_leave(&self) -> bool {
        !self.has(Door::MAY_NOT_LEAVE)
    }

    /// Whether nothing may run in the instance any more.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.0.load(Ordering::Relaxed) & Door::DEAD != 0
    }

    /// Says whether the instance may be left.
    #[inline]
    pub fn set_may_leave(&self, may: bool) {
        self.set(Door::MAY_NOT_LEAVE, !may);
    }

    /// Notes that nothing may run in the instance any more.
    pub fn kill(&self) {
        self.set(Door::DEAD, true);
    }

    #[inline]
    pub(crate) fn has(&self, bits: u32) -> bool {
        self.0.load(Ordering::Relaxed) & bits != 0
    }

    #[inline]
    pub(crate) fn set(&self, bit: u32, on: bool) {
        let word = self.0.load(Ordering::Relaxed);
        self.0.store(if on { word | bit } else { word & !bit }, Ordering::Relaxed);
    }
}
