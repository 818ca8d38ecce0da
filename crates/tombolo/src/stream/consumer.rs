//! Streams that the host reads.

use std::any::Any;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tombolo_tasks::{Buffer, EndId, InstanceId, Peer};

use super::{StreamState, misbehaved, store_of};
use crate::Lift;
use crate::abi::LiftContext;
use crate::error::Result;
use crate::runtime::{CopyBuffer, HostTask, Scope, StoreCore};
use crate::store::{StoreMut, enter};

/// Where the elements of a stream go that the host reads.
pub trait StreamConsumer<T: 'static>: Send + 'static {
    /// What it consumes.
    type Item;

    /// Called when the writer offers [`Source::remaining`] elements (0 if it asks to be told when there is room), and
    /// at the end, when [`Source::is_closed`].
    ///
    /// Takes what it can, at least one element if there are any, and returns `Ready(Open)`; at the end it finishes
    /// what it has begun and returns `Ready(Closed)`. `Ready(Closed)` before the end closes the stream.
    ///
    /// # Errors
    /// An error ends the guest.
    ///
    /// # Cancel safety
    /// When it returns `Pending`, only what it took from the source is its own: the write may have been cancelled.
    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        source: &mut Source<'_, T, Self::Item>,
    ) -> Poll<Result<StreamState>>;

    /// Called instead when the elements come from a producer of the host's that has an
    /// [`origin`](super::StreamProducer::origin): carries elements from there without their passing through memory.
    ///
    /// `Ready(Some(Open))` when some were carried, `Ready(Some(Closed))` when nothing more will come and what was begun is
    /// finished, or the consumer is done. `Ready(None)`, which is the default, when it cannot: from then on the elements
    /// come by [`poll_consume`](StreamConsumer::poll_consume).
    ///
    /// # Errors
    /// An error ends the guest.
    fn poll_carry(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _origin: &mut dyn Any,
    ) -> Poll<Result<Option<StreamState>>> {
        Poll::Ready(Ok(None))
    }
}

/// Elements that a writer offers: the writer's own memory.
pub struct Source<'a, T: 'static, I> {
    core: &'a StoreCore,
    stock: Stock<'a, I>,
    remaining: usize,
    taken: usize,
    closed: bool,
    data: PhantomData<fn() -> T>,
}

enum Stock<'a, I> {
    Nothing,
    Guest(&'a CopyBuffer),
    /// Elements that came from a producer of the host; those taken are gone.
    Host(&'a mut Vec<I>),
}

impl<'a, T: Send + 'static, I: 'static> Source<'a, T, I> {
    /// `count` elements of `items`, behind `skip` that were taken before.
    pub(super) fn host(
        core: &'a StoreCore,
        items: &'a mut Vec<I>,
        skip: usize,
        count: usize,
        closed: bool,
    ) -> Self {
        let remaining = count.min(items.len().saturating_sub(skip));
        Source { core, stock: Stock::Host(items), remaining, taken: skip, closed, data: PhantomData }
    }

    /// Elements that are offered now.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Whether nothing more will come.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The store.
    pub fn store(&mut self) -> StoreMut<'_, T> {
        store_of(self.core)
    }

    pub(super) fn taken(&self) -> usize {
        self.taken
    }
}

impl<T: Send + 'static, I: Lift + 'static> Source<'_, T, I> {
    /// Takes up to `count` elements.
    ///
    /// # Errors
    /// If the guest's memory does not hold valid values.
    pub fn take(&mut self, count: usize) -> Result<Vec<I>> {
        let count = count.min(self.remaining);
        let items = match &mut self.stock {
            Stock::Nothing => Vec::new(),
            Stock::Host(items) => items.drain(self.taken..self.taken + count).collect(),
            Stock::Guest(buffer) => {
                let Some(ty) = buffer.ty else {
                    self.remaining -= count;
                    self.taken += count;
                    return (0..count).map(|_| I::absent()).collect();
                };
                let offset = buffer.element_size().saturating_mul(self.taken as u64);
                let mut side = buffer.guest.lift(self.core, Scope::None);
                let mut cx = LiftContext::new(&buffer.guest.env.types, &mut side);
                I::load_list(&mut cx, ty, buffer.position().saturating_add(offset), count)?
            }
        };
        self.remaining -= count;
        if !matches!(self.stock, Stock::Host(_)) {
            self.taken += count;
        }
        Ok(items)
    }
}

impl<T: Send + 'static> Source<'_, T, u8> {
    /// The elements themselves: use the beginning, then say how much with [`Source::consume`].
    pub fn as_bytes(&self) -> &[u8] {
        match &self.stock {
            Stock::Nothing => &[],
            Stock::Host(items) => {
                items.get(self.taken..self.taken.saturating_add(self.remaining)).unwrap_or_default()
            }
            Stock::Guest(buffer) => {
                let start =
                    usize::try_from(buffer.position()).unwrap_or(usize::MAX).saturating_add(self.taken);
                let end = start.saturating_add(self.remaining);
                buffer.guest.bytes(self.core).get(start..end).unwrap_or_default()
            }
        }
    }

    /// Takes the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.remaining);
        self.remaining -= count;
        self.taken += count;
    }
}

pin_project! {
    /// Feeds a consumer from a guest's writes.
    pub(super) struct ConsumerTask<T, C> {
        end: EndId,
        #[pin]
        consumer: C,
        idle: bool,
        data: PhantomData<fn() -> T>,
    }
}

impl<T, C> ConsumerTask<T, C> {
    pub fn new(end: EndId, consumer: C) -> Self {
        ConsumerTask { end, consumer, idle: true, data: PhantomData }
    }
}

impl<T: Send + 'static, C: StreamConsumer<T, Item: Lift>> HostTask for ConsumerTask<T, C> {
    fn failed(&self, core: &StoreCore) -> Option<InstanceId> {
        core.give_up_end(self.end)
    }

    fn poll(self: Pin<&mut Self>, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut this = self.project();
        let end = *this.end;
        loop {
            *this.idle = true;
            let peer = core.peer(end)?;
            let (stock, remaining, closed) = match &peer {
                Peer::Idle => return Poll::Pending,
                Peer::Dropped => (Stock::Nothing, 0, true),
                Peer::Copying(buffer) => (Stock::Guest(buffer), buffer.remain() as usize, false),
            };
            *this.idle = false;
            let mut source = Source { core, stock, remaining, taken: 0, closed, data: PhantomData };
            let poll = enter(core, || this.consumer.as_mut().poll_consume(cx, &mut source));
            let taken = source.taken();
            if !closed && (taken > 0 || matches!(poll, Poll::Ready(Ok(_)))) {
                core.tasks.borrow_mut().advance_peer(end, taken as u32)?;
            }
            match poll {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(StreamState::Closed)) => return Poll::Ready(core.release_end(end)),
                Poll::Ready(Ok(StreamState::Open)) if taken == 0 && (remaining > 0 || closed) => {
                    return Poll::Ready(Err(misbehaved("a stream's consumer")));
                }
                // What was offered is taken: more comes when the guest has run.
                Poll::Ready(Ok(StreamState::Open)) if taken == remaining && remaining > 0 => {
                    *this.idle = true;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(StreamState::Open)) => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.idle
    }
}
