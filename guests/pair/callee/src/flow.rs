use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use wasip3::clocks::monotonic_clock;
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

use crate::exports::tombolo::pair::flow::{Guest, Reading};
use crate::{wit_future, wit_stream};

/// Bytes asked for at a time.
const CHUNK: usize = 4096;

static WAITING: AtomicU32 = AtomicU32::new(0);
static PEAK: AtomicU32 = AtomicU32::new(0);
static CANCELLED: AtomicU32 = AtomicU32::new(0);
static HUNG_UP: Mutex<Option<u64>> = Mutex::new(None);

impl Guest for crate::Callee {
    async fn ready(n: u32) -> u32 {
        n + 1
    }

    async fn wait(milliseconds: u64, text: String) -> String {
        let mut call = WaitingCall::new();
        monotonic_clock::wait_for(milliseconds * 1_000_000).await;
        call.finished = true;
        text
    }

    async fn yield_and_return(times: u32, reading: Reading) -> Reading {
        for _ in 0..times {
            wit_bindgen::yield_async().await;
        }
        reading
    }

    fn peak() -> u32 {
        PEAK.load(Ordering::Relaxed)
    }

    fn cancelled() -> u32 {
        CANCELLED.load(Ordering::Relaxed)
    }

    async fn count(bytes: u64, chunk: u32) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        *hung_up() = None;
        wit_bindgen::spawn_local(async move {
            let mut sent = 0;
            while sent < bytes {
                let end = bytes.min(sent + u64::from(chunk));
                let rest = writer.write_all((sent..end).map(|i| (i % 251) as u8).collect()).await;
                sent = end - rest.len() as u64;
                if !rest.is_empty() {
                    *hung_up() = Some(sent);
                    break;
                }
            }
        });
        reader
    }

    fn hung_up() -> Option<u64> {
        *hung_up()
    }

    async fn checksum(mut data: StreamReader<u8>) -> (u64, u64) {
        let (mut bytes, mut sum) = (0, 0);
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            let result;
            (result, buffer) = data.read(buffer).await;
            bytes += buffer.len() as u64;
            sum += buffer.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            buffer.clear();
            if result == StreamResult::Dropped {
                return (bytes, sum);
            }
        }
    }

    async fn shout(mut data: StreamReader<u8>) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            loop {
                let (result, mut bytes) = data.read(Vec::with_capacity(CHUNK)).await;
                if result == StreamResult::Dropped {
                    break;
                }
                bytes.make_ascii_uppercase();
                if !writer.write_all(bytes).await.is_empty() {
                    break;
                }
            }
        });
        reader
    }

    async fn relay(data: StreamReader<u8>) -> StreamReader<u8> {
        data
    }

    async fn take(mut data: StreamReader<u8>, bytes: u32) -> Vec<u8> {
        let mut taken = Vec::with_capacity(bytes as usize);
        while taken.len() < taken.capacity() {
            let result;
            (result, taken) = data.read(taken).await;
            if result == StreamResult::Dropped {
                break;
            }
        }
        taken
    }

    async fn readings(count: u32) -> StreamReader<Reading> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            for id in 0..count {
                let reading = Reading { id, station: format!("station {id}"), value: f64::from(id) / 2.0 };
                if writer.write_one(reading).await.is_some() {
                    break;
                }
            }
        });
        reader
    }

    async fn mean(readings: StreamReader<Reading>) -> Result<f64, String> {
        let readings = readings.collect().await;
        if let Some(bad) = readings.iter().find(|reading| reading.value.is_nan()) {
            return Err(bad.station.clone());
        }
        Ok(readings.iter().map(|reading| reading.value).sum::<f64>() / readings.len() as f64)
    }

    async fn later(milliseconds: u64, text: String) -> FutureReader<String> {
        let (writer, reader) = wit_future::new(|| "never written".to_owned());
        wit_bindgen::spawn_local(async move {
            monotonic_clock::wait_for(milliseconds * 1_000_000).await;
            // The other side may have lost interest.
            let _ = writer.write(text).await;
        });
        reader
    }

    async fn twice(text: FutureReader<String>) -> String {
        let text = text.await;
        format!("{text} {text}")
    }

    async fn both(
        mut readings: StreamReader<Reading>,
    ) -> (StreamReader<u8>, FutureReader<Result<u32, String>>) {
        let (mut log, log_reader) = wit_stream::new();
        let (end, end_reader) = wit_future::new(|| Err("never written".to_owned()));
        wit_bindgen::spawn_local(async move {
            let mut count = 0;
            while let Some(reading) = readings.next().await {
                count += 1;
                log.write_all(format!("{}={};", reading.station, reading.value).into_bytes()).await;
            }
            drop(log);
            let _ = end.write(Ok(count)).await;
        });
        (log_reader, end_reader)
    }
}

/// Counts a call of `wait` for as long as it runs, and notices when it is dropped before it is done.
struct WaitingCall {
    finished: bool,
}

impl WaitingCall {
    fn new() -> Self {
        let now = WAITING.fetch_add(1, Ordering::Relaxed) + 1;
        PEAK.fetch_max(now, Ordering::Relaxed);
        WaitingCall { finished: false }
    }
}

impl Drop for WaitingCall {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
        if !self.finished {
            CANCELLED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn hung_up() -> std::sync::MutexGuard<'static, Option<u64>> {
    HUNG_UP.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
