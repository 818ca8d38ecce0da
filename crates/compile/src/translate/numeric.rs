//! Arithmetic, comparisons and conversions on numbers.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, types};
use wasmparser::Operator;

use super::Translator;
use crate::CompileError;

impl Translator<'_, '_> {
    pub(super) fn numeric_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        use Operator::*;
        match op {
            I32Eqz => self.eqz(types::I32),
            I64Eqz => self.eqz(types::I64),
            I32Eq | I64Eq => self.compare(IntCC::Equal),
            I32Ne | I64Ne => self.compare(IntCC::NotEqual),
            I32LtS | I64LtS => self.compare(IntCC::SignedLessThan),
            I32LtU | I64LtU => self.compare(IntCC::UnsignedLessThan),
            I32GtS | I64GtS => self.compare(IntCC::SignedGreaterThan),
            I32GtU | I64GtU => self.compare(IntCC::UnsignedGreaterThan),
            I32LeS | I64LeS => self.compare(IntCC::SignedLessThanOrEqual),
            I32LeU | I64LeU => self.compare(IntCC::UnsignedLessThanOrEqual),
            I32GeS | I64GeS => self.compare(IntCC::SignedGreaterThanOrEqual),
            I32GeU | I64GeU => self.compare(IntCC::UnsignedGreaterThanOrEqual),
            F32Eq | F64Eq => self.compare_floats(FloatCC::Equal),
            F32Ne | F64Ne => self.compare_floats(FloatCC::NotEqual),
            F32Lt | F64Lt => self.compare_floats(FloatCC::LessThan),
            F32Gt | F64Gt => self.compare_floats(FloatCC::GreaterThan),
            F32Le | F64Le => self.compare_floats(FloatCC::LessThanOrEqual),
            F32Ge | F64Ge => self.compare_floats(FloatCC::GreaterThanOrEqual),

            I32Clz | I64Clz => self.unary(|ins, a| ins.clz(a)),
            I32Ctz | I64Ctz => self.unary(|ins, a| ins.ctz(a)),
            I32Popcnt | I64Popcnt => self.unary(|ins, a| ins.popcnt(a)),
            I32Add | I64Add => self.binary(|ins, a, b| ins.iadd(a, b)),
            I32Sub | I64Sub => self.binary(|ins, a, b| ins.isub(a, b)),
            I32Mul | I64Mul => self.binary(|ins, a, b| ins.imul(a, b)),
            // These trap by themselves.
            I32DivS | I64DivS => self.binary(|ins, a, b| ins.sdiv(a, b)),
            I32DivU | I64DivU => self.binary(|ins, a, b| ins.udiv(a, b)),
            I32RemS | I64RemS => self.binary(|ins, a, b| ins.srem(a, b)),
            I32RemU | I64RemU => self.binary(|ins, a, b| ins.urem(a, b)),
            I32And | I64And => self.binary(|ins, a, b| ins.band(a, b)),
            I32Or | I64Or => self.binary(|ins, a, b| ins.bor(a, b)),
            I32Xor | I64Xor => self.binary(|ins, a, b| ins.bxor(a, b)),
            // The amount is taken modulo the width, here and there.
            I32Shl | I64Shl => self.binary(|ins, a, b| ins.ishl(a, b)),
            I32ShrS | I64ShrS => self.binary(|ins, a, b| ins.sshr(a, b)),
            I32ShrU | I64ShrU => self.binary(|ins, a, b| ins.ushr(a, b)),
            I32Rotl | I64Rotl => self.binary(|ins, a, b| ins.rotl(a, b)),
            I32Rotr | I64Rotr => self.binary(|ins, a, b| ins.rotr(a, b)),

            F32Abs | F64Abs => self.unary(|ins, a| ins.fabs(a)),
            F32Neg | F64Neg => self.unary(|ins, a| ins.fneg(a)),
            F32Ceil | F64Ceil => self.unary(|ins, a| ins.ceil(a)),
            F32Floor | F64Floor => self.unary(|ins, a| ins.floor(a)),
            F32Trunc | F64Trunc => self.unary(|ins, a| ins.trunc(a)),
            F32Nearest | F64Nearest => self.unary(|ins, a| ins.nearest(a)),
            F32Sqrt | F64Sqrt => self.unary(|ins, a| ins.sqrt(a)),
            F32Add | F64Add => self.binary(|ins, a, b| ins.fadd(a, b)),
            F32Sub | F64Sub => self.binary(|ins, a, b| ins.fsub(a, b)),
            F32Mul | F64Mul => self.binary(|ins, a, b| ins.fmul(a, b)),
            F32Div | F64Div => self.binary(|ins, a, b| ins.fdiv(a, b)),
            F32Min | F64Min => self.binary(|ins, a, b| ins.fmin(a, b)),
            F32Max | F64Max => self.binary(|ins, a, b| ins.fmax(a, b)),
            F32Copysign | F64Copysign => self.binary(|ins, a, b| ins.fcopysign(a, b)),

            I32WrapI64 => self.unary(|ins, a| ins.ireduce(types::I32, a)),
            I64ExtendI32S => self.unary(|ins, a| ins.sextend(types::I64, a)),
            I64ExtendI32U => self.unary(|ins, a| ins.uextend(types::I64, a)),
            I32Extend8S => self.extend_part(types::I8, types::I32),
            I32Extend16S => self.extend_part(types::I16, types::I32),
            I64Extend8S => self.extend_part(types::I8, types::I64),
            I64Extend16S => self.extend_part(types::I16, types::I64),
            I64Extend32S => self.extend_part(types::I32, types::I64),

            // These trap by themselves.
            I32TruncF32S | I32TruncF64S => self.unary(|ins, a| ins.fcvt_to_sint(types::I32, a)),
            I32TruncF32U | I32TruncF64U => self.unary(|ins, a| ins.fcvt_to_uint(types::I32, a)),
            I64TruncF32S | I64TruncF64S => self.unary(|ins, a| ins.fcvt_to_sint(types::I64, a)),
            I64TruncF32U | I64TruncF64U => self.unary(|ins, a| ins.fcvt_to_uint(types::I64, a)),
            I32TruncSatF32S | I32TruncSatF64S => self.unary(|ins, a| ins.fcvt_to_sint_sat(types::I32, a)),
            I32TruncSatF32U | I32TruncSatF64U => self.unary(|ins, a| ins.fcvt_to_uint_sat(types::I32, a)),
            I64TruncSatF32S | I64TruncSatF64S => self.unary(|ins, a| ins.fcvt_to_sint_sat(types::I64, a)),
            I64TruncSatF32U | I64TruncSatF64U => self.unary(|ins, a| ins.fcvt_to_uint_sat(types::I64, a)),
            F32ConvertI32S | F32ConvertI64S => self.unary(|ins, a| ins.fcvt_from_sint(types::F32, a)),
            F32ConvertI32U | F32ConvertI64U => self.unary(|ins, a| ins.fcvt_from_uint(types::F32, a)),
            F64ConvertI32S | F64ConvertI64S => self.unary(|ins, a| ins.fcvt_from_sint(types::F64, a)),
            F64ConvertI32U | F64ConvertI64U => self.unary(|ins, a| ins.fcvt_from_uint(types::F64, a)),
            F32DemoteF64 => self.unary(|ins, a| ins.fdemote(types::F32, a)),
            F64PromoteF32 => self.unary(|ins, a| ins.fpromote(types::F64, a)),
            I32ReinterpretF32 => self.reinterpret(types::I32),
            I64ReinterpretF64 => self.reinterpret(types::I64),
            F32ReinterpretI32 => self.reinterpret(types::F32),
            F64ReinterpretI64 => self.reinterpret(types::F64),

            I64Add128 => self.wide(|ins, a, b| ins.iadd(a, b)),
            I64Sub128 => self.wide(|ins, a, b| ins.isub(a, b)),
            I64MulWideS => self.mul_wide(true),
            I64MulWideU => self.mul_wide(false),
            _ => Ok(false),
        }
    }

    fn eqz(&mut self, ty: Type) -> Result<bool, CompileError> {
        let a = self.pop()?;
        let zero = self.builder.ins().iconst(ty, 0);
        let equal = self.builder.ins().icmp(IntCC::Equal, a, zero);
        self.push_bool(equal);
        Ok(true)
    }

    fn compare(&mut self, condition: IntCC) -> Result<bool, CompileError> {
        let (a, b) = self.pop2()?;
        let holds = self.builder.ins().icmp(condition, a, b);
        self.push_bool(holds);
        Ok(true)
    }

    fn compare_floats(&mut self, condition: FloatCC) -> Result<bool, CompileError> {
        let (a, b) = self.pop2()?;
        let holds = self.builder.ins().fcmp(condition, a, b);
        self.push_bool(holds);
        Ok(true)
    }

    /// Extends the sign of the lowest bits.
    fn extend_part(&mut self, part: Type, whole: Type) -> Result<bool, CompileError> {
        let a = self.pop()?;
        let a = self.builder.ins().ireduce(part, a);
        let value = self.builder.ins().sextend(whole, a);
        self.push(value);
        Ok(true)
    }

    fn reinterpret(&mut self, ty: Type) -> Result<bool, CompileError> {
        self.unary(|ins, a| ins.bitcast(ty, MemFlagsData::new(), a))
    }

    /// An operation on two numbers of 128 bits, each in two halves, the low one first.
    fn wide(
        &mut self,
        op: impl FnOnce(
            cranelift_frontend::FuncInstBuilder<'_, '_>,
            cranelift_codegen::ir::Value,
            cranelift_codegen::ir::Value,
        ) -> cranelift_codegen::ir::Value,
    ) -> Result<bool, CompileError> {
        let (b_low, b_high) = self.pop2()?;
        let (a_low, a_high) = self.pop2()?;
        let a = self.builder.ins().iconcat(a_low, a_high);
        let b = self.builder.ins().iconcat(b_low, b_high);
        let value = op(self.builder.ins(), a, b);
        let (low, high) = self.builder.ins().isplit(value);
        self.push(low);
        self.push(high);
        Ok(true)
    }

    fn mul_wide(&mut self, signed: bool) -> Result<bool, CompileError> {
        let (a, b) = self.pop2()?;
        let (a, b) = if signed {
            (self.builder.ins().sextend(types::I128, a), self.builder.ins().sextend(types::I128, b))
        } else {
            (self.builder.ins().uextend(types::I128, a), self.builder.ins().uextend(types::I128, b))
        };
        let value = self.builder.ins().imul(a, b);
        let (low, high) = self.builder.ins().isplit(value);
        self.push(low);
        self.push(high);
        Ok(true)
    }
}
