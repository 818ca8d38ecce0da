//! Bulk operations on memories, and how the runtime's functions are called.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wasmparser::Operator;

use super::{SignatureKey, Translator, trap};
use crate::CompileError;
use crate::signature::{POINTER, host_signature};
use crate::vmctx::{Builtin, TrapCode, header};

/// Bytes that cost as much as an instruction, as a power of 2.
const BYTES_OF_FUEL: u8 = 6;

impl Translator<'_, '_> {
    pub(super) fn bulk_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        match *op {
            Operator::MemoryCopy { dst_mem, src_mem } => {
                let (dst, src, len) = self.pop3()?;
                let (dst, src, len) =
                    (self.extend_index(dst), self.extend_index(src), self.extend_index(len));
                self.spend_for(len, BYTES_OF_FUEL)?;
                let (dst_mem, src_mem) = (self.number(dst_mem), self.number(src_mem));
                self.checked(Builtin::MemoryCopy, &[dst_mem, dst, src_mem, src, len])?;
            }
            Operator::MemoryFill { mem } => {
                let (dst, byte, len) = self.pop3()?;
                let (dst, len) = (self.extend_index(dst), self.extend_index(len));
                self.spend_for(len, BYTES_OF_FUEL)?;
                let mem = self.number(mem);
                self.checked(Builtin::MemoryFill, &[mem, dst, byte, len])?;
            }
            Operator::MemoryInit { data_index, mem } => {
                let (dst, src, len) = self.pop3()?;
                let (dst, src, len) =
                    (self.extend_index(dst), self.extend_index(src), self.extend_index(len));
                self.spend_for(len, BYTES_OF_FUEL)?;
                let (mem, segment) = (self.number(mem), self.number(data_index));
                self.checked(Builtin::MemoryInit, &[mem, segment, dst, src, len])?;
            }
            Operator::DataDrop { data_index } => {
                let segment = self.number(data_index);
                self.builtin(Builtin::DataDrop, &[segment], None)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// An index of the module as the runtime's functions take it.
    pub(super) fn number(&mut self, index: u32) -> Value {
        self.builder.ins().iconst(types::I32, i64::from(index))
    }

    /// Has the runtime do an operation on many bytes or elements, as many as the last of the arguments says; traps if it
    /// is out of bounds. Where guests are interrupted, the runtime returns when it is to look into that, and goes on with
    /// what is left.
    pub(super) fn checked(&mut self, builtin: Builtin, args: &[Value]) -> Result<(), CompileError> {
        let out_of_bounds = trap(match builtin {
            Builtin::TableFill | Builtin::TableCopy | Builtin::TableInit => TrapCode::TableOutOfBounds,
            _ => TrapCode::MemoryOutOfBounds,
        });
        let all = args.last().copied().ok_or_else(|| self.internal("a bulk operation without a length"))?;
        if !self.env.interruptible {
            let left = self.builtin(builtin, &[args, &[all]].concat(), Some(types::I64))?;
            self.builder.ins().trapnz(left, out_of_bounds);
            return Ok(());
        }
        let again = self.block_with_params(&[types::I64]);
        let (interrupted, done) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(interrupted);
        self.builder.ins().jump(again, &[all.into()]);
        self.builder.switch_to_block(again);
        let left = self.builder.block_params(again).first().copied().unwrap_or(all);
        let left = self.builtin(builtin, &[args, &[left]].concat(), Some(types::I64))?;
        let failed = self.builder.ins().icmp_imm_s(IntCC::Equal, left, -1);
        self.builder.ins().trapnz(failed, out_of_bounds);
        self.builder.ins().brif(left, interrupted, &[], done, &[]);
        self.continue_in(interrupted);
        self.interrupt();
        self.builder.ins().jump(again, &[left.into()]);
        self.builder.seal_block(again);
        self.continue_in(done);
        Ok(())
    }

    /// Calls a function of the runtime. What it returns is meaningless if it has no result.
    pub(super) fn builtin(
        &mut self,
        builtin: Builtin,
        args: &[Value],
        result: Option<Type>,
    ) -> Result<Value, CompileError> {
        let signature = match self.signatures.get(&SignatureKey::Builtin(builtin)) {
            Some(signature) => *signature,
            None => {
                let mut params = vec![POINTER];
                params.extend(args.iter().map(|arg| self.builder.func.dfg.value_type(*arg)));
                let signature = host_signature(&params, result.as_slice());
                let signature = self.builder.import_signature(signature);
                self.signatures.insert(SignatureKey::Builtin(builtin), signature);
                signature
            }
        };
        let builtins = self.fixed_pointer(self.vmctx, header::BUILTINS);
        let code = self.fixed_pointer(builtins, builtin as u32 * 8);
        let mut all = vec![self.vmctx];
        all.extend_from_slice(args);
        let call = self.builder.ins().call_indirect(signature, code, &all);
        Ok(self.builder.inst_results(call).first().copied().unwrap_or(self.vmctx))
    }
}
