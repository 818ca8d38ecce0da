//! Tables.
//!
//! An index is compared with the length; where that fails, the element's address becomes null, which faults: as for
//! memories, there is no branch to mispredict. A table never moves.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use tombolo_types::core::TableType;
use wasmparser::Operator;

use super::{Region, Translator};
use crate::CompileError;
use crate::signature::POINTER;
use crate::vmctx::{Builtin, ELEMENT_SIZE, TrapCode, definition};

/// Elements that cost as much as an instruction, as a power of 2.
const ELEMENTS_OF_FUEL: u8 = 3;

impl Translator<'_, '_> {
    pub(super) fn table_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        match *op {
            Operator::TableGet { table } => {
                let index = self.pop()?;
                let value = self.table_get(table, index)?;
                self.push(value);
            }
            Operator::TableSet { table } => {
                let (index, value) = self.pop2()?;
                let address = self.element_address(table, index)?;
                let flags = self.trapping(Region::Tables, TrapCode::TableOutOfBounds);
                self.builder.ins().store(flags, value, address, 0);
            }
            Operator::TableSize { table } => {
                let ty = self.table_type(table)?;
                let length = self.table_length(table)?;
                let length = self.narrow_index(length, ty.table64);
                self.push(length);
            }
            Operator::TableGrow { table } => {
                let ty = self.table_type(table)?;
                let (value, delta) = self.pop2()?;
                let delta = self.extend_index(delta);
                let number = self.number(table);
                // Failure is -1 in either width; then there is nothing to fill.
                let old = self.builtin(Builtin::TableGrow, &[number, delta], Some(types::I64))?;
                let failed = self.builder.ins().icmp_imm_s(IntCC::Equal, old, -1);
                let none = self.builder.ins().iconst(types::I64, 0);
                let start = self.builder.ins().select(failed, none, old);
                let len = self.builder.ins().select(failed, none, delta);
                // Filling is what takes long, and a failure costs nothing, however much was asked for.
                self.spend_for(len, ELEMENTS_OF_FUEL)?;
                self.checked(Builtin::TableFill, &[number, start, value, len])?;
                let old = self.narrow_index(old, ty.table64);
                self.push(old);
            }
            Operator::TableFill { table } => {
                let (index, value, len) = self.pop3()?;
                let (index, len) = (self.extend_index(index), self.extend_index(len));
                self.spend_for(len, ELEMENTS_OF_FUEL)?;
                let number = self.number(table);
                self.checked(Builtin::TableFill, &[number, index, value, len])?;
            }
            Operator::TableCopy { dst_table, src_table } => {
                let (dst, src, len) = self.pop3()?;
                let (dst, src, len) =
                    (self.extend_index(dst), self.extend_index(src), self.extend_index(len));
                self.spend_for(len, ELEMENTS_OF_FUEL)?;
                let (dst_table, src_table) = (self.number(dst_table), self.number(src_table));
                self.checked(Builtin::TableCopy, &[dst_table, dst, src_table, src, len])?;
            }
            Operator::TableInit { elem_index, table } => {
                let (dst, src, len) = self.pop3()?;
                let (dst, src, len) =
                    (self.extend_index(dst), self.extend_index(src), self.extend_index(len));
                self.spend_for(len, ELEMENTS_OF_FUEL)?;
                let (table, segment) = (self.number(table), self.number(elem_index));
                self.checked(Builtin::TableInit, &[table, segment, dst, src, len])?;
            }
            Operator::ElemDrop { elem_index } => {
                let segment = self.number(elem_index);
                self.builtin(Builtin::ElemDrop, &[segment], None)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Loads an element; traps if there is none.
    pub(super) fn table_get(&mut self, table: u32, index: Value) -> Result<Value, CompileError> {
        let address = self.element_address(table, index)?;
        let flags = self.trapping(Region::Tables, TrapCode::TableOutOfBounds);
        Ok(self.builder.ins().load(POINTER, flags, address, 0))
    }

    /// Where an element is; null if there is none.
    fn element_address(&mut self, table: u32, index: Value) -> Result<Value, CompileError> {
        let index = self.extend_index(index);
        let length = self.table_length(table)?;
        let outside = self.builder.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        let base = self.table_base(table)?;
        let shift = self.builder.ins().iconst(types::I64, i64::from(ELEMENT_SIZE.trailing_zeros()));
        let offset = self.builder.ins().ishl(index, shift);
        let address = self.builder.ins().iadd(base, offset);
        let null = self.builder.ins().iconst(POINTER, 0);
        Ok(self.builder.ins().select_spectre_guard(outside, null, address))
    }

    fn table_base(&mut self, table: u32) -> Result<Value, CompileError> {
        let (base, offset) = self.table_definition(table)?;
        let flags = self.fixed(Region::Context);
        Ok(self.builder.ins().load(POINTER, flags, base, offset + definition::BASE as i32))
    }

    fn table_length(&mut self, table: u32) -> Result<Value, CompileError> {
        let ty = self.table_type(table)?;
        if let Some(size) = fixed_size(&ty) {
            return Ok(self.builder.ins().iconst(types::I64, size as i64));
        }
        let (base, offset) = self.table_definition(table)?;
        let flags = self.flags(Region::Context);
        Ok(self.builder.ins().load(types::I64, flags, base, offset + definition::LENGTH as i32))
    }

    fn table_definition(&mut self, table: u32) -> Result<(Value, i32), CompileError> {
        let layout = self.env.layout;
        match table.checked_sub(self.env.info.imported_tables) {
            Some(defined) => {
                let offset = self.context_offset(layout.tables, defined, definition::SIZE)?;
                Ok((self.vmctx, offset as i32))
            }
            None => {
                let offset = self.context_offset(layout.imported_tables, table, 8)?;
                Ok((self.fixed_pointer(self.vmctx, offset), 0))
            }
        }
    }
}

/// The size of a table that cannot grow. What is imported as such is such.
fn fixed_size(ty: &TableType) -> Option<u64> {
    (ty.maximum == Some(ty.minimum)).then_some(ty.minimum)
}
