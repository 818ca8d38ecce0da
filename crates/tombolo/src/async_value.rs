//! Streams, futures and error contexts of any type, as the host holds them.

use std::sync::Arc;

use tombolo_tasks::ErrorContext;

use crate::abi::Handle;

/// The readable end of a stream whose element type is known only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAny(pub(crate) Handle);

/// The readable end of a future whose type is known only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureAny(pub(crate) Handle);

/// An error context: a message that helps to find a mistake. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorContextAny(pub(crate) Arc<ErrorContext<String>>);

impl ErrorContextAny {
    /// Of a longer message, what is beyond this many bytes is left out.
    pub const MAX_MESSAGE: usize = 4096;

    /// Makes one. The message is for people: nothing else should depend on it.
    pub fn new(message: &str) -> Self {
        let value =
            message.get(..message.floor_char_boundary(Self::MAX_MESSAGE)).unwrap_or_default().to_owned();
        let bytes = value.len() as u64;
        ErrorContextAny(Arc::new(ErrorContext { value, bytes }))
    }

    /// The message.
    pub fn debug_message(&self) -> &str {
        &self.0.value
    }
}
