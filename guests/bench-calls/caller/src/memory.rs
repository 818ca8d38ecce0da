//! Bulk operations on this component's own memory.

use std::hint::black_box;

/// `memory.copy` of so many bytes.
pub fn copy(n: u64, length: usize) {
    let (from, mut to) = (vec![1_u8; length], vec![2_u8; length]);
    for _ in 0..n {
        let (from, to) = (black_box(from.as_slice()), black_box(to.as_mut_slice()));
        to.copy_from_slice(from);
    }
}

/// `memory.fill` of so many bytes.
pub fn fill(n: u64, length: usize) {
    let mut to = vec![2_u8; length];
    for _ in 0..n {
        black_box(to.as_mut_slice()).fill(black_box(3));
    }
}
