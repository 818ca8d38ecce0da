//! The instances of an application that a worker has.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tombolo_http::client::Client;

use super::app::App;
use super::complaints::Complaints;
use super::instance::{Instance, Seat};
use crate::diagnostics::Failure;

/// Instances of a worker at most; beyond it requests wait.
const MAX_INSTANCES: usize = 256;

/// Instances at work, and the way to more of them.
pub(super) struct Pool {
    app: Arc<App>,
    client: Client,
    complaints: Arc<Complaints>,
    /// Requests that an instance answers at once.
    concurrency: usize,
    /// Instances that there are before requests share one.
    spread: usize,
    reuse: u64,
    instances: RefCell<Vec<Rc<Instance>>>,
    /// Told when somebody may find a seat.
    vacancy: Rc<Notify>,
    retired: Cell<bool>,
}

impl Pool {
    /// A pool with its first instance.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(super) fn new(app: Arc<App>, client: Client, complaints: Arc<Complaints>) -> Result<Pool, Failure> {
        let how = &app.given().arguments.instances;
        let (concurrency, spread, reuse) = (how.concurrency(), how.spread(), how.reuse());
        let pool = Pool {
            app,
            client,
            complaints,
            concurrency,
            spread,
            reuse,
            instances: RefCell::default(),
            vacancy: Rc::default(),
            retired: Cell::new(false),
        };
        pool.add()?;
        Ok(pool)
    }

    /// A place for a request, if there is one without waiting: in an instance that has nothing else to do, old or new. Only
    /// when there are enough of them do requests share one, as what ends an instance ends all that it is at.
    ///
    /// # Errors
    ///
    /// An instance cannot be made.
    pub(super) fn claim_now(&self) -> Result<Option<Seat>, Failure> {
        if let Some(seat) = self.idle_seat() {
            return Ok(Some(seat));
        }
        self.instances.borrow_mut().retain(|one| !one.is_over());
        if self.instances.borrow().iter().filter(|one| !one.is_retired()).count() >= self.spread
            && let Some(seat) = self.shared_seat()
        {
            return Ok(Some(seat));
        }
        if self.instances.borrow().len() < MAX_INSTANCES {
            self.add()?;
            return Ok(self.idle_seat());
        }
        Ok(self.shared_seat())
    }

    /// As [`claim_now`](Pool::claim_now), but waits until there is a place.
    ///
    /// # Errors
    ///
    /// An instance cannot be made.
    pub(super) async fn claim(&self) -> Result<Seat, Failure> {
        loop {
            match self.claim_now()? {
                Some(seat) => return Ok(seat),
                None => self.vacancy.notified().await,
            }
        }
    }

    fn idle_seat(&self) -> Option<Seat> {
        let instances = self.instances.borrow();
        let mut idle = instances.iter().filter(|one| one.is_idle());
        idle.find_map(|one| one.claim(self.concurrency)).map(|seat| self.given(seat))
    }

    /// A place in the instance that has most of them.
    fn shared_seat(&self) -> Option<Seat> {
        let instances = self.instances.borrow();
        let open = instances.iter().filter(|one| !one.is_retired());
        open.min_by_key(|one| one.taken())?.claim(self.concurrency).map(|seat| self.given(seat))
    }

    fn given(&self, seat: Seat) -> Seat {
        if self.retired.get() {
            // Another application has taken over while the request waited.
            seat.instance().retire();
        }
        seat
    }

    fn add(&self) -> Result<(), Failure> {
        let (store, service) = self.app.instantiate(&self.client)?;
        let (vacancy, complaints) = (self.vacancy.clone(), self.complaints.clone());
        let instance = Instance::start(store, service, self.reuse, self.concurrency, vacancy, complaints);
        self.instances.borrow_mut().push(instance);
        Ok(())
    }

    /// Gives up an instance that is not needed any more, now and then.
    pub(super) fn trim(&self) {
        let mut instances = self.instances.borrow_mut();
        instances.retain(|one| !one.is_over());
        let mut idle = instances.iter().filter(|one| one.is_idle());
        if let (Some(_), Some(second)) = (idle.next(), idle.next()) {
            second.retire();
        }
    }

    /// Gives its instances up as soon as they have answered what they were asked.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        for instance in self.instances.borrow().iter() {
            instance.retire();
        }
    }

    /// Ends its instances, whatever they are at.
    pub(super) fn end(&self) {
        for instance in self.instances.take() {
            instance.end();
        }
    }
}
