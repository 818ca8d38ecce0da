//! How a request to a component fails.

use http::{Response, StatusCode};

use crate::{Body, ErrorCode};

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is not fit to be given to a component.
    #[error(transparent)]
    Request(ErrorCode),
    /// The component answered with an error code.
    #[error(transparent)]
    Response(ErrorCode),
    /// The component failed: it trapped, say.
    #[error(transparent)]
    Runtime(#[from] tombolo::Error),
    /// The component's store ended before there was an answer: another request made it trap, say.
    #[error("the component ended before it answered")]
    Abandoned,
    /// Nobody drives the component's store any more.
    #[error("the component is not running")]
    Gone,
}

impl Error {
    /// A status code that says as much as a client needs to know.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::Request(
                ErrorCode::HttpRequestHeaderSectionSize(_) | ErrorCode::HttpRequestHeaderSize(_),
            ) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Error::Request(_) => StatusCode::BAD_REQUEST,
            Error::Response(_) | Error::Runtime(_) | Error::Abandoned => StatusCode::INTERNAL_SERVER_ERROR,
            Error::Gone => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A response with that status and nothing else.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response
    }
}
