//! Lines on their way to a standard stream.
//!
//! Workers must not wait for whoever reads the log, so a thread writes it. What is more than it can write is left out, and
//! counted.

use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that wait to be written at most.
const WAITING_BYTES: usize = 1 << 20;

/// How long the last lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where lines are put. Clones lead to the same stream.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Whether the thread is writing.
    writing: bool,
    left_out: u64,
}

impl Lines {
    /// Lines that go to the standard output.
    ///
    /// # Errors
    ///
    /// There is no thread for it.
    pub(super) fn stdout() -> io::Result<Lines> {
        Lines::to("log", |bytes| {
            let mut stdout = io::stdout().lock();
            let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
        })
    }

    /// Lines that go to the standard error stream.
    ///
    /// # Errors
    ///
    /// There is no thread for it.
    pub(super) fn stderr() -> io::Result<Lines> {
        Lines::to("output", |bytes| {
            let _ = io::stderr().lock().write_all(bytes);
        })
    }

    fn to(name: &str, write: impl Fn(&[u8]) + Send + 'static) -> io::Result<Lines> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let lines = Lines(shared.clone());
        thread::Builder::new().name(name.to_owned()).spawn(move || shared.write_all(&write))?;
        Ok(lines)
    }

    /// Puts a line, with its end. It is whole in the stream, or not there at all.
    pub(super) fn put(&self, line: &[u8]) {
        let mut state = self.0.lock();
        if state.waiting.len().saturating_add(line.len()) > WAITING_BYTES {
            state.left_out = state.left_out.saturating_add(1);
            return;
        }
        let first = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        if first {
            self.0.changed.notify_all();
        }
    }

    /// Waits until everything is written, but not for long.
    pub(super) fn flush(&self) {
        let state = self.0.lock();
        let unwritten = |state: &mut State| state.writing || !state.waiting.is_empty();
        let _ = self.0.changed.wait_timeout_while(state, LAST_LINES, unwritten);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, write: &impl Fn(&[u8])) {
        let mut bytes = Vec::new();
        let mut state = self.lock();
        loop {
            while state.waiting.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            bytes.clear();
            std::mem::swap(&mut bytes, &mut state.waiting);
            if state.left_out > 0 {
                let note = format!("({} lines left out: nobody takes them fast enough)\n", state.left_out);
                bytes.extend_from_slice(note.as_bytes());
                state.left_out = 0;
            }
            state.writing = true;
            drop(state);
            write(&bytes);
            state = self.lock();
            state.writing = false;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn lines_come_in_order_and_those_too_many_are_counted() {
        let (sender, written) = mpsc::channel();
        let (go_on, wait) = mpsc::channel();
        let lines = Lines::to("test", move |bytes| {
            wait.recv().unwrap();
            sender.send(bytes.to_vec()).unwrap();
        })
        .unwrap();
        lines.put(b"first\n");
        while !lines.0.lock().writing {
            thread::yield_now();
        }
        let line = vec![b'x'; WAITING_BYTES / 4];
        for _ in 0..6 {
            lines.put(&line);
        }
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), b"first\n");
        let rest = written.recv().unwrap();
        assert!(rest[line.len() * 4..].starts_with(b"(2 lines left out"));
        lines.flush();
    }
}
