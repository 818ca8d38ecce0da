//! How many bytes instances may make the host hold, together.
//!
//! Invariant: what is used is the sum of what the instances are charged that share the budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that one instance, or several together, may make the host hold. A clone is the same budget.
///
/// It is atomic so that whoever shares it needs no unsafe code; one thread at a time runs a store.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    /// Makes a budget of so many bytes.
    pub fn new(limit: u64) -> Self {
        Budget(Arc::new(Inner { limit, used: AtomicU64::new(0) }))
    }

    /// How much there is.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// How much of it is used.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Uses some, if there is so much left.
    #[inline]
    pub(crate) fn take(&self, bytes: u64) -> bool {
        match self.used().checked_add(bytes) {
            Some(used) if used <= self.0.limit => {
                self.0.used.store(used, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    /// Gives back what was used.
    #[inline]
    pub(crate) fn give_back(&self, bytes: u64) {
        self.0.used.store(self.used().saturating_sub(bytes), Ordering::Relaxed);
    }
}
