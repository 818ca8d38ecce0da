//! Randomness that can be had again.

use std::io;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::RandomSource;

/// The same bytes for the same seed, in the same version of this crate.
///
/// Good for the insecure interfaces and for tests. A guest that draws its secrets from it has none.
#[derive(Debug)]
pub struct SeededRandom(StdRng);

impl SeededRandom {
    /// Makes the source for `seed`.
    pub fn new(seed: u64) -> Self {
        SeededRandom(StdRng::seed_from_u64(seed))
    }
}

impl RandomSource for SeededRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.0.fill_bytes(buffer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats() {
        let (mut a, mut b, mut c) = (SeededRandom::new(7), SeededRandom::new(7), SeededRandom::new(8));
        let first = a.next_u64().unwrap();
        assert_eq!(first, b.next_u64().unwrap());
        assert_ne!(first, c.next_u64().unwrap());
    }
}
