//! What an operation on a filesystem fails with.

use std::borrow::Cow;

use rustix::io::Errno;

use crate::descriptor_limit::TooManyOpen;

/// A result whose error is an [`ErrorCode`].
pub type Result<T, E = ErrorCode> = std::result::Result<T, E>;

/// Why an operation failed, in the terms of POSIX.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it, and the names are the standard's")]
#[non_exhaustive]
pub enum ErrorCode {
    #[error("permission denied")]
    Access,
    #[error("connection already in progress")]
    Already,
    #[error("bad descriptor")]
    BadDescriptor,
    #[error("device or resource busy")]
    Busy,
    #[error("resource deadlock would occur")]
    Deadlock,
    #[error("storage quota exceeded")]
    Quota,
    #[error("file exists")]
    Exist,
    #[error("file too large")]
    FileTooLarge,
    #[error("illegal byte sequence")]
    IllegalByteSequence,
    #[error("operation in progress")]
    InProgress,
    #[error("interrupted")]
    Interrupted,
    #[error("invalid argument")]
    Invalid,
    #[error("input/output error")]
    Io,
    #[error("is a directory")]
    IsDirectory,
    #[error("too many levels of symbolic links")]
    Loop,
    #[error("too many links")]
    TooManyLinks,
    #[error("message too large")]
    MessageSize,
    #[error("file name too long")]
    NameTooLong,
    #[error("no such device")]
    NoDevice,
    #[error("no such file or directory")]
    NoEntry,
    #[error("no locks available")]
    NoLock,
    #[error("not enough memory")]
    InsufficientMemory,
    #[error("no space left on device")]
    InsufficientSpace,
    #[error("not a directory")]
    NotDirectory,
    #[error("directory not empty")]
    NotEmpty,
    #[error("state not recoverable")]
    NotRecoverable,
    #[error("not supported")]
    Unsupported,
    #[error("inappropriate I/O control operation")]
    NoTty,
    #[error("no such device or address")]
    NoSuchDevice,
    #[error("value too large")]
    Overflow,
    #[error("operation not permitted")]
    NotPermitted,
    #[error("broken pipe")]
    Pipe,
    #[error("read-only file system")]
    ReadOnly,
    #[error("invalid seek")]
    InvalidSeek,
    #[error("text file busy")]
    TextFileBusy,
    #[error("cross-device link")]
    CrossDevice,
    /// The answer is not at hand, and the call was told to avoid blocking.
    #[error("the operation would block")]
    WouldBlock,
    /// Anything else, in words.
    #[error("{0}")]
    Other(Cow<'static, str>),
}

impl From<Errno> for ErrorCode {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS => ErrorCode::Access,
            Errno::ALREADY => ErrorCode::Already,
            Errno::BADF => ErrorCode::BadDescriptor,
            Errno::BUSY => ErrorCode::Busy,
            Errno::DEADLK => ErrorCode::Deadlock,
            Errno::DQUOT => ErrorCode::Quota,
            Errno::EXIST => ErrorCode::Exist,
            Errno::FBIG => ErrorCode::FileTooLarge,
            Errno::ILSEQ => ErrorCode::IllegalByteSequence,
            Errno::INPROGRESS => ErrorCode::InProgress,
            Errno::INTR => ErrorCode::Interrupted,
            Errno::INVAL => ErrorCode::Invalid,
            Errno::IO => ErrorCode::Io,
            Errno::ISDIR => ErrorCode::IsDirectory,
            Errno::LOOP => ErrorCode::Loop,
            Errno::MLINK => ErrorCode::TooManyLinks,
            Errno::MSGSIZE => ErrorCode::MessageSize,
            Errno::NAMETOOLONG => ErrorCode::NameTooLong,
            Errno::NODEV => ErrorCode::NoDevice,
            Errno::NOENT => ErrorCode::NoEntry,
            Errno::NOLCK => ErrorCode::NoLock,
            Errno::NOMEM => ErrorCode::InsufficientMemory,
            Errno::NOSPC => ErrorCode::InsufficientSpace,
            Errno::NOTDIR => ErrorCode::NotDirectory,
            Errno::NOTEMPTY => ErrorCode::NotEmpty,
            Errno::NOTRECOVERABLE => ErrorCode::NotRecoverable,
            Errno::NOTSUP | Errno::NOSYS => ErrorCode::Unsupported,
            Errno::NOTTY => ErrorCode::NoTty,
            Errno::NXIO => ErrorCode::NoSuchDevice,
            Errno::OVERFLOW => ErrorCode::Overflow,
            Errno::PERM => ErrorCode::NotPermitted,
            Errno::PIPE => ErrorCode::Pipe,
            Errno::ROFS => ErrorCode::ReadOnly,
            Errno::SPIPE => ErrorCode::InvalidSeek,
            Errno::TXTBSY => ErrorCode::TextFileBusy,
            Errno::XDEV => ErrorCode::CrossDevice,
            Errno::AGAIN => ErrorCode::WouldBlock,
            Errno::MFILE | Errno::NFILE => ErrorCode::TOO_MANY_OPEN,
            other => ErrorCode::Other(std::io::Error::from(other).to_string().into()),
        }
    }
}

impl From<std::io::Error> for ErrorCode {
    fn from(error: std::io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => match error.kind() {
                std::io::ErrorKind::InvalidInput => ErrorCode::Invalid,
                // `cap-primitives`' word for a path that leads out. The system's own refusals have a number.
                std::io::ErrorKind::PermissionDenied => ErrorCode::NotPermitted,
                _ => ErrorCode::Other(error.to_string().into()),
            },
        }
    }
}

impl From<TooManyOpen> for ErrorCode {
    fn from(_: TooManyOpen) -> Self {
        ErrorCode::TOO_MANY_OPEN
    }
}

impl ErrorCode {
    /// The guest has as many descriptors open as it may, or the host as many as it can.
    pub(crate) const TOO_MANY_OPEN: ErrorCode = ErrorCode::Other(Cow::Borrowed("too many open files"));
}
