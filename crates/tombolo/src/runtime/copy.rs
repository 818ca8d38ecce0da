//! Copying stream and future elements between guests.

use std::sync::Arc;

use tombolo_tasks::{Buffer, CopyEvent, CopyStep, Transfer};
use tombolo_types::component::TypeRef;

use super::Runtime;
use super::core::StoreCore;
use super::guest::{Fault, Guest, GuestBridge, Scope, copy_between};
use crate::abi::{Elements, translate_elements};
use crate::error::{Error, Result};

/// Where a pending read or write of a guest has its elements.
#[derive(Clone)]
pub(crate) struct CopyBuffer {
    pub guest: Arc<Guest>,
    pub ty: Option<TypeRef>,
    ptr: u64,
    size: u64,
    length: u32,
    progress: u32,
}

impl Buffer for CopyBuffer {
    #[inline]
    fn remain(&self) -> u32 {
        self.length.saturating_sub(self.progress)
    }

    #[inline]
    fn progress(&self) -> u32 {
        self.progress
    }

    #[inline]
    fn advance(&mut self, count: u32) {
        self.progress = self.progress.saturating_add(count);
    }
}

impl CopyBuffer {
    /// A buffer that was [checked](CopyBuffer::check), with elements of this size.
    #[inline]
    pub fn new(guest: &Arc<Guest>, ty: Option<TypeRef>, size: u64, ptr: u64, length: u32) -> Self {
        CopyBuffer { guest: guest.clone(), ty, ptr, size, length, progress: 0 }
    }

    /// Checks a buffer that a guest names (`GuestBuffer.__init__`), and returns the size of an element.
    #[inline]
    pub fn check(core: &StoreCore, guest: &Guest, ty: Option<TypeRef>, ptr: u64, length: u32) -> Result<u64> {
        if length > tombolo_tasks::MAX_BUFFER_LENGTH {
            return Err(Error::abi(format!("a stream buffer of {length} elements is too long")));
        }
        let mut size = 0;
        if let Some(ty) = ty {
            let abi = guest.env.types.abi(ty, guest.width);
            size = abi.size;
            if length > 0 {
                if !ptr.is_multiple_of(abi.align.into()) {
                    return Err(Error::abi(format!("the buffer {ptr:#x} is not aligned to {}", abi.align)));
                }
                let end = size.checked_mul(length.into()).and_then(|bytes| ptr.checked_add(bytes));
                if end.is_none_or(|end| end > guest.bytes(core).len() as u64) {
                    return Err(Error::abi(format!(
                        "the buffer {ptr:#x} of {length} elements is out of bounds"
                    )));
                }
            }
        }
        Ok(size)
    }

    /// Address of the first element that was not copied yet.
    #[inline]
    pub fn position(&self) -> u64 {
        self.ptr.saturating_add(self.size.saturating_mul(self.progress.into()))
    }

    /// Bytes per element.
    #[inline]
    pub fn element_size(&self) -> u64 {
        self.size
    }
}

impl StoreCore {
    /// Carries a copy to its end, or to where it has to wait.
    #[inline]
    pub(super) fn finish_copy(&self, step: CopyStep<Runtime>) -> Result<Option<CopyEvent>> {
        match step {
            CopyStep::Pending => Ok(None),
            CopyStep::Done(delivered) => Ok(Some(delivered.event)),
            CopyStep::Transfer(transfer) => self.finish_transfer(transfer),
        }
    }

    pub(super) fn finish_transfer(&self, transfer: Transfer) -> Result<Option<CopyEvent>> {
        let step = match self.transfer(&transfer) {
            Ok(()) => self.tasks.borrow_mut().finish_transfer(transfer)?,
            Err(Fault { error, instance }) if self.running() == Some(instance) => return Err(error),
            Err(Fault { error, instance }) => {
                self.end_instance(instance, &error);
                // If it was the other end's guest, this one sees that it is gone.
                let abandoned = self.tasks.borrow_mut().abandon_transfer(transfer);
                abandoned.map_err(|_| error)?
            }
        };
        self.finish_copy(step)
    }

    fn transfer(&self, transfer: &Transfer) -> Result<(), Fault> {
        let plain = |from: &CopyBuffer, to: &CopyBuffer| {
            let bytes = from.size.saturating_mul(transfer.count.into());
            let copied = copy_between(self, &from.guest, from.position(), &to.guest, to.position(), bytes);
            copied.map_err(|error| Fault { error, instance: self.running().unwrap_or(from.guest.instance) })
        };
        let (to, from) = {
            let mut tasks = self.tasks.borrow_mut();
            let Ok((to, from)) = tasks.buffers_mut(transfer.reader, transfer.writer) else { return Ok(()) };
            // No guest runs meanwhile, and nobody else if the copy is not interrupted.
            if from.ty.is_some_and(TypeRef::is_plain) && !self.engine.has_deadlines() {
                return plain(from, to);
            }
            (to.clone(), from.clone())
        };
        let (Some(from_ty), Some(to_ty)) = (from.ty, to.ty) else { return Ok(()) };
        if from_ty.is_plain() {
            return plain(&from, &to);
        }
        let mut bridge = GuestBridge::new(from.guest.lift(self, Scope::None), to.guest.lower(self, None));
        translate_elements(
            &mut bridge,
            Elements { types: &from.guest.env.types, element: from_ty, ptr: from.position() },
            Elements { types: &to.guest.env.types, element: to_ty, ptr: to.position() },
            transfer.count.into(),
        )
        .map_err(|error| {
            let runner = self.running().unwrap_or(from.guest.instance);
            bridge.at_fault(error, runner)
        })
    }
}
