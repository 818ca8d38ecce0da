//! Loads and stores: how an address is checked.
//!
//! A 32-bit memory with 64 KiB pages lies in a reservation that it never leaves, followed by a guard. Whatever a 32-bit
//! address and a moderate offset reach is in the memory, or faults. Any other access compares with the length. Where
//! that fails, the address becomes null, which faults too: the page at null is never mapped. Without a branch there is
//! nothing to mispredict.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use tombolo_types::core::MemoryType;
use wasmparser::{MemArg, MemArgTarget, Operator};

use super::{Region, Translator, trap};
use crate::CompileError;
use crate::signature::V128;
use crate::vmctx::{Builtin, MEMORY_GUARD, TrapCode, definition};

/// An address that has been checked, and how to access it.
pub(super) struct Address {
    pub(super) base: Value,
    pub(super) offset: i32,
    pub(super) flags: MemFlagsData,
}

/// The narrowest page there is: no access at an offset below this from null is to anything mapped.
const NULL_PAGE: u64 = 4096;

impl Translator<'_, '_> {
    pub(super) fn memory_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        use Operator::*;
        match op {
            I32Load { memarg } => self.load(memarg, types::I32),
            I64Load { memarg } => self.load(memarg, types::I64),
            F32Load { memarg } => self.load(memarg, types::F32),
            F64Load { memarg } => self.load(memarg, types::F64),
            I32Load8S { memarg } => self.load_extend(memarg, types::I8, types::I32, true),
            I32Load8U { memarg } => self.load_extend(memarg, types::I8, types::I32, false),
            I32Load16S { memarg } => self.load_extend(memarg, types::I16, types::I32, true),
            I32Load16U { memarg } => self.load_extend(memarg, types::I16, types::I32, false),
            I64Load8S { memarg } => self.load_extend(memarg, types::I8, types::I64, true),
            I64Load8U { memarg } => self.load_extend(memarg, types::I8, types::I64, false),
            I64Load16S { memarg } => self.load_extend(memarg, types::I16, types::I64, true),
            I64Load16U { memarg } => self.load_extend(memarg, types::I16, types::I64, false),
            I64Load32S { memarg } => self.load_extend(memarg, types::I32, types::I64, true),
            I64Load32U { memarg } => self.load_extend(memarg, types::I32, types::I64, false),
            I32Store { memarg } | I64Store { memarg } | F32Store { memarg } | F64Store { memarg } => {
                self.store(memarg)
            }
            I32Store8 { memarg } | I64Store8 { memarg } => self.store_part(memarg, types::I8),
            I32Store16 { memarg } | I64Store16 { memarg } => self.store_part(memarg, types::I16),
            I64Store32 { memarg } => self.store_part(memarg, types::I32),
            V128Load { memarg } => self.load(memarg, V128),
            V128Store { memarg } => self.store(memarg),
            MemorySize { mem } => self.memory_size(*mem),
            MemoryGrow { mem } => self.memory_grow(*mem),
            _ => Ok(false),
        }
    }

    fn load(&mut self, memarg: &MemArg, ty: Type) -> Result<bool, CompileError> {
        let address = self.pop_address(memarg, ty.bytes())?;
        let value = self.builder.ins().load(ty, address.flags, address.base, address.offset);
        self.push(value);
        Ok(true)
    }

    fn load_extend(
        &mut self,
        memarg: &MemArg,
        part: Type,
        whole: Type,
        signed: bool,
    ) -> Result<bool, CompileError> {
        let Address { base, offset, flags } = self.pop_address(memarg, part.bytes())?;
        let ins = self.builder.ins();
        let value = match (part, signed) {
            (types::I8, true) => ins.sload8(whole, flags, base, offset),
            (types::I8, false) => ins.uload8(whole, flags, base, offset),
            (types::I16, true) => ins.sload16(whole, flags, base, offset),
            (types::I16, false) => ins.uload16(whole, flags, base, offset),
            (_, true) => ins.sload32(flags, base, offset),
            (_, false) => ins.uload32(flags, base, offset),
        };
        self.push(value);
        Ok(true)
    }

    fn store(&mut self, memarg: &MemArg) -> Result<bool, CompileError> {
        let value = self.pop()?;
        let width = self.builder.func.dfg.value_type(value).bytes();
        let address = self.pop_address(memarg, width)?;
        self.builder.ins().store(address.flags, value, address.base, address.offset);
        Ok(true)
    }

    fn store_part(&mut self, memarg: &MemArg, part: Type) -> Result<bool, CompileError> {
        let value = self.pop()?;
        let Address { base, offset, flags } = self.pop_address(memarg, part.bytes())?;
        let ins = self.builder.ins();
        match part {
            types::I8 => ins.istore8(flags, value, base, offset),
            types::I16 => ins.istore16(flags, value, base, offset),
            _ => ins.istore32(flags, value, base, offset),
        };
        Ok(true)
    }

    /// Takes an index from the stack and checks an access there.
    pub(super) fn pop_address(&mut self, memarg: &MemArg, width: u32) -> Result<Address, CompileError> {
        let MemArgTarget::Memory(memory) = memarg.target else {
            return Err(self.unsupported("array accesses of several bytes (GC proposal)"));
        };
        let index = self.pop()?;
        self.address(memory, index, memarg.offset, width)
    }

    /// Checks an access of a width at an index plus an offset.
    pub(super) fn address(
        &mut self,
        memory: u32,
        index: Value,
        offset: u64,
        width: u32,
    ) -> Result<Address, CompileError> {
        let ty = self.memory_type(memory)?;
        let flags = self.trapping(Region::Memories, TrapCode::MemoryOutOfBounds);
        let index = self.extend_index(index);
        let end = offset.checked_add(u64::from(width));
        if is_guarded(&ty)
            && let Some(end) = end
            && end <= MEMORY_GUARD
        {
            let base = self.memory_base(memory)?;
            let base = self.builder.ins().iadd(base, index);
            return Ok(Address { base, offset: offset as i32, flags });
        }

        let null = self.builder.ins().iconst(types::I64, 0);
        let Some(end) = end else {
            // No index is small enough.
            return Ok(Address { base: null, offset: 0, flags });
        };
        let past = self.builder.ins().iconst(types::I64, end as i64);
        let past = if ty.memory64 {
            self.builder.ins().uadd_overflow_trap(index, past, trap(TrapCode::MemoryOutOfBounds))
        } else {
            self.builder.ins().iadd(index, past)
        };
        let length = self.memory_length(memory)?;
        let outside = self.builder.ins().icmp(IntCC::UnsignedGreaterThan, past, length);
        let base = self.memory_base(memory)?;
        let mut address = self.builder.ins().iadd(base, index);
        let mut left = 0;
        if end <= NULL_PAGE {
            left = offset as i32;
        } else {
            let offset = self.builder.ins().iconst(types::I64, offset as i64);
            address = self.builder.ins().iadd(address, offset);
        }
        let base = self.builder.ins().select_spectre_guard(outside, null, address);
        Ok(Address { base, offset: left, flags })
    }

    fn memory_size(&mut self, memory: u32) -> Result<bool, CompileError> {
        let ty = self.memory_type(memory)?;
        let length = self.memory_length(memory)?;
        let shift = self.builder.ins().iconst(types::I64, i64::from(ty.page_size_log2));
        let pages = self.builder.ins().ushr(length, shift);
        let pages = self.narrow_index(pages, ty.memory64);
        self.push(pages);
        Ok(true)
    }

    fn memory_grow(&mut self, memory: u32) -> Result<bool, CompileError> {
        let ty = self.memory_type(memory)?;
        let pages = self.pop()?;
        let pages = self.extend_index(pages);
        let number = self.number(memory);
        // Failure is -1 in either width.
        let old = self.builtin(Builtin::MemoryGrow, &[number, pages], Some(types::I64))?;
        let old = self.narrow_index(old, ty.memory64);
        self.push(old);
        Ok(true)
    }

    /// Where a memory begins: it never moves.
    pub(super) fn memory_base(&mut self, memory: u32) -> Result<Value, CompileError> {
        let (base, offset) = self.memory_definition(memory)?;
        let flags = self.fixed(Region::Context);
        Ok(self.builder.ins().load(types::I64, flags, base, offset + definition::BASE as i32))
    }

    /// The length of a memory in bytes.
    pub(super) fn memory_length(&mut self, memory: u32) -> Result<Value, CompileError> {
        let (base, offset) = self.memory_definition(memory)?;
        let flags = self.flags(Region::Context);
        Ok(self.builder.ins().load(types::I64, flags, base, offset + definition::LENGTH as i32))
    }

    fn memory_definition(&mut self, memory: u32) -> Result<(Value, i32), CompileError> {
        let layout = self.env.layout;
        match memory.checked_sub(self.env.info.imported_memories) {
            Some(defined) => {
                let offset = self.context_offset(layout.memories, defined, definition::SIZE)?;
                Ok((self.vmctx, offset as i32))
            }
            None => {
                let offset = self.context_offset(layout.imported_memories, memory, 8)?;
                Ok((self.fixed_pointer(self.vmctx, offset), 0))
            }
        }
    }
}

/// Whether a memory is reserved whole, with a guard behind it, and so never moves.
fn is_guarded(ty: &MemoryType) -> bool {
    !ty.memory64 && !ty.shared && ty.page_size_log2 == 16
}
