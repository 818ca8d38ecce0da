//! Streams that the host reads.

use std::any::Any;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{StreamState, misbehaved, store_of};
use crate::Lift;
use crate::abi::LiftContext;
use crate::error::Result;
use crate::runtime::{EndWork, Scope, Span, StoreCore};
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
    Guest(Span<'a>),
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
            Stock::Guest(stock) => {
                let Some(ty) = stock.ty else {
                    self.remaining -= count;
                    self.taken += count;
                    return (0..count).map(|_| I::absent()).collect();
                };
                let mut side = stock.guest.lift(self.core, Scope::None);
                let mut cx = LiftContext::new(&stock.guest.env.types, &mut side);
                I::load_list(&mut cx, ty, stock.address(self.taken as u64), count)?
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
            Stock::Guest(stock) => {
                let start = usize::try_from(stock.ptr).unwrap_or(usize::MAX).saturating_add(self.taken);
                let end = start.saturating_add(self.remaining);
                stock.guest.bytes(self.core).get(start..end).unwrap_or_default()
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
    pub(super) struct Consuming<T, C> {
        #[pin]
        consumer: C,
        data: PhantomData<fn() -> T>,
    }
}

impl<T, C> Consuming<T, C> {
    pub fn new(consumer: C) -> Self {
        Consuming { consumer, data: PhantomData }
    }
}

impl<T: Send + 'static, C: StreamConsumer<T, Item: Lift>> EndWork for Consuming<T, C> {
    fn copy(
        self: Pin<&mut Self>,
        core: &StoreCore,
        span: Option<Span<'_>>,
        cx: &mut Context<'_>,
    ) -> (u32, Poll<Result<StreamState>>) {
        let (stock, remaining) = match span {
            Some(span) => (Stock::Guest(span), span.length as usize),
            None => (Stock::Nothing, 0),
        };
        let closed = span.is_none();
        let mut source = Source { core, stock, remaining, taken: 0, closed, data: PhantomData };
        let poll = enter(core, || self.project().consumer.poll_consume(cx, &mut source));
        let taken = source.taken();
        match poll {
            Poll::Ready(Ok(StreamState::Open)) if taken == 0 && (remaining > 0 || closed) => {
                (0, Poll::Ready(Err(misbehaved("a stream's consumer"))))
            }
            poll => (taken as u32, poll),
        }
    }
}
