//! Random guests, legal and illegal: whatever they do, the invariants hold, and ending their instances leaves
//! nothing behind.

use proptest::prelude::*;

use super::runtime::World;
use crate::Limits;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn invariants_hold(choices in prop::collection::vec(any::<u32>(), 1..600)) {
        let mut world = World::new(choices, Limits::default(), true);
        let _ = world.run();
        world.tear_down();
    }

    #[test]
    fn limits_are_kept(
        choices in prop::collection::vec(any::<u32>(), 1..600),
        handles in 0u32..12,
        threads in 0u32..8,
        tasks in 0u32..8,
        bytes in 0u64..6000,
    ) {
        let mut world = World::new(choices, Limits { handles, threads, tasks, bytes }, true);
        let _ = world.run();
        world.tear_down();
    }
}
