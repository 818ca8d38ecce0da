//! Locals and globals, and the instructions that only move operands.

use cranelift_codegen::ir::{Block, InstBuilder, Type, Value, types};
use tombolo_types::core::FuncType;
use wasmparser::Operator;

use super::exception_refs::is_exception_ref;
use super::{Region, Translator};
use crate::CompileError;
use crate::module::ConstOp;
use crate::signature::value_type;
use crate::vmctx::VALUE_SIZE;

impl Translator<'_, '_> {
    pub(super) fn variable_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        match *op {
            Operator::LocalGet { local_index } => {
                let variable = self.local(local_index)?;
                let value = self.builder.use_var(variable);
                self.push(value);
            }
            Operator::LocalSet { local_index } => {
                let variable = self.local(local_index)?;
                let value = self.pop()?;
                let value = self.canonical(value);
                self.builder.def_var(variable, value);
            }
            Operator::LocalTee { local_index } => {
                let variable = self.local(local_index)?;
                let value = self.pop()?;
                let value = self.canonical(value);
                self.builder.def_var(variable, value);
                self.push(value);
            }
            Operator::GlobalGet { global_index } => {
                let value = self.global_get(global_index)?;
                self.push(value);
            }
            Operator::GlobalSet { global_index } => {
                let value = self.pop()?;
                let value = self.canonical(value);
                let (base, offset) = self.global(global_index)?;
                let flags = self.flags(Region::Globals);
                self.builder.ins().store(flags, value, base, offset);
            }
            Operator::I32Const { value } => {
                let value = self.builder.ins().iconst(types::I32, i64::from(value));
                self.push(value);
            }
            Operator::I64Const { value } => {
                let value = self.builder.ins().iconst(types::I64, value);
                self.push(value);
            }
            Operator::F32Const { value } => {
                let value = self.f32_const(value.bits());
                self.push(value);
            }
            Operator::F64Const { value } => {
                let value = self.f64_const(value.bits());
                self.push(value);
            }
            Operator::Nop => {}
            Operator::Drop => {
                self.pop()?;
            }
            Operator::Select => self.select()?,
            Operator::TypedSelect { ty } => {
                self.body_type(ty)?;
                self.select()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn declare_params(&mut self, ty: &FuncType, entry: Block) -> Result<(), CompileError> {
        let params = self.builder.block_params(entry).to_vec();
        let Some((vmctx, params)) = params.split_first() else {
            return Err(self.internal("a function without a context"));
        };
        self.vmctx = *vmctx;
        for (ty, param) in ty.params.iter().zip(params) {
            let variable = self.builder.declare_var(value_type(*ty));
            if ty.is_exception() {
                self.keep_exception_local(variable);
            }
            self.builder.def_var(variable, *param);
            self.locals.push(variable);
        }
        Ok(())
    }

    pub(super) fn declare_locals(&mut self, count: u32, ty: wasmparser::ValType) -> Result<(), CompileError> {
        if count == 0 {
            return Ok(());
        }
        let is_exception = is_exception_ref(ty);
        let ty = self.body_type(ty)?;
        let zero = self.zero(ty);
        for _ in 0..count {
            let variable = self.builder.declare_var(ty);
            if is_exception {
                self.keep_exception_local(variable);
            }
            self.builder.def_var(variable, zero);
            self.locals.push(variable);
        }
        Ok(())
    }

    fn local(&self, index: u32) -> Result<cranelift_frontend::Variable, CompileError> {
        self.locals.get(index as usize).copied().ok_or_else(|| self.internal("no such local"))
    }

    fn select(&mut self) -> Result<(), CompileError> {
        let (a, b, condition) = self.pop3()?;
        let (a, b) = (self.canonical(a), self.canonical(b));
        let value = self.builder.ins().select(condition, a, b);
        self.push(value);
        Ok(())
    }

    fn global_get(&mut self, index: u32) -> Result<Value, CompileError> {
        let ty = self.global_type(index)?;
        if !ty.mutable
            && let Some(value) = self.known_global(index)
        {
            return Ok(value);
        }
        let (base, offset) = self.global(index)?;
        let flags = if ty.mutable { self.flags(Region::Globals) } else { self.fixed(Region::Globals) };
        Ok(self.builder.ins().load(value_type(ty.value), flags, base, offset))
    }

    /// The value of a global that is initialised by one constant.
    fn known_global(&mut self, index: u32) -> Option<Value> {
        let defined = index.checked_sub(self.env.info.imported_globals)?;
        match self.env.info.global_inits.get(defined as usize)?.as_slice() {
            [ConstOp::I32Const(value)] => Some(self.builder.ins().iconst(types::I32, i64::from(*value))),
            [ConstOp::I64Const(value)] => Some(self.builder.ins().iconst(types::I64, *value)),
            [ConstOp::F32Const(bits)] => Some(self.f32_const(*bits)),
            [ConstOp::F64Const(bits)] => Some(self.f64_const(*bits)),
            _ => None,
        }
    }

    /// Where a global's value is.
    fn global(&mut self, index: u32) -> Result<(Value, i32), CompileError> {
        let layout = self.env.layout;
        match index.checked_sub(self.env.info.imported_globals) {
            Some(defined) => {
                let offset = self.context_offset(layout.globals, defined, VALUE_SIZE)?;
                Ok((self.vmctx, offset as i32))
            }
            None => {
                let offset = self.context_offset(layout.imported_globals, index, 8)?;
                Ok((self.fixed_pointer(self.vmctx, offset), 0))
            }
        }
    }

    /// The offset of an element of one of the context's arrays.
    pub(super) fn context_offset(&self, array: u32, index: u32, size: u32) -> Result<u32, CompileError> {
        index
            .checked_mul(size)
            .and_then(|offset| offset.checked_add(array))
            .filter(|offset| *offset < self.env.layout.size)
            .ok_or_else(|| self.internal("an offset outside the context"))
    }

    pub(super) fn zero(&mut self, ty: Type) -> Value {
        match ty {
            types::I32 | types::I64 => self.builder.ins().iconst(ty, 0),
            types::F32 => self.f32_const(0),
            types::F64 => self.f64_const(0),
            _ => {
                let zero = self.builder.func.dfg.constants.insert([0; 16].as_slice().into());
                self.builder.ins().vconst(ty, zero)
            }
        }
    }

    fn f32_const(&mut self, bits: u32) -> Value {
        self.builder.ins().f32const(cranelift_codegen::ir::immediates::Ieee32::with_bits(bits))
    }

    fn f64_const(&mut self, bits: u64) -> Value {
        self.builder.ins().f64const(cranelift_codegen::ir::immediates::Ieee64::with_bits(bits))
    }
}
