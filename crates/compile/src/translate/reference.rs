//! References.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, types};
use wasmparser::Operator;

use super::{Translator, trap};
use crate::CompileError;
use crate::parse::heap_type;
use crate::signature::POINTER;
use crate::vmctx::{TrapCode, func_ref};

impl Translator<'_, '_> {
    pub(super) fn reference_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        match *op {
            Operator::RefNull { hty } => {
                heap_type(hty, self.offset)?;
                let null = self.builder.ins().iconst(POINTER, 0);
                self.push(null);
            }
            Operator::RefIsNull => {
                let reference = self.pop()?;
                let null = self.builder.ins().iconst(POINTER, 0);
                let is_null = self.builder.ins().icmp(IntCC::Equal, reference, null);
                self.push_bool(is_null);
            }
            Operator::RefFunc { function_index } => {
                let Ok(position) = self.env.info.escaping.binary_search(&function_index) else {
                    return Err(self.internal("a reference to a function that was not declared"));
                };
                let layout = self.env.layout;
                let offset = self.context_offset(layout.func_refs, position as u32, func_ref::SIZE)?;
                let offset = self.builder.ins().iconst(types::I64, i64::from(offset));
                let address = self.builder.ins().iadd(self.vmctx, offset);
                self.push(address);
            }
            Operator::RefAsNonNull => {
                let reference = self.pop()?;
                self.builder.ins().trapz(reference, trap(TrapCode::NullReference));
                self.push(reference);
            }
            Operator::BrOnNull { relative_depth } => {
                let reference = self.pop()?;
                let null = self.builder.ins().iconst(POINTER, 0);
                let is_null = self.builder.ins().icmp(IntCC::Equal, reference, null);
                self.br_if(is_null, relative_depth)?;
                self.push(reference);
            }
            Operator::BrOnNonNull { relative_depth } => {
                // The label takes the reference; what follows does not.
                let reference = self.pop()?;
                self.push(reference);
                self.br_if(reference, relative_depth)?;
                self.pop()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
