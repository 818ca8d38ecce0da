use std::pin::pin;

use futures_util::future::{Either, join_all, select};
use futures_util::join;
use wasip3::clocks::monotonic_clock;
use wit_bindgen::{StreamReader, StreamResult};

use crate::report::{Report, check};
use crate::tombolo::pair::flow::{self, Reading};
use crate::{wit_future, wit_stream};

const MILLISECOND: u64 = 1_000_000;

pub async fn check(report: &mut Report) {
    calls(report).await;
    cancelling(report).await;
    streams_from_callee(report).await;
    streams_to_callee(report).await;
    streams_both_ways(report).await;
    hanging_up(report).await;
    records(report).await;
    futures(report).await;
}

async fn calls(report: &mut Report) {
    check!(report, flow::ready(1).await, 2);

    let start = monotonic_clock::now();
    check!(report, flow::wait(20, "late".to_owned()).await, "late".to_owned());
    report.check("wait takes its time", monotonic_clock::now() - start >= 20 * MILLISECOND, true);

    // Ten calls at once, the last to begin being the first to end.
    let calls = (1..=10_u64).rev().map(|i| flow::wait(40 + i * 10, format!("call {i}")));
    let expected: Vec<String> = (1..=10).rev().map(|i| format!("call {i}")).collect();
    check!(report, join_all(calls).await, expected);
    check!(report, flow::peak(), 10);

    let yielding = (0..20).map(|i| flow::yield_and_return(i, reading(i)));
    check!(report, join_all(yielding).await, (0..20).map(reading).collect());
}

async fn cancelling(report: &mut Report) {
    let before = flow::cancelled();
    {
        let long = pin!(flow::wait(60_000, "never".to_owned()));
        let short = pin!(monotonic_clock::wait_for(5 * MILLISECOND));
        let first = select(long, short).await;
        report.check("the short wait ends first", matches!(first, Either::Right(_)), true);
    }
    check!(report, flow::cancelled() - before, 1);
    check!(report, flow::ready(2).await, 3);
}

async fn streams_from_callee(report: &mut Report) {
    for (bytes, chunk) in [(0, 1), (1, 1), (1000, 1), (100_000, 777), (1_000_000, 65_536)] {
        let data = flow::count(bytes, chunk).await.collect().await;
        report.check("count: length", data.len() as u64, bytes);
        report.check("count: bytes", data == pattern(bytes), true);
    }
}

async fn streams_to_callee(report: &mut Report) {
    for (bytes, chunk) in [(0, 1), (1000, 10), (1_000_000, 10_000)] {
        let (mut writer, reader) = wit_stream::new();
        let data = pattern(bytes);
        let write = async {
            for chunk in data.chunks(chunk) {
                writer.write_all(chunk.to_vec()).await;
            }
            drop(writer);
        };
        let (sum, ()) = join!(flow::checksum(reader), write);
        report.check("checksum", sum, (bytes, data.iter().map(|byte| u64::from(*byte)).sum()));
    }

    // A stream that the callee made, given back to it: both its ends are there. (Only streams of numbers may do that.)
    let data = flow::count(10_000, 100).await;
    check!(report, flow::checksum(data).await.0, 10_000);
}

async fn streams_both_ways(report: &mut Report) {
    let (mut writer, reader) = wit_stream::new();
    let shouted = flow::shout(reader).await;
    let write = async {
        writer.write_all(b"all islands ".to_vec()).await;
        writer.write_all(b"were hills".to_vec()).await;
        drop(writer);
    };
    let (shouted, ()) = join!(shouted.collect(), write);
    check!(report, String::from_utf8_lossy(&shouted).into_owned(), "ALL ISLANDS WERE HILLS".to_owned());

    // Each end here again, after a journey through the other side.
    let (mut writer, reader) = wit_stream::new();
    let back: StreamReader<u8> = flow::relay(reader).await;
    let shouted = flow::shout(flow::relay(back).await).await;
    let write = async {
        writer.write_all(b"there and back".to_vec()).await;
        drop(writer);
    };
    let (shouted, ()) = join!(shouted.collect(), write);
    check!(report, String::from_utf8_lossy(&shouted).into_owned(), "THERE AND BACK".to_owned());
}

async fn hanging_up(report: &mut Report) {
    // This side stops reading: the writer there notices.
    let mut data = flow::count(1_000_000, 1000).await;
    let (result, bytes) = data.read(Vec::with_capacity(2500)).await;
    report.check("first read", matches!(result, StreamResult::Complete(n) if n == bytes.len()), true);
    report.check("first bytes", bytes == pattern(bytes.len() as u64), true);
    drop(data);
    let mut hung_up = flow::hung_up();
    for _ in 0..1000 {
        if hung_up.is_some() {
            break;
        }
        monotonic_clock::wait_for(MILLISECOND).await;
        hung_up = flow::hung_up();
    }
    report.check("hung-up after what was read", hung_up, Some(bytes.len() as u64));

    // That side stops reading: what it did not take stays here.
    let (mut writer, reader) = wit_stream::new();
    let (taken, rest) = join!(flow::take(reader, 10), writer.write_all(pattern(25)));
    check!(report, taken, pattern(10));
    check!(report, rest, pattern(25).split_off(10));
}

async fn records(report: &mut Report) {
    let mut readings = flow::readings(100).await;
    check!(report, readings.next().await, Some(reading(0)));
    let mut all = Vec::with_capacity(64);
    loop {
        let result;
        (result, all) = readings.read(all).await;
        if result == StreamResult::Dropped {
            break;
        }
        all.reserve(8);
    }
    report.check("readings", all, (1..100).map(reading).collect());

    let (mut writer, reader) = wit_stream::new();
    let write = async {
        writer.write_all((0..50).map(reading).collect()).await;
        writer.write_one(reading(50)).await;
        drop(writer);
    };
    let (mean, ()) = join!(flow::mean(reader), write);
    check!(report, mean, Ok(12.5));

    let (mut writer, reader) = wit_stream::new();
    let bad = Reading { value: f64::NAN, ..reading(3) };
    let write = async {
        writer.write_all(vec![reading(1), bad, reading(2)]).await;
        drop(writer);
    };
    let (mean, ()) = join!(flow::mean(reader), write);
    check!(report, mean, Err("station 3".to_owned()));
}

async fn futures(report: &mut Report) {
    let text = flow::later(10, "at last".to_owned()).await;
    check!(report, text.await, "at last".to_owned());

    // Both ends of it on this side first, then one on each.
    let (writer, reader) = wit_future::new(|| "never written".to_owned());
    let (text, written) = join!(flow::twice(reader), writer.write("tick".to_owned()));
    check!(report, text, "tick tick".to_owned());
    report.check("written", written.is_ok(), true);

    // Nobody wants to know any more.
    drop(flow::later(1, "unread".to_owned()).await);

    let (mut writer, reader) = wit_stream::new();
    let (log, end) = flow::both(reader).await;
    let write = async {
        for id in 1..=3 {
            writer.write_one(reading(id)).await;
        }
        drop(writer);
    };
    let (log, end, ()) = join!(log.collect(), end.into_future(), write);
    check!(
        report,
        String::from_utf8_lossy(&log).into_owned(),
        "station 1=0.5;station 2=1;station 3=1.5;".to_owned()
    );
    check!(report, end, Ok(3));
}

fn reading(id: u32) -> Reading {
    Reading { id, station: format!("station {id}"), value: f64::from(id) / 2.0 }
}

fn pattern(bytes: u64) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8).collect()
}
