//! A host's stream that came back to the host: its elements never enter a guest.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tombolo_tasks::InstanceId;

use super::consumer::{Source, StreamConsumer};
use super::producer::{Destination, StreamProducer};
use super::{StreamState, misbehaved};
use crate::error::Result;
use crate::runtime::{HostTask, StoreCore};
use crate::store::enter;
use crate::{Lift, Lower};

/// Bytes of elements that are on their way at most.
const WINDOW: usize = 256 << 10;

/// Rounds before others get a turn.
const ROUNDS: usize = 16;

/// Carries elements from a producer to a consumer.
pub(super) struct RelayTask<T: 'static, I> {
    producer: Option<Pin<Box<dyn StreamProducer<T, Item = I>>>>,
    consumer: Pin<Box<dyn StreamConsumer<T, Item = I>>>,
    /// Whether the consumer may still carry elements from the producer's origin by itself.
    carries: bool,
    /// The elements on their way, and behind them what is left of earlier ones: room for bytes is cleared only once.
    items: Vec<I>,
    /// Those on their way: from here …
    taken: usize,
    /// … to here.
    end: usize,
}

impl<T: 'static, I> RelayTask<T, I> {
    pub fn new(
        producer: Pin<Box<dyn StreamProducer<T, Item = I>>>,
        consumer: Pin<Box<dyn StreamConsumer<T, Item = I>>>,
    ) -> Self {
        RelayTask { producer: Some(producer), consumer, carries: true, items: Vec::new(), taken: 0, end: 0 }
    }
}

/// Nothing in it is pinned.
impl<T, I> Unpin for RelayTask<T, I> {}

impl<T: Send + 'static, I: Lift + Lower + Send + 'static> RelayTask<T, I> {
    /// Lets the consumer carry elements by itself. `None` if it does not.
    fn carry(&mut self, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<Option<StreamState>>> {
        let origin = match &mut self.producer {
            Some(producer) if self.carries => producer.as_mut().origin(),
            _ => None,
        };
        let carried = match origin {
            Some(origin) => ready!(enter(core, || self.consumer.as_mut().poll_carry(cx, origin)))?,
            None => None,
        };
        self.carries = carried.is_some();
        Poll::Ready(Ok(carried))
    }

    /// Takes more from the producer. Pending if it has none.
    fn fill(&mut self, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(producer) = &mut self.producer else { return Poll::Ready(Ok(())) };
        (self.taken, self.end) = (0, 0);
        let room = (WINDOW / size_of::<I>().max(1)).max(1);
        let mut destination = Destination::host(core, &mut self.items, room);
        let poll = enter(core, || producer.as_mut().poll_produce(cx, &mut destination));
        let written = destination.written();
        self.end = written;
        match poll {
            Poll::Pending if written == 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(StreamState::Closed)) => {
                self.producer = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(StreamState::Open)) if written == 0 => {
                Poll::Ready(Err(misbehaved("a stream's producer")))
            }
            Poll::Ready(Ok(StreamState::Open)) => Poll::Ready(Ok(())),
        }
    }
}

impl<T: Send + 'static, I: Lift + Lower + Send + 'static> HostTask for RelayTask<T, I> {
    fn failed(&self, _: &StoreCore) -> Option<InstanceId> {
        None
    }

    fn poll(self: Pin<&mut Self>, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        for _ in 0..ROUNDS {
            match ready!(this.carry(core, cx))? {
                None => {}
                Some(StreamState::Open) => continue,
                Some(StreamState::Closed) => return Poll::Ready(Ok(())),
            }
            if this.taken >= this.end && this.producer.is_some() {
                match this.fill(core, cx) {
                    Poll::Ready(Ok(())) => {}
                    other => return other,
                }
            }
            let offered = this.end.saturating_sub(this.taken);
            let closed = this.producer.is_none() && offered == 0;
            let mut source = Source::host(core, &mut this.items, this.taken, offered, closed);
            let poll = enter(core, || this.consumer.as_mut().poll_consume(cx, &mut source));
            let left = source.remaining();
            this.taken = source.taken();
            this.end = this.taken.saturating_add(left);
            match poll {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(StreamState::Closed)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(StreamState::Open)) if left == offered => {
                    return Poll::Ready(Err(misbehaved("a stream's consumer")));
                }
                Poll::Ready(Ok(StreamState::Open)) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
