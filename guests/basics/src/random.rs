//! `wasi:random`.

use wasip3::random::{insecure, insecure_seed, random};

use crate::{number, unknown};

pub fn perform(words: &[&str]) -> String {
    match *words {
        // How many bytes there were, and whether they were all the same.
        ["bytes", count] => show(&random::get_random_bytes(number(count))),
        ["insecure-bytes", count] => show(&insecure::get_insecure_random_bytes(number(count))),
        ["hex", count] => hex(&random::get_random_bytes(number(count))),
        ["insecure-hex", count] => hex(&insecure::get_insecure_random_bytes(number(count))),
        ["u64"] => format!("{:016x}", random::get_random_u64()),
        ["insecure-u64"] => format!("{:016x}", insecure::get_insecure_random_u64()),
        ["seed"] => {
            let (lower, upper) = insecure_seed::get_insecure_seed();
            format!("{upper:016x}{lower:016x}")
        }
        ref words => unknown(words),
    }
}

fn show(bytes: &[u8]) -> String {
    let varied = bytes.iter().any(|byte| Some(byte) != bytes.first());
    format!("{} {}", bytes.len(), if varied { "varied" } else { "uniform" })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
