//! One hundred instances in one store exchange streams, while others end in each way that there is.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tombolo::{
    Accessor, Component, EndCause, ErrorKind, Feature, Instance, Limits, Linker, Result, Store, StreamReader,
    Val,
};

use super::causes::{linker as traps_linker, poll_once, yield_now};
use super::guests::{TRAPS, WAYS};
use super::{block_on, ended, engine};

/// Makes a stream of 64 bytes, or reads one to its end and adds up.
const FLOW: &str = r#"(component $flow
    (type $stream (stream u8))
    (core module $libc (memory (export "memory") 1))
    (core instance $libc (instantiate $libc))
    (core func $new (canon stream.new $stream))
    (core func $read (canon stream.read $stream (memory (core memory $libc "memory"))))
    (core func $write (canon stream.write $stream async (memory (core memory $libc "memory"))))
    (core func $drop-readable (canon stream.drop-readable $stream))
    (core func $drop-writable (canon stream.drop-writable $stream))
    (core func $set (canon waitable-set.new))
    (core func $join (canon waitable.join))
    (core func $return (canon task.return (result $stream)))
    (core module $m
        (import "" "memory" (memory 1))
        (import "" "new" (func $new (result i64)))
        (import "" "read" (func $read (param i32 i32 i32) (result i32)))
        (import "" "write" (func $write (param i32 i32 i32) (result i32)))
        (import "" "drop-readable" (func $drop-readable (param i32)))
        (import "" "drop-writable" (func $drop-writable (param i32)))
        (import "" "set" (func $set (result i32)))
        (import "" "join" (func $join (param i32 i32)))
        (import "" "return" (func $return (param i32)))
        (global $writer (mut i32) (i32.const 0))
        (global $waits (mut i32) (i32.const 0))
        (global $left (mut i32) (i32.const 0))
        (func (export "give") (result i32) (local $ends i64)
            (local.set $ends (call $new))
            (global.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
            (global.set $waits (call $set))
            (memory.fill (i32.const 0) (i32.const 3) (i32.const 64))
            (call $return (i32.wrap_i64 (local.get $ends)))
            (drop (call $write (global.get $writer) (i32.const 0) (i32.const 64)))
            (call $join (global.get $writer) (global.get $waits))
            (i32.or (i32.const 2) (i32.shl (global.get $waits) (i32.const 4))))
        (func (export "give-callback") (param i32 i32 i32) (result i32)
            (call $join (global.get $writer) (i32.const 0))
            (call $drop-writable (global.get $writer))
            (i32.const 0))
        (func (export "take") (param $reader i32) (result i32) (local $packed i32) (local $sum i32) (local $i i32)
            (loop $more
                (local.set $packed (call $read (local.get $reader) (i32.const 128) (i32.const 16)))
                (local.set $i (i32.const 0))
                (block $done
                    (loop $add
                        (br_if $done (i32.ge_u (local.get $i) (i32.shr_u (local.get $packed) (i32.const 4))))
                        (local.set $sum (i32.add (local.get $sum)
                            (i32.load8_u (i32.add (i32.const 128) (local.get $i)))))
                        (local.set $i (i32.add (local.get $i) (i32.const 1)))
                        (br $add)))
                (br_if $more (i32.eqz (i32.and (local.get $packed) (i32.const 15)))))
            (call $drop-readable (local.get $reader))
            (local.get $sum)))
    (core instance $i (instantiate $m (with "" (instance
        (export "memory" (memory $libc "memory")) (export "new" (func $new)) (export "read" (func $read))
        (export "write" (func $write)) (export "drop-readable" (func $drop-readable))
        (export "drop-writable" (func $drop-writable)) (export "set" (func $set)) (export "join" (func $join))
        (export "return" (func $return))))))
    (func (export "give") async (result $stream)
        (canon lift (core func $i "give") async (callback (core func $i "give-callback"))))
    (func (export "take") async (param "s" $stream) (result u32) (canon lift (core func $i "take"))))"#;

/// Passes a stream from each of the instances to the next, until `done`. Returns how many it passed.
async fn exchange(store: &Accessor<()>, instances: &[Instance], done: &Cell<bool>) -> Result<usize> {
    for round in 0.. {
        for (at, giver) in instances.iter().enumerate() {
            let taker = &instances[(at + 1) % instances.len()];
            let (give, take) = store.with(|mut store| -> Result<_> {
                let give = giver.typed_func::<(), StreamReader<u8>>(store.as_mut(), "give")?;
                let take = taker.typed_func::<(StreamReader<u8>,), u32>(store.as_mut(), "take")?;
                Ok((give, take))
            })?;
            let stream = give.call_concurrent(store, ()).await?;
            assert_eq!(take.call_concurrent(store, (stream,)).await?, 3 * 64);
            yield_now().await;
        }
        if done.get() {
            return Ok((round + 1) * instances.len());
        }
    }
    Ok(0)
}

/// How an instance is to end.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// By a function of its own: by a trap, its budget, a function of the host that fails or panics.
    Itself(&'static str, &'static str),
    /// By the store's fuel and deadline, or its own.
    Fuel,
    Deadline,
    OwnFuel,
    OwnDeadline,
    /// It needs more than it may have to begin with.
    TooLarge,
    /// It is instantiated, and nobody takes it.
    GivenUp,
    Removed,
    NotCancelled,
}

fn ways() -> impl Iterator<Item = Way> {
    let others = [
        Way::Fuel,
        Way::Deadline,
        Way::OwnFuel,
        Way::OwnDeadline,
        Way::TooLarge,
        Way::GivenUp,
        Way::Removed,
        Way::NotCancelled,
    ];
    WAYS.iter().map(|(name, text)| Way::Itself(name, text)).chain(others)
}

/// Makes an instance and has it end.
async fn end_one(store: &Accessor<()>, linker: &Linker<()>, traps: &Component, way: Way) -> Result<()> {
    let limits = Limits { host_bytes: 256 << 10, ..Limits::default() };
    let instance = store.with(|store| linker.within(&limits).instantiate(store, traps))?;
    let func = |name: &str| instance.func(name).unwrap();
    let call = |name: &str| store.with(|store| func(name).call(store, &[]).unwrap_err());
    match way {
        Way::Itself(name, text) => {
            let func = func(name);
            let args: &[Val] = if func.params().is_empty() { &[] } else { &[Val::from("some text")] };
            let result = match func.is_async() {
                true => func.call_concurrent(store, args).await,
                false => store.with(|store| func.call(store, args)),
            };
            let error = result.unwrap_err();
            assert!(error.to_string().contains(text), "{name}: {error}");
        }
        Way::Fuel => {
            let fuel = store.with(|mut store| (store.fuel(), store.set_fuel(10_000))).0?;
            let error = call("forever");
            assert!(error.to_string().contains("all fuel consumed"), "{error}");
            store.with(|mut store| store.set_fuel(fuel))?;
        }
        Way::Deadline => {
            store.with(|mut store| store.set_deadline(Some(Instant::now() + Duration::from_millis(1))))?;
            let error = call("forever");
            assert!(error.to_string().contains("deadline passed"), "{error}");
            store.with(|mut store| store.set_deadline(None))?;
        }
        Way::OwnFuel => {
            let fuel = store.with(|store| store.fuel())?;
            store.with(|store| instance.set_fuel(store, Some(10_000)))?;
            let error = call("forever");
            assert!(error.to_string().contains("all fuel consumed"), "{error}");
            assert_eq!(store.with(|store| store.fuel())?, fuel);
        }
        Way::OwnDeadline => {
            // While it waits, and others exchange streams; then one that runs.
            let waits = func("rests");
            let mut waits = Box::pin(waits.call_concurrent(store, &[]));
            assert!(poll_once(waits.as_mut()).await.is_pending());
            let soon = || Some(Instant::now() + Duration::from_millis(1));
            store.with(|store| instance.set_deadline(store, soon()))?;
            let error = waits.await.unwrap_err();
            assert!(error.to_string().contains("deadline passed"), "{error}");
            let runs = store.with(|store| linker.within(&limits).instantiate(store, traps))?;
            store.with(|store| runs.set_deadline(store, soon()))?;
            let error = store.with(|store| runs.func("forever").unwrap().call(store, &[]).unwrap_err());
            assert!(error.to_string().contains("deadline passed"), "{error}");
        }
        Way::TooLarge => {
            for limits in [
                Limits { memory_bytes: 1 << 16, ..Limits::default() },
                Limits { table_elements: 0, ..Limits::default() },
                Limits { memories: 1, ..Limits::default() },
                Limits { instances: 2, ..Limits::default() },
            ] {
                let made = store.with(|store| linker.within(&limits).instantiate(store, traps));
                assert!(matches!(made.unwrap_err().kind(), ErrorKind::Limit(_)));
            }
            store.with(|store| instance.end(store))?;
        }
        Way::GivenUp => {
            let mut made = Box::pin(linker.instantiate_concurrent(store, traps));
            assert!(poll_once(made.as_mut()).await.is_pending());
            yield_now().await;
            drop(made);
            store.with(|store| instance.end(store))?;
        }
        Way::Removed => {
            let waits = func("rests");
            let mut waits = Box::pin(waits.call_concurrent(store, &[]));
            assert!(poll_once(waits.as_mut()).await.is_pending());
            store.with(|store| instance.end(store))?;
            assert!(matches!(ended(&waits.await.unwrap_err()).cause(), EndCause::Removed));
        }
        Way::NotCancelled => {
            let waits = func("rests");
            let mut waits = Box::pin(waits.call_concurrent(store, &[]));
            assert!(poll_once(waits.as_mut()).await.is_pending());
            drop(waits);
            while instance.ended().is_none() {
                yield_now().await;
            }
            assert!(matches!(instance.ended().unwrap().cause(), EndCause::NotCancelled));
        }
    }
    assert!(instance.ended().is_some(), "{way:?}");
    Ok(())
}

#[test]
fn a_hundred_instances_exchange_streams_while_others_end_in_each_way() {
    let engine = engine(|config| config.feature(Feature::MoreAsyncBuiltins, true).fuel(true).deadlines(true));
    let flow = Component::new(&engine, FLOW).unwrap();
    let traps = Component::new(&engine, TRAPS).unwrap();
    let mut store = Store::new(&engine, ());
    store.set_fuel(u64::MAX).unwrap();
    store.set_cancellation_grace(Some(Duration::from_millis(1))).unwrap();
    let plain = Linker::new(&engine);
    let instances: Vec<Instance> = (0..100).map(|_| plain.instantiate(&mut store, &flow).unwrap()).collect();
    let linker = traps_linker(&engine);
    let exchanged = block_on(store.run_concurrent(async |store| {
        let done = Cell::new(false);
        let streams = exchange(&store, &instances, &done);
        let ends = async {
            for way in ways().chain(ways()) {
                end_one(&store, &linker, &traps, way).await?;
                yield_now().await;
            }
            done.set(true);
            Result::Ok(())
        };
        let (streams, ends) = futures_util::future::join(streams, ends).await;
        ends.and(streams)
    }));
    assert!(exchanged.unwrap().unwrap() >= 100);
    assert!(instances.iter().all(|instance| instance.ended().is_none()));
}
