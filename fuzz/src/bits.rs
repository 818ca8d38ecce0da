//! Numbers that only look random.

/// A stream of numbers that a seed determines, the same on every machine and with every version of every library
/// (SplitMix64).
#[derive(Clone, Debug)]
pub struct Bits(u64);

impl Bits {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Bits {
        Bits(seed)
    }

    /// A stream that all of some bytes determine.
    pub fn of(bytes: &[u8]) -> Bits {
        Bits(bytes.iter().fold(bytes.len() as u64, |seed, byte| Bits(seed ^ u64::from(*byte)).word()))
    }

    /// The next number, any as likely as any other.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.word() % (end.max(1) as u64)) as usize
    }

    /// The bits of a value of some type, of which the low ones are taken. Zeros, ones, small numbers, powers of two
    /// and their neighbours, and floats are more likely than others.
    pub fn value(&mut self) -> u128 {
        let word = self.word();
        match word % 8 {
            0 => u128::from(word >> 3 & 15),
            1 => !u128::from(word >> 3 & 15),
            2 => (1_u128 << (word >> 3 & 127)).wrapping_add(u128::from(word >> 60 & 3)).wrapping_sub(1),
            // A page's end and its neighbours.
            3 => u128::from(0x1_0000 - 8 + (word >> 3 & 15)),
            4 => u128::from((word >> 3) as f32 as u32) << 64 | u128::from((word as u32 as f32).to_bits()),
            5 => u128::from((f64::from(word as u32) - 2e9).to_bits()),
            _ => u128::from(self.word()) << 64 | u128::from(self.word()),
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend(self.word().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}
