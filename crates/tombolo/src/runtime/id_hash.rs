//! Hashing ids, which are numbers that the store gives out itself: nobody can choose them to collide.

use std::hash::{BuildHasherDefault, Hasher};

/// A map by ids.
pub(crate) type IdMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Mixes the few words that an id has.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

/// An odd number without a pattern in its bits, 2⁶⁴ divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(SPREAD);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn slots_one_after_another_are_spread() {
        let hash =
            |slot: u32, generation: u32| BuildHasherDefault::<IdHasher>::new().hash_one((slot, generation));
        let all: Vec<u64> =
            (0..1000).flat_map(|slot| (1..5).map(move |generation| hash(slot, generation))).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        // A table looks at the lowest bits and at the highest.
        let low = all.iter().map(|hash| hash % 4096).collect::<HashSet<_>>().len();
        let high: HashSet<_> = all.iter().map(|hash| hash >> 57).collect();
        assert!(low > 2000 && high.len() == 128, "{low} {}", high.len());
    }
}
