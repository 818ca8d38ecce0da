//! From one pipe to another in the kernel: the bytes come near neither the guest nor the host.

use std::io;
use std::task::{Context, Poll, ready};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use crate::blocking::TRANSFER_LIMIT;
use crate::bytes::{Input, Output};

/// How often both pipes may say that they are ready when they are not: somebody else may use them too.
const ATTEMPTS: usize = 8;

/// Carries bytes from a pipe to a pipe, waiting until there are some and there is room for them
/// ([`Output::poll_carry`]).
pub(super) fn poll_carry<I: Input + ?Sized, O: Output + ?Sized>(
    cx: &mut Context<'_>,
    (from, input): (&OwnedFd, &mut I),
    (to, output): (&OwnedFd, &mut O),
) -> Poll<bool> {
    for _ in 0..ATTEMPTS {
        match splice(from, None, to, None, TRANSFER_LIMIT, SpliceFlags::NONBLOCK) {
            Ok(0) => return Poll::Ready(false),
            Ok(_) => return Poll::Ready(true),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if ready!(input.poll_ready(cx)).is_err() || ready!(output.poll_ready(cx)).is_err() {
                    return Poll::Ready(false);
                }
            }
            Err(errno) => {
                tracing::debug!(error = %io::Error::from(errno), "bytes are not carried from pipe to pipe");
                return Poll::Ready(false);
            }
        }
    }
    Poll::Ready(false)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{self, Read, Write};

    use crate::Workers;
    use crate::bytes::{Input as _, Output as _};
    use crate::stdio::{HostInput, HostOutput, InputSource, MemoryInput, OutputTarget};

    #[tokio::test]
    async fn bytes_go_from_pipe_to_pipe_and_waits_lose_none() {
        let ((from, mut near), (mut far, to)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let mut input = HostInput::new(from.into(), &Workers::default()).open();
        let mut output = HostOutput::new(to.into(), &Workers::default()).open();
        let feeding = std::thread::spawn(move || {
            for piece in 0..200_u8 {
                near.write_all(&[piece; 5000]).unwrap();
            }
        });
        let draining = std::thread::spawn(move || {
            let mut all = Vec::new();
            far.read_to_end(&mut all).unwrap();
            all
        });
        let mut times = 0;
        while poll_fn(|cx| output.poll_carry(cx, &mut input)).await {
            times += 1;
        }
        assert!(times > 0);
        assert_eq!(poll_fn(|cx| input.poll_read(cx, &mut [0])).await.unwrap(), 0);
        feeding.join().unwrap();
        drop(output);
        let all = draining.join().unwrap();
        assert!(all == (0..200_u8).flat_map(|piece| [piece; 5000]).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_is_no_pipe_or_has_no_reader_is_left_to_others() {
        let ((from, mut near), (far, to)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let mut output = HostOutput::new(to.into(), &Workers::default()).open();
        let mut memory = MemoryInput::new("bytes").open();
        assert!(!poll_fn(|cx| output.poll_carry(cx, &mut memory)).await);
        near.write_all(b"bytes").unwrap();
        drop(far);
        let mut input = HostInput::new(from.into(), &Workers::default()).open();
        assert!(!poll_fn(|cx| output.poll_carry(cx, &mut input)).await);
        let mut buffer = [0; 10];
        assert_eq!(poll_fn(|cx| input.poll_read(cx, &mut buffer)).await.unwrap(), 5);
    }
}
