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

    /// Where the word is, for compiled code.
    pub fn word(&self) -> &AtomicU32 {
        &self.0
    }

    /// Whether the instance may be left (`inst.may_leave`).
    #[inline]
    pub fn may_leave(&self) -> bool {
        self.0.load(Ordering::Relaxed) & Door::MAY_NOT_LEAVE == 0
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
    fn set(&self, bit: u32, on: bool) {
        let word = self.0.load(Ordering::Relaxed);
        self.0.store(if on { word | bit } else { word & !bit }, Ordering::Relaxed);
    }
}
