//! The sun and four planets, attracting each other: floating point in registers, division and square root.

/// Steps of a round.
const STEPS: u32 = 10_000;
const DAYS_PER_YEAR: f64 = 365.24;
const SOLAR_MASS: f64 = 4.0 * std::f64::consts::PI * std::f64::consts::PI;

#[derive(Clone, Copy)]
struct Body {
    position: [f64; 3],
    velocity: [f64; 3],
    mass: f64,
}

/// Position in astronomical units, velocity in those per day, mass in that of the sun: on the first of January 2000.
const BODIES: [Body; 5] = [
    Body { position: [0.0; 3], velocity: [0.0; 3], mass: 1.0 },
    Body {
        position: [4.841_431_442_464_721, -1.160_320_044_027_428_4, -0.103_622_044_471_123_11],
        velocity: [0.001_660_076_642_744_037, 0.007_699_011_184_197_404, -0.000_069_046_001_697_206_3],
        mass: 0.000_954_791_938_424_326_6,
    },
    Body {
        position: [8.343_366_718_244_58, 4.124_798_564_124_305, -0.403_523_417_114_321_4],
        velocity: [-0.002_767_425_107_268_624, 0.004_998_528_012_349_172, 0.000_023_041_729_757_376_393],
        mass: 0.000_285_885_980_666_130_8,
    },
    Body {
        position: [12.894_369_562_139_13, -15.111_151_401_698_631, -0.223_307_578_892_655_73],
        velocity: [0.002_964_601_375_647_616, 0.002_378_471_739_594_809_5, -0.000_029_658_956_854_023_756],
        mass: 0.000_043_662_440_433_515_63,
    },
    Body {
        position: [15.379_697_114_850_917, -25.919_314_609_987_964, 0.179_258_772_950_371_18],
        velocity: [0.002_680_677_724_903_893_2, 0.001_628_241_700_382_423, -0.000_095_159_225_451_971_59],
        mass: 0.000_051_513_890_204_661_145,
    },
];

pub fn run(rounds: u32) -> u64 {
    let mut bodies = BODIES;
    for body in &mut bodies {
        body.mass *= SOLAR_MASS;
        body.velocity = body.velocity.map(|speed| speed * DAYS_PER_YEAR);
    }
    for axis in 0..3 {
        let momentum: f64 = bodies.iter().map(|body| body.velocity[axis] * body.mass).sum();
        bodies[0].velocity[axis] = -momentum / SOLAR_MASS;
    }
    for _ in 0..rounds * STEPS {
        advance(&mut bodies, 0.01);
    }
    energy(&bodies).to_bits()
}

fn advance(bodies: &mut [Body; 5], years: f64) {
    for first in 0..5 {
        for second in first + 1..5 {
            let (one, other) = (bodies[first], bodies[second]);
            let [x, y, z]: [f64; 3] = std::array::from_fn(|axis| one.position[axis] - other.position[axis]);
            let square = x * x + y * y + z * z;
            let force = years / (square * square.sqrt());
            for (axis, distance) in [x, y, z].into_iter().enumerate() {
                bodies[first].velocity[axis] -= distance * other.mass * force;
                bodies[second].velocity[axis] += distance * one.mass * force;
            }
        }
    }
    for body in bodies {
        for axis in 0..3 {
            body.position[axis] += years * body.velocity[axis];
        }
    }
}

fn energy(bodies: &[Body; 5]) -> f64 {
    let mut energy = 0.0;
    for (index, body) in bodies.iter().enumerate() {
        let [x, y, z] = body.velocity;
        energy += 0.5 * body.mass * (x * x + y * y + z * z);
        for other in &bodies[index + 1..] {
            let [x, y, z]: [f64; 3] = std::array::from_fn(|axis| body.position[axis] - other.position[axis]);
            energy -= body.mass * other.mass / (x * x + y * y + z * z).sqrt();
        }
    }
    energy
}
