//! Memories, `realloc`, failures and helpers.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Type, Value, types};
use tombolo_types::component::{Def, PtrWidth, TypeRef, Types};
use tombolo_types::core::{FuncType, ValType};

use super::{Builder, Party, Result, Unsupported};
use crate::signature::{POINTER, V128, host_signature, wasm_signature};
use crate::trampoline::{raise, record_exit};
use crate::vmctx::{Failure, Helper, activation, definition, func_ref, link, store_context};

/// Lists and strings longer than this many bytes are refused.
pub(super) const MAX_BYTE_LENGTH: u64 = (1 << 28) - 1;

/// The core type of a pointer.
pub(super) fn pointer(width: PtrWidth) -> ValType {
    match width {
        PtrWidth::Bits32 => ValType::I32,
        PtrWidth::Bits64 => ValType::I64,
    }
}

impl Builder<'_, '_> {
    /// Flags of accesses that were checked, and of the runtime's own memory.
    pub(super) fn flags(&self) -> MemFlagsData {
        MemFlagsData::trusted()
    }

    /// Flags of accesses that were checked and need not be aligned.
    pub(super) fn loose(&self) -> MemFlagsData {
        MemFlagsData::new().with_notrap()
    }

    pub(super) fn constant(&mut self, value: u64) -> Value {
        self.b.ins().iconst(types::I64, value as i64)
    }

    /// Two words of zeros.
    pub(super) fn zeros(&mut self) -> Value {
        let zeros = self.b.func.dfg.constants.insert([0; 16].as_slice().into());
        self.b.ins().vconst(V128, zeros)
    }

    pub(super) fn of_link(&mut self, offset: u32) -> Value {
        let (flags, link) = (self.flags(), self.link);
        self.b.ins().load(POINTER, flags, link, offset as i32)
    }

    /// Where a memory begins and how long it is, now.
    pub(super) fn memory(&mut self, party: Party) -> (Value, Value) {
        let memory = self.of_link(match party {
            Party::Caller => link::CALLER_MEMORY,
            Party::Callee => link::CALLEE_MEMORY,
        });
        let flags = self.flags();
        let base = self.b.ins().load(POINTER, flags, memory, definition::BASE as i32);
        let length = self.b.ins().load(types::I64, flags, memory, definition::LENGTH as i32);
        (base, length)
    }

    /// The host's address of one in a memory, which was checked.
    pub(super) fn place(&mut self, party: Party, address: Value) -> Value {
        let base = match self.bases.get(party as usize).copied().flatten() {
            Some(base) => base,
            None => self.memory(party).0,
        };
        if let Some(known) = self.bases.get_mut(party as usize) {
            *known = Some(base);
        }
        self.b.ins().iadd(base, address)
    }

    /// A pointer or length as 64 bits.
    pub(super) fn extend(&mut self, value: Value) -> Value {
        if self.type_of(value) == types::I64 { value } else { self.b.ins().uextend(types::I64, value) }
    }

    /// 64 bits as a pointer or length of a memory.
    pub(super) fn narrow(&mut self, party: Party, value: Value) -> Value {
        match self.width(party) {
            PtrWidth::Bits64 => value,
            PtrWidth::Bits32 => self.b.ins().ireduce(types::I32, value),
        }
    }

    /// Loads a pointer or length.
    pub(super) fn load_pointer(&mut self, party: Party, address: Value, offset: i32) -> Value {
        let flags = self.flags();
        let place = self.place(party, address);
        match self.width(party) {
            PtrWidth::Bits64 => self.b.ins().load(types::I64, flags, place, offset),
            PtrWidth::Bits32 => {
                let value = self.b.ins().load(types::I32, flags, place, offset);
                self.b.ins().uextend(types::I64, value)
            }
        }
    }

    /// Checks that `len` bytes at an address are aligned and within a memory.
    pub(super) fn check_range(
        &mut self,
        party: Party,
        address: Value,
        len: Value,
        align: u32,
        what: Failure,
    ) {
        let (_, size) = self.memory(party);
        let align_value = self.constant(align.max(1).into());
        let values = [address, len, align_value, size];
        if align > 1 {
            let mask = i64::from(align - 1);
            let low = self.b.ins().band_imm_s(address, mask);
            self.fail_if(low, party, what, values);
        }
        // Neither side of the comparison can overflow.
        let too_long = self.b.ins().icmp(IntCC::UnsignedGreaterThan, len, size);
        let room = self.b.ins().isub(size, len);
        let too_far = self.b.ins().icmp(IntCC::UnsignedGreaterThan, address, room);
        let outside = self.b.ins().bor(too_long, too_far);
        self.fail_if(outside, party, what, values);
    }

    /// Fails if a condition holds, by the fault of one side.
    pub(super) fn fail_if(&mut self, condition: Value, fault: Party, failure: Failure, values: [Value; 4]) {
        let bases = self.bases;
        let (failed, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(failed);
        self.b.ins().brif(condition, failed, &[], go_on, &[]);
        self.go_on_in(failed);
        let of_callee = if fault == Party::Callee { Failure::OF_CALLEE } else { 0 };
        let number = self.b.ins().iconst(types::I32, i64::from(failure as u32 | of_callee));
        let [a, b, c, d] = values;
        self.helper(Helper::Fail, &[number, a, b, c, d], false);
        self.raise();
        self.go_on_in(go_on);
        self.bases = bases;
    }

    /// Raises the trap that a helper has set.
    pub(super) fn raise(&mut self) {
        match self.failing {
            Some(failing) => {
                self.b.ins().jump(failing, &[]);
            }
            None => raise(&mut self.b, self.store),
        }
    }

    /// Calls a helper. The result is 64 bits if it has any.
    pub(super) fn helper(&mut self, helper: Helper, args: &[Value], result: bool) -> Value {
        let helpers = self.of_link(link::HELPERS);
        let flags = self.flags();
        let code = self.b.ins().load(POINTER, flags, helpers, helper as i32 * 8);
        let mut params: Vec<Type> = vec![POINTER];
        params.extend(args.iter().map(|arg| self.b.func.dfg.value_type(*arg)));
        let results: &[Type] = if result { &[types::I64] } else { &[] };
        let signature = self.b.import_signature(host_signature(&params, results));
        let mut values = vec![self.link];
        values.extend_from_slice(args);
        let call = self.b.ins().call_indirect(signature, code, &values);
        self.b.inst_results(call).first().copied().unwrap_or(self.link)
    }

    /// Calls a function that a `FuncRef` in the link names.
    pub(super) fn call_func(&mut self, offset: u32, ty: &FuncType, args: &[Value]) -> Vec<Value> {
        let func = self.of_link(offset);
        let flags = self.flags();
        let code = self.b.ins().load(POINTER, flags, func, func_ref::CODE as i32);
        let vmctx = self.b.ins().load(POINTER, flags, func, func_ref::VMCTX as i32);
        let signature = self.b.import_signature(wasm_signature(ty));
        let mut values = vec![vmctx];
        values.extend_from_slice(args);
        let call = self.b.ins().call_indirect(signature, code, &values);
        self.b.inst_results(call).to_vec()
    }

    /// Calls core code while its instance may not be left.
    pub(super) fn without_leaving(
        &mut self,
        party: Party,
        call: impl FnOnce(&mut Self) -> Vec<Value>,
    ) -> Vec<Value> {
        let offset = match party {
            Party::Caller => link::CALLER_DOOR,
            Party::Callee => link::CALLEE_DOOR,
        };
        let flags = self.flags();
        let door = self.of_link(offset);
        let word = self.b.ins().load(types::I32, flags, door, 0);
        let shut = self.b.ins().bor_imm_u(word, i64::from(link::MAY_NOT_LEAVE));
        self.b.ins().store(flags, shut, door, 0);
        let results = call(self);
        let door = self.of_link(offset);
        let word = self.b.ins().load(types::I32, flags, door, 0);
        let open = self.b.ins().band_imm_u(word, i64::from(!link::MAY_NOT_LEAVE));
        self.b.ins().store(flags, open, door, 0);
        results
    }

    /// Prepares the activation in which the target's `realloc` is called, if carrying values of these types takes that:
    /// what is the same in all calls.
    pub(super) fn prepare_realloc(&mut self, values: impl Iterator<Item = TypeRef>) {
        let types = self.adapter.types;
        let mut values = values;
        if !self.reallocs_apart() && values.any(|ty| is_allocated(types, ty)) {
            self.prepare_realloc_activation();
        }
    }

    pub(super) fn prepare_realloc_activation(&mut self) {
        let slot = match self.realloc_activation {
            Some(slot) => slot,
            None => {
                let data = StackSlotData::new(StackSlotKind::ExplicitSlot, activation::SIZE, 3);
                *self.realloc_activation.insert(self.b.create_sized_stack_slot(data))
            }
        };
        let previous = self.current_activation();
        let (zero, nobody) = (self.constant(0), self.constant(activation::NO_THREAD));
        let (func, instance) = match self.target() {
            Party::Caller => (zero, self.of_link(link::CALLER_INSTANCE)),
            Party::Callee => (self.of_link(link::FUNC), zero),
        };
        for (field, value) in [
            (activation::PREVIOUS, previous),
            (activation::FUNC, func),
            (activation::THREAD, nobody),
            (activation::INSTANCE, instance),
            (activation::LINK, zero),
        ] {
            self.b.ins().stack_store(POINTER, value, slot, field as i32);
        }
    }

    /// Whether the target's `realloc` is called by a helper: if it traps, that must not cut off the callee of an `async` function,
    /// which goes on after it has returned its result.
    fn reallocs_apart(&self) -> bool {
        self.returning && self.adapter.is_async()
    }

    /// Room for `len` bytes in the target's memory, checked.
    pub(super) fn allocate(&mut self, align: u32, len: Value) -> Result<Value> {
        let party = self.target();
        if !self.side(party).realloc {
            return Err(Unsupported);
        }
        if self.reallocs_apart() {
            let store = self.store;
            record_exit(&mut self.b, store);
            let align = self.b.ins().iconst(types::I32, i64::from(align));
            let address = self.helper(Helper::Realloc, &[align, len], true);
            let failed = self.b.ins().icmp_imm_s(IntCC::Equal, address, -1);
            self.raise_if(failed);
            self.bases = [None; 2];
            return Ok(address);
        }
        let offset = match party {
            Party::Caller => link::CALLER_REALLOC,
            Party::Callee => link::CALLEE_REALLOC,
        };
        let slot = self.realloc_activation.ok_or(Unsupported)?;
        let (flags, store) = (self.flags(), self.store);
        let zeros = self.zeros();
        self.b.ins().stack_store(POINTER, zeros, slot, activation::CONTEXT as i32);
        let address = self.b.ins().stack_addr(POINTER, slot, 0);
        self.b.ins().store(flags, address, store, store_context::ACTIVATION as i32);
        let ty = pointer(self.width(party));
        let func = FuncType::new([ty; 4], [ty]);
        let (zero, align_value) = (self.constant(0), self.constant(align.into()));
        let [zero, align_value, size] = [zero, align_value, len].map(|value| self.narrow(party, value));
        let results = self
            .without_leaving(party, |this| this.call_func(offset, &func, &[zero, zero, align_value, size]));
        let previous = self.b.ins().stack_load(POINTER, POINTER, slot, activation::PREVIOUS as i32);
        self.b.ins().store(flags, previous, store, store_context::ACTIVATION as i32);
        self.bases = [None; 2];
        let address = results.first().copied().ok_or(Unsupported)?;
        let address = self.extend(address);
        self.check_range(party, address, len, align, Failure::Realloc);
        Ok(address)
    }
}

/// Whether values of a type take a `realloc`.
fn is_allocated(types: &Types, ty: TypeRef) -> bool {
    match types.get(ty) {
        None => ty == TypeRef::String,
        Some(Def::List { length: None, .. } | Def::Map { .. }) => true,
        Some(def) => def.parts().any(|part| is_allocated(types, part)),
    }
}
