//! Socket options, by one name each and as numbers.

use super::{ErrorCode, Result};

/// An option of a socket. The value of each is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketOption {
    /// Whether idle connections are probed: 1 or 0. TCP alone has it, as the next three.
    KeepAliveEnabled,
    /// How long a connection is idle before it is probed, in nanoseconds.
    KeepAliveIdleTime,
    /// How long it takes between probes, in nanoseconds.
    KeepAliveInterval,
    /// How many probes fail before the connection does.
    KeepAliveCount,
    /// Whether small pieces are sent at once, instead of waiting until those before them were acknowledged: 1 or 0. TCP
    /// alone has it, and guests cannot set it.
    NoDelay,
    /// How far packets travel: 1 to 255.
    HopLimit,
    /// How much the kernel holds until it is received, in bytes.
    ReceiveBufferSize,
    /// How much the kernel holds until it is sent, in bytes.
    SendBufferSize,
}

impl SocketOption {
    /// Checks a value that is to be set. What is too large a network may make smaller; only nothing is an error.
    pub(super) fn check(self, value: u64) -> Result<()> {
        let is_truth_value = matches!(self, SocketOption::KeepAliveEnabled | SocketOption::NoDelay);
        match value == 0 && !is_truth_value {
            true => Err(ErrorCode::InvalidArgument),
            false => Ok(()),
        }
    }
}
