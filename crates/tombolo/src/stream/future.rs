//! Futures between host and guests.

use std::any::{Any, TypeId};
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tombolo_tasks::{EndId, InstanceId, Peer};

use super::{StreamState, close, store_of};
use crate::abi::{Handle, LiftContext, LowerContext};
use crate::error::Result;
use crate::runtime::{Element, EndTask, EndWork, HostTask, Scope, Span, StoreCore, end_of, handle_of};
use crate::slot::Slot;
use crate::store::{Accessor, AsStoreMut, StoreMut, enter};
use crate::{Lift, Lower};

/// The readable end of a future of `V`, in the hands of the host.
///
/// Dropping it does not close the future; [`FutureReader::close`] does, and so does dropping the store.
pub struct FutureReader<V> {
    pub(super) handle: Handle,
    pub(super) element: PhantomData<fn() -> V>,
}

/// Where the value of a host's future comes from when it is made only as somebody reads it: one that takes up a place
/// in the store's data, say.
pub trait FutureProducer<T: 'static>: Send + 'static {
    /// What it produces.
    type Value;

    /// Called while somebody reads. When it is ready, the reader gets the value.
    ///
    /// # Errors
    /// An error ends the guest.
    ///
    /// # Cancel safety
    /// When it returns `Pending` nothing may be lost if it is not polled again: the read may have been cancelled.
    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreMut<'_, T>,
    ) -> Poll<Result<Self::Value>>;
}

type BoxedProducer<T, V> = Pin<Box<dyn FutureProducer<T, Value = V>>>;

/// A value that is being made.
type Making<V> = Pin<Box<dyn Future<Output = Result<V>> + Send>>;

impl<V: Send + 'static> FutureReader<V> {
    /// Makes a future whose value is that of `future`. It is polled whenever the store is driven, until it is ready or
    /// the guest drops its end.
    ///
    /// # Errors
    /// If the store cannot hold another future.
    pub fn new(
        mut store: impl AsStoreMut,
        future: impl Future<Output = Result<V>> + Send + 'static,
    ) -> Result<Self>
    where
        V: Lower,
    {
        let store = store.as_store_mut();
        let core = store.core();
        let (readable, writable) = core.tasks.borrow_mut().new_future(Element::open())?;
        let task = WriteTask { end: writable, value: Written::Making(Box::pin(future)) };
        core.attach_task(writable, task)?;
        Ok(FutureReader { handle: handle_of(readable), element: PhantomData })
    }

    /// Makes a future whose value comes from `producer`, once a guest reads it.
    ///
    /// # Errors
    /// If the store cannot hold another future.
    pub fn produce<S: AsStoreMut>(
        mut store: S,
        producer: impl FutureProducer<S::Data, Value = V>,
    ) -> Result<Self>
    where
        V: Lower,
    {
        let store = store.as_store_mut();
        let core = store.core();
        let (readable, writable) = core.tasks.borrow_mut().new_future(Element::open())?;
        core.attach(writable, EndTask::new(writable, Producing::new(producer)));
        Ok(FutureReader { handle: handle_of(readable), element: PhantomData })
    }

    /// Has `consumer` take the value; `None` if the writer is gone without having written one. It is called when the
    /// store is driven, and dropped uncalled if the store ends before.
    ///
    /// # Errors
    /// If the future was closed or given away. An error of the consumer's ends the guest.
    pub fn pipe<S: AsStoreMut>(
        self,
        mut store: S,
        consumer: impl FnOnce(StoreMut<'_, S::Data>, Option<V>) -> Result<()> + Send + 'static,
    ) -> Result<()>
    where
        V: Lift + Lower,
    {
        let store = store.as_store_mut();
        let core = store.core();
        let end = end_of(self.handle)?;
        match self.take_value::<S::Data>(core)? {
            Some(value) => {
                let consumer = Some(consumer);
                let id = core.host_tasks.spawn(Box::pin(PassTask { value, consumer, data: PhantomData }))?;
                core.host_tasks.wake(id);
            }
            None => {
                let consumer = move |core: &StoreCore, value: Result<Option<V>>| {
                    let value = value?;
                    enter(core, || consumer(store_of(core), value))
                };
                core.attach(end, EndTask::new(end, Receiving::new(consumer)));
                core.tasks.borrow_mut().catch_up(end)?;
            }
        }
        Ok(())
    }

    /// Takes the value back that the host itself is to write, and closes the future.
    fn take_value<T: Send + 'static>(&self, core: &StoreCore) -> Result<Option<Value<T, V>>>
    where
        V: Lower,
    {
        let end = end_of(self.handle)?;
        let Some(writable) = core.other_of_host(end)? else { return Ok(None) };
        let value = if let Some(task) = core.detach::<WriteTask<V>>(writable) {
            match task.value {
                Written::Making(future) => Value::Making(future),
                Written::Made(value) => Value::Made(Some(value)),
                Written::Gone => Value::Made(None),
            }
        } else if let Some(task) = core.detach::<BoxedProducer<T, V>>(writable) {
            Value::Produced(task)
        } else {
            return Ok(None);
        };
        let mut tasks = core.tasks.borrow_mut();
        tasks.drop_end(writable)?;
        tasks.drop_end(end)?;
        Ok(Some(value))
    }

    /// Waits for the value; `None` if the writer is gone without having written one.
    ///
    /// # Errors
    /// If the future was closed or given away, or the guest wrote no valid value.
    ///
    /// # Cancel safety
    /// Dropping what this returns does not close a guest's future: its value is taken when it comes, and lost.
    pub async fn read<T: Send + 'static>(self, store: &Accessor<T>) -> Result<Option<V>>
    where
        V: Lift + Lower,
    {
        enum Reading<T: 'static, V> {
            OfHost(Value<T, V>),
            OfGuest(Arc<Slot<Result<Option<V>>>>),
        }
        let reading = store.with(|store| {
            let core = store.core();
            let end = end_of(self.handle)?;
            if let Some(value) = self.take_value::<T>(core)? {
                return Ok(Reading::OfHost(value));
            }
            let slot = Arc::new(Slot::default());
            let result = slot.clone();
            let consumer = move |_: &StoreCore, value| {
                result.set(value);
                Ok(())
            };
            core.attach(end, EndTask::new(end, Receiving::new(consumer)));
            core.tasks.borrow_mut().catch_up(end)?;
            Ok::<_, crate::Error>(Reading::OfGuest(slot))
        })?;
        match reading {
            Reading::OfHost(Value::Made(value)) => Ok(value),
            Reading::OfHost(Value::Making(future)) => future.await.map(Some),
            Reading::OfHost(Value::Produced(mut producer)) => {
                poll_fn(|cx| store.with(|store| producer.as_mut().poll_produce(cx, store))).await.map(Some)
            }
            Reading::OfGuest(slot) => poll_fn(|cx| slot.poll(cx.waker())).await,
        }
    }

    /// Closes the future: whoever writes learns that nobody reads.
    ///
    /// # Errors
    /// If the future was closed or given away.
    pub fn close(self, mut store: impl AsStoreMut) -> Result<()> {
        close(store.as_store_mut().core(), self.handle)
    }
}

/// The value of a host's future that came back to the host.
enum Value<T: 'static, V> {
    Making(Making<V>),
    /// `None` if a guest has read it already.
    Made(Option<V>),
    Produced(BoxedProducer<T, V>),
}

/// Carries a value from a producer of the host to a consumer of the host.
struct PassTask<T: 'static, V, F> {
    value: Value<T, V>,
    consumer: Option<F>,
    data: PhantomData<fn() -> T>,
}

/// Nothing in it is pinned.
impl<T, V, F> Unpin for PassTask<T, V, F> {}

impl<T, V, F> HostTask for PassTask<T, V, F>
where
    T: Send + 'static,
    V: Send + 'static,
    F: FnOnce(StoreMut<'_, T>, Option<V>) -> Result<()> + Send + 'static,
{
    fn failed(&self, _: &StoreCore) -> Option<InstanceId> {
        None
    }

    fn poll(self: Pin<&mut Self>, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let value = match &mut this.value {
            Value::Making(future) => Some(ready!(enter(core, || future.as_mut().poll(cx)))?),
            Value::Produced(producer) => {
                Some(ready!(enter(core, || producer.as_mut().poll_produce(cx, store_of(core))))?)
            }
            Value::Made(value) => value.take(),
        };
        match this.consumer.take() {
            Some(consumer) => Poll::Ready(enter(core, || consumer(store_of(core), value))),
            None => Poll::Ready(Ok(())),
        }
    }
}

pin_project! {
    /// Makes a value when a guest reads it.
    struct Producing<T, P> {
        #[pin]
        producer: P,
        data: PhantomData<fn() -> T>,
    }
}

impl<T, P> Producing<T, P> {
    fn new(producer: P) -> Self {
        Producing { producer, data: PhantomData }
    }
}

impl<T: Send + 'static, P: FutureProducer<T, Value: Lower>> EndWork for Producing<T, P> {
    fn copy(
        self: Pin<&mut Self>,
        core: &StoreCore,
        span: Option<Span<'_>>,
        cx: &mut Context<'_>,
    ) -> (u32, Poll<Result<StreamState>>) {
        let Some(room) = span else { return (0, Poll::Ready(Ok(StreamState::Closed))) };
        match enter(core, || self.project().producer.poll_produce(cx, store_of(core))) {
            Poll::Pending => (0, Poll::Pending),
            Poll::Ready(value) => match value.and_then(|value| store_value(core, room, &value)) {
                Ok(()) => (1, Poll::Ready(Ok(StreamState::Closed))),
                Err(error) => (0, Poll::Ready(Err(error))),
            },
        }
    }

    fn leaves() -> Option<TypeId> {
        Some(TypeId::of::<BoxedProducer<T, P::Value>>())
    }

    fn leave(task: Pin<Box<EndTask<Self>>>) -> Option<Box<dyn Any>> {
        let producer: BoxedProducer<T, P::Value> = task;
        Some(Box::new(producer))
    }
}

/// What goes on elsewhere is the task, as the producer in it is pinned there.
impl<T: Send + 'static, P: FutureProducer<T, Value: Lower>> FutureProducer<T> for EndTask<Producing<T, P>> {
    type Value = P::Value;

    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreMut<'_, T>,
    ) -> Poll<Result<Self::Value>> {
        self.work().project().producer.poll_produce(cx, store)
    }
}

/// Writes a value of the host into a guest's read.
struct WriteTask<V> {
    end: EndId,
    value: Written<V>,
}

/// Nothing in it is pinned.
impl<V> Unpin for WriteTask<V> {}

enum Written<V> {
    Making(Making<V>),
    Made(V),
    Gone,
}

impl<V: Lower + Send + 'static> HostTask for WriteTask<V> {
    fn bytes(&self) -> usize {
        let making = if let Written::Making(future) = &self.value { size_of_val(&**future) } else { 0 };
        size_of_val(self) + making
    }

    fn failed(&self, core: &StoreCore) -> Option<InstanceId> {
        core.give_up_end(self.end)
    }

    fn poll(self: Pin<&mut Self>, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = self.get_mut();
        let end = this.end;
        if core.tasks.borrow().other_end(end)?.is_none() {
            return Poll::Ready(core.release_end(end));
        }
        if let Written::Making(future) = &mut this.value {
            match enter(core, || future.as_mut().poll(cx)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(value)) => this.value = Written::Made(value),
            }
        }
        let (Peer::Copying(buffer), Written::Made(value)) = (core.peer(end)?, &this.value) else {
            return Poll::Pending;
        };
        store_value(core, buffer.rest(), value)?;
        this.value = Written::Gone;
        core.tasks.borrow_mut().advance_peer(end, 1)?;
        Poll::Ready(core.release_end(end))
    }

    fn is_idle(&self) -> bool {
        !matches!(self.value, Written::Making(_))
    }

    fn leaves(&self) -> Option<TypeId> {
        Some(TypeId::of::<Self>())
    }

    fn leave(self: Pin<Box<Self>>) -> Option<Box<dyn Any>> {
        Some(Pin::into_inner(self) as Box<dyn Any>)
    }
}

fn store_value<V: Lower>(core: &StoreCore, room: Span<'_>, value: &V) -> Result<()> {
    let Some(ty) = room.ty else { return Ok(()) };
    let mut side = room.guest.lower(core, None);
    value.store(&mut LowerContext::new(&room.guest.env.types, &mut side), ty, room.ptr)
}

/// Takes a value out of a guest's write.
struct Receiving<V, F> {
    /// Is given the value, and `None` if there will be none.
    consumer: Option<F>,
    value: PhantomData<fn() -> V>,
}

impl<V, F> Receiving<V, F> {
    fn new(consumer: F) -> Self {
        Receiving { consumer: Some(consumer), value: PhantomData }
    }
}

/// Nothing in it is pinned.
impl<V, F> Unpin for Receiving<V, F> {}

impl<V, F> EndWork for Receiving<V, F>
where
    V: Lift + Send + 'static,
    F: FnOnce(&StoreCore, Result<Option<V>>) -> Result<()> + Send + 'static,
{
    fn copy(
        self: Pin<&mut Self>,
        core: &StoreCore,
        span: Option<Span<'_>>,
        _: &mut Context<'_>,
    ) -> (u32, Poll<Result<StreamState>>) {
        let value = span.map(|span| load_value(core, span)).transpose();
        let consumed = self.get_mut().consumer.take().map_or(Ok(()), |consumer| consumer(core, value));
        (1, Poll::Ready(consumed.map(|()| StreamState::Closed)))
    }
}

fn load_value<V: Lift>(core: &StoreCore, stock: Span<'_>) -> Result<V> {
    let Some(ty) = stock.ty else { return V::absent() };
    let mut side = stock.guest.lift(core, Scope::None);
    V::load(&mut LiftContext::new(&stock.guest.env.types, &mut side), ty, stock.ptr)
}
