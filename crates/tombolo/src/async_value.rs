//! Streams, futures and error contexts of any type, as the host holds them.

use crate::abi::Handle;

/// The readable end of a stream whose element type is known only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAny(pub(crate) Handle);

/// The readable end of a future whose type is known only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureAny(pub(crate) Handle);

/// An error context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorContextAny(pub(crate) Handle);
