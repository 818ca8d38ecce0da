//! What lifting and lowering carry along (`LiftLowerContext` of CanonicalABI.md).

use tombolo_types::component::{Abi, Def, PtrWidth, TypeRef, Types};

use super::flat::{FlatSink, FlatSource};
use super::layout::{Case, Fields, flags_mask, wrong};
use super::memory::{self, MAX_BYTE_LENGTH, REALLOC_MAX, Range, check_range, is_pause, list_bytes};
use super::side::{Handle, LiftSide, LowerSide};
use crate::async_value::ErrorContextAny;
use crate::error::Result;
use crate::resource::ResourceAny;

/// What values are lifted from: a guest, with the types of the call.
pub struct LiftContext<'a> {
    types: &'a Types,
    side: &'a mut dyn LiftSide,
    width: PtrWidth,
}

impl<'a> LiftContext<'a> {
    #[inline]
    pub(crate) fn new(types: &'a Types, side: &'a mut dyn LiftSide) -> Self {
        let width = side.width();
        LiftContext { types, side, width }
    }

    pub(super) fn with_width(types: &'a Types, side: &'a mut dyn LiftSide, width: PtrWidth) -> Self {
        LiftContext { types, side, width }
    }

    #[inline]
    pub(crate) fn types(&self) -> &'a Types {
        self.types
    }

    #[inline]
    pub(crate) fn width(&self) -> PtrWidth {
        self.width
    }

    pub(crate) fn side(&mut self) -> &mut dyn LiftSide {
        self.side
    }

    #[inline]
    pub(crate) fn memory(&self) -> &[u8] {
        self.side.memory()
    }

    #[inline]
    pub(crate) fn abi(&self, ty: TypeRef) -> &'a Abi {
        self.types.abi(ty, self.width)
    }

    /// Looks for interrupts in a loop over elements, once in a while.
    pub(crate) fn check_interrupt(&self, index: u64) -> Result<()> {
        if is_pause(index) { self.side.check_interrupt() } else { Ok(()) }
    }

    /// Takes account of `count` host values of `size` bytes that are about to be made.
    #[inline]
    pub(crate) fn charge(&mut self, count: usize, size: usize) -> Result<()> {
        self.side.charge(count.saturating_mul(size))
    }

    #[inline]
    pub(crate) fn load<const N: usize>(&self, ptr: u64) -> Result<[u8; N]> {
        memory::load(self.memory(), ptr)
    }

    #[inline]
    pub(crate) fn load_ptr(&self, ptr: u64) -> Result<u64> {
        memory::load_ptr(self.memory(), ptr, self.width)
    }

    /// The pointer and length that a list or string in memory consists of.
    pub(crate) fn load_pair(&self, ptr: u64) -> Result<(u64, u64)> {
        let second = memory::offset(ptr, self.width.bytes().into());
        Ok((self.load_ptr(ptr)?, self.load_ptr(second)?))
    }

    /// Checks a list's range; the number of elements that are really there is the answer.
    pub(crate) fn check_list(&self, element: TypeRef, ptr: u64, count: u64) -> Result<usize> {
        let abi = self.abi(element);
        let len = list_bytes(count, abi.size, MAX_BYTE_LENGTH)?;
        check_range(self.memory().len(), ptr, len, abi.align, Range::List)?;
        // No more than the bytes, of which there are less than 2^28.
        Ok(count as usize)
    }

    /// The fields of a record or tuple.
    #[doc(hidden)]
    #[inline]
    pub fn fields(&self, ty: TypeRef) -> Result<Fields<'a>> {
        Fields::new(self.types, ty, self.width)
    }

    /// Lifts the discriminant of a variant; [`finish_case`](Self::finish_case) follows its payload.
    #[doc(hidden)]
    #[inline]
    pub fn lift_case(&mut self, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Case> {
        let start = src.taken();
        let index = src.next_u32()?;
        Case::flat(self.types, ty, self.width, index, start)
    }

    /// Passes over the flat values that other cases of the variant would have used.
    #[doc(hidden)]
    #[inline]
    pub fn finish_case(&mut self, case: Case, src: &mut FlatSource<'_>) {
        src.skip_to(case.end());
    }

    /// Loads the discriminant of a variant.
    #[doc(hidden)]
    #[inline]
    pub fn load_case(&mut self, ty: TypeRef, ptr: u64) -> Result<Case> {
        let index = memory::load_uint(self.memory(), ptr, self.abi(ty).discriminant)?;
        Case::stored(self.types, ty, self.width, index, ptr)
    }

    /// Lifts flags; bits without a name are zero.
    #[doc(hidden)]
    pub fn lift_flags(&mut self, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<u32> {
        Ok(src.next_u32()? & flags_mask(self.types, ty)?)
    }

    /// Loads flags; bits without a name are zero.
    #[doc(hidden)]
    pub fn load_flags(&mut self, ty: TypeRef, ptr: u64) -> Result<u32> {
        let bits = memory::load_uint(self.memory(), ptr, self.abi(ty).discriminant)?;
        Ok(bits & flags_mask(self.types, ty)?)
    }

    /// Lifts an `own` or a `borrow` by its index.
    #[inline]
    pub(crate) fn lift_resource(&mut self, ty: TypeRef, index: u32) -> Result<ResourceAny> {
        match self.types.get(ty) {
            Some(Def::Own(resource)) => self.side.lift_own(*resource, index),
            Some(Def::Borrow(resource)) => self.side.lift_borrow(*resource, index),
            _ => Err(wrong(self.types, ty, "resource")),
        }
    }

    /// Lifts a `stream` or a `future` by its index.
    pub(crate) fn lift_async_value(&mut self, ty: TypeRef, index: u32) -> Result<Handle> {
        match (ty, self.types.get(ty)) {
            (TypeRef::Def(def), Some(Def::Stream(_) | Def::Future(_))) => {
                self.side.lift_async_value(def, index)
            }
            _ => Err(wrong(self.types, ty, "stream or future")),
        }
    }

    /// Lifts an `error-context` by its index.
    pub(crate) fn lift_error_context(&mut self, index: u32) -> Result<ErrorContextAny> {
        self.side.lift_error_context(index)
    }
}

/// What values are lowered into: a guest, with the types of the call.
pub struct LowerContext<'a> {
    types: &'a Types,
    side: &'a mut dyn LowerSide,
    width: PtrWidth,
}

impl<'a> LowerContext<'a> {
    #[inline]
    pub(crate) fn new(types: &'a Types, side: &'a mut dyn LowerSide) -> Self {
        let width = side.width();
        LowerContext { types, side, width }
    }

    pub(super) fn with_width(types: &'a Types, side: &'a mut dyn LowerSide, width: PtrWidth) -> Self {
        LowerContext { types, side, width }
    }

    #[inline]
    pub(crate) fn types(&self) -> &'a Types {
        self.types
    }

    #[inline]
    pub(crate) fn width(&self) -> PtrWidth {
        self.width
    }

    pub(crate) fn side(&mut self) -> &mut dyn LowerSide {
        self.side
    }

    #[inline]
    pub(crate) fn memory(&mut self) -> &mut [u8] {
        self.side.memory()
    }

    #[inline]
    pub(crate) fn abi(&self, ty: TypeRef) -> &'a Abi {
        self.types.abi(ty, self.width)
    }

    /// Looks for interrupts in a loop over elements, once in a while.
    pub(crate) fn check_interrupt(&self, index: u64) -> Result<()> {
        if is_pause(index) { self.side.check_interrupt() } else { Ok(()) }
    }

    #[inline]
    pub(crate) fn store<const N: usize>(&mut self, ptr: u64, value: [u8; N]) -> Result<()> {
        memory::store(self.memory(), ptr, value)
    }

    /// Stores the pointer and length of a list or string.
    pub(crate) fn store_pair(&mut self, ptr: u64, pair: (u64, u64)) -> Result<()> {
        let width = self.width;
        memory::store_ptr(self.memory(), ptr, width, pair.0)?;
        memory::store_ptr(self.memory(), memory::offset(ptr, width.bytes().into()), width, pair.1)
    }

    /// Pushes the pointer and length of a list or string.
    pub(crate) fn push_pair(&mut self, dst: &mut FlatSink, pair: (u64, u64)) -> Result<()> {
        dst.push_u64(pair.0)?;
        dst.push_u64(pair.1)
    }

    /// Room for `size` bytes in the guest's memory.
    pub(crate) fn allocate(&mut self, align: u32, size: u64) -> Result<u64> {
        memory::realloc(self.side, 0, 0, align, size)
    }

    /// Room for `count` elements of a list.
    pub(crate) fn allocate_list(&mut self, element: TypeRef, count: usize) -> Result<u64> {
        let abi = self.abi(element);
        let size = list_bytes(count as u64, abi.size, REALLOC_MAX)?;
        self.allocate(abi.align, size)
    }

    /// The fields of a record or tuple.
    #[doc(hidden)]
    #[inline]
    pub fn fields(&self, ty: TypeRef) -> Result<Fields<'a>> {
        Fields::new(self.types, ty, self.width)
    }

    /// Lowers the discriminant of a variant; [`finish_case`](Self::finish_case) follows its payload.
    #[doc(hidden)]
    pub fn lower_case(&mut self, ty: TypeRef, index: u32, dst: &mut FlatSink) -> Result<Case> {
        let case = Case::flat(self.types, ty, self.width, index, dst.len())?;
        dst.push_u32(index)?;
        Ok(case)
    }

    /// Fills up with zeros what other cases of the variant would have used.
    #[doc(hidden)]
    #[inline]
    pub fn finish_case(&mut self, case: Case, dst: &mut FlatSink) -> Result<()> {
        dst.pad_to(case.end())
    }

    /// Stores the discriminant of a variant.
    #[doc(hidden)]
    #[inline]
    pub fn store_case(&mut self, ty: TypeRef, index: u32, ptr: u64) -> Result<Case> {
        let case = Case::stored(self.types, ty, self.width, index, ptr)?;
        let size = self.abi(ty).discriminant;
        memory::store_uint(self.memory(), ptr, size, index)?;
        Ok(case)
    }

    /// Stores flags.
    #[doc(hidden)]
    pub fn store_flags(&mut self, ty: TypeRef, bits: u32, ptr: u64) -> Result<()> {
        let size = self.abi(ty).discriminant;
        memory::store_uint(self.memory(), ptr, size, bits)
    }

    /// Lowers a resource as an `own` or a `borrow` and returns its index.
    #[inline]
    pub(crate) fn lower_resource(&mut self, ty: TypeRef, value: &ResourceAny) -> Result<u32> {
        match self.types.get(ty) {
            Some(Def::Own(resource)) => self.side.lower_own(*resource, value),
            Some(Def::Borrow(resource)) => self.side.lower_borrow(*resource, value),
            _ => Err(wrong(self.types, ty, "resource")),
        }
    }

    /// Lowers a `stream` or a `future` and returns its index.
    pub(crate) fn lower_async_value(&mut self, ty: TypeRef, value: Handle) -> Result<u32> {
        match (ty, self.types.get(ty)) {
            (TypeRef::Def(def), Some(Def::Stream(_) | Def::Future(_))) => {
                self.side.lower_async_value(def, value)
            }
            _ => Err(wrong(self.types, ty, "stream or future")),
        }
    }

    /// Lowers an `error-context` and returns its index.
    pub(crate) fn lower_error_context(&mut self, value: &ErrorContextAny) -> Result<u32> {
        self.side.lower_error_context(value)
    }
}
