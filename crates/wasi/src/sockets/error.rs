//! What an operation on a socket fails with.

use std::borrow::Cow;
use std::io;

use rustix::io::Errno;

use crate::descriptor_limit::TooManyOpen;

use super::Refused;

/// A result whose error is an [`ErrorCode`].
pub type Result<T, E = ErrorCode> = std::result::Result<T, E>;

/// Why an operation on a socket failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it, and the names are the standard's")]
#[non_exhaustive]
pub enum ErrorCode {
    #[error("access denied")]
    AccessDenied,
    #[error("not supported")]
    NotSupported,
    #[error("invalid argument")]
    InvalidArgument,
    #[error("out of memory")]
    OutOfMemory,
    #[error("timed out")]
    Timeout,
    #[error("not possible in this state of the socket")]
    InvalidState,
    #[error("the address cannot be bound to")]
    AddressNotBindable,
    #[error("the address is in use, or no port is free")]
    AddressInUse,
    #[error("the remote address cannot be reached")]
    RemoteUnreachable,
    #[error("connection refused")]
    ConnectionRefused,
    #[error("the connection is broken")]
    ConnectionBroken,
    #[error("connection reset")]
    ConnectionReset,
    #[error("connection aborted")]
    ConnectionAborted,
    #[error("the datagram is too large")]
    DatagramTooLarge,
    /// Anything else, in words.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl From<Errno> for ErrorCode {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS | Errno::PERM => ErrorCode::AccessDenied,
            Errno::OPNOTSUPP
            | Errno::NOPROTOOPT
            | Errno::PFNOSUPPORT
            | Errno::PROTONOSUPPORT
            | Errno::SOCKTNOSUPPORT => ErrorCode::NotSupported,
            Errno::INVAL | Errno::DESTADDRREQ | Errno::AFNOSUPPORT => ErrorCode::InvalidArgument,
            Errno::NOMEM | Errno::NOBUFS => ErrorCode::OutOfMemory,
            Errno::TIMEDOUT => ErrorCode::Timeout,
            Errno::NOTCONN | Errno::ISCONN | Errno::ALREADY => ErrorCode::InvalidState,
            Errno::ADDRNOTAVAIL => ErrorCode::AddressNotBindable,
            Errno::ADDRINUSE => ErrorCode::AddressInUse,
            Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::NETDOWN | Errno::NETUNREACH | Errno::NONET => {
                ErrorCode::RemoteUnreachable
            }
            Errno::CONNREFUSED => ErrorCode::ConnectionRefused,
            Errno::PIPE => ErrorCode::ConnectionBroken,
            Errno::CONNRESET => ErrorCode::ConnectionReset,
            Errno::CONNABORTED => ErrorCode::ConnectionAborted,
            Errno::MSGSIZE => ErrorCode::DatagramTooLarge,
            Errno::MFILE | Errno::NFILE => ErrorCode::TOO_MANY_OPEN,
            other => ErrorCode::Other(io::Error::from(other).to_string().into()),
        }
    }
}

impl From<io::Error> for ErrorCode {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => ErrorCode::Other(error.to_string().into()),
        }
    }
}

impl From<TooManyOpen> for ErrorCode {
    fn from(_: TooManyOpen) -> Self {
        ErrorCode::TOO_MANY_OPEN
    }
}

impl From<Refused> for ErrorCode {
    fn from(_: Refused) -> Self {
        ErrorCode::AccessDenied
    }
}

impl ErrorCode {
    /// The guest has as many sockets open as it may, or the host as many as it can.
    pub const TOO_MANY_OPEN: ErrorCode = ErrorCode::Other(Cow::Borrowed("too many open files"));
}

/// Why a name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it, and the names are the standard's")]
#[non_exhaustive]
pub enum LookupError {
    #[error("access denied")]
    AccessDenied,
    #[error("neither a domain name nor an IP address")]
    InvalidArgument,
    #[error("the name does not exist or has no address")]
    NameUnresolvable,
    #[error("the resolver failed, and may not fail the next time")]
    TemporaryResolverFailure,
    #[error("the resolver failed")]
    PermanentResolverFailure,
    /// Anything else, in words.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl From<Refused> for LookupError {
    fn from(_: Refused) -> Self {
        LookupError::AccessDenied
    }
}
