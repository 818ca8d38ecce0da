//! The primes below a million, by the sieve of Eratosthenes: bytes written in strides, then read in order.

const LIMIT: usize = 1_000_000;

pub fn run(rounds: u32) -> u64 {
    let mut composite = vec![false; LIMIT];
    let mut sum = 0;
    for _ in 0..rounds {
        composite.fill(false);
        for number in 2.. {
            if number * number >= LIMIT {
                break;
            }
            if !composite[number] {
                for multiple in (number * number..LIMIT).step_by(number) {
                    composite[multiple] = true;
                }
            }
        }
        for (number, composite) in composite.iter().enumerate().skip(2) {
            if !composite {
                sum += number as u64;
            }
        }
    }
    sum
}
