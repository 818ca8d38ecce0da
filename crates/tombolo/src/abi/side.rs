//! What the Canonical ABI needs of the two sides of a call.

use tombolo_types::component::{DefId, PtrWidth, ResourceIdx};

use crate::async_value::ErrorContextAny;
use crate::error::Result;
use crate::resource::ResourceAny;

/// A string encoding, as a canonical option names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    #[default]
    Utf8,
    Utf16,
    /// Latin-1 or UTF-16, told apart by the highest bit of the length.
    CompactUtf16,
}

/// A stream or future that has left one side and not yet entered another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(pub u32, pub u32);

/// The guest that values are lifted from.
pub(crate) trait LiftSide {
    /// Width of its pointers.
    fn width(&self) -> PtrWidth;
    /// How its strings are encoded.
    fn encoding(&self) -> Encoding;
    /// Its memory; empty if the call has none.
    fn memory(&self) -> &[u8];
    /// Does what guests' checks do. To be called in each loop whose length a guest decides.
    fn check_interrupt(&self) -> Result<()>;
    /// Takes account of `bytes` that the host is about to hold for this guest.
    fn charge(&mut self, bytes: usize) -> Result<()>;
    /// `lift_own`: takes the handle out of the guest's table.
    fn lift_own(&mut self, resource: ResourceIdx, index: u32) -> Result<ResourceAny>;
    /// `lift_borrow`: lends the handle for the length of the call.
    fn lift_borrow(&mut self, resource: ResourceIdx, index: u32) -> Result<ResourceAny>;
    /// `lift_stream` and `lift_future`, told apart by the definition: takes the readable end out of the table.
    fn lift_async_value(&mut self, def: DefId, index: u32) -> Result<Handle>;
    /// `lift_error_context`.
    fn lift_error_context(&mut self, index: u32) -> Result<ErrorContextAny>;
}

/// The guest that values are lowered into.
pub(crate) trait LowerSide {
    /// Width of its pointers.
    fn width(&self) -> PtrWidth;
    /// How its strings are encoded.
    fn encoding(&self) -> Encoding;
    /// Its memory now; empty if the call has none. Another one after every `realloc`.
    fn memory(&mut self) -> &mut [u8];
    /// Does what guests' checks do. To be called in each loop whose length a guest decides.
    fn check_interrupt(&self) -> Result<()>;
    /// Calls the guest's `realloc`. The result is checked for alignment and bounds already.
    fn realloc(&mut self, old: u64, old_size: u64, align: u32, new_size: u64) -> Result<u64>;
    /// `lower_own`.
    fn lower_own(&mut self, resource: ResourceIdx, value: &ResourceAny) -> Result<u32>;
    /// `lower_borrow`.
    fn lower_borrow(&mut self, resource: ResourceIdx, value: &ResourceAny) -> Result<u32>;
    /// `lower_stream` and `lower_future`: puts the readable end into the table.
    fn lower_async_value(&mut self, def: DefId, value: Handle) -> Result<u32>;
    /// `lower_error_context`.
    fn lower_error_context(&mut self, value: &ErrorContextAny) -> Result<u32>;
}

/// Two guests, the first lifted from and the second lowered into. They may be one instance with one memory.
pub(crate) trait Bridge {
    /// The guest that values come from.
    fn source(&mut self) -> &mut dyn LiftSide;
    /// The guest that values go to.
    fn target(&mut self) -> &mut dyn LowerSide;
    /// Copies `len` bytes from the source's memory to the target's, both checked; the ranges may overlap.
    fn copy(&mut self, from: u64, to: u64, len: u64) -> Result<()>;
}
