//! How many bytes instances may make the host hold, together.
//!
//! Invariant: what is used is the sum of what the instances are charged that share the budget, and of its [`Charge`]s.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::trap::Trap;

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
    #[inline]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// How much is left.
    pub fn left(&self) -> u64 {
        self.limit().saturating_sub(self.used())
    }

    /// Uses some until the charge is dropped.
    ///
    /// # Errors
    ///
    /// [`Trap::BudgetExceeded`] when there is not so much left.
    pub fn charge(&self, bytes: u64) -> Result<Charge, Trap> {
        if self.take(bytes) {
            Ok(Charge { budget: self.clone(), bytes })
        } else {
            Err(Trap::BudgetExceeded(self.limit()))
        }
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

/// A part of a budget that is used, for something that the runtime holds by itself. Dropping it gives it back.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_given_back_when_it_is_dropped() {
        let budget = Budget::new(100);
        let charge = budget.charge(60).unwrap();
        assert_eq!((budget.used(), budget.left()), (60, 40));
        assert!(matches!(budget.charge(41), Err(Trap::BudgetExceeded(100))));
        let other = budget.charge(40).unwrap();
        drop(charge);
        assert_eq!(budget.left(), 60);
        drop(other);
        assert_eq!(budget.used(), 0);
    }
}
