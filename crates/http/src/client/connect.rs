//! From a name to a connection.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tombolo_wasi::sockets::{
    AddressFamily, ErrorCode as SocketError, LookupError, SocketOption, Sockets, TcpSocket,
};

use crate::error_code::Phase;
use crate::{DnsErrorPayload, ErrorCode};

use super::Inner;
use super::exchange::Connection;
use super::http2;
use super::pool::{Host, Http1, Slot};
use super::stream::TcpStream;
use super::target::Target;

/// How long an address has before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);
/// How many addresses of a host are tried at most.
const ADDRESSES: usize = 16;

/// The least that `hyper` takes for a buffer.
const LEAST_BUFFER: usize = 8 << 10;

impl Inner {
    /// A connection to a server: the one that is shared, one that idles, or a new one.
    pub(super) async fn connection(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<Connection, ErrorCode> {
        let host = self.pool.host(target);
        if let Some(shared) = host.shared() {
            return Ok(Connection::shared(shared, true));
        }
        let slot = within(deadline, ErrorCode::ConnectionLimitReached, self.pool.slot(&host)).await?;
        let found = |slot: Slot| match (host.shared(), host.take_idle(&self.pool)) {
            (Some(shared), _) => Ok(Connection::shared(shared, true)),
            (None, Some(idle)) => Ok(Connection::own(idle, slot, true)),
            (None, None) => Err(slot),
        };
        let slot = match found(slot) {
            Ok(connection) => return Ok(connection),
            Err(slot) => slot,
        };
        if !target.tls || host.speaks_http2() == Some(false) {
            return self.new_connection(target, &host, slot, deadline).await;
        }
        let _turn =
            within(deadline, ErrorCode::ConnectionTimeout, async { Ok(host.probing.lock().await) }).await?;
        match found(slot) {
            Ok(connection) => Ok(connection),
            Err(slot) => self.new_connection(target, &host, slot, deadline).await,
        }
    }

    async fn new_connection(
        &self,
        target: &Target,
        host: &Host,
        slot: Slot,
        deadline: Instant,
    ) -> Result<Connection, ErrorCode> {
        let permit = within(deadline, ErrorCode::ConnectionLimitReached, self.pool.permit()).await?;
        let look_up = async { self.sockets.resolve(&target.host).await.map_err(lookup_failed) };
        let addresses = within(deadline, ErrorCode::DnsTimeout, look_up).await?;
        if deadline <= Instant::now() {
            return Err(ErrorCode::ConnectionTimeout);
        }
        within(deadline, ErrorCode::ConnectionTimeout, async {
            let stream = reach(&self.sockets, &addresses, target.port).await?;
            if !target.tls {
                return Ok(Connection::own(self.http1(stream, permit).await?, slot, false));
            }
            let (stream, speaks_http2) = self.tls.connect(&target.host, stream).await?;
            if speaks_http2 {
                let sender = http2::Sender::new(stream, permit, self.settings.header_bytes).await?;
                return Ok(Connection::shared(host.share(sender, &self.pool), false));
            }
            host.speaks_http1();
            Ok(Connection::own(self.http1(stream, permit).await?, slot, false))
        })
        .await
    }

    async fn http1<S>(&self, stream: S, permit: OwnedSemaphorePermit) -> Result<Http1, ErrorCode>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let limit = self.settings.header_bytes as usize;
        let mut builder = http1::Builder::new();
        builder.max_header_size(limit).max_buf_size(limit.max(LEAST_BUFFER));
        let made = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| ErrorCode::of(&error, Phase::Awaiting))?;
        let task = tokio::spawn(run(connection, permit)).abort_handle();
        Ok(Http1 { sender, task })
    }
}

/// Runs a connection until it ends. The permit is free again when it is closed.
pub(super) async fn run<E: Display>(
    connection: impl Future<Output = Result<(), E>>,
    permit: OwnedSemaphorePermit,
) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended with an error");
    }
    drop(permit);
}

/// Waits until `deadline`, and then fails with `code`.
pub(super) async fn within<T>(
    deadline: Instant,
    code: ErrorCode,
    work: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    tokio::time::timeout_at(deadline, work).await.unwrap_or(Err(code))
}

/// Connects to whichever of the addresses answers first, of those that the policy allows.
async fn reach(sockets: &Sockets, addresses: &[IpAddr], port: u16) -> Result<TcpStream, ErrorCode> {
    if let [address] = addresses {
        return attempt(sockets.clone(), SocketAddr::new(*address, port)).await;
    }
    let mut left = addresses.iter().take(ADDRESSES);
    let mut attempts = JoinSet::new();
    let mut failure = ErrorCode::DestinationIpProhibited;
    loop {
        let next = left.next();
        if let Some(address) = next {
            attempts.spawn(attempt(sockets.clone(), SocketAddr::new(*address, port)));
        }
        let head_start = tokio::time::sleep(HEAD_START);
        tokio::select! {
            ended = attempts.join_next() => match ended {
                None => return Err(failure),
                Some(Ok(Ok(stream))) => return Ok(stream),
                // An address that may not be tried says nothing about those that were.
                Some(Ok(Err(ErrorCode::DestinationIpProhibited))) | Some(Err(_)) => {}
                Some(Ok(Err(error))) => failure = error,
            },
            () = head_start, if left.len() > 0 => {}
        }
    }
}

async fn attempt(sockets: Sockets, address: SocketAddr) -> Result<TcpStream, ErrorCode> {
    let connect = async {
        let socket: TcpSocket = sockets.tcp(AddressFamily::of(&address))?;
        socket.connect(address).await?;
        // A network of an embedder's own need not have it.
        let _ = socket.set_option(SocketOption::NoDelay, 1);
        TcpStream::new(&socket)
    };
    connect.await.map_err(connecting_failed)
}

fn lookup_failed(error: LookupError) -> ErrorCode {
    let rcode =
        |rcode: &str| ErrorCode::DnsError(DnsErrorPayload { rcode: Some(rcode.to_owned()), info_code: None });
    match error {
        LookupError::AccessDenied => ErrorCode::HttpRequestDenied,
        LookupError::InvalidArgument => ErrorCode::HttpRequestUriInvalid,
        // The system's resolver does not tell the response code, but these are what it makes them of.
        LookupError::NameUnresolvable => rcode("NXDOMAIN"),
        LookupError::TemporaryResolverFailure | LookupError::PermanentResolverFailure => rcode("SERVFAIL"),
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}

fn connecting_failed(error: SocketError) -> ErrorCode {
    match error {
        SocketError::AccessDenied => ErrorCode::DestinationIpProhibited,
        // An address of no family that there is, or of no single machine.
        SocketError::NotSupported | SocketError::InvalidArgument | SocketError::RemoteUnreachable => {
            ErrorCode::DestinationIpUnroutable
        }
        SocketError::ConnectionRefused => ErrorCode::ConnectionRefused,
        SocketError::ConnectionBroken | SocketError::ConnectionReset | SocketError::ConnectionAborted => {
            ErrorCode::ConnectionTerminated
        }
        SocketError::Timeout => ErrorCode::ConnectionTimeout,
        // No port, or no descriptor.
        SocketError::AddressInUse => ErrorCode::ConnectionLimitReached,
        error if error == SocketError::TOO_MANY_OPEN => ErrorCode::ConnectionLimitReached,
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}
