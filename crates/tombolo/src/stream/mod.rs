//! Streams and futures between host and guests.
//!
//! The host gives a stream to a guest by making a [`StreamReader`] of a [`StreamProducer`], and takes the elements of
//! a guest's stream by [`StreamReader::pipe`] to a [`StreamConsumer`]. Producers and consumers work on the guest's own
//! memory. A stream that is piped back to the host without a guest reading from it is relayed there.
#![allow(unsafe_code, reason = "producers and consumers know the store's data type")]

mod consumer;
mod future;
mod passing;
mod producer;
mod relay;

use std::marker::PhantomData;

pub use consumer::{Source, StreamConsumer};
pub use future::{FutureProducer, FutureReader};
pub use producer::{Destination, StreamProducer};

use consumer::Consuming;
use producer::{BoxedProducer, Producing};
use relay::RelayTask;
use tombolo_tasks::EndId;

use crate::abi::Handle;
use crate::error::{Error, Result};
use crate::runtime::{Element, EndTask, StoreCore, end_of, handle_of};
use crate::store::{AsStoreMut, StoreMut};
use crate::{Lift, Lower};

/// Whether more may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// The stream goes on.
    Open,
    /// This end of the stream is done.
    Closed,
}

/// The readable end of a stream of `I`, in the hands of the host.
///
/// Dropping it does not close the stream; [`StreamReader::close`] does, and so does dropping the store.
pub struct StreamReader<I> {
    handle: Handle,
    element: PhantomData<fn() -> I>,
}

impl<I: 'static> StreamReader<I> {
    /// Makes a stream whose elements come from `producer`.
    ///
    /// # Errors
    /// If the store cannot hold another stream.
    pub fn new<S: AsStoreMut>(mut store: S, producer: impl StreamProducer<S::Data, Item = I>) -> Result<Self>
    where
        I: Lower + Send,
    {
        let store = store.as_store_mut();
        let core = store.core();
        let (readable, writable) = core.tasks.borrow_mut().new_stream(Element::open())?;
        core.attach(writable, EndTask::new(writable, Producing::new(producer)));
        Ok(StreamReader::of(readable))
    }

    /// Has `consumer` take all elements. It is polled whenever the store is driven.
    ///
    /// # Errors
    /// If the stream was closed or given away.
    pub fn pipe<S: AsStoreMut>(
        self,
        mut store: S,
        consumer: impl StreamConsumer<S::Data, Item = I>,
    ) -> Result<()>
    where
        I: Lift + Lower + Send,
    {
        let store = store.as_store_mut();
        let core = store.core();
        let end = end_of(self.handle)?;
        let writable = core.other_of_host(end)?;
        let producer = writable.and_then(|writable| core.detach::<BoxedProducer<S::Data, I>>(writable));
        match (writable, producer) {
            (Some(writable), Some(producer)) => {
                let task = RelayTask::new(producer, Box::pin(consumer));
                let mut tasks = core.tasks.borrow_mut();
                tasks.drop_end(writable)?;
                tasks.drop_end(end)?;
                drop(tasks);
                let id = core.host_tasks.spawn(Box::pin(task))?;
                core.host_tasks.wake(id);
            }
            _ => {
                core.attach(end, EndTask::new(end, Consuming::new(consumer)));
                core.tasks.borrow_mut().catch_up(end)?;
            }
        }
        Ok(())
    }

    /// Closes the stream: whoever writes learns that nobody reads.
    ///
    /// # Errors
    /// If the stream was closed or given away.
    pub fn close(self, mut store: impl AsStoreMut) -> Result<()> {
        close(store.as_store_mut().core(), self.handle)
    }

    fn of(end: EndId) -> Self {
        StreamReader { handle: handle_of(end), element: PhantomData }
    }
}

/// Checks what the elements of a stream, or the value of a future, are.
pub(crate) fn check_element<I: Lift>(core: &StoreCore, handle: Handle, what: &str) -> Result<()> {
    let tasks = core.tasks.borrow();
    let (_, element) = tasks.end_type(end_of(handle)?)?;
    let Some(env) = &element.env else {
        return Err(Error::usage(format!("this {what} is the host's own, and no guest has been given it")));
    };
    I::check_payload(&env.types, element.ty).map_err(|mismatch| Error::mismatch(what, mismatch.to_string()))
}

/// Drops the host's readable end.
pub(crate) fn close(core: &StoreCore, handle: Handle) -> Result<()> {
    Ok(core.tasks.borrow_mut().drop_end(end_of(handle)?)?)
}

impl StoreCore {
    /// The other end of one of the host's, if the host has that too.
    fn other_of_host(&self, end: EndId) -> Result<Option<EndId>> {
        let tasks = self.tasks.borrow();
        match tasks.other_end(end)? {
            Some(other) if tasks.end_owner(other)?.is_none() => Ok(Some(other)),
            _ => Ok(None),
        }
    }
}

/// The store that the core belongs to whose producer or consumer is being called.
fn store_of<T: Send + 'static>(core: &StoreCore) -> StoreMut<'_, T> {
    // SAFETY: producers and consumers are attached to stores of their data type, and called while no other host code
    // runs.
    unsafe { StoreMut::from_core(core) }
}

fn misbehaved(who: &str) -> Error {
    Error::usage(format!("{who} says that it is ready but has done nothing"))
}
