//! What a client can be told.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tombolo_wasi::sockets::Sockets;

use crate::RequestOptions;

use super::pool::Pool;
use super::tls::{Roots, Tls};
use super::{Client, Inner};

/// Puts together a [`Client`].
pub struct ClientBuilder {
    sockets: Sockets,
    settings: Settings,
    roots: Roots,
    trusted: Vec<CertificateDer<'static>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub connections: usize,
    pub connections_per_host: usize,
    pub idle_timeout: Duration,
    pub connect_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub between_bytes_timeout: Duration,
    pub header_bytes: u32,
}

impl ClientBuilder {
    pub(super) fn new(sockets: Sockets) -> Self {
        let settings = Settings {
            connections: 1024,
            connections_per_host: 128,
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(60),
            first_byte_timeout: Duration::from_secs(600),
            between_bytes_timeout: Duration::from_secs(600),
            header_bytes: 64 << 10,
        };
        ClientBuilder { sockets, settings, roots: Roots::default(), trusted: Vec::new() }
    }

    /// Says whose certificates are trusted: by default those that the system trusts.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Trusts this certificate as well, and what it vouches for.
    #[must_use]
    pub fn trust(mut self, certificate: CertificateDer<'static>) -> Self {
        self.trusted.push(certificate);
        self
    }

    /// How many connections there are at most, 1024 by default. At the limit those that idle are closed.
    #[must_use]
    pub fn connections(mut self, limit: usize) -> Self {
        self.settings.connections = limit.max(1);
        self
    }

    /// How many connections to one host are at work at most, 128 by default. Requests beyond that wait, as long as
    /// connecting may take.
    #[must_use]
    pub fn connections_per_host(mut self, limit: usize) -> Self {
        self.settings.connections_per_host = limit.max(1);
        self
    }

    /// How long connections that idle are kept, a minute by default.
    #[must_use]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.settings.idle_timeout = time;
        self
    }

    /// How long connecting may take, from looking up the host to the end of the handshake of TLS, if the request does not
    /// say: a minute by default.
    #[must_use]
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.settings.connect_timeout = time;
        self
    }

    /// How long it may take from the end of the request to the first byte of the response's body, if the request does
    /// not say: ten minutes by default.
    #[must_use]
    pub fn first_byte_timeout(mut self, time: Duration) -> Self {
        self.settings.first_byte_timeout = time;
        self
    }

    /// How long it may take between bytes of the response's body, if the request does not say: ten minutes by default.
    #[must_use]
    pub fn between_bytes_timeout(mut self, time: Duration) -> Self {
        self.settings.between_bytes_timeout = time;
        self
    }

    /// How large the headers of a response may be, and its trailers, in bytes: 64 KiB by default.
    #[must_use]
    pub fn header_bytes(mut self, limit: u32) -> Self {
        self.settings.header_bytes = limit;
        self
    }

    /// Makes the client.
    pub fn build(self) -> Client {
        let tls = Tls::new(self.roots, self.trusted);
        let pool = Arc::new(Pool::new(&self.settings));
        Client(Arc::new(Inner { sockets: self.sockets, settings: self.settings, tls, pool }))
    }
}

/// The times of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub connect: Duration,
    pub first_byte: Duration,
    pub between_bytes: Duration,
}

impl Settings {
    /// What the request says, or else the client.
    pub(super) fn times(&self, options: &RequestOptions) -> Times {
        Times {
            connect: options.connect_timeout.unwrap_or(self.connect_timeout),
            first_byte: options.first_byte_timeout.unwrap_or(self.first_byte_timeout),
            between_bytes: options.between_bytes_timeout.unwrap_or(self.between_bytes_timeout),
        }
    }
}
