//! Where connections come from, and the handle of a server that runs.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc as blocking};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::socket_incoming_cpu;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

use super::worker::{Command, Load, Seat};
use super::{Config, Handler};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// How long to wait when a connection cannot be accepted, for want of descriptors mostly.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A server that has its address, and does not serve yet.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    runtime: Runtime,
    config: Config,
}

/// A server that runs, on threads of its own. Dropping this stops it, as [`Running::stop`] does.
pub struct Running {
    local_addr: SocketAddr,
    order: watch::Sender<Order>,
    /// Closed when the last thread has ended.
    threads: watch::Receiver<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Serve,
    Drain,
    Stop,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError<E> {
    /// The system does not give it what it needs.
    #[error("the system does not let it start")]
    System(#[from] io::Error),
    /// A handler could not be made.
    #[error("a worker's handler cannot be made")]
    Handler(E),
}

impl Server {
    /// Takes an address. Port 0 stands for any that is free.
    ///
    /// # Errors
    /// The address is taken, not this machine's, or not allowed.
    pub fn bind(address: SocketAddr, config: Config) -> io::Result<Server> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        drop(entered);
        let local_addr = listener.local_addr()?;
        Ok(Server { listener, local_addr, runtime, config })
    }

    /// The address, with the port that was found.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Starts the threads, has each make its handler with `make`, which is told the worker's number, and serves once all
    /// have one.
    ///
    /// # Errors
    /// A thread cannot be started, or `make` fails for one of them.
    pub fn start<H, E, F>(self, make: F) -> Result<Running, StartError<E>>
    where
        H: Handler,
        E: Send + 'static,
        F: AsyncFn(usize) -> Result<H, E> + Clone + Send + 'static,
    {
        let Server { listener, local_addr, runtime, config } = self;
        let config = Arc::new(config);
        let load = Arc::new(Load::new(config.workers.get()));
        let (alive, threads) = watch::channel(());
        let alive = Arc::new(alive);
        let (ready, readiness) = blocking::channel();
        let mut workers = Vec::new();
        for index in 0..config.workers.get() {
            let (worker, commands) = mpsc::unbounded_channel();
            workers.push(worker);
            let seat = Seat { index, config: config.clone(), load: load.clone(), commands };
            let (make, ready, alive) = (make.clone(), ready.clone(), alive.clone());
            thread::Builder::new().name(format!("http-{index}")).spawn(move || {
                let _alive = alive;
                work(seat, make, &ready);
            })?;
        }
        drop((ready, alive));
        // Workers that were started end when `workers` goes.
        for _ in 0..config.workers.get() {
            match readiness.recv() {
                Ok(result) => result?,
                Err(_) => return Err(io::Error::other("a worker's thread ended before it had begun").into()),
            }
        }
        let (order, orders) = watch::channel(Order::Serve);
        let limit = config.limits.connections;
        thread::Builder::new().name("http-accept".to_owned()).spawn(move || {
            runtime.block_on(accept(listener, limit, &workers, &load, orders));
        })?;
        Ok(Running { local_addr, order, threads })
    }
}

impl Running {
    /// The address it serves at.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts no more connections and ends when those there are have been served. What they ask within the next second is
    /// still answered.
    pub fn drain(&self) {
        self.order.send_if_modified(|order| {
            let serving = *order == Order::Serve;
            *order = if serving { Order::Drain } else { *order };
            serving
        });
    }

    /// Ends now; connections are cut.
    pub fn stop(&self) {
        self.order.send_replace(Order::Stop);
    }

    /// Waits until all its threads have ended.
    ///
    /// # Cancel safety
    /// It can be dropped and called again.
    pub async fn ended(&self) {
        let mut threads = self.threads.clone();
        // Nothing is ever sent: the only change is that the last sender goes.
        while threads.changed().await.is_ok() {}
    }
}

/// A worker's thread.
fn work<H, E, F>(seat: Seat, make: F, ready: &blocking::Sender<Result<(), StartError<E>>>)
where
    H: Handler,
    F: AsyncFn(usize) -> Result<H, E>,
{
    let runtime = match Seat::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(error.into()))),
    };
    runtime.block_on(async {
        match make(seat.index).await {
            Ok(handler) => {
                // Whoever waits for it may have given up because of another worker: then there are no commands either.
                let _ = ready.send(Ok(()));
                seat.run(handler).await;
            }
            Err(error) => drop(ready.send(Err(StartError::Handler(error)))),
        }
    });
    // Work that may block goes on elsewhere, and nobody waits for it.
    runtime.shutdown_background();
}

/// Accepts connections and gives them to the workers, until it is told to drain or to stop.
async fn accept(
    listener: TcpListener,
    limit: usize,
    workers: &[mpsc::UnboundedSender<Command>],
    load: &Load,
    mut orders: watch::Receiver<Order>,
) {
    loop {
        tokio::select! {
            biased;
            order = next_order(&mut orders) => {
                if order == Order::Drain {
                    accept_rest(listener, workers, load);
                    tell(workers, || Command::Drain);
                    while next_order(&mut orders).await != Order::Stop {}
                }
                return tell(workers, || Command::Stop);
            }
            () = load.room(limit) => {}
        }
        tokio::select! {
            biased;
            _ = orders.changed() => orders.mark_changed(),
            accepted = listener.accept() => match accepted {
                // The worker has another reactor. A stream that cannot be moved there is closed.
                Ok((stream, peer)) => if let Ok(stream) = stream.into_std() {
                    give(workers, load, stream, peer);
                },
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            },
        }
    }
}

/// Takes the connections that have been made already, and closes the listener: their peers are sure that they will be served.
/// For one that is made in the moment between the last look and the end, the kernel says that there is nobody.
fn accept_rest(listener: TcpListener, workers: &[mpsc::UnboundedSender<Command>], load: &Load) {
    // The reactor may not have heard of them yet.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok() {
            give(workers, load, stream, peer);
        }
    }
}

/// Gives a connection to a worker.
fn give(
    workers: &[mpsc::UnboundedSender<Command>],
    load: &Load,
    stream: std::net::TcpStream,
    peer: SocketAddr,
) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    // One for all where the system does not say.
    let processor = socket_incoming_cpu(&stream).unwrap_or(0);
    let index = load.claim(processor as usize);
    let given = workers.get(index).map(|worker| worker.send(Command::Serve(stream, peer)));
    if !matches!(given, Some(Ok(()))) {
        load.release(index);
    }
}

fn tell(workers: &[mpsc::UnboundedSender<Command>], command: impl Fn() -> Command) {
    for worker in workers {
        // One that has ended needs not be told.
        let _ = worker.send(command());
    }
}

/// The next order that is not to go on. Without anybody to give orders it is to stop.
async fn next_order(orders: &mut watch::Receiver<Order>) -> Order {
    loop {
        if orders.changed().await.is_err() {
            return Order::Stop;
        }
        match *orders.borrow_and_update() {
            Order::Serve => {}
            order => return order,
        }
    }
}
