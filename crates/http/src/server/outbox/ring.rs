//! Writes to many sockets in one call of the system's (io_uring).
//!
//! Each write of its own wakes whoever reads at the other end, and the system may have them run at once, in the midst of
//! the others. These run when all are done. What the system is lent is borrowed until then: no write waits for room, so
//! that each is over when the call returns.
#![allow(unsafe_code, reason = "lends the system memory to read from")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::vec::Drain;

use io_uring::{IoUring, opcode, types};
use rustix::net::SendFlags;

/// A queue of writes that is shared with the system, if it has such a thing and lets us have one.
pub(super) struct Ring {
    queue: Option<IoUring>,
    /// What came of each write.
    outcomes: Vec<io::Result<usize>>,
}

/// What is to be written to a socket.
type Letter<'a> = (BorrowedFd<'a>, &'a [u8]);

impl Ring {
    /// One for so many writes.
    pub(super) fn new(writes: u32) -> Self {
        Ring { queue: IoUring::new(writes).ok(), outcomes: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Ring { queue: None, outcomes: Vec::new() }
    }

    pub(super) fn is_there(&self) -> bool {
        self.queue.is_some()
    }

    /// Writes to each socket as much as there is room for, and says how much that was. Where there is no room, or the ring
    /// is too small or of no use, that is [`io::ErrorKind::WouldBlock`].
    pub(super) fn write(&mut self, letters: &[Letter<'_>]) -> Drain<'_, io::Result<usize>> {
        let Ring { queue, outcomes } = self;
        outcomes.clear();
        outcomes.resize_with(letters.len(), || Err(io::ErrorKind::WouldBlock.into()));
        if let Some(ring) = queue
            && write(ring, letters, outcomes).is_err()
        {
            // With it goes what the system has not seen yet.
            *queue = None;
        }
        outcomes.drain(..)
    }
}

/// Leaves the system nothing that it still needs, unless it fails.
fn write(ring: &mut IoUring, letters: &[Letter<'_>], outcomes: &mut [io::Result<usize>]) -> io::Result<()> {
    let flags = (SendFlags::DONTWAIT | SendFlags::NOSIGNAL).bits().cast_signed();
    let mut left = 0;
    for (number, (socket, bytes)) in letters.iter().enumerate() {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let write = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), length);
        let write = write.flags(flags).build().user_data(number as u64);
        // SAFETY: socket and bytes are borrowed until this function and its only caller return: by then the write is
        // over, or was taken back with the ring.
        if unsafe { ring.submission().push(&write) }.is_err() {
            break;
        }
        left += 1;
    }
    while left > 0 {
        let submitted = ring.submit_and_wait(left);
        for done in ring.completion() {
            left = left.saturating_sub(1);
            let outcome = usize::try_from(done.user_data()).ok().and_then(|number| outcomes.get_mut(number));
            if let Some(outcome) = outcome {
                let error = |_| io::Error::from_raw_os_error(done.result().saturating_neg());
                *outcome = usize::try_from(done.result()).map_err(error);
            }
        }
        match submitted {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
