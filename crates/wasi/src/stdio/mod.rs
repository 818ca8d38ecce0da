//! Standard input, output and error.
//!
//! A guest may ask for each of them several times, so what a context holds is an [`InputSource`] or
//! [`OutputTarget`] that opens as many streams as it is asked for.

mod async_io;
mod carry;
mod host;
mod memory;
mod readiness;
mod shared;

use std::io;

use crate::bytes::{Input, Output};

pub use async_io::{AsyncInput, AsyncOutput};
pub use host::{HostInput, HostOutput};
pub use memory::{MemoryInput, MemoryOutput};
pub use shared::Shared;

/// Something that standard input can be read from.
pub trait InputSource: Send + Sync + 'static {
    /// Opens a stream. Streams that are open together share what there is to read, each byte going to one of them.
    fn open(&self) -> Box<dyn Input<Error = io::Error>>;

    /// Whether somebody sits in front of it.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// Something that standard output and error can be written to.
pub trait OutputTarget: Send + Sync + 'static {
    /// Opens a stream. What streams that are open together write is interleaved.
    fn open(&self) -> Box<dyn Output<Error = io::Error>>;

    /// Whether somebody sits in front of it.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// Nothing to read, and nowhere to write to: input ends at once, output is taken and forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl InputSource for Null {
    fn open(&self) -> Box<dyn Input<Error = io::Error>> {
        Box::new(Null)
    }
}

impl OutputTarget for Null {
    fn open(&self) -> Box<dyn Output<Error = io::Error>> {
        Box::new(Null)
    }
}

mod null {
    use std::io;
    use std::task::{Context, Poll};

    use super::{Input, Null, Output};

    impl Input for Null {
        type Error = io::Error;

        fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(0))
        }
    }

    impl Output for Null {
        type Error = io::Error;

        fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
