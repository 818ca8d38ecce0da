//! Calls that wait, and streams and futures between the host and a guest.

use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tombolo::{
    ComponentType, Destination, Error, FutureProducer, FutureReader, Lift, Lower, Result, Source, StoreMut,
    StreamAny, StreamConsumer, StreamProducer, StreamReader, StreamState, Val,
};

use crate::{Host, block_on, callee, sleep};

const FLOW: &str = "tombolo:pair/flow@0.1.0";

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq)]
#[component(record)]
struct Reading {
    id: u32,
    station: String,
    value: f64,
}

/// Produces the items one call at a time, up to `at_once` of them.
struct Items<I> {
    items: std::vec::IntoIter<I>,
    at_once: usize,
}

impl<I> Items<I> {
    fn new(items: Vec<I>, at_once: usize) -> Self {
        Items { items: items.into_iter(), at_once }
    }
}

impl<I: Lower + Send + 'static> StreamProducer<Host> for Items<I>
where
    std::vec::IntoIter<I>: Unpin,
    I: Unpin,
{
    type Item = I;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        destination: &mut Destination<'_, Host, I>,
    ) -> Poll<Result<StreamState>> {
        let count = self.at_once.min(destination.remaining());
        for item in self.items.by_ref().take(count) {
            destination.push(item)?;
        }
        Poll::Ready(Ok(if self.items.len() == 0 { StreamState::Closed } else { StreamState::Open }))
    }
}

/// Collects everything, and says when the stream has ended.
struct Collect<I> {
    items: Arc<Mutex<(Vec<I>, bool)>>,
}

impl<I: Lift + Send + 'static> StreamConsumer<Host> for Collect<I> {
    type Item = I;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        source: &mut Source<'_, Host, I>,
    ) -> Poll<Result<StreamState>> {
        let mut items = self.items.lock().unwrap();
        items.0.extend(source.take(source.remaining())?);
        items.1 |= source.is_closed();
        Poll::Ready(Ok(if source.is_closed() { StreamState::Closed } else { StreamState::Open }))
    }
}

type Collected<I> = Arc<Mutex<(Vec<I>, bool)>>;

fn collect<I>() -> (Collect<I>, Collected<I>) {
    let items = Arc::new(Mutex::new((Vec::new(), false)));
    (Collect { items: items.clone() }, items)
}

async fn until_ended<I>(items: &Collected<I>) {
    while !items.lock().unwrap().1 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn calls_wait_together() {
    let (mut store, instance) = callee();
    let flow = instance.instance(FLOW).unwrap();
    let wait = flow.typed_func::<(u64, String), String>(&mut store, "wait").unwrap();
    let begun = Instant::now();
    let texts = block_on(store.run_concurrent(async |store| {
        let calls = (0..10).map(|i| wait.call_concurrent(&store, (100, i.to_string())));
        futures_util::future::join_all(calls).await
    }))
    .unwrap();
    let texts: Vec<String> = texts.into_iter().map(Result::unwrap).collect();
    assert_eq!(texts.concat(), "0123456789");
    assert_eq!(store.data().waits, 10);
    let peak = flow.typed_func::<(), u32>(&mut store, "peak").unwrap();
    assert_eq!(peak.call(&mut store, ()).unwrap(), 10);
    assert!(begun.elapsed() < Duration::from_secs(30), "ten waits of 100 ms took {:?}", begun.elapsed());
}

#[test]
fn calls_of_functions_without_types_wait_together() {
    let (mut store, instance) = callee();
    let wait = instance.instance(FLOW).unwrap().func("wait").unwrap();
    let (sender, told) = mpsc::channel();
    let args = |i: u64| [Val::U64(50), Val::String(i.to_string())];
    wait.call_then(&mut store, &args(9), move |mut store, result| {
        store.data_mut().waits += 100;
        sender.send(result?).map_err(Error::host)
    })
    .unwrap();
    let texts = block_on(store.run_concurrent(async |store| {
        let args = [args(0), args(1), args(2)];
        let calls = args.iter().map(|args| wait.call_concurrent(&store, args));
        let texts = futures_util::future::join_all(calls).await;
        let wrong = wait.call_concurrent(&store, &[Val::U64(50)]).await.unwrap_err();
        assert!(wrong.to_string().contains("expected 2 values"), "{wrong}");
        texts
    }))
    .unwrap();
    let texts: Vec<_> = texts.into_iter().map(|text| text.unwrap().unwrap()).collect();
    assert_eq!(texts, [Val::from("0"), Val::from("1"), Val::from("2")]);
    block_on(store.run_concurrent(async |_| sleep(Duration::from_millis(100)).await)).unwrap();
    assert_eq!(told.try_recv().unwrap(), Some(Val::from("9")));
    assert_eq!(store.data().waits, 104);
}

#[test]
fn an_async_function_needs_an_event_loop() {
    let (mut store, instance) = callee();
    let flow = instance.instance(FLOW).unwrap();
    let ready = flow.typed_func::<(u32,), u32>(&mut store, "ready").unwrap();
    assert!(ready.call(&mut store, (1,)).unwrap_err().to_string().contains("call_async"));
    assert!(block_on(ready.call_async(&mut store, (1,))).is_ok());
}

#[test]
fn the_host_reads_a_guests_stream() {
    let (mut store, instance) = callee();
    let flow = instance.instance(FLOW).unwrap();
    let count = flow.typed_func::<(u64, u32), StreamReader<u8>>(&mut store, "count").unwrap();
    let readings = flow.typed_func::<(u32,), StreamReader<Reading>>(&mut store, "readings").unwrap();
    let (bytes, records) = block_on(store.run_concurrent(async |store| {
        let stream = count.call_concurrent(&store, (100_000, 4096)).await.unwrap();
        let (consumer, bytes) = collect();
        store.with(|store| stream.pipe(store, consumer)).unwrap();
        let stream = readings.call_concurrent(&store, (50,)).await.unwrap();
        let (consumer, records) = collect();
        store.with(|store| stream.pipe(store, consumer)).unwrap();
        until_ended(&bytes).await;
        until_ended(&records).await;
        (bytes, records)
    }))
    .unwrap();
    let bytes = &bytes.lock().unwrap().0;
    assert_eq!(bytes.len(), 100_000);
    assert!((0..).zip(bytes).all(|(i, byte)| i % 251 == u32::from(*byte)));
    assert_eq!(records.lock().unwrap().0.len(), 50);
}

#[test]
fn a_guest_reads_the_hosts_stream() {
    let (mut store, instance) = callee();
    let flow = instance.instance(FLOW).unwrap();
    let checksum = flow.typed_func::<(StreamReader<u8>,), (u64, u64)>(&mut store, "checksum").unwrap();
    let stream = StreamReader::new(&mut store, Items::new(vec![3u8; 10_000], 777)).unwrap();
    assert_eq!(block_on(checksum.call_async(&mut store, (stream,))).unwrap(), (10_000, 30_000));
    let mean = flow.typed_func::<(StreamReader<Reading>,), Result<f64, String>>(&mut store, "mean").unwrap();
    let reading = |id: u32| Reading { id, station: format!("station {id}"), value: id.into() };
    let stream = StreamReader::new(&mut store, Items::new((1..=9).map(reading).collect(), 2)).unwrap();
    assert_eq!(block_on(mean.call_async(&mut store, (stream,))).unwrap(), Ok(5.0));
}

#[test]
fn streams_and_futures_without_types_are_given_some_closed_or_passed_on() {
    let (mut store, instance) = callee();
    let flow = instance.instance(FLOW).unwrap();
    let func = |name: &str| flow.func(name).unwrap();
    let (count, checksum, later) = (func("count"), func("checksum"), func("later"));
    let args = [Val::U64(1000), Val::U32(100)];
    let stream = |value: Option<Val>| match value {
        Some(Val::Stream(stream)) => stream,
        other => panic!("{other:?}"),
    };
    let future = |value: Option<Val>| match value {
        Some(Val::Future(future)) => future,
        other => panic!("{other:?}"),
    };
    // Typed: refused as something else, and read as what it is.
    let of_guest = stream(block_on(count.call_async(&mut store, &args)).unwrap());
    let error = of_guest.typed::<String>(&mut store).unwrap_err();
    assert!(error.to_string().contains("string"), "{error}");
    let reader = of_guest.typed::<u8>(&mut store).unwrap();
    let (consumer, bytes) = collect::<u8>();
    reader.pipe(&mut store, consumer).unwrap();
    block_on(store.run_concurrent(async |_| until_ended(&bytes).await)).unwrap();
    assert_eq!(bytes.lock().unwrap().0.len(), 1000);
    let text = [Val::U64(1), Val::from("soon")];
    let of_guest = future(block_on(later.call_async(&mut store, &text)).unwrap());
    assert!(of_guest.typed::<u8>(&mut store).is_err());
    let reader = of_guest.typed::<String>(&mut store).unwrap();
    let value = block_on(store.run_concurrent(async |store| reader.read(&store).await)).unwrap();
    assert_eq!(value.unwrap().as_deref(), Some("soon"));
    // Passed on: the host's own, and a guest's.
    let own = StreamAny::from(StreamReader::new(&mut store, Items::new(vec![2u8; 50], 7)).unwrap());
    assert!(own.typed::<u8>(&mut store).unwrap_err().to_string().contains("the host's own"));
    let sum = block_on(checksum.call_async(&mut store, &[own.into()])).unwrap();
    assert_eq!(sum, Some(Val::Tuple(vec![Val::U64(50), Val::U64(100)])));
    let of_guest = stream(block_on(count.call_async(&mut store, &args)).unwrap());
    let sum = block_on(checksum.call_async(&mut store, &[of_guest.into()])).unwrap();
    assert!(matches!(&sum, Some(Val::Tuple(sum)) if sum[0] == Val::U64(1000)), "{sum:?}");
    // Closed, once.
    let of_guest = stream(block_on(count.call_async(&mut store, &args)).unwrap());
    of_guest.close(&mut store).unwrap();
    assert!(of_guest.close(&mut store).is_err() && of_guest.typed::<u8>(&mut store).is_err());
    let of_guest = future(block_on(later.call_async(&mut store, &text)).unwrap());
    of_guest.close(&mut store).unwrap();
    assert!(of_guest.close(&mut store).is_err());
}

#[test]
fn a_stream_that_comes_back_is_relayed_on_the_host() {
    let (mut store, instance) = callee();
    let flow = instance.instance(FLOW).unwrap();
    let relay = flow.typed_func::<(StreamReader<u8>,), StreamReader<u8>>(&mut store, "relay").unwrap();
    let stream = StreamReader::new(&mut store, Items::new(vec![9u8; 5_000], 100)).unwrap();
    let bytes = block_on(store.run_concurrent(async |store| {
        let stream = relay.call_concurrent(&store, (stream,)).await.unwrap();
        let (consumer, bytes) = collect();
        store.with(|store| stream.pipe(store, consumer)).unwrap();
        until_ended(&bytes).await;
        bytes
    }))
    .unwrap();
    assert_eq!(bytes.lock().unwrap().0, vec![9u8; 5_000]);
}

#[test]
fn closing_a_stream_stops_its_writer() {
    let (mut store, instance) = callee();
    let flow = instance.instance(FLOW).unwrap();
    let count = flow.typed_func::<(u64, u32), StreamReader<u8>>(&mut store, "count").unwrap();
    let hung_up = flow.typed_func::<(), Option<u64>>(&mut store, "hung-up").unwrap();
    let stream = block_on(count.call_async(&mut store, (1 << 40, 4096))).unwrap();
    stream.close(&mut store).unwrap();
    let written = block_on(store.run_concurrent(async |store| {
        loop {
            sleep(Duration::from_millis(1)).await;
            if let Some(written) = store.with(|store| hung_up.call(store, ())).unwrap() {
                return written;
            }
        }
    }))
    .unwrap();
    assert_eq!(written, 0);
}

#[test]
fn futures_go_both_ways() {
    let (mut store, instance) = callee();
    let flow = instance.instance(FLOW).unwrap();
    let later = flow.typed_func::<(u64, String), FutureReader<String>>(&mut store, "later").unwrap();
    let twice = flow.typed_func::<(FutureReader<String>,), String>(&mut store, "twice").unwrap();
    let text = block_on(store.run_concurrent(async |store| {
        let future = later.call_concurrent(&store, (5, "soon".to_owned())).await.unwrap();
        future.read(&store).await.unwrap()
    }))
    .unwrap();
    assert_eq!(text.as_deref(), Some("soon"));
    let future = FutureReader::new(&mut store, async {
        sleep(Duration::from_millis(5)).await;
        Ok("ha".to_owned())
    })
    .unwrap();
    assert_eq!(block_on(twice.call_async(&mut store, (future,))).unwrap(), "ha ha");
}

/// Counts how often it is asked, and has the value the second time.
struct Counter(u32);

impl FutureProducer<Host> for Counter {
    type Value = String;

    fn poll_produce(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreMut<'_, Host>,
    ) -> Poll<Result<String>> {
        self.0 += 1;
        store.data_mut().waits += 1;
        if self.0 == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok("ha".to_owned()))
    }
}

#[test]
fn a_futures_value_is_made_when_a_guest_reads_it() {
    let (mut store, instance) = callee();
    let twice = instance.instance(FLOW).unwrap();
    let twice = twice.typed_func::<(FutureReader<String>,), String>(&mut store, "twice").unwrap();
    let future = FutureReader::produce(&mut store, Counter(0)).unwrap();
    block_on(store.run_concurrent(async |_| {})).unwrap();
    assert_eq!(store.data().waits, 0, "nobody reads it");
    assert_eq!(block_on(twice.call_async(&mut store, (future,))).unwrap(), "ha ha");
    assert_eq!(store.data().waits, 2);
    // The host reads it, and closes it unread.
    let future = FutureReader::produce(&mut store, Counter(0)).unwrap();
    assert_eq!(
        block_on(store.run_concurrent(async |store| future.read(&store).await.unwrap())).unwrap().unwrap(),
        "ha"
    );
    FutureReader::produce(&mut store, Counter(0)).unwrap().close(&mut store).unwrap();
    block_on(store.run_concurrent(async |_| {})).unwrap();
    assert_eq!(store.data().waits, 4);
}

#[test]
fn a_future_is_piped_to_a_function() {
    let (mut store, instance) = callee();
    let later = instance.instance(FLOW).unwrap();
    let later = later.typed_func::<(u64, String), FutureReader<String>>(&mut store, "later").unwrap();
    let (sender, receiver) = mpsc::channel();
    let pipe = |store: StoreMut<'_, Host>, future: FutureReader<String>| {
        let sender = sender.clone();
        future.pipe(store, move |mut store, value| {
            store.data_mut().waits += 1;
            sender.send(value).map_err(Error::host)
        })
    };
    // A guest's, one that the host makes, and one that it makes when it is wanted.
    block_on(store.run_concurrent(async |store| {
        let future = later.call_concurrent(&store, (5, "soon".to_owned())).await.unwrap();
        store.with(|store| pipe(store, future)).unwrap();
        store.with(|mut store| {
            let made = FutureReader::new(store.as_mut(), async { Ok("made".to_owned()) }).unwrap();
            pipe(store.as_mut(), made).unwrap();
            let wanted = FutureReader::produce(store.as_mut(), Counter(0)).unwrap();
            pipe(store, wanted).unwrap();
        });
        sleep(Duration::from_millis(50)).await;
    }))
    .unwrap();
    let mut values: Vec<_> = receiver.try_iter().map(Option::unwrap).collect();
    values.sort();
    assert_eq!(values, ["ha", "made", "soon"]);
    // Three values, of which one took two times, and the guest that waited.
    assert_eq!(store.data().waits, 3 + 1 + 1 + 1);
}

#[test]
fn a_guest_ends_whose_value_is_refused() {
    // The value is offered as it is written, or was written before.
    for (written_after, piped_after) in [(20, 0), (0, 20)] {
        let (mut store, instance) = callee();
        let later = instance.instance(FLOW).unwrap();
        let later = later.typed_func::<(u64, String), FutureReader<String>>(&mut store, "later").unwrap();
        let run = block_on(store.run_concurrent(async |store| {
            let future = later.call_concurrent(&store, (written_after, "soon".to_owned())).await.unwrap();
            sleep(Duration::from_millis(piped_after)).await;
            let refuse = |_: StoreMut<'_, Host>, _| Err(Error::host(std::io::Error::other("not this one")));
            store.with(|store| future.pipe(store, refuse)).unwrap();
            sleep(Duration::from_millis(50)).await;
        }));
        let error = block_on(later.call_async(&mut store, (0, String::new()))).map(drop).unwrap_err();
        assert!(format!("{error:?}").contains("not this one"), "{run:?} {error:?}");
    }
}

#[test]
fn a_call_hands_its_result_to_a_function() {
    let (mut store, instance) = callee();
    let later = instance.instance(FLOW).unwrap();
    let later = later.typed_func::<(u64, String), FutureReader<String>>(&mut store, "later").unwrap();
    let (sender, receiver) = mpsc::channel();
    later
        .call_then(&mut store, (0, "now".to_owned()), move |store, result| {
            result?.pipe(store, move |_, value| sender.send(value).map_err(Error::host))
        })
        .unwrap();
    block_on(store.run_concurrent(async |_| sleep(Duration::from_millis(20)).await)).unwrap();
    assert_eq!(receiver.try_recv().unwrap().as_deref(), Some("now"));
}
