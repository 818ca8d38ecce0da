//! The built-ins of streams and futures.

use std::sync::Arc;

use tombolo_tasks::{BLOCKED, CancelStep, CopyEvent, EndId, EndKind, InstanceId, Partner, WaitFor};

use crate::error::Result;
use crate::runtime::copy::{CopyBuffer, Span, too_long};
use crate::runtime::core::StoreCore;
use crate::runtime::env::Element;
use crate::runtime::guest::{Guest, copy_between};

impl StoreCore {
    #[inline]
    pub fn stream_new(&self, instance: InstanceId, element: &Element) -> Result<u64> {
        Ok(pack(self.tasks.borrow_mut().stream_new(instance, element.clone())?))
    }

    #[inline]
    pub fn future_new(&self, instance: InstanceId, element: &Element) -> Result<u64> {
        Ok(pack(self.tasks.borrow_mut().future_new(instance, element.clone())?))
    }

    /// `stream.read`, `stream.write`, `future.read` and `future.write`, of an end's index and a buffer's address and
    /// length.
    pub fn copy(
        &self,
        guest: &Arc<Guest>,
        element: &Element,
        kind: EndKind,
        is_async: bool,
        (index, ptr, length): (u32, u64, u64),
    ) -> Result<u32> {
        let length = if kind.is_stream() { length } else { 1 };
        let length = u32::try_from(length).map_err(|_| too_long(length))?;
        let end = self.tasks.borrow().end_to_copy(guest.instance, index, kind, element, is_async)?;
        let span = Span::new(self, guest, element.ty, ptr, length)?;
        if let Some(event) = self.copy_at_once(end, kind, span)? {
            return Ok(event.payload());
        }
        let step = self.tasks.borrow_mut().copy(end, CopyBuffer::new(guest, span))?;
        if let Some(event) = self.finish_copy(step)? {
            return Ok(event.payload());
        }
        self.serve_host_ends();
        self.take_or_wait(end, is_async)
    }

    /// Copies what can be copied at once: from or to a buffer that waits, or with the host.
    #[inline]
    fn copy_at_once(&self, end: EndId, kind: EndKind, span: Span<'_>) -> Result<Option<CopyEvent>> {
        let mut tasks = self.tasks.borrow_mut();
        match tasks.immediate_copy(end, span.length)? {
            // Where a copy may be interrupted, nothing may be borrowed meanwhile.
            Partner::Waiting(copy, other)
                if span.ty.is_none_or(|ty| ty.is_plain() && !self.engine.has_deadlines()) =>
            {
                let (other, bytes) = (other.rest(), span.size.saturating_mul(copy.count.into()));
                // No guest runs meanwhile. Where elements are nothing, so are addresses.
                match kind.is_readable() {
                    _ if bytes == 0 => {}
                    true => copy_between(self, other.guest, other.ptr, span.guest, span.ptr, bytes)?,
                    false => copy_between(self, span.guest, span.ptr, other.guest, other.ptr, bytes)?,
                }
                Ok(Some(tasks.finish_immediate(copy)?))
            }
            Partner::Host(host) => {
                drop(tasks);
                let copied = self.offer(host, span);
                Ok(self.tasks.borrow_mut().finish_offer(end, copied)?)
            }
            Partner::Waiting(..) | Partner::Nobody => Ok(None),
        }
    }

    /// The payload of an end's event, if it has one; else waits for it or says that the built-in is blocked.
    fn take_or_wait(&self, end: EndId, is_async: bool) -> Result<u32> {
        let event = self.tasks.borrow_mut().take_copy_event(end)?;
        if event.is_some() || is_async {
            return Ok(event.map_or(BLOCKED, CopyEvent::payload));
        }
        self.block(WaitFor::End(end))?;
        let event = self.tasks.borrow_mut().take_copy_event(end)?;
        Ok(event.map_or(BLOCKED, CopyEvent::payload))
    }

    /// `{stream,future}.cancel-{read,write}`.
    pub fn cancel_copy(
        &self,
        instance: InstanceId,
        element: &Element,
        kind: EndKind,
        is_async: bool,
        index: u32,
    ) -> Result<u32> {
        let end = self.tasks.borrow().end_to_cancel(instance, index, kind, element, is_async)?;
        let step = self.tasks.borrow_mut().cancel(end)?;
        match step {
            CancelStep::Done(delivered) => Ok(delivered.event.payload()),
            CancelStep::Blocked => {
                self.serve_host_ends();
                self.take_or_wait(end, is_async)
            }
        }
    }

    /// `stream.forward` and `future.forward`.
    pub fn forward(
        &self,
        instance: InstanceId,
        element: &Element,
        readable: (u32, EndKind),
        writable: (u32, EndKind),
    ) -> Result<()> {
        let transfer = self.tasks.borrow_mut().end_forward(instance, readable, writable, element)?;
        if let Some(transfer) = transfer {
            self.finish_transfer(transfer)?;
        }
        self.serve_host_ends();
        Ok(())
    }

    /// `{stream,future}.drop-{readable,writable}`.
    pub fn drop_end(&self, instance: InstanceId, element: &Element, kind: EndKind, index: u32) -> Result<()> {
        self.tasks.borrow_mut().end_drop(instance, index, kind, element)?;
        self.serve_host_ends();
        Ok(())
    }
}

/// The handles of a new pair as the guest gets them.
#[inline]
fn pack((readable, writable): (u32, u32)) -> u64 {
    u64::from(readable) | u64::from(writable) << 32
}
