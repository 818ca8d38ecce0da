//! Random data: unpredictable where a secret depends on it, merely scattered elsewhere.

mod host;
mod seeded;

use std::io;

pub use host::{FastRandom, HostRandom};
pub use seeded::SeededRandom;

/// A source of random bytes.
///
/// The same trait serves the sources whose bytes must be unpredictable and those whose bytes need not be; which of
/// the two an implementation is, its documentation says.
pub trait RandomSource: Send + 'static {
    /// Fills `buffer`.
    ///
    /// # Errors
    ///
    /// The source has nothing to give. The guest that asked for it traps.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()>;

    /// Gives eight bytes as a number.
    ///
    /// # Errors
    ///
    /// As [`RandomSource::fill`].
    fn next_u64(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// How many bytes one request gets at most. A guest that wants more asks again, as the interface documents.
pub const REQUEST_LIMIT: u64 = 1 << 20;

/// What a guest's random interfaces draw from.
pub(crate) struct Random {
    pub(crate) secure: Box<dyn RandomSource>,
    pub(crate) insecure: Box<dyn RandomSource>,
    pub(crate) insecure_seed: Option<(u64, u64)>,
}

impl Default for Random {
    fn default() -> Self {
        Random {
            secure: Box::new(HostRandom::default()),
            insecure: Box::new(FastRandom::default()),
            insecure_seed: None,
        }
    }
}

impl Random {
    /// Draws up to `length` bytes from `source`, fewer if `length` is beyond [`REQUEST_LIMIT`].
    pub(crate) fn draw(source: &mut dyn RandomSource, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length.min(REQUEST_LIMIT) as usize];
        source.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The seed for a guest's hash maps: drawn once, the same ever after.
    pub(crate) fn insecure_seed(&mut self) -> io::Result<(u64, u64)> {
        if let Some(seed) = self.insecure_seed {
            return Ok(seed);
        }
        let seed = (self.insecure.next_u64()?, self.insecure.next_u64()?);
        self.insecure_seed = Some(seed);
        Ok(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_request_is_cut_short_and_an_empty_one_is_empty() {
        let mut random = Random::default();
        assert_eq!(Random::draw(&mut *random.secure, u64::MAX).unwrap().len() as u64, REQUEST_LIMIT);
        assert_eq!(Random::draw(&mut *random.insecure, 0).unwrap(), []);
    }

    #[test]
    fn the_insecure_seed_stays() {
        let mut random = Random::default();
        assert_eq!(random.insecure_seed().unwrap(), random.insecure_seed().unwrap());
    }

    #[test]
    fn host_sources_do_not_repeat_themselves() {
        let (mut a, mut b) = (Random::default(), Random::default());
        assert_ne!(a.secure.next_u64().unwrap(), a.secure.next_u64().unwrap());
        assert_ne!(Random::draw(&mut *a.secure, 32).unwrap(), Random::draw(&mut *b.secure, 32).unwrap());
        assert_ne!(Random::draw(&mut *a.insecure, 32).unwrap(), Random::draw(&mut *b.insecure, 32).unwrap());
    }
}
