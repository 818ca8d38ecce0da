//! What is told about each request after it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode, Version};

/// Is told about each request after it, on the thread that served it: it had better be quick.
pub type Log = Arc<dyn Fn(&Record<'_>) + Send + Sync>;

/// A request and what became of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Record<'a> {
    /// The request's number, found in the extensions of the request too.
    pub id: RequestId,
    /// Who asked.
    pub peer: SocketAddr,
    /// The version of HTTP.
    pub version: Version,
    /// The method.
    pub method: &'a Method,
    /// Path and query, or what stands in their place.
    pub path: &'a str,
    /// The answer's status; `None` if the peer went away before.
    pub status: Option<StatusCode>,
    /// Bytes of the request's body that were read.
    pub received: u64,
    /// Bytes of the response's body that were passed on to be sent.
    pub sent: u64,
    /// From handing the request to the handler to its response, without the response's body. `None` if the handler was not
    /// asked, or gave no response.
    pub handler: Option<Duration>,
    /// From the end of the request's headers to the end of the response.
    pub total: Duration,
    /// Why the response's body ended before its time.
    pub failure: Option<&'a str>,
}

/// A request's number: no other request has the same, of this process or, most likely, of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    worker: usize,
    number: u64,
}

impl RequestId {
    pub(super) fn new(worker: usize, number: u64) -> Self {
        RequestId { worker, number }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}-{:x}", *PROCESS, self.worker, self.number)
    }
}

/// Milliseconds at which the process began to serve, as far as they tell two starts apart.
static PROCESS: LazyLock<u32> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_millis() & u128::from(u32::MAX)) as u32
});
