//! Work that may block, and where it is done.

mod transfer;
mod workers;

pub(crate) use transfer::{PooledRead, PooledWrite};
pub(crate) use workers::Job;
pub use workers::Workers;

/// Whether a call may block the thread it is made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    /// The call answers from what is at hand, or says that it would have to wait.
    Avoid,
    /// The call takes as long as it takes.
    Allow,
}

/// How many bytes one call moves at most: a bound on how long it keeps its thread.
pub(crate) const TRANSFER_LIMIT: usize = 1 << 20;
