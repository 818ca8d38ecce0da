//! The Mandelbrot set: a short loop of floating point with an exit that is hard to foretell.

/// Width and height of the picture that a round makes.
const SIZE: u32 = 400;
const ITERATIONS: u32 = 50;

pub fn run(rounds: u32) -> u64 {
    let mut inside = 0;
    for round in 0..rounds {
        // Each round looks at a part of the plane that lies a little further right.
        let left = -1.5 + f64::from(round) * 1e-3;
        for y in 0..SIZE {
            for x in 0..SIZE {
                let real = left + 2.0 * f64::from(x) / f64::from(SIZE);
                let imaginary = -1.0 + 2.0 * f64::from(y) / f64::from(SIZE);
                inside += u64::from(stays(real, imaginary)) * u64::from(x ^ y | 1);
            }
        }
    }
    inside
}

/// Whether a point is in the set, as far as so many iterations tell.
fn stays(real: f64, imaginary: f64) -> bool {
    let (mut x, mut y) = (0.0, 0.0);
    for _ in 0..ITERATIONS {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 4.0 {
            return false;
        }
        y = 2.0 * x * y + imaginary;
        x = xx - yy + real;
    }
    true
}
