//! Networks of an embedder in the place of the host's.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::sockets::{
    AddressFamily, ErrorCode, HostNetwork, LookupError, Network, Result, Shutdown, SocketOption, TcpEndpoint,
    UdpEndpoint, Work,
};
use tombolo_wasi::{WasiCtx, Workers};

use crate::guest::run;

/// The host's network with other names.
pub(crate) struct Names {
    host: HostNetwork,
    names: HashMap<String, Vec<IpAddr>>,
}

impl Names {
    pub(crate) fn new(names: &[(&str, &str)]) -> Self {
        let mut all: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for (name, address) in names {
            all.entry((*name).to_owned()).or_default().push(address.parse().unwrap());
        }
        Names { host: HostNetwork::new(DescriptorLimit::new(100), Workers::default()), names: all }
    }
}

impl Network for Names {
    fn tcp(&self, family: AddressFamily) -> Result<Arc<dyn TcpEndpoint>> {
        self.host.tcp(family)
    }

    fn udp(&self, family: AddressFamily) -> Result<Arc<dyn UdpEndpoint>> {
        self.host.udp(family)
    }

    fn resolve(&self, name: &str) -> Work<Result<Vec<IpAddr>, LookupError>> {
        let found = self.names.get(name).cloned().ok_or(LookupError::NameUnresolvable);
        Box::pin(std::future::ready(found))
    }
}

#[tokio::test]
async fn names_come_from_the_embedders_network() {
    let names = Names::new(&[
        ("xn--bcher-kva.example", "192.0.2.1"),
        ("mapped.example", "::ffff:192.0.2.2"),
        ("nothing.example", "192.0.2.3"),
    ]);
    let wasi = WasiCtx::builder().network(names).inherit_network();
    let attempts = ["attempt", "lookup=bücher.example", "lookup=mapped.example", "lookup=unknown.example"];
    let outcome = run(wasi, &attempts).await;
    let expected = "lookup=bücher.example: ok\nlookup=mapped.example: ok\n\
                    lookup=unknown.example: ErrorCode::NameUnresolvable\n";
    assert_eq!(outcome.output, expected);
}

#[tokio::test]
async fn errors_of_a_lookup_arrive() {
    for (error, expected) in [
        (LookupError::TemporaryResolverFailure, "ErrorCode::TemporaryResolverFailure"),
        (LookupError::PermanentResolverFailure, "ErrorCode::PermanentResolverFailure"),
        (LookupError::Other("tired".into()), "ErrorCode::Other(Some(\"tired\"))"),
    ] {
        let wasi = WasiCtx::builder().network(Failing(error)).inherit_network();
        let outcome = run(wasi, &["attempt", "lookup=a.example", "tcp-connect=192.0.2.1:1"]).await;
        let expected =
            format!("lookup=a.example: {expected}\ntcp-connect=192.0.2.1:1: ErrorCode::NotSupported\n");
        assert_eq!(outcome.output, expected);
    }
}

/// A network that has nothing.
struct Failing(LookupError);

impl Network for Failing {
    fn tcp(&self, _: AddressFamily) -> Result<Arc<dyn TcpEndpoint>> {
        Err(ErrorCode::NotSupported)
    }

    fn udp(&self, _: AddressFamily) -> Result<Arc<dyn UdpEndpoint>> {
        Err(ErrorCode::NotSupported)
    }

    fn resolve(&self, _: &str) -> Work<Result<Vec<IpAddr>, LookupError>> {
        Box::pin(std::future::ready(Err(self.0.clone())))
    }
}

/// A guest's connections to itself, without any socket.
#[tokio::test]
async fn connections_go_through_the_embedders_network() {
    for case in ["tcp-echo", "tcp-shared", "tcp-cancel-accept", "tcp-once", "tcp-relay"] {
        let wasi = WasiCtx::builder().network(Memory::default()).inherit_network();
        let outcome = run(wasi, &[case]).await;
        assert!(outcome.succeeded, "{case}: {}", outcome.complaints);
    }
}

/// A network in memory: TCP alone, and no options.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<HashMap<SocketAddr, Arc<Mutex<Queue>>>>>);

/// Connections that wait to be accepted.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<End>,
    accepting: Option<Waker>,
}

/// One end of a connection.
struct End {
    pipe: DuplexStream,
    local: SocketAddr,
    remote: SocketAddr,
}

struct MemoryTcp {
    network: Memory,
    state: Mutex<MemoryState>,
}

#[derive(Default)]
struct MemoryState {
    local: Option<SocketAddr>,
    queue: Option<Arc<Mutex<Queue>>>,
    end: Option<End>,
}

impl Network for Memory {
    fn tcp(&self, _: AddressFamily) -> Result<Arc<dyn TcpEndpoint>> {
        Ok(Arc::new(MemoryTcp { network: self.clone(), state: Mutex::default() }))
    }

    fn udp(&self, _: AddressFamily) -> Result<Arc<dyn UdpEndpoint>> {
        Err(ErrorCode::NotSupported)
    }

    fn resolve(&self, _: &str) -> Work<Result<Vec<IpAddr>, LookupError>> {
        Box::pin(std::future::ready(Err(LookupError::NameUnresolvable)))
    }
}

impl MemoryTcp {
    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap()
    }

    fn with_pipe<R>(
        &self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut DuplexStream>, &mut Context<'_>) -> Poll<std::io::Result<R>>,
    ) -> Poll<Result<R>> {
        let mut state = self.state();
        let end = state.end.as_mut().ok_or(ErrorCode::InvalidState)?;
        poll(Pin::new(&mut end.pipe), cx).map_err(|_| ErrorCode::ConnectionBroken)
    }
}

impl Drop for MemoryTcp {
    fn drop(&mut self) {
        let state = self.state();
        if let (Some(_), Some(local)) = (&state.queue, state.local) {
            self.network.0.lock().unwrap().remove(&local);
        }
    }
}

impl TcpEndpoint for MemoryTcp {
    fn bind(&self, mut local: SocketAddr) -> Result<()> {
        static NEXT: Mutex<u16> = Mutex::new(1);
        if local.port() == 0 {
            let mut next = NEXT.lock().unwrap();
            local.set_port(*next);
            *next += 1;
        }
        self.state().local = Some(local);
        Ok(())
    }

    fn connect(self: Arc<Self>, remote: SocketAddr) -> Work<Result<()>> {
        Box::pin(async move {
            let queue =
                self.network.0.lock().unwrap().get(&remote).cloned().ok_or(ErrorCode::ConnectionRefused)?;
            if self.state().local.is_none() {
                self.bind(SocketAddr::new(remote.ip(), 0))?;
            }
            let mut state = self.state();
            let local = state.local.ok_or(ErrorCode::InvalidState)?;
            let (near, far) = tokio::io::duplex(10_000);
            state.end = Some(End { pipe: near, local, remote });
            let mut queue = queue.lock().unwrap();
            queue.waiting.push_back(End { pipe: far, local: remote, remote: local });
            queue.accepting.take().into_iter().for_each(Waker::wake);
            Ok(())
        })
    }

    fn listen(&self, _: u32) -> Result<()> {
        let mut state = self.state();
        let queue = state.queue.get_or_insert_default().clone();
        let local = state.local.ok_or(ErrorCode::InvalidState)?;
        self.network.0.lock().unwrap().insert(local, queue);
        Ok(())
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Arc<dyn TcpEndpoint>>> {
        let queue = self.state().queue.clone().ok_or(ErrorCode::InvalidState)?;
        let mut queue = queue.lock().unwrap();
        match queue.waiting.pop_front() {
            Some(end) => {
                let state = MemoryState { local: Some(end.local), queue: None, end: Some(end) };
                Poll::Ready(Ok(Arc::new(MemoryTcp {
                    network: self.network.clone(),
                    state: Mutex::new(state),
                })))
            }
            None => {
                queue.accepting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_accept_ready(&self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        self.with_pipe(cx, |pipe, cx| pipe.poll_read(cx, &mut buffer)).map_ok(|()| buffer.filled().len())
    }

    fn poll_receive_ready(&self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.with_pipe(cx, |pipe, cx| pipe.poll_write(cx, bytes))
    }

    fn poll_send_ready(&self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn shutdown(&self, how: Shutdown) -> Result<()> {
        if how == Shutdown::Send {
            let cx = &mut Context::from_waker(Waker::noop());
            let _ = self.with_pipe(cx, |pipe, cx| pipe.poll_shutdown(cx));
        }
        Ok(())
    }

    fn local_address(&self) -> Result<SocketAddr> {
        self.state().local.ok_or(ErrorCode::InvalidState)
    }

    fn remote_address(&self) -> Result<SocketAddr> {
        self.state().end.as_ref().map(|end| end.remote).ok_or(ErrorCode::InvalidState)
    }

    fn option(&self, _: SocketOption) -> Result<u64> {
        Err(ErrorCode::NotSupported)
    }

    fn set_option(&self, _: SocketOption, _: u64) -> Result<()> {
        Err(ErrorCode::NotSupported)
    }
}
