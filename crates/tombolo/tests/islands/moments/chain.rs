//! One of a chain of three ends while the last of them runs, by each way in which they can call each other.

use tombolo::{EndCause, Instance};

use super::{Random, World, block_on};
use crate::waited;

/// Digits of a script by which a node calls the next: synchronously, and waiting in the call, in a waitable set, and in
/// its callback; with a stream and with a borrow on the way.
const WAYS: [u64; 6] = [3, 4, 6, 7, 8, 12];

/// The last of the chain strikes, yields, calls the server and is done.
const LAST: u64 = 0x4d9;

fn cause(instance: &Instance) -> EndCause {
    instance.ended().unwrap().cause().clone()
}

/// Runs a chain whose last one strikes the one at `struck`.
fn run(world: &mut World, outer: u64, inner: u64, struck: usize) -> Vec<Instance> {
    let chain = world.chain();
    world.store.data_mut().surely = Some(chain[struck].clone());
    let go = chain[0].typed_func::<(u64,), ()>(&mut world.store, "go").unwrap();
    let script = outer | inner << 4 | LAST << 8;
    let result = block_on(go.call_async(&mut world.store, (script,)));
    assert!(world.store.data().surely.is_none(), "{outer:x} {inner:x}: nobody was struck: {result:?}");
    assert!(result.is_err(), "{outer:x} {inner:x}");
    world.drive(30);
    world.count();
    chain
}

/// Others can be made in their place, and the server has noticed nothing.
fn end_all(world: &mut World, chain: Vec<Instance>) {
    for instance in chain {
        instance.end(&mut world.store).unwrap();
    }
    world.drive(10);
    assert!(world.server.ended().is_none());
    assert_eq!(world.store.data().things, 0);
    assert_eq!(world.pending.load(std::sync::atomic::Ordering::Relaxed), 0);
}

fn each(mut test: impl FnMut(&mut World, u64, u64)) {
    for (sliced, after) in [(false, 1000), (false, 0), (true, 0)] {
        let mut world = World::with(Random(1), sliced, after);
        for outer in WAYS {
            // What a synchronous call calls must not block: so it cannot wait.
            for inner in WAYS.into_iter().filter(|inner| outer != 3 || *inner == 3) {
                test(&mut world, outer, inner);
            }
        }
    }
}

#[test]
fn the_middle_one_ends() {
    each(|world, outer, inner| {
        let chain = run(world, outer, inner, 1);
        assert!(matches!(cause(&chain[1]), EndCause::Removed), "{outer:x} {inner:x}");
        assert!(matches!(waited(&chain[0]).cause(), EndCause::Removed), "{outer:x} {inner:x}");
        // The last one did not wait for it, and can be called again.
        assert!(chain[2].ended().is_none(), "{outer:x} {inner:x}: {:?}", chain[2].ended());
        let work = chain[2].typed_func::<(u64,), ()>(&mut world.store, "work").unwrap();
        block_on(work.call_async(&mut world.store, (0x3d,))).unwrap();
        end_all(world, chain);
    });
}

#[test]
fn the_first_one_ends() {
    each(|world, outer, inner| {
        let chain = run(world, outer, inner, 0);
        assert!(matches!(cause(&chain[0]), EndCause::Removed), "{outer:x} {inner:x}");
        for other in &chain[1..] {
            assert!(other.ended().is_none(), "{outer:x} {inner:x}: {:?}", other.ended());
        }
        // The call of the one in the middle is cancelled, which it may not notice.
        let work = chain[1].typed_func::<(u64,), ()>(&mut world.store, "work").unwrap();
        block_on(work.call_async(&mut world.store, (0xd3d,))).unwrap();
        end_all(world, chain);
    });
}

#[test]
fn the_last_one_ends() {
    each(|world, outer, inner| {
        let chain = run(world, outer, inner, 2);
        assert!(matches!(cause(&chain[2]), EndCause::Removed), "{outer:x} {inner:x}");
        // Each for the one behind it, or straight for the last.
        for other in &chain[..2] {
            let mut ended = waited(other);
            while let EndCause::Waited(further) = ended.cause() {
                ended = further.clone();
            }
            assert!(matches!(ended.cause(), EndCause::Removed), "{outer:x} {inner:x}");
        }
        end_all(world, chain);
    });
}
