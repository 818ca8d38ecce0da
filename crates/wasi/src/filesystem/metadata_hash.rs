//! Fingerprints of objects.

use std::hash::{BuildHasher, RandomState};

use super::{MetadataHash, Stat};

/// The secret that keeps a fingerprint from telling what it was made of, inode numbers in particular.
#[derive(Clone, Debug, Default)]
pub struct MetadataHashKey {
    lower: RandomState,
    upper: RandomState,
}

impl MetadataHashKey {
    /// Gives the fingerprint of an object: which one it is, its size and when it was last written.
    pub fn hash(&self, stat: &Stat) -> MetadataHash {
        MetadataHash { lower: half(&self.lower, stat), upper: half(&self.upper, stat) }
    }
}

fn half(key: &RandomState, stat: &Stat) -> u64 {
    key.hash_one((stat.device, stat.inode, stat.size, stat.data_modification))
}
