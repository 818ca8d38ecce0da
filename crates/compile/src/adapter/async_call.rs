//! Calls of functions that are `async`, without a task as long as nobody asks for it.
//!
//! The callee is entered if its door lets it in, and its instance's exclusive lock is a bit of that door. Its activation
//! has what `task.return` needs. A callee that has returned its result and exits is done: nothing was made for it. In all
//! other cases the runtime goes on, from the activation ([`Helper::Settle`]).

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, StackSlotData, StackSlotKind, Value, types};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;

use super::call::{Core, DONE, RETURNED};
use super::{Adapter, Builder, Party, Result, Unsupported};
use crate::signature::{POINTER, value_type};
use crate::trampoline::{record_exit, store_values, value_offset};
use crate::vmctx::{Helper, VALUE_SIZE, activation, link, store_context};

/// What an async-lowered function returns when its callee has returned at once (`Subtask.State.RETURNED`).
const SUBTASK_RETURNED: i64 = 2;

/// Builds what `task.return` jumps to: a function of the flat results, with the link as its context.
pub(super) fn build_return(b: FunctionBuilder<'_>, adapter: &Adapter<'_>, isa: &dyn TargetIsa) -> Result<()> {
    if !adapter.callee.is_async {
        return Err(Unsupported);
    }
    let (caller, callee) = (Core::new(adapter, Party::Caller), Core::new(adapter, Party::Callee));
    let (mut builder, results) = Builder::new(b, adapter, &callee.task_return())?;
    builder.returning = true;
    let (flags, store) = (builder.flags(), builder.store);
    let activation = builder.b.ins().load(POINTER, flags, store, store_context::ACTIVATION as i32);
    builder.carry_result(&caller, &callee, &results, activation)?;
    builder.note_returned(activation);
    builder.b.ins().return_(&[]);
    builder.end(isa);
    Ok(())
}

impl<'a> Builder<'a, '_> {
    /// Calls the callee, with its parameters and its activation prepared, and returns what the caller gets.
    pub(super) fn call_async(
        &mut self,
        caller: &Core<'a>,
        callee: &Core<'a>,
        passed: &[Value],
        lends: u32,
    ) -> Result<Vec<Value>> {
        let at = self.activation_address();
        let done = self.b.create_block();
        for ty in &caller.ty.results {
            self.b.append_block_param(done, value_type(*ty));
        }
        let previous = self.current_activation();
        self.lock();
        let results = match self.adapter.on_fiber {
            true => self.call_on_fiber(caller, callee, passed, done),
            false => Vec::new(),
        };
        self.activate(previous);
        let results = match self.adapter.on_fiber {
            true => results,
            false => self.call_func(link::CALLEE, &callee.ty, passed),
        };
        self.bases = [None; 2];
        let packed = if self.adapter.callee.is_async {
            results.first().copied().unwrap_or_else(|| self.b.ins().iconst(types::I32, 0))
        } else {
            self.returning = true;
            let at = self.activation_address();
            self.carry_result(caller, callee, &results, at)?;
            self.finish(RETURNED, None, &mut []);
            self.note_returned(at);
            if self.adapter.post_return {
                self.post_return(callee, &results);
            }
            self.b.ins().iconst(types::I32, 0)
        };
        self.settle(caller, at, packed, done);
        self.go_on_in(done);
        let (flags, store) = (self.flags(), self.store);
        self.b.ins().store(flags, previous, store, store_context::ACTIVATION as i32);
        self.lends = lends;
        self.end_lends();
        Ok(self.b.block_params(done).to_vec())
    }

    /// Goes to `done` with what the caller gets: at once if the callee has returned and exits, else by the runtime.
    fn settle(&mut self, caller: &Core<'_>, at: Value, packed: Value, done: cranelift_codegen::ir::Block) {
        let flags = self.flags();
        let state = self.b.ins().load(types::I32, flags, at, activation::STATE as i32);
        let open = self.b.ins().bnot(state);
        let open = self.b.ins().band_imm_u(open, i64::from(activation::RETURNED));
        let open = self.b.ins().bor(open, packed);
        let open = self.b.ins().uextend(types::I64, open);
        let thread = self.b.ins().load(types::I64, flags, at, activation::THREAD as i32);
        let open = self.b.ins().bor(open, thread);
        let (slow, fast) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(slow);
        self.b.ins().brif(open, slow, &[], fast, &[]);

        self.go_on_in(slow);
        let store = self.store;
        record_exit(&mut self.b, store);
        let failed = self.helper(Helper::Settle, &[at, packed], true);
        self.raise_if(failed);
        self.leave_to(caller, at, done);

        self.go_on_in(fast);
        self.unlock();
        if self.adapter.caller.is_async {
            let returned = self.b.ins().iconst(types::I32, SUBTASK_RETURNED);
            self.b.ins().jump(done, &[returned.into()]);
        } else {
            self.leave_to(caller, at, done);
        }
    }

    /// Goes to `done` with the activation's value.
    fn leave_to(&mut self, caller: &Core<'_>, at: Value, done: cranelift_codegen::ir::Block) {
        let flags = self.flags();
        let load = |this: &mut Self, ty| {
            this.b.ins().load(value_type(ty), flags, at, activation::VALUE as i32).into()
        };
        // One at most, as there is only one flat result.
        let values: Vec<BlockArg> = caller.ty.results.iter().map(|ty| load(self, *ty)).collect();
        self.b.ins().jump(done, &values);
    }

    /// Calls the callee's core function on a fiber. If the call is settled then, goes to `done`.
    fn call_on_fiber(
        &mut self,
        caller: &Core<'_>,
        callee: &Core<'_>,
        passed: &[Value],
        done: cranelift_codegen::ir::Block,
    ) -> Vec<Value> {
        let slots = passed.len().max(callee.ty.results.len()).max(1) as u32;
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, slots * VALUE_SIZE, 4);
        let slot = self.b.create_sized_stack_slot(slot);
        let values = self.b.ins().stack_addr(POINTER, slot, 0);
        store_values(&mut self.b, values, passed);
        let (at, store) = (self.activation_address(), self.store);
        record_exit(&mut self.b, store);
        let outcome = self.helper(Helper::CallOnFiber, &[at, values], true);
        let (other, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(other);
        self.b.ins().brif(outcome, other, &[], go_on, &[]);

        self.go_on_in(other);
        let failed = self.b.ins().icmp_imm_s(IntCC::NotEqual, outcome, 1);
        self.raise_if(failed);
        self.leave_to(caller, at, done);

        self.go_on_in(go_on);
        let flags = self.flags();
        let mut results = Vec::with_capacity(callee.ty.results.len());
        for (index, ty) in callee.ty.results.iter().enumerate() {
            results.push(self.b.ins().load(value_type(*ty), flags, values, value_offset(index)));
        }
        results
    }

    /// Takes the callee's exclusive lock, if it needs that.
    fn lock(&mut self) {
        if self.adapter.needs_exclusive() {
            let flags = self.flags();
            let door = self.of_link(link::CALLEE_DOOR);
            let word = self.b.ins().load(types::I32, flags, door, 0);
            let word = self.b.ins().bor_imm_u(word, i64::from(link::LOCKED));
            self.b.ins().store(flags, word, door, 0);
        }
    }

    fn unlock(&mut self) {
        if !self.adapter.needs_exclusive() {
            return;
        }
        let flags = self.flags();
        let door = self.of_link(link::CALLEE_DOOR);
        let word = self.b.ins().load(types::I32, flags, door, 0);
        let wanted = self.b.ins().band_imm_u(word, i64::from(link::WANTED));
        let (others, alone, go_on) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(others);
        self.b.ins().brif(wanted, others, &[], alone, &[]);
        self.go_on_in(others);
        self.helper(Helper::Unlock, &[], false);
        self.b.ins().jump(go_on, &[]);
        self.go_on_in(alone);
        let word = self.b.ins().band_imm_u(word, i64::from(!link::LOCKED));
        self.b.ins().store(flags, word, door, 0);
        self.b.ins().jump(go_on, &[]);
        self.go_on_in(go_on);
    }

    /// Takes the result to the caller's memory, or keeps it flat in the activation, and goes on. So it does if the caller fails:
    /// that is nothing to the callee.
    fn carry_result(
        &mut self,
        caller: &Core<'a>,
        callee: &Core<'a>,
        results: &[Value],
        activation: Value,
    ) -> Result<()> {
        let flags = self.flags();
        let (failing, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(failing);
        self.failing = Some(failing);
        let out = self.b.ins().load(types::I64, flags, activation, activation::VALUE as i32);
        let returned = self.results(caller, callee, results, Some(out))?;
        self.failing = None;
        // There is one at most.
        if let Some(value) = returned.first() {
            self.b.ins().store(flags, *value, activation, activation::VALUE as i32);
        }
        self.b.ins().jump(go_on, &[]);

        self.go_on_in(failing);
        let store = self.store;
        record_exit(&mut self.b, store);
        let failed = self.helper(Helper::CallerFailed, &[activation], true);
        self.raise_if(failed);
        self.b.ins().jump(go_on, &[]);
        self.go_on_in(go_on);
        Ok(())
    }

    fn note_returned(&mut self, activation: Value) {
        let flags = self.flags();
        let state = self.b.ins().load(types::I32, flags, activation, activation::STATE as i32);
        let state = self.b.ins().bor_imm_u(state, i64::from(activation::RETURNED));
        self.b.ins().store(flags, state, activation, activation::STATE as i32);
    }

    /// The activation's fields of an `async` call.
    pub(super) fn begin_async(&mut self, caller: &Core<'_>, args: &[Value], lends: u32) -> Result<()> {
        let flags = self.flags();
        let at = self.activation_address();
        if caller.results.spilled {
            let out = self.extend(*args.last().ok_or(Unsupported)?);
            self.b.ins().store(flags, out, at, activation::VALUE as i32);
        } else {
            let zero = self.constant(0);
            self.b.ins().store(flags, zero, at, activation::VALUE as i32);
        }
        let (link, zero) = (self.link, self.constant(0));
        self.b.ins().store(flags, link, at, activation::LINK as i32);
        self.b.ins().store(flags, zero, at, activation::SUBTASK as i32);
        let lent = self.lent_at(0);
        self.b.ins().store(flags, lent, at, activation::LENT as i32);
        let lends = self.b.ins().iconst(types::I32, i64::from(lends));
        self.b.ins().store(flags, lends, at, activation::LENDS as i32);
        let state = if self.adapter.on_fiber { activation::ON_FIBER } else { 0 };
        let state = self.b.ins().iconst(types::I32, i64::from(state));
        self.b.ins().store(flags, state, at, activation::STATE as i32);
        Ok(())
    }

    /// Runs the callee's post-return function.
    pub(super) fn post_return(&mut self, callee: &Core<'_>, results: &[Value]) {
        let ty = tombolo_types::core::FuncType::new(callee.ty.results.clone(), []);
        self.without_leaving(Party::Callee, |this| this.call_func(link::POST_RETURN, &ty, results));
    }
}

const _: () = assert!(RETURNED != DONE);
