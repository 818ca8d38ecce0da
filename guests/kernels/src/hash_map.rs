//! The standard library's hash map, filled, searched and half emptied: branches, calls, and memory here and there.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::random::Random;

/// How many keys a round puts in.
const KEYS: u64 = 40_000;

pub fn run(rounds: u32) -> u64 {
    let mut random = Random(2);
    let mut sum = 0u64;
    for _ in 0..rounds {
        let mut map: HashMap<u64, u64, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        for value in 0..KEYS {
            *map.entry(random.next() % (2 * KEYS)).or_insert(0) += value;
        }
        for key in 0..2 * KEYS {
            sum = sum.wrapping_add(map.get(&key).copied().unwrap_or(1));
        }
        for key in (0..2 * KEYS).step_by(2) {
            sum ^= map.remove(&key).unwrap_or(0);
        }
        sum = sum.rotate_left(7) ^ map.len() as u64;
    }
    sum
}
