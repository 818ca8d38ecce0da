//! The half of bench-calls that is called: does as little as it can.

use exports::tombolo::bench::calls::{Guest, GuestCell, Sample};
use wit_bindgen::{StreamReader, StreamResult};

wit_bindgen::generate!({
    path: "../wit",
    world: "callee",
});

struct Callee;

impl Guest for Callee {
    type Cell = Cell;

    fn nothing() {}

    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    fn echo_string(text: String) -> String {
        text
    }

    fn echo_bytes(bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn echo_samples(samples: Vec<Sample>) -> Vec<Sample> {
        samples
    }

    async fn ready(n: u32) -> u32 {
        n
    }

    async fn yield_once() {
        wit_bindgen::yield_async().await;
    }

    async fn drain(mut data: StreamReader<u8>) -> u64 {
        let mut bytes = 0;
        let mut buffer = Vec::with_capacity(64 * 1024);
        loop {
            let result;
            (result, buffer) = data.read(buffer).await;
            bytes += buffer.len() as u64;
            buffer.clear();
            if result == StreamResult::Dropped {
                return bytes;
            }
        }
    }
}

struct Cell(u64);

impl GuestCell for Cell {
    fn new(value: u64) -> Self {
        Cell(value)
    }

    fn value(&self) -> u64 {
        self.0
    }
}

export!(Callee);
