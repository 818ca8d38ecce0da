//! Groups: what is made in one is counted for it and for its store, and freed with it.

#![allow(unsafe_code, reason = "freeing is")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use support::*;
use tombolo_vm::*;

const GROWS: &str = r#"(module
    (memory 2) (table 10 funcref) (global (mut i32) (i32.const 7)) (tag $t (export "t"))
    (func $elem) (elem (i32.const 0) func $elem)
    (func (export "throw") (throw $t))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;

const PAGE: u64 = 64 << 10;

fn limited(limits: Limits) -> Store {
    Store::new(cache(), StoreConfig { limits, ..StoreConfig::default() })
}

#[test]
fn a_group_has_limits_of_its_own_within_its_stores() {
    let store = limited(Limits { memory_bytes: 8 * PAGE, ..Limits::default() });
    let module = module(GROWS);
    let few = store.new_group(Limits { memory_bytes: 3 * PAGE, ..Limits::default() });
    let many = store.new_group(Limits::default());
    let [a, b] = [few, many].map(|group| store.within(group).instantiate(&module, &[]).unwrap());
    let grow = |instance, by| call_i32(&store, instance, "grow", &[by]).unwrap();
    assert_eq!(grow(a, 2), -1, "the group's limit");
    assert_eq!(grow(b, 5), -1, "the store's limit");
    assert_eq!((grow(b, 4), grow(b, 1)), (2, -1));
    // SAFETY: nothing of it runs, and no handle of something in it is used again.
    unsafe { store.free_group(many) };
    let Err(InstantiationError::Resource(ResourceError::Limit(exceeded))) =
        store.within(few).instantiate(&module, &[])
    else {
        panic!("a second memory passes the group's limit");
    };
    let (limit, wanted) = (3 * PAGE, 4 * PAGE);
    assert_eq!(exceeded, LimitExceeded { kind: LimitKind::MemoryBytes, limit, wanted });
    assert_eq!(grow(a, 1), 2, "the store has what the other group used");
}

#[test]
fn a_store_that_makes_and_frees_groups_stays_within_its_limits() {
    let store =
        limited(Limits { memory_bytes: 2 * PAGE, table_elements: 10, instances: 1, ..Limits::default() });
    let module = module(GROWS);
    for _ in 0..1000 {
        let group = store.new_group(Limits::default());
        let instance = store.within(group).instantiate(&module, &[]).unwrap();
        for _ in 0..20 {
            // Collections of exceptions meet those of groups that are gone.
            assert!(call(&store, instance, "throw", &[]).is_err());
        }
        // SAFETY: nothing of it runs, and no handle of something in it is used again.
        unsafe { store.free_group(group) };
    }
}
