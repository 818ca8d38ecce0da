//! Randomness seeded by the operating system.

use std::io;

use rand::rngs::{SmallRng, StdRng, SysRng};
use rand::{Rng, SeedableRng};

use super::RandomSource;

/// Unpredictable bytes: a cryptographically secure generator that the operating system seeds, and seeds again
/// after every 64 KiB.
#[derive(Debug, Default)]
pub struct HostRandom(Option<Seeded>);

#[derive(Debug)]
struct Seeded {
    generator: StdRng,
    left: usize,
}

/// How many bytes one seed is good for.
const RESEED_AFTER: usize = 64 << 10;

impl HostRandom {
    /// The generator, seeded anew if `length` bytes are more than the seed is good for.
    fn generator(&mut self, length: usize) -> io::Result<&mut StdRng> {
        let left = match self.0.as_ref().and_then(|seeded| seeded.left.checked_sub(length)) {
            Some(left) => left,
            None => {
                let generator = StdRng::try_from_rng(&mut SysRng).map_err(io::Error::other)?;
                self.0 = Some(Seeded { generator, left: 0 });
                RESEED_AFTER.saturating_sub(length)
            }
        };
        let seeded = self.0.as_mut().ok_or_else(|| io::Error::other("not seeded"))?;
        seeded.left = left;
        Ok(&mut seeded.generator)
    }
}

impl RandomSource for HostRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.generator(buffer.len())?.fill_bytes(buffer);
        Ok(())
    }

    fn next_u64(&mut self) -> io::Result<u64> {
        Ok(self.generator(8)?.next_u64())
    }
}

/// Bytes that look random, fast. Never for anything that has to do with security.
#[derive(Debug, Default)]
pub struct FastRandom(Option<SmallRng>);

impl FastRandom {
    fn generator(&mut self) -> io::Result<&mut SmallRng> {
        match &mut self.0 {
            Some(generator) => Ok(generator),
            unseeded => {
                let generator = SmallRng::try_from_rng(&mut SysRng).map_err(io::Error::other)?;
                Ok(unseeded.insert(generator))
            }
        }
    }
}

impl RandomSource for FastRandom {
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.generator()?.fill_bytes(buffer);
        Ok(())
    }

    fn next_u64(&mut self) -> io::Result<u64> {
        Ok(self.generator()?.next_u64())
    }
}
