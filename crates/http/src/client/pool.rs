//! Connections that are open, and how many there may be.
//!
//! - A permit stands for an open connection of any kind and lives as long as it: the connection's task holds it.
//! - A slot stands for an exchange over HTTP/1.1, which has a connection for itself. Each host has so many.
//! - HTTP/2 takes all exchanges with a host on one connection. Who does not know yet whether a host speaks it waits for
//!   whoever is finding out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::http1;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::ErrorCode;

use super::builder::Settings;
use super::http2;
use super::request::RequestBody;
use super::target::Target;

/// As many hosts are remembered before it is looked which of them are of use.
const HOSTS: usize = 64;

/// The connections of a client.
pub(super) struct Pool {
    idle_timeout: Duration,
    per_host: usize,
    permits: Arc<Semaphore>,
    /// How many wait for a permit.
    waiting: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hosts: HashMap<Target, Arc<Host>>,
    /// A task is on its way to close what idles for too long.
    is_reaping: bool,
}

/// What is known of a server.
pub(super) struct Host {
    slots: Arc<Semaphore>,
    /// Held by whoever is finding out whether the host speaks HTTP/2.
    pub probing: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The latest last.
    idle: Vec<Idle>,
    shared: Option<Http2>,
    speaks_http2: Option<bool>,
}

struct Idle {
    connection: Http1,
    since: Instant,
}

/// A connection over HTTP/1.1. It ends when it is dropped and its exchange is over.
pub(super) struct Http1 {
    pub sender: http1::SendRequest<RequestBody>,
    pub task: AbortHandle,
}

/// A connection over HTTP/2. It ends when all its clones are dropped and their exchanges are over.
#[derive(Clone)]
pub(super) struct Http2 {
    pub sender: http2::Sender,
    /// How many use it: one clone for the pool, one for each exchange.
    users: Arc<()>,
    taken: Instant,
}

/// The right to an exchange over HTTP/1.1 with a host.
pub(super) struct Slot {
    pool: Weak<Pool>,
    host: Arc<Host>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub fn new(settings: &Settings) -> Self {
        Pool {
            idle_timeout: settings.idle_timeout,
            per_host: settings.connections_per_host.min(Semaphore::MAX_PERMITS),
            permits: Arc::new(Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// What is known of a server.
    pub fn host(&self, target: &Target) -> Arc<Host> {
        let mut state = self.state();
        if let Some(host) = state.hosts.get(target) {
            return host.clone();
        }
        if state.hosts.len() >= HOSTS {
            state.hosts.retain(|_, host| Arc::strong_count(host) > 1 || !host.is_unused());
        }
        let host = Arc::new(Host {
            slots: Arc::new(Semaphore::new(self.per_host)),
            probing: tokio::sync::Mutex::default(),
            known: Mutex::default(),
        });
        state.hosts.insert(target.clone(), host.clone());
        host
    }

    /// Waits for the right to an exchange.
    pub async fn slot(self: &Arc<Self>, host: &Arc<Host>) -> Result<Slot, ErrorCode> {
        let permit = host.slots.clone().acquire_owned().await;
        let permit = permit.map_err(|_| ErrorCode::ConnectionLimitReached)?;
        Ok(Slot { pool: Arc::downgrade(self), host: host.clone(), _permit: permit })
    }

    /// Waits for the right to open a connection. Where there are as many as there may be, one that idles is closed.
    pub async fn permit(&self) -> Result<OwnedSemaphorePermit, ErrorCode> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        // Connections that come to idle while somebody waits are closed as well.
        let _waiting = Waiting::new(&self.waiting);
        self.close_oldest();
        self.permits.clone().acquire_owned().await.map_err(|_| ErrorCode::ConnectionLimitReached)
    }

    /// Closes the connection that idles longest.
    fn close_oldest(&self) {
        let hosts: Vec<Arc<Host>> = self.state().hosts.values().cloned().collect();
        let oldest = hosts
            .iter()
            .filter_map(|host| Some((host.known().idle_since()?, host)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, host)) = oldest {
            host.known().close_oldest();
        }
    }

    /// Closes what idles for too long, and says whether anything is left.
    fn reap(&self) -> bool {
        let mut state = self.state();
        let mut is_left = false;
        for host in state.hosts.values() {
            let mut known = host.known();
            known.idle.retain(|idle| idle.is_good(self.idle_timeout));
            let is_idle = |shared: &Http2| shared.is_unused() && shared.taken.elapsed() >= self.idle_timeout;
            if known.shared.as_ref().is_some_and(|shared| shared.sender.is_closed() || is_idle(shared)) {
                known.shared = None;
            }
            is_left |= !known.idle.is_empty() || known.shared.is_some();
        }
        state.is_reaping = is_left;
        is_left
    }

    /// Makes sure that what idles from now on is closed in time.
    fn start_reaping(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        if std::mem::replace(&mut self.state().is_reaping, true) {
            return;
        }
        let (pool, period) = (Arc::downgrade(self), self.idle_timeout);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(period).await;
                if !pool.upgrade().is_some_and(|pool| pool.reap()) {
                    break;
                }
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// A connection that idles and was not closed by the other side.
    pub fn take_idle(&self, pool: &Pool) -> Option<Http1> {
        let mut known = self.known();
        while let Some(idle) = known.idle.pop() {
            if idle.is_good(pool.idle_timeout) {
                return Some(idle.connection);
            }
        }
        None
    }

    /// The connection that everybody shares.
    pub fn shared(&self) -> Option<Http2> {
        let mut known = self.known();
        let shared = known.shared.as_mut().filter(|shared| !shared.sender.is_closed())?;
        shared.taken = Instant::now();
        Some(shared.clone())
    }

    /// Shares a connection with everybody from now on.
    pub fn share(&self, sender: http2::Sender, pool: &Arc<Pool>) -> Http2 {
        let shared = Http2 { sender, users: Arc::default(), taken: Instant::now() };
        {
            let mut known = self.known();
            known.shared = Some(shared.clone());
            known.speaks_http2 = Some(true);
        }
        pool.start_reaping();
        shared
    }

    /// Whether the host speaks HTTP/2, as far as is known.
    pub fn speaks_http2(&self) -> Option<bool> {
        self.known().speaks_http2
    }

    /// Remembers that the host does not speak HTTP/2.
    pub fn speaks_http1(&self) {
        self.known().speaks_http2 = Some(false);
    }

    fn is_unused(&self) -> bool {
        let known = self.known();
        known.idle.is_empty() && known.shared.is_none()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Since when the connection idles that idles longest.
    fn idle_since(&self) -> Option<Instant> {
        let shared = self.shared.as_ref().filter(|shared| shared.is_unused()).map(|shared| shared.taken);
        self.idle.first().map(|idle| idle.since).into_iter().chain(shared).min()
    }

    fn close_oldest(&mut self) {
        match self.idle.is_empty() {
            true => self.shared = None,
            false => drop(self.idle.remove(0)),
        }
    }
}

impl Idle {
    fn is_good(&self, timeout: Duration) -> bool {
        self.connection.sender.is_ready() && self.since.elapsed() < timeout
    }
}

impl Http2 {
    /// Nobody but the pool has it.
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.users) == 1
    }
}

impl Slot {
    /// Keeps a connection for the next exchange, if it is wanted.
    pub fn give_back(self, connection: Http1) {
        let Some(pool) = self.pool.upgrade() else { return };
        let is_wanted = !pool.idle_timeout.is_zero()
            && pool.waiting.load(Ordering::Relaxed) == 0
            && connection.sender.is_ready();
        if is_wanted {
            self.host.known().idle.push(Idle { connection, since: Instant::now() });
            pool.start_reaping();
        }
    }
}

/// One that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
