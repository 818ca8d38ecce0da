//! What components print: line by line on the standard error stream, each behind the name of the stream it was printed to.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tombolo_wasi::bytes::Output;
use tombolo_wasi::stdio::OutputTarget;

use super::lines::Lines;
use crate::diagnostics::printable;

/// Longer lines are cut in pieces.
const LINE_BYTES: usize = 4096;

/// A standard stream of components.
pub(super) struct Labelled {
    lines: Lines,
    label: Arc<str>,
}

impl Labelled {
    pub(super) fn new(lines: &Lines, label: &str) -> Self {
        Labelled { lines: lines.clone(), label: label.into() }
    }
}

impl OutputTarget for Labelled {
    fn open(&self) -> Box<dyn Output<Error = io::Error>> {
        Box::new(LineOutput { lines: self.lines.clone(), label: self.label.clone(), line: Vec::new() })
    }
}

/// One of the streams that were opened.
struct LineOutput {
    lines: Lines,
    label: Arc<str>,
    /// What was written of a line that has not ended.
    line: Vec<u8>,
}

impl LineOutput {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            for part in text.chunks(LINE_BYTES) {
                if self.line.len().saturating_add(part.len()) > LINE_BYTES {
                    self.put();
                }
                self.line.extend_from_slice(part);
            }
            if ends {
                self.put();
            }
        }
    }

    fn put(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        self.lines.put(format!("{} | {}\n", self.label, printable(text)).as_bytes());
        self.line.clear();
    }
}

impl Output for LineOutput {
    type Error = io::Error;

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.line.is_empty() {
            self.put();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for LineOutput {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.put();
        }
    }
}
