//! One hundred instances in one store exchange streams, while others trap in each way that there is.

use tombolo::{Accessor, Component, Feature, Instance, Linker, Result, Store, StreamReader};

use super::causes::{call, linker as traps_linker, yield_now};
use super::guests::{TRAPS, WAYS};
use super::{block_on, engine};

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

/// Passes a stream from each of the instances to the next.
async fn exchange(store: &Accessor<()>, instances: &[Instance]) -> Result<()> {
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
    Ok(())
}

#[test]
fn a_hundred_instances_exchange_streams_while_others_trap() {
    let engine = engine(|config| config.feature(Feature::MoreAsyncBuiltins, true));
    let flow = Component::new(&engine, FLOW).unwrap();
    let traps = Component::new(&engine, TRAPS).unwrap();
    let mut store = Store::new(&engine, ());
    let plain = Linker::new(&engine);
    let instances: Vec<Instance> = (0..100).map(|_| plain.instantiate(&mut store, &flow).unwrap()).collect();
    let linker = traps_linker(&engine);
    // Those that trap synchronously, before and between.
    for (name, _) in WAYS.iter().filter(|(name, _)| *name != "limit") {
        let trapping = linker.instantiate(&mut store, &traps).unwrap();
        call(&mut store, &trapping, name);
        assert!(trapping.ended().is_some(), "{name}");
    }
    let exchanged = block_on(store.run_concurrent(async |store| {
        let streams = exchange(&store, &instances);
        let trapping = async {
            for (name, text) in WAYS.iter().cycle().take(60).filter(|(name, _)| *name != "limit") {
                let instance = store.with(|store| linker.instantiate(store, &traps))?;
                let func = instance.func(name).unwrap();
                if func.is_async() {
                    let func = store.with(|store| func.typed::<(), ()>(store))?;
                    let error = func.call_concurrent(&store, ()).await.unwrap_err();
                    assert!(error.to_string().contains(text), "{name}: {error}");
                } else if func.params().is_empty() {
                    let error = store.with(|store| func.call(store, &[])).unwrap_err();
                    assert!(error.to_string().contains(text), "{name}: {error}");
                }
                yield_now().await;
            }
            Result::Ok(())
        };
        let (streams, trapping) = futures_util::future::join(streams, trapping).await;
        streams.and(trapping)
    }));
    exchanged.unwrap().unwrap();
    assert!(instances.iter().all(|instance| instance.ended().is_none()));
}
