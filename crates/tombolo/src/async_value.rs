//! Streams, futures and error contexts of any type, as the host holds them.

use std::sync::Arc;

use tombolo_tasks::ErrorContext;

use crate::abi::Handle;
use crate::error::Result;
use crate::store::AsStoreMut;
use crate::stream::{self, FutureReader, StreamReader};
use crate::{ComponentType, Lift};

/// The readable end of a stream whose element type is known only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamAny(pub(crate) Handle);

/// The readable end of a future whose type is known only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureAny(pub(crate) Handle);

impl StreamAny {
    /// The stream with elements of a Rust type.
    ///
    /// # Errors
    /// [`ErrorKind::TypeMismatch`](crate::ErrorKind::TypeMismatch) if they are not of that type, and if the stream was closed
    /// or given away, or is one of the host's own that no guest has been given.
    pub fn typed<I: Lift + 'static>(self, mut store: impl AsStoreMut) -> Result<StreamReader<I>> {
        stream::check_element::<I>(store.as_store_mut().core(), self.0, "stream")?;
        Ok(StreamReader::from_handle(self.0))
    }

    /// Closes the stream: see [`StreamReader::close`].
    ///
    /// # Errors
    /// If the stream was closed or given away.
    pub fn close(self, mut store: impl AsStoreMut) -> Result<()> {
        stream::close(store.as_store_mut().core(), self.0)
    }
}

impl FutureAny {
    /// The future with a value of a Rust type.
    ///
    /// # Errors
    /// As for [`StreamAny::typed`].
    pub fn typed<V: Lift + 'static>(self, mut store: impl AsStoreMut) -> Result<FutureReader<V>> {
        stream::check_element::<V>(store.as_store_mut().core(), self.0, "future")?;
        Ok(FutureReader::from_handle(self.0))
    }

    /// Closes the future: see [`FutureReader::close`].
    ///
    /// # Errors
    /// If the future was closed or given away.
    pub fn close(self, mut store: impl AsStoreMut) -> Result<()> {
        stream::close(store.as_store_mut().core(), self.0)
    }
}

impl<I: ComponentType> From<StreamReader<I>> for StreamAny {
    fn from(stream: StreamReader<I>) -> Self {
        StreamAny(stream.handle())
    }
}

impl<V: ComponentType> From<FutureReader<V>> for FutureAny {
    fn from(future: FutureReader<V>) -> Self {
        FutureAny(future.handle())
    }
}

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
