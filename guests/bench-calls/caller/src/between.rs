//! Work between this component and the callee.

use std::hint::black_box;

use futures_util::future::join_all;
use futures_util::join;

use crate::tombolo::bench::calls::{self, Cell, Sample};
use crate::wit_stream;

pub fn nothing(n: u64) {
    for _ in 0..n {
        calls::nothing();
    }
}

pub fn add(n: u64) {
    let mut sum = 0;
    for i in 0..n {
        sum = calls::add(sum, i as u32);
    }
    black_box(sum);
}

pub fn string(n: u64) {
    let text = "thirty-two bytes of text, it is.";
    for _ in 0..n {
        black_box(calls::echo_string(text));
    }
}

pub fn bytes(n: u64) {
    let bytes = vec![7; 64 * 1024];
    for _ in 0..n {
        black_box(calls::echo_bytes(&bytes));
    }
}

pub fn samples(n: u64) {
    let samples: Vec<Sample> =
        (0..100).map(|i| Sample { x: f64::from(i), y: f64::from(-i), name: format!("sample {i}") }).collect();
    for _ in 0..n {
        black_box(calls::echo_samples(&samples));
    }
}

pub fn method(n: u64) {
    let cell = Cell::new(1);
    let mut sum = 0;
    for _ in 0..n {
        sum += cell.value();
    }
    black_box(sum);
}

pub fn resource(n: u64) {
    let mut sum = 0;
    for i in 0..n {
        sum += Cell::new(i).value();
    }
    black_box(sum);
}

pub async fn ready(n: u64) {
    for i in 0..n {
        black_box(calls::ready(i as u32).await);
    }
}

/// A hundred calls at a time, each of which yields once.
pub async fn hundred_at_once(n: u64) {
    let mut left = n;
    while left > 0 {
        let now = left.min(100);
        join_all((0..now).map(|_| calls::yield_once())).await;
        left -= now;
    }
}

/// So many writes of so many bytes, read by the callee as they come.
pub async fn stream(n: u64, size: usize) {
    let (mut writer, reader) = wit_stream::new();
    let write = async {
        let mut buffer = vec![7; size];
        for _ in 0..n {
            let mut rest = writer.write_all(std::mem::take(&mut buffer)).await;
            assert!(rest.is_empty() && rest.capacity() >= size, "all of it is written");
            // SAFETY: the vector was full before it was written, and writing copies bytes out of it.
            unsafe { rest.set_len(size) };
            buffer = rest;
        }
        drop(writer);
    };
    let (bytes, ()) = join!(calls::drain(reader), write);
    assert_eq!(bytes, n * size as u64, "all of it arrived");
}
