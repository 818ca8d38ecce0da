//! Vectors of 128 bits.
//!
//! An operand may have the type of the lanes that the last operation saw; each operation takes its operands as lanes of
//! its own, which costs nothing in machine code.

mod arithmetic;
mod lanes;
mod memory;
mod relaxed;

use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use cranelift_frontend::FuncInstBuilder;
use wasmparser::Operator;

use super::Translator;
use crate::CompileError;

impl<'b> Translator<'_, 'b> {
    pub(super) fn simd_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        Ok(self.simd_arithmetic_op(op)?
            || self.simd_lanes_op(op)?
            || self.simd_memory_op(op)?
            || self.simd_relaxed_op(op)?)
    }

    /// Takes a vector from the stack, as lanes of a type.
    fn pop_lanes(&mut self, ty: Type) -> Result<Value, CompileError> {
        let value = self.pop()?;
        Ok(self.as_lanes(ty, value))
    }

    fn pop2_lanes(&mut self, ty: Type) -> Result<(Value, Value), CompileError> {
        let second = self.pop_lanes(ty)?;
        Ok((self.pop_lanes(ty)?, second))
    }

    fn pop3_lanes(&mut self, ty: Type) -> Result<(Value, Value, Value), CompileError> {
        let third = self.pop_lanes(ty)?;
        let (first, second) = self.pop2_lanes(ty)?;
        Ok((first, second, third))
    }

    fn as_lanes(&mut self, ty: Type, value: Value) -> Value {
        if self.builder.func.dfg.value_type(value) == ty { value } else { self.bitcast(ty, value) }
    }

    fn lanes1(
        &mut self,
        ty: Type,
        op: impl FnOnce(FuncInstBuilder<'_, 'b>, Value) -> Value,
    ) -> Result<bool, CompileError> {
        let a = self.pop_lanes(ty)?;
        let value = op(self.builder.ins(), a);
        self.push(value);
        Ok(true)
    }

    fn lanes2(
        &mut self,
        ty: Type,
        op: impl FnOnce(FuncInstBuilder<'_, 'b>, Value, Value) -> Value,
    ) -> Result<bool, CompileError> {
        let (a, b) = self.pop2_lanes(ty)?;
        let value = op(self.builder.ins(), a, b);
        self.push(value);
        Ok(true)
    }

    /// A constant vector of 16 bytes.
    fn vector(&mut self, ty: Type, bytes: &[u8; 16]) -> Value {
        let constant = self.builder.func.dfg.constants.insert(bytes.as_slice().into());
        self.builder.ins().vconst(ty, constant)
    }

    /// A truth value as wasm has it.
    fn lanes_test(
        &mut self,
        ty: Type,
        op: impl FnOnce(FuncInstBuilder<'_, 'b>, Value) -> Value,
    ) -> Result<bool, CompileError> {
        let a = self.pop_lanes(ty)?;
        let holds = op(self.builder.ins(), a);
        self.push_bool(holds);
        Ok(true)
    }

    /// One bit per lane.
    fn bitmask(&mut self, ty: Type) -> Result<bool, CompileError> {
        self.lanes1(ty, |ins, a| ins.vhigh_bits(types::I32, a))
    }

    /// The lower of two numbers as x86 has it: the first unless the second is lower. `max`: the higher.
    fn pseudo_min_max(&mut self, ty: Type, max: bool) -> Result<bool, CompileError> {
        use cranelift_codegen::ir::condcodes::FloatCC;
        let (a, b) = self.pop2_lanes(ty)?;
        let (low, high) = if max { (a, b) } else { (b, a) };
        let take_second = self.builder.ins().fcmp(FloatCC::LessThan, low, high);
        let take_second = self.as_lanes(ty, take_second);
        let value = self.builder.ins().bitselect(take_second, b, a);
        self.push(value);
        Ok(true)
    }
}
