//! Copying stream and future elements between guests.

use std::sync::Arc;

use tombolo_tasks::{Buffer, CopyEvent, CopyStep, Transfer};
use tombolo_types::component::TypeRef;

use super::Runtime;
use super::core::StoreCore;
use super::guest::{Fault, Guest, GuestBridge, Scope, copy_between};
use crate::abi::{Elements, translate_elements};
use crate::error::{Error, Result};

/// Elements in a guest's memory, or room for some.
#[derive(Clone, Copy)]
pub(crate) struct Span<'a> {
    pub guest: &'a Guest,
    pub ty: Option<TypeRef>,
    pub ptr: u64,
    /// Bytes per element.
    pub size: u64,
    /// How many elements.
    pub length: u32,
}

impl<'a> Span<'a> {
    /// Checks a buffer that a guest names (`GuestBuffer.__init__`).
    #[inline]
    pub fn new(
        core: &StoreCore,
        guest: &'a Guest,
        ty: Option<TypeRef>,
        ptr: u64,
        length: u32,
    ) -> Result<Self> {
        if length > tombolo_tasks::MAX_BUFFER_LENGTH {
            return Err(too_long(length.into()));
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
        Ok(Span { guest, ty, ptr, size, length })
    }

    /// Where the element is that comes after `count` others.
    #[inline]
    pub fn address(&self, count: u64) -> u64 {
        self.ptr.saturating_add(self.size.saturating_mul(count))
    }

    /// What comes after `count` elements.
    #[inline]
    pub fn after(self, count: u32) -> Self {
        Span { ptr: self.address(count.into()), length: self.length.saturating_sub(count), ..self }
    }
}

/// The error of a buffer of too many elements.
#[cold]
pub(super) fn too_long(length: u64) -> Error {
    Error::abi(format!("a stream buffer of {length} elements is too long"))
}

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
    /// A buffer of a span, which is the guest's.
    #[inline]
    pub fn new(guest: &Arc<Guest>, span: Span<'_>) -> Self {
        let Span { ty, ptr, size, length, .. } = span;
        CopyBuffer { guest: guest.clone(), ty, ptr, size, length, progress: 0 }
    }

    /// What was not copied yet.
    #[inline]
    pub fn rest(&self) -> Span<'_> {
        let CopyBuffer { ty, ptr, size, length, .. } = *self;
        Span { guest: &self.guest, ty, ptr, size, length }.after(self.progress)
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
            let (from_ptr, to_ptr) = (from.rest().ptr, to.rest().ptr);
            let copied = copy_between(self, &from.guest, from_ptr, &to.guest, to_ptr, bytes);
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
            Elements { types: &from.guest.env.types, element: from_ty, ptr: from.rest().ptr },
            Elements { types: &to.guest.env.types, element: to_ty, ptr: to.rest().ptr },
            transfer.count.into(),
        )
        .map_err(|error| {
            let runner = self.running().unwrap_or(from.guest.instance);
            bridge.at_fault(error, runner)
        })
    }
}
