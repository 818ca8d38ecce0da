//! Atomic operations.
//!
//! The address is first checked to be a multiple of the width, then to be in the memory.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, MemFlagsData, Type, Value, types};
use wasmparser::{MemArg, MemArgTarget, Operator};

use super::memory::Address;
use super::{Translator, trap};
use crate::CompileError;
use crate::vmctx::{Builtin, TrapCode};

/// What an atomic wait returns when nobody can end it.
const WOULD_WAIT_FOREVER: i64 = 3;

impl Translator<'_, '_> {
    pub(super) fn atomic_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        use AtomicRmwOp::{Add, And, Or, Sub, Xchg, Xor};
        use Operator::*;
        use types::{I8, I16, I32, I64};
        match op {
            AtomicFence { .. } => {
                self.builder.ins().fence();
                Ok(true)
            }
            MemoryAtomicNotify { memarg } => self.atomic_notify(memarg),
            MemoryAtomicWait32 { memarg } => self.atomic_wait(memarg, I32, Builtin::AtomicWait32),
            MemoryAtomicWait64 { memarg } => self.atomic_wait(memarg, I64, Builtin::AtomicWait64),

            I32AtomicLoad { memarg } => self.atomic_load(memarg, I32, I32),
            I64AtomicLoad { memarg } => self.atomic_load(memarg, I64, I64),
            I32AtomicLoad8U { memarg } => self.atomic_load(memarg, I8, I32),
            I32AtomicLoad16U { memarg } => self.atomic_load(memarg, I16, I32),
            I64AtomicLoad8U { memarg } => self.atomic_load(memarg, I8, I64),
            I64AtomicLoad16U { memarg } => self.atomic_load(memarg, I16, I64),
            I64AtomicLoad32U { memarg } => self.atomic_load(memarg, I32, I64),
            I32AtomicStore { memarg } | I64AtomicStore32 { memarg } => self.atomic_store(memarg, I32),
            I64AtomicStore { memarg } => self.atomic_store(memarg, I64),
            I32AtomicStore8 { memarg } | I64AtomicStore8 { memarg } => self.atomic_store(memarg, I8),
            I32AtomicStore16 { memarg } | I64AtomicStore16 { memarg } => self.atomic_store(memarg, I16),

            I32AtomicRmwAdd { memarg } | I64AtomicRmw32AddU { memarg } => self.atomic_rmw(memarg, I32, Add),
            I64AtomicRmwAdd { memarg } => self.atomic_rmw(memarg, I64, Add),
            I32AtomicRmw8AddU { memarg } | I64AtomicRmw8AddU { memarg } => self.atomic_rmw(memarg, I8, Add),
            I32AtomicRmw16AddU { memarg } | I64AtomicRmw16AddU { memarg } => {
                self.atomic_rmw(memarg, I16, Add)
            }
            I32AtomicRmwSub { memarg } | I64AtomicRmw32SubU { memarg } => self.atomic_rmw(memarg, I32, Sub),
            I64AtomicRmwSub { memarg } => self.atomic_rmw(memarg, I64, Sub),
            I32AtomicRmw8SubU { memarg } | I64AtomicRmw8SubU { memarg } => self.atomic_rmw(memarg, I8, Sub),
            I32AtomicRmw16SubU { memarg } | I64AtomicRmw16SubU { memarg } => {
                self.atomic_rmw(memarg, I16, Sub)
            }
            I32AtomicRmwAnd { memarg } | I64AtomicRmw32AndU { memarg } => self.atomic_rmw(memarg, I32, And),
            I64AtomicRmwAnd { memarg } => self.atomic_rmw(memarg, I64, And),
            I32AtomicRmw8AndU { memarg } | I64AtomicRmw8AndU { memarg } => self.atomic_rmw(memarg, I8, And),
            I32AtomicRmw16AndU { memarg } | I64AtomicRmw16AndU { memarg } => {
                self.atomic_rmw(memarg, I16, And)
            }
            I32AtomicRmwOr { memarg } | I64AtomicRmw32OrU { memarg } => self.atomic_rmw(memarg, I32, Or),
            I64AtomicRmwOr { memarg } => self.atomic_rmw(memarg, I64, Or),
            I32AtomicRmw8OrU { memarg } | I64AtomicRmw8OrU { memarg } => self.atomic_rmw(memarg, I8, Or),
            I32AtomicRmw16OrU { memarg } | I64AtomicRmw16OrU { memarg } => self.atomic_rmw(memarg, I16, Or),
            I32AtomicRmwXor { memarg } | I64AtomicRmw32XorU { memarg } => self.atomic_rmw(memarg, I32, Xor),
            I64AtomicRmwXor { memarg } => self.atomic_rmw(memarg, I64, Xor),
            I32AtomicRmw8XorU { memarg } | I64AtomicRmw8XorU { memarg } => self.atomic_rmw(memarg, I8, Xor),
            I32AtomicRmw16XorU { memarg } | I64AtomicRmw16XorU { memarg } => {
                self.atomic_rmw(memarg, I16, Xor)
            }
            I32AtomicRmwXchg { memarg } | I64AtomicRmw32XchgU { memarg } => {
                self.atomic_rmw(memarg, I32, Xchg)
            }
            I64AtomicRmwXchg { memarg } => self.atomic_rmw(memarg, I64, Xchg),
            I32AtomicRmw8XchgU { memarg } | I64AtomicRmw8XchgU { memarg } => {
                self.atomic_rmw(memarg, I8, Xchg)
            }
            I32AtomicRmw16XchgU { memarg } | I64AtomicRmw16XchgU { memarg } => {
                self.atomic_rmw(memarg, I16, Xchg)
            }
            I32AtomicRmwCmpxchg { memarg } | I64AtomicRmw32CmpxchgU { memarg } => {
                self.atomic_compare_exchange(memarg, I32)
            }
            I64AtomicRmwCmpxchg { memarg } => self.atomic_compare_exchange(memarg, I64),
            I32AtomicRmw8CmpxchgU { memarg } | I64AtomicRmw8CmpxchgU { memarg } => {
                self.atomic_compare_exchange(memarg, I8)
            }
            I32AtomicRmw16CmpxchgU { memarg } | I64AtomicRmw16CmpxchgU { memarg } => {
                self.atomic_compare_exchange(memarg, I16)
            }
            _ => Ok(false),
        }
    }

    fn atomic_load(&mut self, memarg: &MemArg, part: Type, whole: Type) -> Result<bool, CompileError> {
        let (address, flags) = self.pop_atomic_address(memarg, part)?;
        let value = self.builder.ins().atomic_load(part, flags, address);
        let value = self.widen_atomic(value, whole);
        self.push(value);
        Ok(true)
    }

    fn atomic_store(&mut self, memarg: &MemArg, part: Type) -> Result<bool, CompileError> {
        let value = self.pop()?;
        let (address, flags) = self.pop_atomic_address(memarg, part)?;
        let value = self.narrow_atomic(value, part);
        self.builder.ins().atomic_store(flags, value, address);
        Ok(true)
    }

    fn atomic_rmw(&mut self, memarg: &MemArg, part: Type, op: AtomicRmwOp) -> Result<bool, CompileError> {
        let value = self.pop()?;
        let whole = self.builder.func.dfg.value_type(value);
        let (address, flags) = self.pop_atomic_address(memarg, part)?;
        let value = self.narrow_atomic(value, part);
        let old = self.builder.ins().atomic_rmw(part, flags, op, address, value);
        let old = self.widen_atomic(old, whole);
        self.push(old);
        Ok(true)
    }

    fn atomic_compare_exchange(&mut self, memarg: &MemArg, part: Type) -> Result<bool, CompileError> {
        let (expected, replacement) = self.pop2()?;
        let whole = self.builder.func.dfg.value_type(expected);
        let (address, flags) = self.pop_atomic_address(memarg, part)?;
        let (expected, replacement) =
            (self.narrow_atomic(expected, part), self.narrow_atomic(replacement, part));
        let old = self.builder.ins().atomic_cas(flags, address, expected, replacement);
        let old = self.widen_atomic(old, whole);
        self.push(old);
        Ok(true)
    }

    fn atomic_notify(&mut self, memarg: &MemArg) -> Result<bool, CompileError> {
        let count = self.pop()?;
        let (memory, address) = self.pop_accessible(memarg, types::I32)?;
        let memory = self.number(memory);
        let woken = self.builtin(Builtin::AtomicNotify, &[memory, address, count], Some(types::I32))?;
        self.push(woken);
        Ok(true)
    }

    fn atomic_wait(&mut self, memarg: &MemArg, ty: Type, builtin: Builtin) -> Result<bool, CompileError> {
        let (expected, timeout) = self.pop2()?;
        let (memory, address) = self.pop_accessible(memarg, ty)?;
        if !self.memory_type(memory)?.shared {
            self.save_fuel();
            self.builder.ins().trap(trap(TrapCode::AtomicWaitForever));
            self.reachable = false;
            return Ok(true);
        }
        let memory = self.number(memory);
        let outcome = self.builtin(builtin, &[memory, address, expected, timeout], Some(types::I32))?;
        let forever = self.builder.ins().iconst(types::I32, WOULD_WAIT_FOREVER);
        let forever = self.builder.ins().icmp(IntCC::Equal, outcome, forever);
        self.builder.ins().trapnz(forever, trap(TrapCode::AtomicWaitForever));
        self.push(outcome);
        Ok(true)
    }

    /// Takes an index from the stack, checks an access there by making one, and returns the memory and the address in it.
    fn pop_accessible(&mut self, memarg: &MemArg, ty: Type) -> Result<(u32, Value), CompileError> {
        let MemArgTarget::Memory(memory) = memarg.target else {
            return Err(self.unsupported("atomic array accesses (GC proposal)"));
        };
        let index = self.pop()?;
        self.push(index);
        let (address, flags) = self.pop_atomic_address(memarg, ty)?;
        self.builder.ins().atomic_load(ty, flags, address);
        let index = self.extend_index(index);
        let offset = self.builder.ins().iconst(types::I64, memarg.offset as i64);
        Ok((memory, self.builder.ins().iadd(index, offset)))
    }

    /// Takes an index from the stack and checks an atomic access of a type's width there.
    fn pop_atomic_address(
        &mut self,
        memarg: &MemArg,
        ty: Type,
    ) -> Result<(Value, MemFlagsData), CompileError> {
        let index = self.pop()?;
        if ty.bytes() > 1 {
            let wide = self.extend_index(index);
            let offset = self.builder.ins().iconst(types::I64, memarg.offset as i64);
            let address = self.builder.ins().iadd(wide, offset);
            let mask = self.builder.ins().iconst(types::I64, i64::from(ty.bytes() - 1));
            let rest = self.builder.ins().band(address, mask);
            self.builder.ins().trapnz(rest, trap(TrapCode::HeapMisaligned));
        }
        self.push(index);
        let Address { base, offset, flags } = self.pop_address(memarg, ty.bytes())?;
        let offset = self.builder.ins().iconst(types::I64, i64::from(offset));
        Ok((self.builder.ins().iadd(base, offset), flags))
    }

    fn narrow_atomic(&mut self, value: Value, part: Type) -> Value {
        if self.builder.func.dfg.value_type(value) == part {
            value
        } else {
            self.builder.ins().ireduce(part, value)
        }
    }

    fn widen_atomic(&mut self, value: Value, whole: Type) -> Value {
        if self.builder.func.dfg.value_type(value) == whole {
            value
        } else {
            self.builder.ins().uextend(whole, value)
        }
    }
}
