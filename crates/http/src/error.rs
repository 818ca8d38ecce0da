//! How a request to a component fails.

use crate::ErrorCode;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The component answered with an error code, or the request was not fit to be given to it.
    #[error(transparent)]
    Response(ErrorCode),
    /// The component failed: it trapped, say.
    #[error(transparent)]
    Runtime(#[from] tombolo::Error),
    /// Nobody drives the component's store any more.
    #[error("the component is not running")]
    Gone,
}
