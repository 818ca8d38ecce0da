//! Streams between instances of which one has nothing left.

use std::pin::pin;
use std::time::{Duration, Instant};

use tombolo::{Accessor, Component, Instance, Linker, Store, StreamReader};

use super::{BUDGETS, Budget, SLICES, code, counting};
use crate::block_on;
use crate::causes::{poll_once, yield_now};

/// Writes two texts to a stream of its own, or reads two from one that it is passed; both wait, and return what the built-in
/// returned. Its `realloc` goes round for good if it is told to.
const TEXTS: &str = r#"(component $texts
    (type $texts (stream string))
    (core module $libc
        (memory (export "memory") 1)
        (global $spins (mut i32) (i32.const 0))
        (func (export "set") (param i32) (global.set $spins (local.get 0)))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (loop $l (br_if $l (global.get $spins)))
            (i32.const 1024)))
    (core instance $libc (instantiate $libc))
    (core func $new (canon stream.new $texts))
    (core func $read (canon stream.read $texts
        (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core func $write (canon stream.write $texts (memory (core memory $libc "memory"))))
    (core module $m
        (import "" "memory" (memory 1))
        (import "" "new" (func $new (result i64)))
        (import "" "read" (func $read (param i32 i32 i32) (result i32)))
        (import "" "write" (func $write (param i32 i32 i32) (result i32)))
        (global $writer (mut i32) (i32.const 0))
        (func (export "make") (result i32) (local $ends i64)
            (local.set $ends (call $new))
            (global.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
            (i32.wrap_i64 (local.get $ends)))
        (func (export "write") (result i32)
            (i64.store (i32.const 0) (i64.const 0x500000200))
            (i64.store (i32.const 8) (i64.const 0x700000200))
            (call $write (global.get $writer) (i32.const 0) (i32.const 2)))
        (func (export "read") (param i32) (result i32)
            (call $read (local.get 0) (i32.const 256) (i32.const 2))))
    (core instance $i (instantiate $m (with "" (instance
        (export "memory" (memory $libc "memory"))
        (export "new" (func $new)) (export "read" (func $read)) (export "write" (func $write))))))
    (func (export "set") (param "spins" bool) (canon lift (core func $libc "set")))
    (func (export "make") (result $texts) (canon lift (core func $i "make")))
    (func (export "write") async (result u32) (canon lift (core func $i "write")))
    (func (export "read") async (param "s" $texts) (result u32) (canon lift (core func $i "read"))))"#;

/// What a built-in returns that has carried both of the texts, or learnt that the other end is gone.
const BOTH: u32 = 2 << 4;
const DROPPED: u32 = 1;

struct Pair {
    store: Store<()>,
    writer: Instance,
    reader: Instance,
}

fn pair(slice: Option<Duration>) -> Pair {
    let engine = counting(|config| config);
    let texts = Component::new(&engine, TEXTS).unwrap();
    let mut store = Store::new(&engine, ());
    store.set_fuel(u64::MAX).unwrap();
    let linker = Linker::new(&engine);
    let [writer, reader] = [(); 2].map(|()| linker.instantiate(&mut store, &texts).unwrap());
    store.set_time_slice(slice).unwrap();
    Pair { store, writer, reader }
}

impl Pair {
    async fn make(writer: &Instance, store: &Accessor<()>) -> StreamReader<String> {
        let make = store.with(|store| writer.typed_func::<(), StreamReader<String>>(store, "make")).unwrap();
        make.call_concurrent(store, ()).await.unwrap()
    }

    /// A stream of the writer's goes to the reader, of whom one waits for the other. Returns what either says.
    fn pass(&mut self, writes_first: bool) -> [tombolo::Result<u32>; 2] {
        let Pair { store, writer, reader } = self;
        block_on(store.run_concurrent(async |store: Accessor<()>| {
            let stream = Pair::make(writer, &store).await;
            let write = store.with(|store| writer.typed_func::<(), u32>(store, "write")).unwrap();
            let read =
                store.with(|store| reader.typed_func::<(StreamReader<String>,), u32>(store, "read")).unwrap();
            let (mut write, mut read) =
                (pin!(write.call_concurrent(&store, ())), pin!(read.call_concurrent(&store, (stream,))));
            if writes_first {
                assert!(poll_once(write.as_mut()).await.is_pending());
            } else {
                assert!(poll_once(read.as_mut()).await.is_pending());
            }
            for _ in 0..10 {
                yield_now().await;
            }
            let (write, read) = futures_util::future::join(write, read).await;
            [write, read]
        }))
        .unwrap()
    }

    fn have_reader_spin(&mut self) {
        let set = self.reader.typed_func::<(bool,), ()>(&mut self.store, "set").unwrap();
        block_on(set.call_async(&mut self.store, (true,))).unwrap();
    }
}

/// In its `realloc`, also while it is the writer that runs.
#[test]
fn a_reader_that_takes_too_long_for_what_it_reads_ends_alone() {
    for budget in BUDGETS {
        for slice in SLICES {
            for writes_first in [false, true] {
                let mut pair = pair(slice);
                let [written, read] = pair.pass(writes_first);
                assert_eq!((written.unwrap(), read.unwrap()), (BOTH, BOTH));
                pair.have_reader_spin();
                let Pair { store, reader, .. } = &mut pair;
                match budget {
                    Budget::Fuel => budget.give(store, reader),
                    Budget::Deadline => {
                        let at = Instant::now() + Duration::from_millis(50);
                        reader.set_deadline(store, Some(at)).unwrap();
                    }
                }
                let [written, read] = pair.pass(writes_first);
                let what = format!("{budget:?} {slice:?} {writes_first}");
                let error = read.unwrap_err();
                assert_eq!(code(&error), Some(budget.code()), "{what}: {error}");
                budget.has_ended(&pair.reader);
                assert!(pair.writer.ended().is_none(), "{what}: {:?}", pair.writer.ended());
                assert_eq!(written.unwrap(), DROPPED, "{what}");
            }
        }
    }
}

#[test]
fn one_end_sees_that_the_other_was_dropped_at_its_deadline() {
    for slice in SLICES {
        for writes_first in [false, true] {
            let mut pair = pair(slice);
            let Pair { store, writer, reader } = &mut pair;
            let result = store.run_concurrent(async |store: Accessor<()>| {
                let stream = Pair::make(writer, &store).await;
                let write = store.with(|store| writer.typed_func::<(), u32>(store, "write")).unwrap();
                let read = store
                    .with(|store| reader.typed_func::<(StreamReader<String>,), u32>(store, "read"))
                    .unwrap();
                let at = Some(Instant::now() + Duration::from_millis(5));
                if writes_first {
                    // The writer ends before there is a reader.
                    let mut write = pin!(write.call_concurrent(&store, ()));
                    assert!(poll_once(write.as_mut()).await.is_pending());
                    store.with(|store| writer.set_deadline(store, at)).unwrap();
                    let error = write.await.unwrap_err();
                    (error, read.call_concurrent(&store, (stream,)).await)
                } else {
                    // The writer ends while the reader waits.
                    let mut read = pin!(read.call_concurrent(&store, (stream,)));
                    assert!(poll_once(read.as_mut()).await.is_pending());
                    store.with(|store| writer.set_deadline(store, at)).unwrap();
                    let read = read.await;
                    (write.call_concurrent(&store, ()).await.unwrap_err(), read)
                }
            });
            let (error, read) = block_on(result).unwrap();
            assert!(error.to_string().contains("deadline passed"), "{error}");
            assert_eq!(read.unwrap(), DROPPED);
            Budget::Deadline.has_ended(&pair.writer);
            assert!(pair.reader.ended().is_none());
        }
    }
}
