//! Guests for tests: a memory, a bump allocator that can misbehave, a handle table.

use std::cell::Cell;
use std::collections::BTreeMap;

use tombolo_types::component::{DefId, PtrWidth, ResourceIdx, Types};

use super::context::{LiftContext, LowerContext};
use super::side::{Bridge, Encoding, Handle, LiftSide, LowerSide};
use crate::async_value::ErrorContextAny;
use crate::error::{Error, Result};
use crate::resource::{ResourceAny, ResourceType};

/// What a guest's `realloc` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Realloc {
    Honest,
    /// Honest, and every call moves the block and enlarges the memory.
    Growing,
    /// Returns an odd pointer.
    Misaligned,
    /// Returns a block of which the last byte is beyond the memory.
    OutOfBounds,
    /// Returns a pointer near the end of the address space.
    Wrapping,
    Trapping,
    /// Honest, and overwrites all that the memory held with this byte.
    Scribbling(u8),
}

#[derive(Debug)]
pub(super) struct Guest {
    pub(super) memory: Vec<u8>,
    pub(super) width: PtrWidth,
    pub(super) encoding: Encoding,
    pub(super) realloc: Realloc,
    /// The calls of `realloc`, with what each returned.
    pub(super) calls: Vec<([u64; 4], u64)>,
    pub(super) charged: usize,
    pub(super) budget: usize,
    pub(super) handles: BTreeMap<u32, Held>,
    pub(super) next: u64,
    /// How often interrupts were looked for.
    pub(super) looks: Cell<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Resource(ResourceAny),
    Async(Handle),
    ErrorContext(ErrorContextAny),
}

impl Guest {
    pub(super) fn new(width: PtrWidth, encoding: Encoding) -> Self {
        Guest {
            memory: vec![0xaa; 64],
            width,
            encoding,
            realloc: Realloc::Honest,
            calls: Vec::new(),
            charged: 0,
            budget: 1 << 30,
            handles: BTreeMap::new(),
            next: 8,
            looks: Cell::new(0),
        }
    }

    /// A guest with UTF-8, 32-bit pointers and these bytes at the start of its memory.
    pub(super) fn with_memory(bytes: &[u8]) -> Self {
        Guest {
            memory: bytes.to_vec(),
            next: bytes.len() as u64,
            ..Guest::new(PtrWidth::Bits32, Encoding::Utf8)
        }
    }

    pub(super) fn misbehaving(realloc: Realloc) -> Self {
        Guest { realloc, ..Guest::new(PtrWidth::Bits32, Encoding::Utf8) }
    }

    pub(super) fn lift<'a>(&'a mut self, types: &'a Types) -> LiftContext<'a> {
        LiftContext::new(types, self)
    }

    pub(super) fn lower<'a>(&'a mut self, types: &'a Types) -> LowerContext<'a> {
        LowerContext::new(types, self)
    }

    /// The arguments of the calls of `realloc`, without the old pointers.
    pub(super) fn sizes(&self) -> Vec<[u64; 3]> {
        self.calls.iter().map(|([_, old_size, align, new_size], _)| [*old_size, *align, *new_size]).collect()
    }

    /// Puts bytes at the next place that is a multiple of 16.
    pub(super) fn put(&mut self, bytes: &[u8]) -> u64 {
        let ptr = self.bump(16, bytes.len() as u64);
        self.memory[ptr as usize..][..bytes.len()].copy_from_slice(bytes);
        ptr
    }

    pub(super) fn hold(&mut self, held: Held) -> u32 {
        let index = self.handles.last_key_value().map_or(1, |(last, _)| last + 1);
        self.handles.insert(index, held);
        index
    }

    fn bump(&mut self, align: u64, size: u64) -> u64 {
        let ptr = self.next.next_multiple_of(align);
        self.next = ptr + size;
        if self.memory.len() < self.next as usize {
            self.memory.resize(self.next as usize, 0xaa);
        }
        ptr
    }

    fn held(&self, index: u32) -> Result<Held> {
        self.handles.get(&index).cloned().ok_or_else(|| Error::abi(format!("unknown handle index {index}")))
    }
}

pub(super) fn resource(rep: u32, owned: bool) -> ResourceAny {
    ResourceAny { ty: ResourceType::host::<()>(), rep: rep.into(), owned }
}

impl LiftSide for Guest {
    fn width(&self) -> PtrWidth {
        self.width
    }

    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn memory(&self) -> &[u8] {
        &self.memory
    }

    fn check_interrupt(&self) -> Result<()> {
        self.looks.set(self.looks.get() + 1);
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<()> {
        self.charged = self.charged.saturating_add(bytes);
        if self.charged > self.budget { Err(Error::abi("over budget")) } else { Ok(()) }
    }

    fn lift_own(&mut self, _: ResourceIdx, index: u32) -> Result<ResourceAny> {
        let held = self.held(index)?;
        self.handles.remove(&index);
        match held {
            Held::Resource(resource) if resource.owned => Ok(resource),
            _ => Err(Error::abi("not an owned resource")),
        }
    }

    fn lift_borrow(&mut self, _: ResourceIdx, index: u32) -> Result<ResourceAny> {
        match self.held(index)? {
            Held::Resource(resource) => Ok(ResourceAny { owned: false, ..resource }),
            _ => Err(Error::abi("not a resource")),
        }
    }

    fn lift_async_value(&mut self, _: DefId, index: u32) -> Result<Handle> {
        let held = self.held(index)?;
        self.handles.remove(&index);
        match held {
            Held::Async(handle) => Ok(handle),
            _ => Err(Error::abi("not a stream or future")),
        }
    }

    fn lift_error_context(&mut self, index: u32) -> Result<ErrorContextAny> {
        match self.held(index)? {
            Held::ErrorContext(context) => Ok(context),
            _ => Err(Error::abi("not an error context")),
        }
    }
}

impl LowerSide for Guest {
    fn width(&self) -> PtrWidth {
        self.width
    }

    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn memory(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    fn check_interrupt(&self) -> Result<()> {
        LiftSide::check_interrupt(self)
    }

    fn realloc(&mut self, old: u64, old_size: u64, align: u32, new_size: u64) -> Result<u64> {
        let shrinks = old != 0 && new_size < old_size;
        let ptr = match self.realloc {
            Realloc::Trapping => return Err(Error::abi("realloc trapped")),
            Realloc::Misaligned => self.bump(8, new_size + 1) + 1,
            Realloc::OutOfBounds => (self.memory.len() as u64 + 1 - new_size).next_multiple_of(align.into()),
            Realloc::Wrapping => !7,
            Realloc::Honest if shrinks => old.next_multiple_of(align.into()),
            Realloc::Growing => {
                self.memory.resize(self.memory.len() + 64, 0xbb);
                self.next = self.memory.len() as u64;
                self.bump(align.into(), new_size)
            }
            Realloc::Honest | Realloc::Scribbling(_) => self.bump(align.into(), new_size),
        };
        let keep = old_size.min(new_size) as usize;
        if let Realloc::Scribbling(byte) = self.realloc {
            self.memory.fill(byte);
        } else if (ptr as usize).checked_add(keep).is_some_and(|end| end <= self.memory.len()) {
            self.memory.copy_within(old as usize..old as usize + keep, ptr as usize);
        }
        self.calls.push(([old, old_size, align.into(), new_size], ptr));
        Ok(ptr)
    }

    fn lower_own(&mut self, _: ResourceIdx, value: &ResourceAny) -> Result<u32> {
        Ok(self.hold(Held::Resource(*value)))
    }

    fn lower_borrow(&mut self, _: ResourceIdx, value: &ResourceAny) -> Result<u32> {
        Ok(self.hold(Held::Resource(*value)))
    }

    fn lower_async_value(&mut self, _: DefId, value: Handle) -> Result<u32> {
        Ok(self.hold(Held::Async(value)))
    }

    fn lower_error_context(&mut self, value: &ErrorContextAny) -> Result<u32> {
        Ok(self.hold(Held::ErrorContext(value.clone())))
    }
}

/// A call from one guest to another.
pub(super) struct Pair {
    pub(super) source: Guest,
    pub(super) target: Guest,
}

impl Bridge for Pair {
    fn source(&mut self) -> &mut dyn LiftSide {
        &mut self.source
    }

    fn target(&mut self) -> &mut dyn LowerSide {
        &mut self.target
    }

    fn copy(&mut self, from: u64, to: u64, len: u64) -> Result<()> {
        let from = super::memory::bytes(&self.source.memory, from, len)?;
        super::memory::bytes_mut(&mut self.target.memory, to, len)?.copy_from_slice(from);
        Ok(())
    }
}

/// A call from a guest to itself: one memory.
pub(super) struct Same(pub(super) Guest);

impl Bridge for Same {
    fn source(&mut self) -> &mut dyn LiftSide {
        &mut self.0
    }

    fn target(&mut self) -> &mut dyn LowerSide {
        &mut self.0
    }

    fn copy(&mut self, from: u64, to: u64, len: u64) -> Result<()> {
        super::memory::bytes(&self.0.memory, from, len)?;
        super::memory::bytes(&self.0.memory, to, len)?;
        self.0.memory.copy_within(from as usize..(from + len) as usize, to as usize);
        Ok(())
    }
}

/// Asserts that something failed with a trap of the Canonical ABI that says this.
#[track_caller]
pub(super) fn assert_traps<T: std::fmt::Debug>(result: Result<T>, message: &str) {
    let error = result.expect_err("a trap");
    let text = error.to_string();
    assert!(error.trap().is_some() && text.contains(message), "{text:?} instead of {message:?}");
}
