//! Exceptions.
//!
//! A call inside a `try_table` is a `try_call`: should an exception pass it, the runtime continues at the *landing* of the
//! innermost `try_table` around the call, with the exception. The landing compares the exception's tag with the catch
//! clauses and branches to the label of the first that matches, or hands the exception to the landing of the next
//! `try_table` outwards, or throws it on. So the runtime need not know of tags: a frame either has a landing or has not.
//!
//! Tail calls leave the function before they call: what they throw is not caught here. Traps are not exceptions.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, BlockCall, ExceptionTableData, ExceptionTableItem, InstBuilder, SigRef,
    Signature, StackSlotData, StackSlotKind, Value, types,
};
use cranelift_codegen::isa::CallConv;
use tombolo_types::core::FuncType;
use wasmparser::{Catch, Operator};

use super::call::Code;
use super::{Region, Translator, trap};
use crate::CompileError;
use crate::signature::{POINTER, value_type};
use crate::vmctx::{Builtin, TrapCode, VALUE_SIZE, exception};

impl<'a> Translator<'a, '_> {
    pub(super) fn exception_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        match op {
            Operator::TryTable { try_table } => self.try_table(try_table.ty, &try_table.catches)?,
            Operator::Throw { tag_index } => self.throw(*tag_index)?,
            Operator::ThrowRef => {
                let exception = self.pop()?;
                self.save_fuel();
                self.builder.ins().trapz(exception, trap(TrapCode::NullReference));
                self.call_throw(Builtin::ThrowRef, &[exception])?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn throw(&mut self, tag: u32) -> Result<(), CompileError> {
        let count = self.tag_type(tag)?.params.len();
        let values: Vec<Value> = self.top(count)?.to_vec();
        self.save_fuel();
        let address = self.exception_values(count as u32);
        for (value, index) in values.into_iter().zip(0..) {
            let flags = self.flags(Region::Exceptions);
            self.builder.ins().store(flags, value, address, index * VALUE_SIZE as i32);
        }
        let tag = self.tag(tag)?;
        let count = self.number(count as u32);
        self.call_throw(Builtin::Throw, &[tag, address, count])
    }

    /// Calls a function of the runtime that never returns, but may continue at a landing.
    fn call_throw(&mut self, builtin: Builtin, args: &[Value]) -> Result<(), CompileError> {
        let mut signature = Signature::new(CallConv::Tail);
        signature.params.push(AbiParam::new(POINTER));
        for arg in args {
            signature.params.push(AbiParam::new(self.builder.func.dfg.value_type(*arg)));
        }
        let signature = self.builder.import_signature(signature);
        let code = self.builtin_code(builtin);
        let mut all = vec![self.vmctx];
        all.extend_from_slice(args);
        self.call_catching(signature, Code::At(code), &all, &[])?;
        self.builder.ins().trap(trap(TrapCode::Unreachable));
        self.reachable = false;
        Ok(())
    }

    /// Calls a function; what it throws is caught by the `try_table`s around the call, if there are any.
    pub(super) fn call_catching(
        &mut self,
        signature: SigRef,
        code: Code,
        args: &[Value],
        results: &[tombolo_types::core::ValType],
    ) -> Result<Vec<Value>, CompileError> {
        let Some(landing) = self.landing()? else {
            let call = match code {
                Code::Known(function) => self.builder.ins().call(function, args),
                Code::At(code) => self.builder.ins().call_indirect(signature, code, args),
            };
            return Ok(self.builder.inst_results(call).to_vec());
        };
        let types: Vec<_> = results.iter().map(|ty| value_type(*ty)).collect();
        let back = self.block_with_params(&types);
        let lists = &mut self.builder.func.dfg.value_lists;
        let returned = (0..types.len() as u32).map(BlockArg::TryCallRet);
        let back_call = BlockCall::new(back, returned, lists);
        let landing_call = BlockCall::new(landing, [BlockArg::TryCallExn(0)], lists);
        let table =
            ExceptionTableData::new(signature, back_call, [ExceptionTableItem::Default(landing_call)]);
        let table = self.builder.func.dfg.exception_tables.push(table);
        match code {
            Code::Known(function) => self.builder.ins().try_call(function, args, table),
            Code::At(code) => self.builder.ins().try_call_indirect(code, args, table),
        };
        self.continue_in(back);
        Ok(self.builder.block_params(back).to_vec())
    }

    /// Writes what happens to an exception that arrives at the landing of a `try_table`, whose frame has been popped.
    pub(super) fn write_landing(&mut self, landing: Block, catches: &[Catch]) -> Result<(), CompileError> {
        self.builder.set_cold_block(landing);
        self.continue_in(landing);
        let Some(exception) = self.builder.block_params(landing).first().copied() else {
            return Err(self.internal("a landing without an exception"));
        };
        self.load_fuel();
        let height = self.stack.len();
        for catch in catches {
            let (tag, label, with_reference) = match *catch {
                Catch::One { tag, label } => (Some(tag), label, false),
                Catch::OneRef { tag, label } => (Some(tag), label, true),
                Catch::All { label } => (None, label, false),
                Catch::AllRef { label } => (None, label, true),
            };
            let mut miss = None;
            if let Some(tag) = tag {
                let expected = self.tag(tag)?;
                let flags = self.flags(Region::Exceptions);
                let actual = self.builder.ins().load(POINTER, flags, exception, exception::TAG as i32);
                let matches = self.builder.ins().icmp(IntCC::Equal, actual, expected);
                let (hit, other) = (self.builder.create_block(), self.builder.create_block());
                self.builder.ins().brif(matches, hit, &[], other, &[]);
                miss = Some(other);
                self.continue_in(hit);
                self.push_values(exception, tag)?;
            }
            if with_reference {
                self.push(exception);
            }
            self.br(label)?;
            self.truncate(height);
            match miss {
                Some(miss) => self.continue_in(miss),
                // All are caught.
                None => return Ok(()),
            }
        }
        self.throw_on(exception)
    }

    /// What to do with an exception that no clause of a `try_table` caught.
    fn throw_on(&mut self, exception: Value) -> Result<(), CompileError> {
        match self.landing()? {
            Some(outer) => {
                self.builder.ins().jump(outer, &[BlockArg::Value(exception)]);
                self.reachable = false;
                Ok(())
            }
            None => self.call_throw(Builtin::ThrowRef, &[exception]),
        }
    }

    /// Puts the values of an exception of a tag on the stack.
    fn push_values(&mut self, exception: Value, tag: u32) -> Result<(), CompileError> {
        for (ty, index) in self.tag_type(tag)?.params.iter().zip(0..) {
            let flags = self.flags(Region::Exceptions);
            let offset = exception::VALUES as i32 + index * VALUE_SIZE as i32;
            let value = self.builder.ins().load(value_type(*ty), flags, exception, offset);
            self.push(value);
        }
        Ok(())
    }

    /// What identifies a tag: an address.
    fn tag(&mut self, tag: u32) -> Result<Value, CompileError> {
        let layout = self.env.layout;
        match tag.checked_sub(self.env.info.imported_tags) {
            Some(defined) => {
                let offset = self.context_offset(layout.tags, defined, 8)?;
                let offset = self.builder.ins().iconst(types::I64, i64::from(offset));
                Ok(self.builder.ins().iadd(self.vmctx, offset))
            }
            None => {
                let offset = self.context_offset(layout.imported_tags, tag, 8)?;
                Ok(self.fixed_pointer(self.vmctx, offset))
            }
        }
    }

    fn tag_type(&self, tag: u32) -> Result<&'a FuncType, CompileError> {
        let index = self.env.tag_types.get(tag as usize).ok_or_else(|| self.internal("no such tag"))?;
        Ok(self.function_type(*index)?)
    }

    /// Room in the frame for the values of an exception.
    fn exception_values(&mut self, count: u32) -> Value {
        let size = count.max(1) * VALUE_SIZE;
        let slot = match self.exception_slot {
            Some(slot) => slot,
            None => {
                let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4);
                *self.exception_slot.insert(self.builder.create_sized_stack_slot(data))
            }
        };
        // One exception is thrown at a time: one slot, as large as the largest needs, serves them all.
        if let Some(data) = self.builder.func.sized_stack_slots.get_mut(slot) {
            data.size = data.size.max(size);
        }
        self.builder.ins().stack_addr(POINTER, slot, 0)
    }
}
