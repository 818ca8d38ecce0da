//! Loads and stores of parts of vectors.

use cranelift_codegen::ir::types::{I8, I8X16, I16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::{MemArg, Operator};

use super::super::memory::Address;
use super::Translator;
use crate::CompileError;

impl Translator<'_, '_> {
    pub(super) fn simd_memory_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        use Operator::*;
        let value = match op {
            V128Load8x8S { memarg } => {
                let Address { base, offset, flags } = self.pop_address(memarg, 8)?;
                self.builder.ins().sload8x8(flags, base, offset)
            }
            V128Load8x8U { memarg } => {
                let Address { base, offset, flags } = self.pop_address(memarg, 8)?;
                self.builder.ins().uload8x8(flags, base, offset)
            }
            V128Load16x4S { memarg } => {
                let Address { base, offset, flags } = self.pop_address(memarg, 8)?;
                self.builder.ins().sload16x4(flags, base, offset)
            }
            V128Load16x4U { memarg } => {
                let Address { base, offset, flags } = self.pop_address(memarg, 8)?;
                self.builder.ins().uload16x4(flags, base, offset)
            }
            V128Load32x2S { memarg } => {
                let Address { base, offset, flags } = self.pop_address(memarg, 8)?;
                self.builder.ins().sload32x2(flags, base, offset)
            }
            V128Load32x2U { memarg } => {
                let Address { base, offset, flags } = self.pop_address(memarg, 8)?;
                self.builder.ins().uload32x2(flags, base, offset)
            }
            V128Load8Splat { memarg } => self.load_splat(memarg, I8, I8X16)?,
            V128Load16Splat { memarg } => self.load_splat(memarg, I16, I16X8)?,
            V128Load32Splat { memarg } => self.load_splat(memarg, I32, I32X4)?,
            V128Load64Splat { memarg } => self.load_splat(memarg, I64, I64X2)?,
            V128Load32Zero { memarg } => self.load_zero(memarg, I32, I32X4)?,
            V128Load64Zero { memarg } => self.load_zero(memarg, I64, I64X2)?,
            V128Load8Lane { memarg, lane } => self.load_lane(memarg, *lane, I8, I8X16)?,
            V128Load16Lane { memarg, lane } => self.load_lane(memarg, *lane, I16, I16X8)?,
            V128Load32Lane { memarg, lane } => self.load_lane(memarg, *lane, I32, I32X4)?,
            V128Load64Lane { memarg, lane } => self.load_lane(memarg, *lane, I64, I64X2)?,
            V128Store8Lane { memarg, lane } => return self.store_lane(memarg, *lane, I8X16),
            V128Store16Lane { memarg, lane } => return self.store_lane(memarg, *lane, I16X8),
            V128Store32Lane { memarg, lane } => return self.store_lane(memarg, *lane, I32X4),
            V128Store64Lane { memarg, lane } => return self.store_lane(memarg, *lane, I64X2),
            _ => return Ok(false),
        };
        self.push(value);
        Ok(true)
    }

    fn load_number(&mut self, memarg: &MemArg, ty: Type) -> Result<Value, CompileError> {
        let Address { base, offset, flags } = self.pop_address(memarg, ty.bytes())?;
        Ok(self.builder.ins().load(ty, flags, base, offset))
    }

    fn load_splat(&mut self, memarg: &MemArg, lane: Type, ty: Type) -> Result<Value, CompileError> {
        let number = self.load_number(memarg, lane)?;
        Ok(self.builder.ins().splat(ty, number))
    }

    fn load_zero(&mut self, memarg: &MemArg, lane: Type, ty: Type) -> Result<Value, CompileError> {
        let number = self.load_number(memarg, lane)?;
        Ok(self.builder.ins().scalar_to_vector(ty, number))
    }

    fn load_lane(
        &mut self,
        memarg: &MemArg,
        lane: u8,
        number: Type,
        ty: Type,
    ) -> Result<Value, CompileError> {
        let vector = self.pop_lanes(ty)?;
        let number = self.load_number(memarg, number)?;
        Ok(self.builder.ins().insertlane(vector, number, lane))
    }

    fn store_lane(&mut self, memarg: &MemArg, lane: u8, ty: Type) -> Result<bool, CompileError> {
        let vector = self.pop_lanes(ty)?;
        let Address { base, offset, flags } = self.pop_address(memarg, ty.lane_type().bytes())?;
        let number = self.builder.ins().extractlane(vector, lane);
        self.builder.ins().store(flags, number, base, offset);
        Ok(true)
    }
}
