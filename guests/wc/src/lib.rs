//! Counts the lines, words and bytes of stdin, read through this component's memory.

use wasip3::cli::stdin;
use wasip3::wit_bindgen::StreamResult;

/// Bytes asked for at a time.
const CHUNK: usize = 64 * 1024;

struct Wc;

impl wasip3::exports::cli::run::Guest for Wc {
    async fn run() -> Result<(), ()> {
        let (mut data, read) = stdin::read_via_stream();
        let mut counts = Counts::default();
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            let result;
            (result, buffer) = data.read(buffer).await;
            counts.add(&buffer);
            buffer.clear();
            if result == StreamResult::Dropped {
                break;
            }
        }
        drop(data);
        if let Err(error) = read.await {
            support::eprint(&format!("wc: stdin: {error:?}\n")).await;
            return Err(());
        }
        let Counts { lines, words, bytes, .. } = counts;
        support::print(&format!("{lines} {words} {bytes}\n")).await.map_err(drop)
    }
}

#[derive(Default)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
    in_word: bool,
}

impl Counts {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for byte in bytes {
            self.lines += u64::from(*byte == b'\n');
            let space = matches!(byte, b' ' | b'\t'..=b'\r');
            self.words += u64::from(!space && !self.in_word);
            self.in_word = !space;
        }
    }
}

wasip3::cli::command::export!(Wc);
