//! How many descriptors of the host a guest may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{ErrorCode, Result};

/// A bound on the host's descriptors that one guest holds open. Clones count together.
#[derive(Clone, Debug)]
pub struct DescriptorLimit(Arc<Count>);

#[derive(Debug)]
struct Count {
    open: AtomicUsize,
    limit: usize,
}

/// The right to one open descriptor, given back on drop.
#[derive(Debug)]
pub(crate) struct Permit(DescriptorLimit);

impl DescriptorLimit {
    /// Bounds the number of open descriptors by `limit`.
    pub fn new(limit: usize) -> Self {
        DescriptorLimit(Arc::new(Count { open: AtomicUsize::new(0), limit }))
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    pub(crate) fn acquire(&self) -> Result<Permit> {
        let count = &self.0;
        count
            .open
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < count.limit).then_some(open + 1))
            .map(|_| Permit(self.clone()))
            .map_err(|_| ErrorCode::TOO_MANY_OPEN)
    }
}

impl Default for DescriptorLimit {
    /// Half of what the process may have open.
    fn default() -> Self {
        let process = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        DescriptorLimit::new(process.and_then(|limit| usize::try_from(limit / 2).ok()).unwrap_or(1 << 20))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_comes_back() {
        let limit = DescriptorLimit::new(1);
        let permit = limit.acquire().unwrap();
        assert_eq!(limit.acquire().unwrap_err(), ErrorCode::TOO_MANY_OPEN);
        drop(permit);
        assert_eq!(limit.open(), 0);
        limit.acquire().unwrap();
    }
}
