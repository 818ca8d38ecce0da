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
    concurrency: usize,
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
        let (concurrency, reuse) = (how.concurrency(), how.reuse());
        let pool = Pool {
            app,
            client,
            complaints,
            concurrency,
            reuse,
            instances: RefCell::default(),
            vacancy: Rc::default(),
            retired: Cell::new(false),
        };
        pool.add()?;
        Ok(pool)
    }

    /// A place for a request, in the first instance that has one, or else in a new one.
    ///
    /// # Errors
    ///
    /// An instance cannot be made.
    pub(super) async fn claim(&self) -> Result<Seat, Failure> {
        loop {
            if let Some(seat) = self.claim_now() {
                return Ok(seat);
            }
            self.instances.borrow_mut().retain(|one| !one.is_over());
            if self.instances.borrow().len() < MAX_INSTANCES {
                self.add()?;
            } else {
                self.vacancy.notified().await;
            }
        }
    }

    fn claim_now(&self) -> Option<Seat> {
        let instances = self.instances.borrow();
        let seat = instances.iter().find_map(|one| one.claim(self.concurrency))?;
        if self.retired.get() {
            // Another application has taken over while the request waited.
            seat.instance().retire();
        }
        Some(seat)
    }

    fn add(&self) -> Result<(), Failure> {
        let (store, service) = self.app.instantiate(&self.client)?;
        let instance =
            Instance::start(store, service, self.reuse, self.vacancy.clone(), self.complaints.clone());
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
