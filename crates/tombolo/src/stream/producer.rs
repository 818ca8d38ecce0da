//! Streams that the host writes.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{StreamState, misbehaved, store_of};
use crate::Lower;
use crate::abi::LowerContext;
use crate::error::{Error, Result};
use crate::runtime::{EndTask, EndWork, Span, StoreCore};
use crate::store::{StoreMut, enter};

/// Where the elements of a host's stream come from.
pub trait StreamProducer<T: 'static>: Send + 'static {
    /// What it produces.
    type Item;

    /// Called when the reader has room for [`Destination::remaining`] elements, or, if that is 0, asks to be told when
    /// there is something.
    ///
    /// Writes what there is, at least one element unless `remaining` is 0, and returns `Ready(Open)`; `Ready(Closed)`
    /// when nothing more will come, after what was written in this call.
    ///
    /// # Errors
    /// An error ends the guest. Errors that the guest should see belong into a future beside the stream.
    ///
    /// # Cancel safety
    /// When it returns `Pending` nothing may be lost if it is not polled again: the read may have been cancelled.
    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        destination: &mut Destination<'_, T, Self::Item>,
    ) -> Poll<Result<StreamState>>;

    /// What stands behind the producer, for a consumer of the host's that can carry elements from there by itself
    /// ([`StreamConsumer::poll_carry`](super::StreamConsumer::poll_carry)): a descriptor of the operating system, say.
    fn origin(self: Pin<&mut Self>) -> Option<&mut dyn Any> {
        None
    }
}

/// Room for the elements of a stream: the reader's own memory.
pub struct Destination<'a, T: 'static, I> {
    core: &'a StoreCore,
    room: Room<'a, I>,
    remaining: usize,
    written: usize,
    data: PhantomData<fn() -> T>,
}

enum Room<'a, I> {
    Guest(Span<'a>),
    /// The elements on their way to a consumer of the host.
    Host(&'a mut Vec<I>),
}

impl<'a, T: Send + 'static, I: 'static> Destination<'a, T, I> {
    pub(super) fn host(core: &'a StoreCore, items: &'a mut Vec<I>, remaining: usize) -> Self {
        Destination { core, room: Room::Host(items), remaining, written: 0, data: PhantomData }
    }

    /// Elements for which there is room now.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// The store.
    pub fn store(&mut self) -> StoreMut<'_, T> {
        store_of(self.core)
    }

    pub(super) fn written(&self) -> usize {
        self.written
    }
}

impl<T: Send + 'static, I: Lower + 'static> Destination<'_, T, I> {
    /// Writes one element.
    ///
    /// # Errors
    /// If there is no room, or the guest's memory cannot take what the element refers to.
    pub fn push(&mut self, item: I) -> Result<()> {
        if self.remaining == 0 {
            return Err(Error::usage("a stream's destination is full"));
        }
        match &mut self.room {
            Room::Host(items) => {
                items.truncate(self.written);
                items.push(item);
            }
            Room::Guest(room) => {
                if let Some(ty) = room.ty {
                    let mut side = room.guest.lower(self.core, None);
                    let mut cx = LowerContext::new(&room.guest.env.types, &mut side);
                    item.store(&mut cx, ty, room.address(self.written as u64))?;
                }
            }
        }
        self.remaining -= 1;
        self.written += 1;
        Ok(())
    }

    /// Writes elements until there is no more room, and returns how many.
    ///
    /// # Errors
    /// As [`Destination::push`].
    pub fn extend(&mut self, items: impl IntoIterator<Item = I>) -> Result<usize> {
        let before = self.written;
        for item in items.into_iter().take(self.remaining) {
            self.push(item)?;
        }
        Ok(self.written - before)
    }
}

impl<T: Send + 'static> Destination<'_, T, u8> {
    /// The room itself: fill its beginning, then say how much with [`Destination::advance`].
    pub fn as_bytes(&mut self) -> &mut [u8] {
        match &mut self.room {
            Room::Host(items) => {
                let end = self.written.saturating_add(self.remaining);
                // What is there is only overwritten: nobody sees more of it than the producer says it filled.
                if items.len() < end {
                    items.resize(end, 0);
                }
                items.get_mut(self.written..end).unwrap_or_default()
            }
            Room::Guest(room) => {
                let start = usize::try_from(room.ptr).unwrap_or(usize::MAX).saturating_add(self.written);
                let end = start.saturating_add(self.remaining);
                room.guest.bytes_mut(self.core).get_mut(start..end).unwrap_or_default()
            }
        }
    }

    /// Says that the first `count` bytes of the room are filled.
    pub fn advance(&mut self, count: usize) {
        let count = count.min(self.remaining);
        self.remaining -= count;
        self.written += count;
    }
}

/// A producer in the hands of the host.
pub(super) type BoxedProducer<T, I> = Pin<Box<dyn StreamProducer<T, Item = I>>>;

pin_project! {
    /// Feeds a guest's reads from a producer.
    pub(super) struct Producing<T, P> {
        #[pin]
        producer: P,
        data: PhantomData<fn() -> T>,
    }
}

impl<T, P> Producing<T, P> {
    pub fn new(producer: P) -> Self {
        Producing { producer, data: PhantomData }
    }
}

impl<T: Send + 'static, P: StreamProducer<T, Item: Lower>> EndWork for Producing<T, P> {
    fn copy(
        self: Pin<&mut Self>,
        core: &StoreCore,
        span: Option<Span<'_>>,
        cx: &mut Context<'_>,
    ) -> (u32, Poll<Result<StreamState>>) {
        let Some(room) = span else { return (0, Poll::Ready(Ok(StreamState::Closed))) };
        let remaining = room.length as usize;
        let mut destination =
            Destination { core, room: Room::Guest(room), remaining, written: 0, data: PhantomData };
        let poll = enter(core, || self.project().producer.poll_produce(cx, &mut destination));
        let written = destination.written();
        match poll {
            Poll::Ready(Ok(StreamState::Open)) if written == 0 && remaining > 0 => {
                (0, Poll::Ready(Err(misbehaved("a stream's producer"))))
            }
            poll => (written as u32, poll),
        }
    }

    fn leaves() -> Option<TypeId> {
        Some(TypeId::of::<BoxedProducer<T, P::Item>>())
    }

    fn leave(task: Pin<Box<EndTask<Self>>>) -> Option<Box<dyn Any>> {
        let producer: BoxedProducer<T, P::Item> = task;
        Some(Box::new(producer))
    }
}

/// What goes on elsewhere is the task, as the producer in it is pinned there.
impl<T: Send + 'static, P: StreamProducer<T, Item: Lower>> StreamProducer<T> for EndTask<Producing<T, P>> {
    type Item = P::Item;

    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        destination: &mut Destination<'_, T, Self::Item>,
    ) -> Poll<Result<StreamState>> {
        self.work().project().producer.poll_produce(cx, destination)
    }

    fn origin(self: Pin<&mut Self>) -> Option<&mut dyn Any> {
        self.work().project().producer.origin()
    }
}
