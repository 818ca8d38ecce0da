//! Bulk operations on memories, and how the runtime's functions are called.
//!
//! Copying and filling check their ranges in place and call `memmove` or `memset`: most move a few bytes,
//! and a call into the runtime would cost several times what they do. Where guests are interrupted, the runtime gets what
//! takes so long that it is to look for an interrupt meanwhile.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, Inst, InstBuilder, SigRef, Type, Value, types};
use smallvec::SmallVec;
use wasmparser::Operator;

use super::{Region, SignatureKey, Translator, trap};
use crate::CompileError;
use crate::signature::{POINTER, host_signature};
use crate::vmctx::{Builtin, LONG_MOVE, TrapCode, header};

/// Bytes that cost as much as an instruction, as a power of 2.
const BYTES_OF_FUEL: u8 = 6;

/// Bytes that are moved within a few microseconds.
const SHORT: i64 = 64 << 10;

impl Translator<'_, '_> {
    pub(super) fn bulk_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        match *op {
            Operator::MemoryCopy { dst_mem, src_mem } => {
                let (dst, src, len) = self.pop3()?;
                let (dst, src, len) =
                    (self.extend_index(dst), self.extend_index(src), self.extend_index(len));
                self.spend_for(len, BYTES_OF_FUEL)?;
                let done = self.unless_short(len, |this| {
                    let (dst_mem, src_mem) = (this.number(dst_mem), this.number(src_mem));
                    this.checked(Builtin::MemoryCopy, &[dst_mem, dst, src_mem, src, len])
                })?;
                let dst = self.range(dst_mem, dst, len)?;
                let src = self.range(src_mem, src, len)?;
                self.move_bytes(dst, src, len);
                self.join(done);
            }
            Operator::MemoryFill { mem } => {
                let (dst, byte, len) = self.pop3()?;
                let (dst, len) = (self.extend_index(dst), self.extend_index(len));
                self.spend_for(len, BYTES_OF_FUEL)?;
                let done = self.unless_short(len, |this| {
                    let mem = this.number(mem);
                    this.checked(Builtin::MemoryFill, &[mem, dst, byte, len])
                })?;
                let dst = self.range(mem, dst, len)?;
                self.call_builtin(Builtin::MachineSet, &[dst, byte, len], None);
                self.join(done);
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

    /// Where guests are interrupted, does otherwise what would take long; the other way has to [`Self::join`] it.
    fn unless_short(
        &mut self,
        len: Value,
        otherwise: impl FnOnce(&mut Self) -> Result<(), CompileError>,
    ) -> Result<Option<Block>, CompileError> {
        if !self.env.interruptible {
            return Ok(None);
        }
        let is_long = self.builder.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, len, SHORT);
        let (long, short, done) =
            (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(long);
        self.builder.ins().brif(is_long, long, &[], short, &[]);
        self.continue_in(long);
        otherwise(self)?;
        self.builder.ins().jump(done, &[]);
        self.continue_in(short);
        Ok(Some(done))
    }

    fn join(&mut self, done: Option<Block>) {
        if let Some(done) = done {
            self.builder.ins().jump(done, &[]);
            self.continue_in(done);
        }
    }

    /// The address of a range of a memory; traps if any of it is outside. Both numbers are of 64 bits.
    fn range(&mut self, memory: u32, index: Value, len: Value) -> Result<Value, CompileError> {
        let out_of_bounds = trap(TrapCode::MemoryOutOfBounds);
        let end = if self.memory_type(memory)?.memory64 {
            self.builder.ins().uadd_overflow_trap(index, len, out_of_bounds)
        } else {
            self.builder.ins().iadd(index, len)
        };
        let length = self.memory_length(memory)?;
        let outside = self.builder.ins().icmp(IntCC::UnsignedGreaterThan, end, length);
        self.builder.ins().trapnz(outside, out_of_bounds);
        let base = self.memory_base(memory)?;
        Ok(self.builder.ins().iadd(base, index))
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
        let mut all: SmallVec<[Value; 8]> = SmallVec::from_slice(&[self.vmctx]);
        all.extend_from_slice(args);
        let call = self.call_builtin(builtin, &all, result);
        Ok(self.builder.inst_results(call).first().copied().unwrap_or(self.vmctx))
    }

    /// Calls a function of the runtime with all its arguments: those that are the machine's own get no context.
    fn call_builtin(&mut self, builtin: Builtin, args: &[Value], result: Option<Type>) -> Inst {
        let signature = self.builtin_signature(builtin, args, result);
        let code = self.builtin_code(builtin);
        self.builder.ins().call_indirect(signature, code, args)
    }

    /// Moves bytes between ranges that have been checked.
    fn move_bytes(&mut self, dst: Value, src: Value, len: Value) {
        let args = [dst, src, len];
        let signature = self.builtin_signature(Builtin::MachineMove, &args, None);
        let short = self.builtin_code(Builtin::MachineMove);
        let long = self.builtin_code(Builtin::MachineMoveLong);
        let is_short = self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThan, len, i64::from(LONG_MOVE));
        let code = self.builder.ins().select(is_short, short, long);
        self.builder.ins().call_indirect(signature, code, &args);
    }

    fn builtin_signature(&mut self, builtin: Builtin, args: &[Value], result: Option<Type>) -> SigRef {
        if let Some(signature) = self.signatures.get(&SignatureKey::Builtin(builtin)) {
            return *signature;
        }
        let params = args.iter().map(|arg| self.builder.func.dfg.value_type(*arg));
        let params: SmallVec<[Type; 8]> = params.collect();
        let signature = self.builder.import_signature(host_signature(&params, result.as_slice()));
        self.signatures.insert(SignatureKey::Builtin(builtin), signature);
        signature
    }

    /// Where a function of the runtime is. Loaded for each call anew: kept, it would take a register from whatever lies
    /// between the calls.
    pub(super) fn builtin_code(&mut self, builtin: Builtin) -> Value {
        let flags = self.flags(Region::Context);
        let builtins = self.builder.ins().load(POINTER, flags, self.vmctx, header::BUILTINS as i32);
        self.builder.ins().load(POINTER, flags, builtins, builtin as i32 * 8)
    }
}
