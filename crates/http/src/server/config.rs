//! What a server allows.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::{Log, Tls};

/// How a server serves.
///
/// More may come: begin with [`Config::default`].
#[derive(Clone)]
pub struct Config {
    /// Threads that answer requests. One for each processor by default.
    pub workers: NonZeroUsize,
    /// The certificate, for a server of `https`. None by default.
    pub tls: Option<Tls>,
    /// How long peers may take.
    pub timeouts: Timeouts,
    /// How much they may send.
    pub limits: Limits,
    /// Is told of every request after it. None by default.
    pub log: Option<Log>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            tls: None,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            log: None,
        }
    }
}

/// How long a peer may take; `None` for as long as it likes.
///
/// The time during which a worker was busy with something else does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the beginning of a connection or, in HTTP/1, from the first byte of a request, to the end of its headers.
    /// 10 seconds by default. Then the answer is 408.
    pub headers: Option<Duration>,
    /// From the end of a request's headers to that of its body. 5 minutes by default. Then reading the body fails.
    pub request: Option<Duration>,
    /// Between requests, and while nothing can be sent to the peer. 75 seconds by default. Then the connection is closed.
    pub idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            headers: Some(Duration::from_secs(10)),
            request: Some(Duration::from_secs(300)),
            idle: Some(Duration::from_secs(75)),
        }
    }
}

/// How much peers may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more wait to be accepted. 10,000 by default.
    pub connections: usize,
    /// Requests at once on a connection of HTTP/2; the peer is told. 128 by default.
    pub streams: u32,
    /// Headers of a request. 100 by default. The answer to more is 431.
    pub headers: usize,
    /// Bytes of a request's headers together, with its first line. 64 KiB by default, at least 8 KiB. The answer to more is
    /// 431.
    pub header_bytes: usize,
    /// Bytes of a request's body; `None` for any number. 1 GiB by default: bodies are passed on as they come, not kept. The
    /// answer to a longer `content-length` is 413; reading more than this fails.
    pub body_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10_000,
            streams: 128,
            headers: DEFAULT_HEADERS,
            header_bytes: 64 << 10,
            body_bytes: Some(1 << 30),
        }
    }
}

/// The number that hyper counts to without being told.
pub(super) const DEFAULT_HEADERS: usize = 100;
