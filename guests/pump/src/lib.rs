//! Copies stdin to stdout through its memory, in chunks of as many bytes as the argument says.

use wasip3::cli::{stdin, stdout};
use wasip3::wit_bindgen::StreamResult;

const DEFAULT_CHUNK: usize = 64 * 1024;

struct Pump;

impl wasip3::exports::cli::run::Guest for Pump {
    async fn run() -> Result<(), ()> {
        let chunk = match support::args().first().map(|arg| arg.parse()) {
            None => DEFAULT_CHUNK,
            Some(Ok(chunk)) if chunk > 0 => chunk,
            Some(_) => {
                support::eprint("usage: pump [CHUNK-BYTES]\n").await;
                return Err(());
            }
        };
        let (mut input, read) = stdin::read_via_stream();
        let (mut output, sink) = wasip3::wit_stream::new();
        let written = stdout::write_via_stream(sink);

        let mut buffer = Vec::with_capacity(chunk);
        loop {
            let result;
            (result, buffer) = input.read(buffer).await;
            if result == StreamResult::Dropped {
                break;
            }
            buffer = output.write_all(buffer).await;
            if !buffer.is_empty() {
                break;
            }
        }
        drop((input, output));
        if let Err(error) = written.await {
            support::eprint(&format!("pump: stdout: {error:?}\n")).await;
            return Err(());
        }
        if let Err(error) = read.await {
            support::eprint(&format!("pump: stdin: {error:?}\n")).await;
            return Err(());
        }
        Ok(())
    }
}

wasip3::cli::command::export!(Pump);
