//! Strings made, sorted and compared: allocation, `memcmp`, and moves of small records.

use crate::random::Random;

/// How many strings a round sorts.
const STRINGS: usize = 20_000;

pub fn run(rounds: u32) -> u64 {
    let mut random = Random(3);
    let mut sum = 0u64;
    for _ in 0..rounds {
        let mut strings: Vec<String> = (0..STRINGS).map(|_| string(&mut random)).collect();
        strings.sort();
        for (index, string) in strings.iter().enumerate() {
            let last = string.as_bytes().last().copied().unwrap_or(0);
            sum = sum.wrapping_mul(31).wrapping_add(index as u64 ^ u64::from(last));
        }
    }
    sum
}

/// 4 to 19 letters, of which the first three are few, so that comparing looks further.
fn string(random: &mut Random) -> String {
    let word = random.next();
    let length = 4 + (word & 15) as usize;
    let mut letters = String::with_capacity(length);
    for index in 0..length {
        let range = if index < 3 { 2 } else { 26 };
        letters.push(char::from(b'a' + (random.next() % range) as u8));
    }
    letters
}
