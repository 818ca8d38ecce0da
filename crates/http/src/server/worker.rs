//! A worker: a thread with its executor, its handler, and the connections it was given.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;

use super::activity::{Activity, Patience};
use super::clock::{Clock, Ticks};
use super::connection::{self, Protocols};
use super::log::RequestId;
use super::outbox::Outbox;
use super::request_body::Upload;
use super::vigil::Vigil;
use super::{Config, Handler};

/// What a worker is told.
pub(super) enum Command {
    /// To serve a connection.
    Serve(TcpStream, SocketAddr),
    /// To finish what has begun, and then to end.
    Drain,
    /// To end.
    Stop,
}

/// How many connections each worker has: what the listener decides by.
pub(super) struct Load {
    connections: Vec<AtomicUsize>,
    freed: Notify,
}

impl Load {
    pub(super) fn new(workers: usize) -> Self {
        Load { connections: (0..workers).map(|_| AtomicUsize::new(0)).collect(), freed: Notify::new() }
    }

    /// Waits until there are fewer than `limit` connections.
    pub(super) async fn room(&self, limit: usize) {
        while self.total() >= limit {
            self.freed.notified().await;
        }
    }

    /// The worker for a connection whose packets come in on that processor; it has one more from now on.
    ///
    /// Each processor has its worker: what one peer on this machine asks together, or one queue of the network card brings,
    /// is answered together then, and wakes one worker and not all. One that has a quarter more than its share gets none for
    /// that; then it is the one with the fewest.
    pub(super) fn claim(&self, processor: usize) -> usize {
        let workers = self.connections.len();
        let share = self.total() / workers.max(1);
        let counted = self.connections.iter().enumerate();
        let own = counted.clone().nth(processor % workers.max(1));
        let own = own.filter(|(_, count)| count.load(Relaxed) <= share + share / 4);
        let least = || counted.min_by_key(|(_, count)| count.load(Relaxed));
        let Some((worker, count)) = own.or_else(least) else { return 0 };
        count.fetch_add(1, Relaxed);
        worker
    }

    /// The opposite of [`Load::claim`].
    pub(super) fn release(&self, worker: usize) {
        if let Some(count) = self.connections.get(worker) {
            count.fetch_sub(1, Relaxed);
        }
        self.freed.notify_one();
    }

    fn total(&self) -> usize {
        self.connections.iter().map(|count| count.load(Relaxed)).sum()
    }
}

/// How long an idle or new connection is kept while the server drains: its peer's next request may be under way.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// How long a peer has to read the last words that were said to it.
const LINGER: Duration = Duration::from_secs(2);

/// A worker, as its connections see it.
pub(super) struct Worker<H> {
    pub(super) handler: Rc<H>,
    pub(super) config: Arc<Config>,
    pub(super) protocols: Protocols,
    index: usize,
    clock: Rc<Clock>,
    pub(super) outbox: Rc<Outbox>,
    load: Arc<Load>,
    connections: RefCell<HashMap<u64, Rc<Activity>>>,
    uploads: RefCell<Vec<(Weak<Upload>, Ticks)>>,
    next_connection: Cell<u64>,
    next_request: Cell<u64>,
    draining: Cell<bool>,
    emptied: Notify,
}

/// What a worker's thread is made with.
pub(super) struct Seat {
    pub(super) index: usize,
    pub(super) config: Arc<Config>,
    pub(super) load: Arc<Load>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
}

impl Seat {
    /// Makes the executor that [`Seat::run`] needs.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(super) fn runtime() -> io::Result<LocalRuntime> {
        Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
    }

    /// Serves, until it is told to stop.
    pub(super) async fn run<H: Handler>(self, handler: H) {
        let Seat { index, config, load, commands } = self;
        let worker = Rc::new(Worker {
            handler: Rc::new(handler),
            protocols: Protocols::new(&config),
            index,
            clock: Rc::new(Clock::new(&config.timeouts)),
            config,
            outbox: Rc::new(Outbox::new()),
            load,
            connections: RefCell::default(),
            uploads: RefCell::default(),
            next_connection: Cell::new(0),
            next_request: Cell::new(0),
            draining: Cell::new(false),
            emptied: Notify::new(),
        });
        worker.serve(commands).await;
    }
}

impl<H> Worker<H> {
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub(super) fn next_request(&self) -> RequestId {
        let number = self.next_request.get();
        self.next_request.set(number.wrapping_add(1));
        RequestId::new(self.index, number)
    }

    /// A body begins to be sent to here, and is to be there in time.
    pub(super) fn expect_upload(&self) -> Arc<Upload> {
        let upload = Arc::new(Upload::default());
        let patience = self.clock.ticks(self.config.timeouts.request);
        let deadline = self.clock.now().saturating_add(patience);
        self.uploads.borrow_mut().push((Arc::downgrade(&upload), deadline));
        upload
    }

    /// A tick of the clock.
    fn tick(&self, patience: &mut Patience) {
        self.clock.advance();
        if self.is_draining() {
            let idle = self.clock.ticks(Some(DRAIN_IDLE));
            patience.new = patience.new.min(idle);
            patience.idle = patience.idle.min(idle);
        }
        for activity in self.connections.borrow().values() {
            activity.look(patience);
        }
        let now = self.clock.now();
        self.uploads.borrow_mut().retain(|(upload, deadline)| match upload.upgrade() {
            Some(upload) if *deadline <= now => {
                upload.expire();
                false
            }
            upload => upload.is_some(),
        });
    }
}

impl<H: Handler> Worker<H> {
    async fn serve(self: Rc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        let Self { clock, config, outbox, .. } = &*self;
        let mut patience = Patience {
            new: clock.ticks(config.timeouts.headers),
            headers: clock.ticks(config.timeouts.headers),
            idle: clock.ticks(config.timeouts.idle),
            lingering: clock.ticks(Some(LINGER)),
        };
        let mut ticks = tokio::time::interval(clock.tick());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut vigil = Vigil::default();
        loop {
            tokio::select! {
                biased;
                () = outbox.due() => {
                    outbox.send();
                    vigil.begin(self.connections.borrow().len());
                }
                command = commands.recv() => match command {
                    Some(Command::Serve(stream, peer)) => self.begin(stream, peer),
                    Some(Command::Drain) => self.drain(),
                    Some(Command::Stop) | None => return,
                },
                _ = ticks.tick() => self.tick(&mut patience),
                () = self.emptied.notified() => {}
                () = vigil.look() => {}
            }
            if self.is_draining() && self.connections.borrow().is_empty() && commands.is_empty() {
                return;
            }
        }
    }

    fn begin(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        let number = self.next_connection.get();
        self.next_connection.set(number.wrapping_add(1));
        let activity = Rc::new(Activity::new(self.clock.clone()));
        self.connections.borrow_mut().insert(number, activity.clone());
        let place = Place { worker: self.clone(), number };
        tokio::task::spawn_local(async move {
            if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                connection::serve(stream, peer, place.worker.clone(), activity).await;
            }
            drop(place);
        });
    }

    fn drain(&self) {
        self.draining.set(true);
        for activity in self.connections.borrow().values() {
            activity.wake();
        }
    }
}

/// A connection's place in its worker, until the connection ends.
struct Place<H> {
    worker: Rc<Worker<H>>,
    number: u64,
}

impl<H> Drop for Place<H> {
    fn drop(&mut self) {
        let Worker { connections, load, index, emptied, .. } = &*self.worker;
        connections.borrow_mut().remove(&self.number);
        load.release(*index);
        if connections.borrow().is_empty() {
            emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_the_worker_of_their_processor_while_that_has_its_share() {
        let load = Load::new(2);
        // Those that have nothing to do come first.
        assert_eq!([load.claim(1), load.claim(1)], [1, 0]);
        for processor in [0, 1, 3, 2, 0, 1].repeat(5) {
            assert_eq!(load.claim(processor), processor % 2);
        }
        assert_eq!(load.total(), 32);
        // From here on they come in on one processor only.
        let rest: Vec<_> = (0..32).map(|_| load.claim(0)).collect();
        let own = rest.iter().filter(|worker| **worker == 0).count();
        assert!(rest.starts_with(&[0, 0, 0]) && (16..=24).contains(&own), "{rest:?}");
        (0..8).for_each(|_| load.release(1));
        assert_eq!(load.claim(0), 1);
    }
}
