//! The product of two matrices, row by row: floating point streamed through memory.

use crate::random::Random;

/// Rows and columns.
const SIZE: usize = 256;

pub fn run(rounds: u32) -> u64 {
    let mut random = Random(1);
    let mut matrix = || -> Vec<f64> {
        // Between 0 and 1/128, so that products stay about as large as what was multiplied.
        (0..SIZE * SIZE).map(|_| (random.next() >> 11) as f64 / (1u64 << 60) as f64).collect()
    };
    let (mut left, right) = (matrix(), matrix());
    let mut product = vec![0.0; SIZE * SIZE];
    for _ in 0..rounds {
        multiply(&left, &right, &mut product);
        std::mem::swap(&mut left, &mut product);
    }
    left.iter().fold(0, |sum, element| u64::rotate_left(sum, 1) ^ element.to_bits())
}

fn multiply(left: &[f64], right: &[f64], product: &mut [f64]) {
    product.fill(0.0);
    for (row, sums) in left.chunks_exact(SIZE).zip(product.chunks_exact_mut(SIZE)) {
        for (factor, column) in row.iter().zip(right.chunks_exact(SIZE)) {
            for (sum, element) in sums.iter_mut().zip(column) {
                *sum += factor * element;
            }
        }
    }
}
