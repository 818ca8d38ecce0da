//! Futures between host and guests.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tombolo_tasks::EndId;

use super::close;
use crate::abi::{Handle, LiftContext, LowerContext};
use crate::error::Result;
use crate::runtime::{CopyBuffer, Element, HostTask, Scope, StoreCore, end_of, handle_of};
use crate::slot::Slot;
use crate::store::{Accessor, AsStoreMut, enter};
use crate::{Lift, Lower};

/// The readable end of a future of `V`, in the hands of the host.
///
/// Dropping it does not close the future; [`FutureReader::close`] does, and so does dropping the store.
pub struct FutureReader<V> {
    pub(super) handle: Handle,
    pub(super) element: PhantomData<fn() -> V>,
}

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
        let (readable, writable) = core.tasks.borrow_mut().future_new(None, Element::open())?;
        let task = WriteTask { end: writable, value: Value::Making(Box::pin(future)) };
        let id = core.attach(writable, task)?;
        core.host_tasks.wake(id);
        Ok(FutureReader { handle: handle_of(readable), element: PhantomData })
    }

    /// Waits for the value; `None` if the writer is gone without having written one.
    ///
    /// # Errors
    /// If the future was closed or given away, or the guest wrote no valid value.
    pub async fn read<T: Send + 'static>(self, store: &Accessor<T>) -> Result<Option<V>>
    where
        V: Lift + Lower,
    {
        enum Reading<V> {
            OfHost(Value<V>),
            OfGuest(Arc<Slot<Result<Option<V>>>>),
        }
        let reading = store.with(|store| {
            let core = store.core();
            let end = end_of(self.handle)?;
            let writable = core.tasks.borrow().other_end(end)?;
            if let Some(writable) = writable
                && let Some(task) = core.detach::<WriteTask<V>>(writable)
            {
                core.tasks.borrow_mut().drop_end(writable)?;
                core.tasks.borrow_mut().drop_end(end)?;
                return Ok(Reading::OfHost(task.value));
            }
            let slot = Arc::new(Slot::default());
            let id = core.attach(end, ReadTask { end, slot: slot.clone(), idle: true })?;
            core.host_tasks.wake(id);
            Ok::<_, crate::Error>(Reading::OfGuest(slot))
        })?;
        match reading {
            Reading::OfHost(Value::Made(value)) => Ok(Some(value)),
            Reading::OfHost(Value::Making(future)) => Ok(Some(future.await?)),
            Reading::OfHost(Value::Gone) => Ok(None),
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

/// Writes a value of the host into a guest's read.
struct WriteTask<V> {
    end: EndId,
    value: Value<V>,
}

enum Value<V> {
    Making(Making<V>),
    Made(V),
    Gone,
}

impl<V: Lower + Send + 'static> HostTask for WriteTask<V> {
    fn poll(&mut self, core: &StoreCore, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let end = self.end;
        if core.tasks.borrow().other_end(end)?.is_none() {
            return Poll::Ready(core.release_end(end));
        }
        if let Value::Making(future) = &mut self.value {
            match enter(core, || future.as_mut().poll(cx)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(value)) => self.value = Value::Made(value),
            }
        }
        let buffer = core.tasks.borrow_mut().peer_buffer_mut(end)?.map(|buffer| buffer.clone());
        let (Some(buffer), Value::Made(value)) = (buffer, &self.value) else { return Poll::Pending };
        store_value(core, &buffer, value)?;
        self.value = Value::Gone;
        core.tasks.borrow_mut().advance_peer(end, 1)?;
        Poll::Ready(core.release_end(end))
    }

    fn is_idle(&self) -> bool {
        !matches!(self.value, Value::Making(_))
    }
}

fn store_value<V: Lower>(core: &StoreCore, buffer: &CopyBuffer, value: &V) -> Result<()> {
    let Some(ty) = buffer.ty else { return Ok(()) };
    let mut side = buffer.guest.lower(core, None);
    value.store(&mut LowerContext::new(&buffer.guest.env.types, &mut side), ty, buffer.position())
}

/// Takes a value out of a guest's write.
struct ReadTask<V> {
    end: EndId,
    slot: Arc<Slot<Result<Option<V>>>>,
    idle: bool,
}

impl<V: Lift + Send + 'static> HostTask for ReadTask<V> {
    fn poll(&mut self, core: &StoreCore, _: &mut Context<'_>) -> Poll<Result<()>> {
        let end = self.end;
        self.idle = true;
        if core.tasks.borrow().other_end(end)?.is_none() {
            self.slot.set(Ok(None));
            return Poll::Ready(core.release_end(end));
        }
        let buffer = core.tasks.borrow_mut().peer_buffer_mut(end)?.map(|buffer| buffer.clone());
        let Some(buffer) = buffer else { return Poll::Pending };
        let value = match buffer.ty {
            None => V::absent(),
            Some(ty) => {
                let mut side = buffer.guest.lift(core, Scope::None);
                V::load(&mut LiftContext::new(&buffer.guest.env.types, &mut side), ty, buffer.position())
            }
        };
        self.slot.set(value.map(Some));
        core.tasks.borrow_mut().advance_peer(end, 1)?;
        Poll::Ready(core.release_end(end))
    }

    fn is_idle(&self) -> bool {
        self.idle
    }
}
