//! Relaxed operations: of the results that the specification allows, the one that the machine computes fastest.

use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type};
use wasmparser::Operator;

use super::Translator;
use super::arithmetic::Sign;
use crate::CompileError;

impl Translator<'_, '_> {
    pub(super) fn simd_relaxed_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        use Operator::*;
        let x86 = cfg!(target_arch = "x86_64");
        match op {
            I8x16RelaxedSwizzle if x86 => self.lanes2(I8X16, |ins, a, b| ins.x86_pshufb(a, b)),
            I8x16RelaxedSwizzle => self.lanes2(I8X16, |ins, a, b| ins.swizzle(a, b)),
            I32x4RelaxedTruncF32x4S if x86 => self.lanes1(F32X4, |ins, a| ins.x86_cvtt2dq(I32X4, a)),
            I32x4RelaxedTruncF32x4S => self.lanes1(F32X4, |ins, a| ins.fcvt_to_sint_sat(I32X4, a)),
            I32x4RelaxedTruncF32x4U => self.lanes1(F32X4, |ins, a| ins.fcvt_to_uint_sat(I32X4, a)),
            I32x4RelaxedTruncF64x2SZero => self.truncate_doubles(Sign::Signed),
            I32x4RelaxedTruncF64x2UZero => self.truncate_doubles(Sign::Unsigned),
            F32x4RelaxedMadd => self.multiply_add(F32X4, false),
            F32x4RelaxedNmadd => self.multiply_add(F32X4, true),
            F64x2RelaxedMadd => self.multiply_add(F64X2, false),
            F64x2RelaxedNmadd => self.multiply_add(F64X2, true),
            I8x16RelaxedLaneselect => self.lane_select(I8X16, x86),
            I16x8RelaxedLaneselect => self.lane_select(I16X8, false),
            I32x4RelaxedLaneselect => self.lane_select(I32X4, x86),
            I64x2RelaxedLaneselect => self.lane_select(I64X2, x86),
            F32x4RelaxedMin => self.pseudo_min_max(F32X4, false),
            F32x4RelaxedMax => self.pseudo_min_max(F32X4, true),
            F64x2RelaxedMin => self.pseudo_min_max(F64X2, false),
            F64x2RelaxedMax => self.pseudo_min_max(F64X2, true),
            I16x8RelaxedQ15mulrS if x86 => self.lanes2(I16X8, |ins, a, b| ins.x86_pmulhrsw(a, b)),
            I16x8RelaxedQ15mulrS => self.lanes2(I16X8, |ins, a, b| ins.sqmul_round_sat(a, b)),
            I16x8RelaxedDotI8x16I7x16S => self.relaxed_dot(x86),
            I32x4RelaxedDotI8x16I7x16AddS => {
                let addend = self.pop_lanes(I32X4)?;
                self.relaxed_dot(x86)?;
                let products = self.pop_lanes(I16X8)?;
                let sums = self.pair_sums(products, Sign::Signed);
                let value = self.builder.ins().iadd(sums, addend);
                self.push(value);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// `a * b + c`, or `-(a * b) + c`; rounded once where the machine can.
    fn multiply_add(&mut self, ty: Type, negate: bool) -> Result<bool, CompileError> {
        let (mut a, b, c) = self.pop3_lanes(ty)?;
        if negate {
            a = self.builder.ins().fneg(a);
        }
        let value = if self.env.fused_multiply_add {
            self.builder.ins().fma(a, b, c)
        } else {
            let product = self.builder.ins().fmul(a, b);
            self.builder.ins().fadd(product, c)
        };
        self.push(value);
        Ok(true)
    }

    fn lane_select(&mut self, ty: Type, by_high_bit: bool) -> Result<bool, CompileError> {
        let (a, b, mask) = self.pop3_lanes(ty)?;
        let ins = self.builder.ins();
        let value = if by_high_bit { ins.blendv(mask, a, b) } else { ins.bitselect(mask, a, b) };
        self.push(value);
        Ok(true)
    }

    fn relaxed_dot(&mut self, x86: bool) -> Result<bool, CompileError> {
        let (a, b) = self.pop2_lanes(I8X16)?;
        let value = if x86 { self.builder.ins().x86_pmaddubsw(a, b) } else { self.dot(a, b) };
        self.push(value);
        Ok(true)
    }
}
