//! Single lanes, and moving lanes about.

use cranelift_codegen::ir::types::{F32X4, F64X2, I8, I8X16, I16, I16X8, I32, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type};
use wasmparser::Operator;

use super::Translator;
use crate::CompileError;
use crate::signature::V128;

impl Translator<'_, '_> {
    pub(super) fn simd_lanes_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        use Operator::*;
        match op {
            V128Const { value } => {
                let value = self.vector(V128, value.bytes());
                self.push(value);
                Ok(true)
            }
            I8x16Shuffle { lanes } => {
                let mask = self.builder.func.dfg.immediates.push(lanes.as_slice().into());
                self.lanes2(I8X16, |ins, a, b| ins.shuffle(a, b, mask))
            }
            I8x16Swizzle => self.lanes2(I8X16, |ins, a, b| ins.swizzle(a, b)),
            I8x16Splat => self.splat(I8X16, Some(I8)),
            I16x8Splat => self.splat(I16X8, Some(I16)),
            I32x4Splat => self.splat(I32X4, None),
            I64x2Splat => self.splat(I64X2, None),
            F32x4Splat => self.splat(F32X4, None),
            F64x2Splat => self.splat(F64X2, None),
            I8x16ExtractLaneS { lane } => {
                self.extract(I8X16, *lane)?;
                self.unary(|ins, a| ins.sextend(I32, a))
            }
            I8x16ExtractLaneU { lane } => {
                self.extract(I8X16, *lane)?;
                self.unary(|ins, a| ins.uextend(I32, a))
            }
            I16x8ExtractLaneS { lane } => {
                self.extract(I16X8, *lane)?;
                self.unary(|ins, a| ins.sextend(I32, a))
            }
            I16x8ExtractLaneU { lane } => {
                self.extract(I16X8, *lane)?;
                self.unary(|ins, a| ins.uextend(I32, a))
            }
            I32x4ExtractLane { lane } => self.extract(I32X4, *lane),
            I64x2ExtractLane { lane } => self.extract(I64X2, *lane),
            F32x4ExtractLane { lane } => self.extract(F32X4, *lane),
            F64x2ExtractLane { lane } => self.extract(F64X2, *lane),
            I8x16ReplaceLane { lane } => self.replace(I8X16, *lane, Some(I8)),
            I16x8ReplaceLane { lane } => self.replace(I16X8, *lane, Some(I16)),
            I32x4ReplaceLane { lane } => self.replace(I32X4, *lane, None),
            I64x2ReplaceLane { lane } => self.replace(I64X2, *lane, None),
            F32x4ReplaceLane { lane } => self.replace(F32X4, *lane, None),
            F64x2ReplaceLane { lane } => self.replace(F64X2, *lane, None),
            _ => Ok(false),
        }
    }

    /// Copies a number, or its lowest bits, to all lanes.
    fn splat(&mut self, ty: Type, part: Option<Type>) -> Result<bool, CompileError> {
        if let Some(part) = part {
            self.unary(|ins, a| ins.ireduce(part, a))?;
        }
        self.unary(|ins, a| ins.splat(ty, a))
    }

    fn extract(&mut self, ty: Type, lane: u8) -> Result<bool, CompileError> {
        self.lanes1(ty, |ins, a| ins.extractlane(a, lane))
    }

    /// Puts a number, or its lowest bits, into a lane.
    fn replace(&mut self, ty: Type, lane: u8, part: Option<Type>) -> Result<bool, CompileError> {
        if let Some(part) = part {
            self.unary(|ins, a| ins.ireduce(part, a))?;
        }
        let number = self.pop()?;
        let vector = self.pop_lanes(ty)?;
        let value = self.builder.ins().insertlane(vector, number, lane);
        self.push(value);
        Ok(true)
    }
}
