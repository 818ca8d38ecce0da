//! One of a chain of three ends while the last of them runs, by each way in which they can call each other.

use tombolo::{EndCause, Instance, TrapCode, TrapReason};

use super::{Blow, Kind, Random, World, block_on};
use crate::waited;

/// Digits of a script by which a node calls the next: synchronously, and waiting in the call, in a waitable set, and in
/// its callback; with a stream and with a borrow on the way.
const WAYS: [u64; 6] = [3, 4, 6, 7, 8, 12];

/// The last of the chain strikes, yields, calls the server and is done.
const LAST: u64 = 0x4d9;

fn cause(instance: &Instance) -> EndCause {
    instance.ended().unwrap().cause().clone()
}

/// Whether a cause is the one that was struck.
fn is_of(blow: Blow, cause: &EndCause) -> bool {
    match cause {
        EndCause::Removed => blow == Blow::End,
        EndCause::Failed(error) => {
            let reason = &error.trap().unwrap().reason;
            blow == Blow::Deadline && matches!(reason, TrapReason::Core(TrapCode::Interrupted))
        }
        _ => false,
    }
}

/// Runs a chain whose last one strikes the one at `struck`.
fn run(world: &mut World, outer: u64, inner: u64, struck: usize, blow: Blow) -> Vec<Instance> {
    let chain = world.chain();
    world.store.data_mut().surely = Some((chain[struck].clone(), blow));
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

fn each(mut test: impl FnMut(&mut World, u64, u64, Blow)) {
    for (checked, sliced, after, blow) in [
        (false, false, 1000, Blow::End),
        (false, false, 0, Blow::End),
        (true, true, 0, Blow::End),
        (true, false, 1000, Blow::Deadline),
        (true, false, 0, Blow::Deadline),
        (true, true, 0, Blow::Deadline),
    ] {
        let mut world = World::with(Random(1), Kind { sliced, checked, counted: false, after });
        for outer in WAYS {
            // What a synchronous call calls must not block: so it cannot wait.
            for inner in WAYS.into_iter().filter(|inner| outer != 3 || *inner == 3) {
                test(&mut world, outer, inner, blow);
            }
        }
    }
}

#[test]
fn the_middle_one_ends() {
    each(|world, outer, inner, blow| {
        let chain = run(world, outer, inner, 1, blow);
        assert!(is_of(blow, &cause(&chain[1])), "{outer:x} {inner:x} {blow:?}");
        assert!(is_of(blow, waited(&chain[0]).cause()), "{outer:x} {inner:x} {blow:?}");
        // The last one did not wait for it, and can be called again.
        assert!(chain[2].ended().is_none(), "{outer:x} {inner:x}: {:?}", chain[2].ended());
        let work = chain[2].typed_func::<(u64,), ()>(&mut world.store, "work").unwrap();
        block_on(work.call_async(&mut world.store, (0x3d,))).unwrap();
        end_all(world, chain);
    });
}

#[test]
fn the_first_one_ends() {
    each(|world, outer, inner, blow| {
        let chain = run(world, outer, inner, 0, blow);
        assert!(is_of(blow, &cause(&chain[0])), "{outer:x} {inner:x} {blow:?}");
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
    each(|world, outer, inner, blow| {
        let chain = run(world, outer, inner, 2, blow);
        assert!(is_of(blow, &cause(&chain[2])), "{outer:x} {inner:x} {blow:?}");
        // Each for the one behind it, or straight for the last.
        for other in &chain[..2] {
            let mut ended = waited(other);
            while let EndCause::Waited(further) = ended.cause() {
                ended = further.clone();
            }
            assert!(is_of(blow, ended.cause()), "{outer:x} {inner:x} {blow:?}");
        }
        end_all(world, chain);
    });
}
