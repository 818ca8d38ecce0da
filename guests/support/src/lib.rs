//! What several guests share: arguments, and buffered text output over WASI 0.3 streams.

use wasip3::cli::types::ErrorCode;
use wasip3::cli::{environment, stderr, stdout};
use wasip3::wit_bindgen::{FutureReader, StreamWriter};

/// Bytes gathered before they are written to the stream.
const BUFFER: usize = 16 * 1024;

/// The arguments without the program's own name.
pub fn args() -> Vec<String> {
    let mut args = environment::get_arguments();
    if !args.is_empty() {
        args.remove(0);
    }
    args
}

/// Prints `text` to stdout.
pub async fn print(text: &str) -> Result<(), ErrorCode> {
    let mut output = Output::stdout();
    output.write(text.as_bytes()).await?;
    output.finish().await
}

/// Prints `text` to stderr; there is nobody left to tell when that fails.
pub async fn eprint(text: &str) {
    let mut output = Output::stderr();
    if output.write(text.as_bytes()).await.is_ok() {
        let _ = output.finish().await;
    }
}

/// A buffered writer to stdout or stderr.
pub struct Output {
    stream: StreamWriter<u8>,
    done: FutureReader<Result<(), ErrorCode>>,
    buffer: Vec<u8>,
}

impl Output {
    pub fn stdout() -> Self {
        Self::open(stdout::write_via_stream)
    }

    pub fn stderr() -> Self {
        Self::open(stderr::write_via_stream)
    }

    /// Adds `bytes`, and passes the buffer on when it is full.
    ///
    /// An error means that the other side closed the stream; [`Output::finish`] says why.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ErrorCode> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush().await?;
        }
        Ok(())
    }

    /// Passes on what is buffered.
    pub async fn flush(&mut self) -> Result<(), ErrorCode> {
        let rest = self.stream.write_all(std::mem::take(&mut self.buffer)).await;
        if rest.is_empty() { Ok(()) } else { Err(ErrorCode::Pipe) }
    }

    /// Passes on what is buffered, closes the stream and waits until the host has written it all.
    pub async fn finish(mut self) -> Result<(), ErrorCode> {
        if !self.buffer.is_empty() {
            // When this fails, `done` has the reason.
            let _ = self.flush().await;
        }
        drop(self.stream);
        self.done.await
    }

    fn open(
        write_via_stream: fn(wasip3::wit_bindgen::StreamReader<u8>) -> FutureReader<Result<(), ErrorCode>>,
    ) -> Self {
        let (stream, reader) = wasip3::wit_stream::new();
        Output { stream, done: write_via_stream(reader), buffer: Vec::new() }
    }
}
