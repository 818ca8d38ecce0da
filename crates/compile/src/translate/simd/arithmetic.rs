//! Arithmetic, comparisons and conversions on the lanes of vectors.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use wasmparser::Operator;

use super::Translator;
use crate::CompileError;

impl Translator<'_, '_> {
    pub(super) fn simd_arithmetic_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        use Operator::*;
        match op {
            V128Not => self.lanes1(I8X16, |ins, a| ins.bnot(a)),
            V128And => self.lanes2(I8X16, |ins, a, b| ins.band(a, b)),
            V128AndNot => self.lanes2(I8X16, |ins, a, b| ins.band_not(a, b)),
            V128Or => self.lanes2(I8X16, |ins, a, b| ins.bor(a, b)),
            V128Xor => self.lanes2(I8X16, |ins, a, b| ins.bxor(a, b)),
            V128Bitselect => {
                let (a, b, mask) = self.pop3_lanes(I8X16)?;
                let value = self.builder.ins().bitselect(mask, a, b);
                self.push(value);
                Ok(true)
            }
            V128AnyTrue => self.lanes_test(I8X16, |ins, a| ins.vany_true(a)),
            I8x16AllTrue => self.lanes_test(I8X16, |ins, a| ins.vall_true(a)),
            I16x8AllTrue => self.lanes_test(I16X8, |ins, a| ins.vall_true(a)),
            I32x4AllTrue => self.lanes_test(I32X4, |ins, a| ins.vall_true(a)),
            I64x2AllTrue => self.lanes_test(I64X2, |ins, a| ins.vall_true(a)),
            I8x16Bitmask => self.bitmask(I8X16),
            I16x8Bitmask => self.bitmask(I16X8),
            I32x4Bitmask => self.bitmask(I32X4),
            I64x2Bitmask => self.bitmask(I64X2),

            I8x16Eq => self.lanes_compare(I8X16, IntCC::Equal),
            I8x16Ne => self.lanes_compare(I8X16, IntCC::NotEqual),
            I8x16LtS => self.lanes_compare(I8X16, IntCC::SignedLessThan),
            I8x16LtU => self.lanes_compare(I8X16, IntCC::UnsignedLessThan),
            I8x16GtS => self.lanes_compare(I8X16, IntCC::SignedGreaterThan),
            I8x16GtU => self.lanes_compare(I8X16, IntCC::UnsignedGreaterThan),
            I8x16LeS => self.lanes_compare(I8X16, IntCC::SignedLessThanOrEqual),
            I8x16LeU => self.lanes_compare(I8X16, IntCC::UnsignedLessThanOrEqual),
            I8x16GeS => self.lanes_compare(I8X16, IntCC::SignedGreaterThanOrEqual),
            I8x16GeU => self.lanes_compare(I8X16, IntCC::UnsignedGreaterThanOrEqual),
            I16x8Eq => self.lanes_compare(I16X8, IntCC::Equal),
            I16x8Ne => self.lanes_compare(I16X8, IntCC::NotEqual),
            I16x8LtS => self.lanes_compare(I16X8, IntCC::SignedLessThan),
            I16x8LtU => self.lanes_compare(I16X8, IntCC::UnsignedLessThan),
            I16x8GtS => self.lanes_compare(I16X8, IntCC::SignedGreaterThan),
            I16x8GtU => self.lanes_compare(I16X8, IntCC::UnsignedGreaterThan),
            I16x8LeS => self.lanes_compare(I16X8, IntCC::SignedLessThanOrEqual),
            I16x8LeU => self.lanes_compare(I16X8, IntCC::UnsignedLessThanOrEqual),
            I16x8GeS => self.lanes_compare(I16X8, IntCC::SignedGreaterThanOrEqual),
            I16x8GeU => self.lanes_compare(I16X8, IntCC::UnsignedGreaterThanOrEqual),
            I32x4Eq => self.lanes_compare(I32X4, IntCC::Equal),
            I32x4Ne => self.lanes_compare(I32X4, IntCC::NotEqual),
            I32x4LtS => self.lanes_compare(I32X4, IntCC::SignedLessThan),
            I32x4LtU => self.lanes_compare(I32X4, IntCC::UnsignedLessThan),
            I32x4GtS => self.lanes_compare(I32X4, IntCC::SignedGreaterThan),
            I32x4GtU => self.lanes_compare(I32X4, IntCC::UnsignedGreaterThan),
            I32x4LeS => self.lanes_compare(I32X4, IntCC::SignedLessThanOrEqual),
            I32x4LeU => self.lanes_compare(I32X4, IntCC::UnsignedLessThanOrEqual),
            I32x4GeS => self.lanes_compare(I32X4, IntCC::SignedGreaterThanOrEqual),
            I32x4GeU => self.lanes_compare(I32X4, IntCC::UnsignedGreaterThanOrEqual),
            I64x2Eq => self.lanes_compare(I64X2, IntCC::Equal),
            I64x2Ne => self.lanes_compare(I64X2, IntCC::NotEqual),
            I64x2LtS => self.lanes_compare(I64X2, IntCC::SignedLessThan),
            I64x2GtS => self.lanes_compare(I64X2, IntCC::SignedGreaterThan),
            I64x2LeS => self.lanes_compare(I64X2, IntCC::SignedLessThanOrEqual),
            I64x2GeS => self.lanes_compare(I64X2, IntCC::SignedGreaterThanOrEqual),
            F32x4Eq => self.lanes_compare_floats(F32X4, FloatCC::Equal),
            F32x4Ne => self.lanes_compare_floats(F32X4, FloatCC::NotEqual),
            F32x4Lt => self.lanes_compare_floats(F32X4, FloatCC::LessThan),
            F32x4Gt => self.lanes_compare_floats(F32X4, FloatCC::GreaterThan),
            F32x4Le => self.lanes_compare_floats(F32X4, FloatCC::LessThanOrEqual),
            F32x4Ge => self.lanes_compare_floats(F32X4, FloatCC::GreaterThanOrEqual),
            F64x2Eq => self.lanes_compare_floats(F64X2, FloatCC::Equal),
            F64x2Ne => self.lanes_compare_floats(F64X2, FloatCC::NotEqual),
            F64x2Lt => self.lanes_compare_floats(F64X2, FloatCC::LessThan),
            F64x2Gt => self.lanes_compare_floats(F64X2, FloatCC::GreaterThan),
            F64x2Le => self.lanes_compare_floats(F64X2, FloatCC::LessThanOrEqual),
            F64x2Ge => self.lanes_compare_floats(F64X2, FloatCC::GreaterThanOrEqual),

            I8x16Abs => self.lanes1(I8X16, |ins, a| ins.iabs(a)),
            I16x8Abs => self.lanes1(I16X8, |ins, a| ins.iabs(a)),
            I32x4Abs => self.lanes1(I32X4, |ins, a| ins.iabs(a)),
            I64x2Abs => self.lanes1(I64X2, |ins, a| ins.iabs(a)),
            I8x16Neg => self.lanes1(I8X16, |ins, a| ins.ineg(a)),
            I16x8Neg => self.lanes1(I16X8, |ins, a| ins.ineg(a)),
            I32x4Neg => self.lanes1(I32X4, |ins, a| ins.ineg(a)),
            I64x2Neg => self.lanes1(I64X2, |ins, a| ins.ineg(a)),
            I8x16Popcnt => self.lanes1(I8X16, |ins, a| ins.popcnt(a)),
            I8x16Shl => self.lanes_shift(I8X16, |ins, a, by| ins.ishl(a, by)),
            I16x8Shl => self.lanes_shift(I16X8, |ins, a, by| ins.ishl(a, by)),
            I32x4Shl => self.lanes_shift(I32X4, |ins, a, by| ins.ishl(a, by)),
            I64x2Shl => self.lanes_shift(I64X2, |ins, a, by| ins.ishl(a, by)),
            I8x16ShrS => self.lanes_shift(I8X16, |ins, a, by| ins.sshr(a, by)),
            I16x8ShrS => self.lanes_shift(I16X8, |ins, a, by| ins.sshr(a, by)),
            I32x4ShrS => self.lanes_shift(I32X4, |ins, a, by| ins.sshr(a, by)),
            I64x2ShrS => self.lanes_shift(I64X2, |ins, a, by| ins.sshr(a, by)),
            I8x16ShrU => self.lanes_shift(I8X16, |ins, a, by| ins.ushr(a, by)),
            I16x8ShrU => self.lanes_shift(I16X8, |ins, a, by| ins.ushr(a, by)),
            I32x4ShrU => self.lanes_shift(I32X4, |ins, a, by| ins.ushr(a, by)),
            I64x2ShrU => self.lanes_shift(I64X2, |ins, a, by| ins.ushr(a, by)),
            I8x16Add => self.lanes2(I8X16, |ins, a, b| ins.iadd(a, b)),
            I16x8Add => self.lanes2(I16X8, |ins, a, b| ins.iadd(a, b)),
            I32x4Add => self.lanes2(I32X4, |ins, a, b| ins.iadd(a, b)),
            I64x2Add => self.lanes2(I64X2, |ins, a, b| ins.iadd(a, b)),
            I8x16Sub => self.lanes2(I8X16, |ins, a, b| ins.isub(a, b)),
            I16x8Sub => self.lanes2(I16X8, |ins, a, b| ins.isub(a, b)),
            I32x4Sub => self.lanes2(I32X4, |ins, a, b| ins.isub(a, b)),
            I64x2Sub => self.lanes2(I64X2, |ins, a, b| ins.isub(a, b)),
            I16x8Mul => self.lanes2(I16X8, |ins, a, b| ins.imul(a, b)),
            I32x4Mul => self.lanes2(I32X4, |ins, a, b| ins.imul(a, b)),
            I64x2Mul => self.lanes2(I64X2, |ins, a, b| ins.imul(a, b)),
            I8x16AddSatS => self.lanes2(I8X16, |ins, a, b| ins.sadd_sat(a, b)),
            I8x16AddSatU => self.lanes2(I8X16, |ins, a, b| ins.uadd_sat(a, b)),
            I8x16SubSatS => self.lanes2(I8X16, |ins, a, b| ins.ssub_sat(a, b)),
            I8x16SubSatU => self.lanes2(I8X16, |ins, a, b| ins.usub_sat(a, b)),
            I16x8AddSatS => self.lanes2(I16X8, |ins, a, b| ins.sadd_sat(a, b)),
            I16x8AddSatU => self.lanes2(I16X8, |ins, a, b| ins.uadd_sat(a, b)),
            I16x8SubSatS => self.lanes2(I16X8, |ins, a, b| ins.ssub_sat(a, b)),
            I16x8SubSatU => self.lanes2(I16X8, |ins, a, b| ins.usub_sat(a, b)),
            I8x16MinS => self.lanes2(I8X16, |ins, a, b| ins.smin(a, b)),
            I8x16MinU => self.lanes2(I8X16, |ins, a, b| ins.umin(a, b)),
            I8x16MaxS => self.lanes2(I8X16, |ins, a, b| ins.smax(a, b)),
            I8x16MaxU => self.lanes2(I8X16, |ins, a, b| ins.umax(a, b)),
            I16x8MinS => self.lanes2(I16X8, |ins, a, b| ins.smin(a, b)),
            I16x8MinU => self.lanes2(I16X8, |ins, a, b| ins.umin(a, b)),
            I16x8MaxS => self.lanes2(I16X8, |ins, a, b| ins.smax(a, b)),
            I16x8MaxU => self.lanes2(I16X8, |ins, a, b| ins.umax(a, b)),
            I32x4MinS => self.lanes2(I32X4, |ins, a, b| ins.smin(a, b)),
            I32x4MinU => self.lanes2(I32X4, |ins, a, b| ins.umin(a, b)),
            I32x4MaxS => self.lanes2(I32X4, |ins, a, b| ins.smax(a, b)),
            I32x4MaxU => self.lanes2(I32X4, |ins, a, b| ins.umax(a, b)),
            I8x16AvgrU => self.lanes2(I8X16, |ins, a, b| ins.avg_round(a, b)),
            I16x8AvgrU => self.lanes2(I16X8, |ins, a, b| ins.avg_round(a, b)),
            I16x8Q15MulrSatS => self.lanes2(I16X8, |ins, a, b| ins.sqmul_round_sat(a, b)),

            I8x16NarrowI16x8S => self.lanes2(I16X8, |ins, a, b| ins.snarrow(a, b)),
            I8x16NarrowI16x8U => self.lanes2(I16X8, |ins, a, b| ins.unarrow(a, b)),
            I16x8NarrowI32x4S => self.lanes2(I32X4, |ins, a, b| ins.snarrow(a, b)),
            I16x8NarrowI32x4U => self.lanes2(I32X4, |ins, a, b| ins.unarrow(a, b)),
            I16x8ExtendLowI8x16S => self.lanes1(I8X16, |ins, a| ins.swiden_low(a)),
            I16x8ExtendHighI8x16S => self.lanes1(I8X16, |ins, a| ins.swiden_high(a)),
            I16x8ExtendLowI8x16U => self.lanes1(I8X16, |ins, a| ins.uwiden_low(a)),
            I16x8ExtendHighI8x16U => self.lanes1(I8X16, |ins, a| ins.uwiden_high(a)),
            I32x4ExtendLowI16x8S => self.lanes1(I16X8, |ins, a| ins.swiden_low(a)),
            I32x4ExtendHighI16x8S => self.lanes1(I16X8, |ins, a| ins.swiden_high(a)),
            I32x4ExtendLowI16x8U => self.lanes1(I16X8, |ins, a| ins.uwiden_low(a)),
            I32x4ExtendHighI16x8U => self.lanes1(I16X8, |ins, a| ins.uwiden_high(a)),
            I64x2ExtendLowI32x4S => self.lanes1(I32X4, |ins, a| ins.swiden_low(a)),
            I64x2ExtendHighI32x4S => self.lanes1(I32X4, |ins, a| ins.swiden_high(a)),
            I64x2ExtendLowI32x4U => self.lanes1(I32X4, |ins, a| ins.uwiden_low(a)),
            I64x2ExtendHighI32x4U => self.lanes1(I32X4, |ins, a| ins.uwiden_high(a)),
            I16x8ExtMulLowI8x16S => self.extended_multiply(I8X16, Half::Low, Sign::Signed),
            I16x8ExtMulHighI8x16S => self.extended_multiply(I8X16, Half::High, Sign::Signed),
            I16x8ExtMulLowI8x16U => self.extended_multiply(I8X16, Half::Low, Sign::Unsigned),
            I16x8ExtMulHighI8x16U => self.extended_multiply(I8X16, Half::High, Sign::Unsigned),
            I32x4ExtMulLowI16x8S => self.extended_multiply(I16X8, Half::Low, Sign::Signed),
            I32x4ExtMulHighI16x8S => self.extended_multiply(I16X8, Half::High, Sign::Signed),
            I32x4ExtMulLowI16x8U => self.extended_multiply(I16X8, Half::Low, Sign::Unsigned),
            I32x4ExtMulHighI16x8U => self.extended_multiply(I16X8, Half::High, Sign::Unsigned),
            I64x2ExtMulLowI32x4S => self.extended_multiply(I32X4, Half::Low, Sign::Signed),
            I64x2ExtMulHighI32x4S => self.extended_multiply(I32X4, Half::High, Sign::Signed),
            I64x2ExtMulLowI32x4U => self.extended_multiply(I32X4, Half::Low, Sign::Unsigned),
            I64x2ExtMulHighI32x4U => self.extended_multiply(I32X4, Half::High, Sign::Unsigned),
            I16x8ExtAddPairwiseI8x16S => self.add_pairs(I8X16, Sign::Signed),
            I16x8ExtAddPairwiseI8x16U => self.add_pairs(I8X16, Sign::Unsigned),
            I32x4ExtAddPairwiseI16x8S => self.add_pairs(I16X8, Sign::Signed),
            I32x4ExtAddPairwiseI16x8U => self.add_pairs(I16X8, Sign::Unsigned),
            I32x4DotI16x8S => {
                let (a, b) = self.pop2_lanes(I16X8)?;
                let value = self.dot(a, b);
                self.push(value);
                Ok(true)
            }

            F32x4Ceil => self.lanes1(F32X4, |ins, a| ins.ceil(a)),
            F64x2Ceil => self.lanes1(F64X2, |ins, a| ins.ceil(a)),
            F32x4Floor => self.lanes1(F32X4, |ins, a| ins.floor(a)),
            F64x2Floor => self.lanes1(F64X2, |ins, a| ins.floor(a)),
            F32x4Trunc => self.lanes1(F32X4, |ins, a| ins.trunc(a)),
            F64x2Trunc => self.lanes1(F64X2, |ins, a| ins.trunc(a)),
            F32x4Nearest => self.lanes1(F32X4, |ins, a| ins.nearest(a)),
            F64x2Nearest => self.lanes1(F64X2, |ins, a| ins.nearest(a)),
            F32x4Abs => self.lanes1(F32X4, |ins, a| ins.fabs(a)),
            F64x2Abs => self.lanes1(F64X2, |ins, a| ins.fabs(a)),
            F32x4Neg => self.lanes1(F32X4, |ins, a| ins.fneg(a)),
            F64x2Neg => self.lanes1(F64X2, |ins, a| ins.fneg(a)),
            F32x4Sqrt => self.lanes1(F32X4, |ins, a| ins.sqrt(a)),
            F64x2Sqrt => self.lanes1(F64X2, |ins, a| ins.sqrt(a)),
            F32x4Add => self.lanes2(F32X4, |ins, a, b| ins.fadd(a, b)),
            F64x2Add => self.lanes2(F64X2, |ins, a, b| ins.fadd(a, b)),
            F32x4Sub => self.lanes2(F32X4, |ins, a, b| ins.fsub(a, b)),
            F64x2Sub => self.lanes2(F64X2, |ins, a, b| ins.fsub(a, b)),
            F32x4Mul => self.lanes2(F32X4, |ins, a, b| ins.fmul(a, b)),
            F64x2Mul => self.lanes2(F64X2, |ins, a, b| ins.fmul(a, b)),
            F32x4Div => self.lanes2(F32X4, |ins, a, b| ins.fdiv(a, b)),
            F64x2Div => self.lanes2(F64X2, |ins, a, b| ins.fdiv(a, b)),
            F32x4Min => self.lanes2(F32X4, |ins, a, b| ins.fmin(a, b)),
            F64x2Min => self.lanes2(F64X2, |ins, a, b| ins.fmin(a, b)),
            F32x4Max => self.lanes2(F32X4, |ins, a, b| ins.fmax(a, b)),
            F64x2Max => self.lanes2(F64X2, |ins, a, b| ins.fmax(a, b)),
            F32x4PMin => self.pseudo_min_max(F32X4, false),
            F64x2PMin => self.pseudo_min_max(F64X2, false),
            F32x4PMax => self.pseudo_min_max(F32X4, true),
            F64x2PMax => self.pseudo_min_max(F64X2, true),

            I32x4TruncSatF32x4S => self.lanes1(F32X4, |ins, a| ins.fcvt_to_sint_sat(I32X4, a)),
            I32x4TruncSatF32x4U => self.lanes1(F32X4, |ins, a| ins.fcvt_to_uint_sat(I32X4, a)),
            F32x4ConvertI32x4S => self.lanes1(I32X4, |ins, a| ins.fcvt_from_sint(F32X4, a)),
            F32x4ConvertI32x4U => self.lanes1(I32X4, |ins, a| ins.fcvt_from_uint(F32X4, a)),
            I32x4TruncSatF64x2SZero => self.truncate_doubles(Sign::Signed),
            I32x4TruncSatF64x2UZero => self.truncate_doubles(Sign::Unsigned),
            F64x2ConvertLowI32x4S => {
                self.lanes1(I32X4, |ins, a| ins.swiden_low(a))?;
                self.lanes1(I64X2, |ins, a| ins.fcvt_from_sint(F64X2, a))
            }
            F64x2ConvertLowI32x4U => {
                self.lanes1(I32X4, |ins, a| ins.uwiden_low(a))?;
                self.lanes1(I64X2, |ins, a| ins.fcvt_from_uint(F64X2, a))
            }
            F32x4DemoteF64x2Zero => self.lanes1(F64X2, |ins, a| ins.fvdemote(a)),
            F64x2PromoteLowF32x4 => self.lanes1(F32X4, |ins, a| ins.fvpromote_low(a)),
            _ => Ok(false),
        }
    }

    fn lanes_compare(&mut self, ty: Type, condition: IntCC) -> Result<bool, CompileError> {
        self.lanes2(ty, |ins, a, b| ins.icmp(condition, a, b))
    }

    fn lanes_compare_floats(&mut self, ty: Type, condition: FloatCC) -> Result<bool, CompileError> {
        self.lanes2(ty, |ins, a, b| ins.fcmp(condition, a, b))
    }

    /// The amount is taken modulo the width of a lane, here and there.
    fn lanes_shift(
        &mut self,
        ty: Type,
        op: impl FnOnce(cranelift_frontend::FuncInstBuilder<'_, '_>, Value, Value) -> Value,
    ) -> Result<bool, CompileError> {
        let by = self.pop()?;
        let a = self.pop_lanes(ty)?;
        let value = op(self.builder.ins(), a, by);
        self.push(value);
        Ok(true)
    }

    fn widen(&mut self, a: Value, half: Half, sign: Sign) -> Value {
        let ins = self.builder.ins();
        match (half, sign) {
            (Half::Low, Sign::Signed) => ins.swiden_low(a),
            (Half::High, Sign::Signed) => ins.swiden_high(a),
            (Half::Low, Sign::Unsigned) => ins.uwiden_low(a),
            (Half::High, Sign::Unsigned) => ins.uwiden_high(a),
        }
    }

    fn extended_multiply(&mut self, ty: Type, half: Half, sign: Sign) -> Result<bool, CompileError> {
        let (a, b) = self.pop2_lanes(ty)?;
        let (a, b) = (self.widen(a, half, sign), self.widen(b, half, sign));
        let value = self.builder.ins().imul(a, b);
        self.push(value);
        Ok(true)
    }

    fn add_pairs(&mut self, ty: Type, sign: Sign) -> Result<bool, CompileError> {
        let a = self.pop_lanes(ty)?;
        let value = self.pair_sums(a, sign);
        self.push(value);
        Ok(true)
    }

    /// Sums of neighbouring lanes, in lanes twice as wide.
    pub(super) fn pair_sums(&mut self, a: Value, sign: Sign) -> Value {
        let (low, high) = (self.widen(a, Half::Low, sign), self.widen(a, Half::High, sign));
        self.builder.ins().iadd_pairwise(low, high)
    }

    /// Sums of the products of neighbouring signed lanes, in lanes twice as wide.
    pub(super) fn dot(&mut self, a: Value, b: Value) -> Value {
        let (a_low, b_low) = (self.widen(a, Half::Low, Sign::Signed), self.widen(b, Half::Low, Sign::Signed));
        let low = self.builder.ins().imul(a_low, b_low);
        let (a_high, b_high) =
            (self.widen(a, Half::High, Sign::Signed), self.widen(b, Half::High, Sign::Signed));
        let high = self.builder.ins().imul(a_high, b_high);
        self.builder.ins().iadd_pairwise(low, high)
    }

    /// Two doubles as saturated integers in the low lanes; the high ones are 0.
    pub(super) fn truncate_doubles(&mut self, sign: Sign) -> Result<bool, CompileError> {
        let a = self.pop_lanes(F64X2)?;
        let zero = self.vector(I64X2, &[0; 16]);
        let value = match sign {
            Sign::Signed => {
                let wide = self.builder.ins().fcvt_to_sint_sat(I64X2, a);
                self.builder.ins().snarrow(wide, zero)
            }
            Sign::Unsigned => {
                let wide = self.builder.ins().fcvt_to_uint_sat(I64X2, a);
                self.builder.ins().uunarrow(wide, zero)
            }
        };
        self.push(value);
        Ok(true)
    }
}

/// Which lanes of a vector.
#[derive(Clone, Copy)]
pub(super) enum Half {
    Low,
    High,
}

/// How a lane is read.
#[derive(Clone, Copy)]
pub(super) enum Sign {
    Signed,
    Unsigned,
}
