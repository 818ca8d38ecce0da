//! The frame of an adapter: doors, activation, call and return.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    BlockArg, InstBuilder, StackSlot, StackSlotData, StackSlotKind, UserFuncName, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;
use tombolo_types::component::{
    Abi, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, PtrWidth, TypeRef,
};
use tombolo_types::core::{FuncType, ValType};

use super::memory::pointer;
use super::{Adapter, Builder, Party, Result, Source, Target, Unsupported};
use crate::signature::{POINTER, wasm_signature};
use crate::trampoline::value_offset;
use crate::translate::set_stack_limit;
use crate::vmctx::{Failure, Helper, VALUE_SIZE, activation, host_context, link, store_context};

/// Places for borrowed handles in one call at most.
const MOST_LENDS: u32 = 16;

/// Bytes of a frame that is small beside [`HOST_STACK`](crate::vmctx::HOST_STACK).
const SMALL_FRAME: u64 = 4 << 10;

/// Phases of [`Helper::Finish`].
pub(super) const RETURNED: i64 = 1;
pub(super) const DONE: i64 = 2;

/// How a list of values is passed to or from core code.
#[derive(Clone, Copy)]
pub(super) struct Passing<'a> {
    pub(super) abi: Option<&'a Abi>,
    /// Whether it lies in memory.
    pub(super) spilled: bool,
}

impl<'a> Passing<'a> {
    fn new(abi: Option<&'a Abi>, most: usize) -> Self {
        let spilled = abi.is_some_and(|abi| abi.flat.as_ref().is_none_or(|flat| flat.len() > most));
        Passing { abi, spilled }
    }

    fn core(self, width: PtrWidth) -> Vec<ValType> {
        match self.abi {
            None => Vec::new(),
            Some(_) if self.spilled => vec![pointer(width)],
            Some(abi) => abi.flat.iter().flatten().map(|flat| (*flat).into()).collect(),
        }
    }
}

/// One side's core function.
pub(super) struct Core<'a> {
    pub(super) params: Passing<'a>,
    pub(super) results: Passing<'a>,
    pub(super) ty: FuncType,
    width: PtrWidth,
}

impl<'a> Core<'a> {
    /// `flatten_functype`.
    pub(super) fn new(adapter: &Adapter<'a>, party: Party) -> Self {
        let side = match party {
            Party::Caller => adapter.caller,
            Party::Callee => adapter.callee,
        };
        let width = side.width;
        let (most_params, most_results) = match (party, side.is_async) {
            (_, false) => (MAX_FLAT_PARAMS, MAX_FLAT_RESULTS),
            (Party::Caller, true) => (MAX_FLAT_ASYNC_PARAMS, 0),
            (Party::Callee, true) => (MAX_FLAT_PARAMS, MAX_FLAT_PARAMS),
        };
        let func = adapter.types.func(adapter.func);
        let abi = (!func.params.is_empty()).then(|| adapter.types.params_abi(adapter.func, width));
        let params = Passing::new(abi, most_params);
        let abi = func.result.map(|ty| adapter.types.abi(ty, width));
        let results = Passing::new(abi, most_results);
        let (mut takes, mut returns) = (params.core(width), results.core(width));
        // A result in memory is where the caller says.
        if party == Party::Caller && results.spilled {
            takes.append(&mut returns);
        }
        if side.is_async {
            let packed = party == Party::Caller || adapter.callback;
            returns = if packed { vec![ValType::I32] } else { Vec::new() };
        }
        Core { params, results, ty: FuncType::new(takes, returns), width }
    }

    /// The type of the callee's `task.return`.
    pub(super) fn task_return(&self) -> FuncType {
        FuncType::new(self.results.core(self.width), [])
    }
}

pub(super) fn build(b: FunctionBuilder<'_>, adapter: &Adapter<'_>, isa: &dyn TargetIsa) -> Result<()> {
    let (caller, callee) = (Core::new(adapter, Party::Caller), Core::new(adapter, Party::Callee));
    let (mut builder, args) = Builder::new(b, adapter, &caller.ty)?;
    builder.doors(&caller, &args);
    let lends = builder.borrows();
    if lends > MOST_LENDS {
        return Err(Unsupported);
    }
    builder.begin(lends);
    let returned = if adapter.is_async() {
        builder.begin_async(&caller, &args, lends)?;
        let passed = builder.params(&caller, &callee, &args)?;
        builder.call_async(&caller, &callee, &passed, lends)?
    } else {
        let passed = builder.params(&caller, &callee, &args)?;
        builder.call_sync(&caller, &callee, &passed, &args)?
    };
    builder.b.ins().return_(&returned);
    builder.end(isa);
    Ok(())
}

impl<'a, 'b> Builder<'a, 'b> {
    /// Begins a function of a type whose context is a link; returns it with its parameters.
    pub(super) fn new(
        mut b: FunctionBuilder<'b>,
        adapter: &'a Adapter<'a>,
        ty: &FuncType,
    ) -> Result<(Self, Vec<Value>)> {
        b.func.name = UserFuncName::user(1, 4);
        b.func.signature = wasm_signature(ty);
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.seal_block(entry);
        let params = b.block_params(entry).to_vec();
        let (link, args) = params.split_first().ok_or(Unsupported)?;
        let activation = StackSlotData::new(StackSlotKind::ExplicitSlot, activation::SIZE, 3);
        let activation = b.create_sized_stack_slot(activation);
        let mut builder = Builder {
            b,
            adapter,
            link: *link,
            store: *link,
            realloc_activation: None,
            activation,
            lent: None,
            lends: 0,
            returning: false,
            failing: None,
            bases: [None; 2],
        };
        builder.store = builder.of_link(host_context::STORE);
        Ok((builder, args.to_vec()))
    }

    pub(super) fn end(mut self, isa: &dyn TargetIsa) {
        if !self.has_small_frame() {
            set_stack_limit(self.b.func, host_context::STORE);
        }
        self.b.seal_all_blocks();
        self.b.finalize(isa.frontend_config());
    }

    /// Whether the frame is small for sure, though it is not known yet which values it will have to hold. Then it needs no
    /// check of its own: guests that are called check theirs, and helpers have more than enough below the limit.
    fn has_small_frame(&self) -> bool {
        let slots: u64 = self.b.func.sized_stack_slots.values().map(|slot| u64::from(slot.size)).sum();
        let values = self.b.func.dfg.num_values() as u64 * u64::from(VALUE_SIZE);
        slots + values <= SMALL_FRAME
    }

    /// Calls the callee of a function that is not `async`.
    fn call_sync(
        &mut self,
        caller: &Core<'a>,
        callee: &Core<'a>,
        passed: &[Value],
        args: &[Value],
    ) -> Result<Vec<Value>> {
        let previous = self.current_activation();
        self.activate(previous);
        let kept = self.keep();
        let results = self.call_func(link::CALLEE, &callee.ty, passed);
        self.come_back(kept);
        self.returning = true;
        if self.result_can_fail() {
            self.step_back(previous);
        }
        let mut returned = self.results(caller, callee, &results, args.last().copied())?;
        if self.adapter.post_return {
            self.finish(RETURNED, Some(kept), &mut returned);
            self.activate(previous);
            self.post_return(callee, &results);
            self.finish(DONE, Some(kept), &mut returned);
        } else {
            self.finish(RETURNED | DONE, Some(kept), &mut returned);
        }
        let (flags, store) = (self.flags(), self.store);
        self.b.ins().store(flags, previous, store, store_context::ACTIVATION as i32);
        self.end_lends();
        Ok(returned)
    }

    /// Keeps the link on the stack while the callee runs: a register that outlives the call would have to be saved for the
    /// caller and given back to it.
    fn keep(&mut self) -> StackSlot {
        let kept = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 8, 3));
        self.b.ins().stack_store(POINTER, self.link, kept, 0);
        kept
    }

    /// Goes on where the callee has returned.
    fn come_back(&mut self, kept: StackSlot) {
        self.bases = [None; 2];
        self.link = self.b.ins().stack_load(POINTER, POINTER, kept, 0);
        self.store = self.of_link(host_context::STORE);
    }

    /// Whether carrying the result can fail.
    fn result_can_fail(&self) -> bool {
        let result = self.adapter.types.func(self.adapter.func).result;
        result.is_some_and(|ty| ty != TypeRef::Bool && !ty.is_number())
    }

    /// Has the caller's activation be the one that runs, though the call is not over: the callee has no part in what goes
    /// wrong while its result is carried. But if somebody has made a task of its activation, that would be left over.
    fn step_back(&mut self, previous: Value) {
        let (flags, store) = (self.flags(), self.store);
        let thread = self.b.ins().stack_load(POINTER, types::I64, self.activation, activation::THREAD as i32);
        let own = self.b.ins().load(POINTER, flags, store, store_context::ACTIVATION as i32);
        let runs = self.b.ins().select(thread, own, previous);
        self.b.ins().store(flags, runs, store, store_context::ACTIVATION as i32);
    }

    /// Leaves the call to the interpreter if a door is in the way.
    fn doors(&mut self, caller: &Core<'_>, args: &[Value]) {
        let flags = self.flags();
        let door = self.of_link(link::CALLER_DOOR);
        let leave = self.b.ins().load(types::I32, flags, door, 0);
        let door = self.of_link(link::CALLEE_DOOR);
        let enter = self.b.ins().load(types::I32, flags, door, 0);
        let shut = i64::from(link::MAY_NOT_LEAVE | link::DEAD);
        let closed = if self.adapter.is_async() {
            let locked = if self.adapter.needs_exclusive() { link::LOCKED } else { 0 };
            let leave = self.b.ins().band_imm_u(leave, shut);
            let enter = self.b.ins().band_imm_u(enter, i64::from(link::DEAD | link::HELD_BACK | locked));
            self.b.ins().bor(leave, enter)
        } else {
            // Nobody calls an instance that may not be left, so the bits of both can be looked at together.
            let either = self.b.ins().bor(leave, enter);
            self.b.ins().band_imm_u(either, shut)
        };
        let (stop, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(stop);
        self.b.ins().brif(closed, stop, &[], go_on, &[]);
        self.go_on_in(stop);
        let code = self.of_link(link::INTERPRETER);
        let signature = self.b.import_signature(wasm_signature(&caller.ty));
        let mut params = vec![self.link];
        params.extend_from_slice(args);
        self.b.ins().return_call_indirect(signature, code, &params);
        self.go_on_in(go_on);
    }

    /// How many places a call needs for handles that it lends: one for each `borrow` among the parameters. In a list, all
    /// share one.
    fn borrows(&self) -> u32 {
        use tombolo_types::component::Def;
        fn count(types: &tombolo_types::component::Types, ty: TypeRef) -> u32 {
            match types.get(ty) {
                None => 0,
                Some(Def::Borrow(_)) => 1,
                Some(Def::List { element, length: Some(n) }) => count(types, *element).saturating_mul(*n),
                Some(def) => def.parts().fold(0, |sum, part| sum.saturating_add(count(types, part))),
            }
        }
        let types = self.adapter.types;
        types.func(self.adapter.func).params.iter().map(|p| count(types, p.ty)).fold(0, u32::saturating_add)
    }

    /// Prepares the callee's activation, which parameters may refer to.
    fn begin(&mut self, lends: u32) {
        let flags = self.flags();
        let address = self.activation_address();
        let func = self.of_link(link::FUNC);
        self.b.ins().store(flags, func, address, activation::FUNC as i32);
        let zeros = self.zeros();
        let loose = self.loose();
        self.b.ins().store(loose, zeros, address, activation::CONTEXT as i32);
        self.b.ins().store(loose, zeros, address, activation::THREAD as i32);
        if lends > 0 {
            let pairs = lends.div_ceil(2);
            let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, pairs * 8, 3);
            self.lent = Some(self.b.create_sized_stack_slot(slot));
            let (zero, lent) = (self.constant(0), self.lent_at(0));
            for pair in 0..pairs {
                self.b.ins().store(flags, zero, lent, pair as i32 * 8);
            }
        }
    }

    /// Where the index of a lent handle is noted; null if none can be lent.
    pub(super) fn lent_at(&mut self, offset: i32) -> Value {
        match self.lent {
            Some(lent) => self.b.ins().stack_addr(POINTER, lent, offset),
            None => self.constant(0),
        }
    }

    /// Where the callee's activation is.
    pub(super) fn activation_address(&mut self) -> Value {
        self.b.ins().stack_addr(POINTER, self.activation, 0)
    }

    /// The activation that runs, the caller's.
    pub(super) fn current_activation(&mut self) -> Value {
        let (flags, store) = (self.flags(), self.store);
        self.b.ins().load(POINTER, flags, store, store_context::ACTIVATION as i32)
    }

    /// Links the activation.
    pub(super) fn activate(&mut self, previous: Value) {
        let (flags, store) = (self.flags(), self.store);
        let address = self.activation_address();
        self.b.ins().store(flags, previous, address, activation::PREVIOUS as i32);
        self.b.ins().store(flags, address, store, store_context::ACTIVATION as i32);
    }

    fn params(&mut self, caller: &Core<'a>, callee: &Core<'a>, args: &[Value]) -> Result<Vec<Value>> {
        let mut passed = Vec::new();
        let (Some(from_abi), Some(to_abi)) = (caller.params.abi, callee.params.abi) else {
            return Ok(passed);
        };
        let from = match caller.params.spilled {
            true => self.spilled(Party::Caller, from_abi, args.first().copied())?,
            false => Source::Flat(args),
        };
        let types = self.adapter.types;
        let fields = types.func(self.adapter.func).params.iter().map(|param| param.ty);
        match callee.params.spilled {
            true => self.prepare_realloc_activation(),
            false => self.prepare_realloc(fields.clone()),
        }
        let room = match callee.params.spilled {
            true => {
                let size = self.constant(to_abi.size);
                Some(self.allocate(to_abi.align, size)?)
            }
            false => None,
        };
        let mut to = room.map_or(Target::Flat(&mut passed), |room| Target::Memory(room, 0));
        self.sequence(fields, &from_abi.offsets, &to_abi.offsets, from, &mut to)?;
        if let Some(room) = room {
            passed.push(self.narrow(Party::Callee, room));
        }
        Ok(passed)
    }

    /// Carries the callee's result to `out` in the caller's memory, or returns it flat.
    pub(super) fn results(
        &mut self,
        caller: &Core<'a>,
        callee: &Core<'a>,
        results: &[Value],
        out: Option<Value>,
    ) -> Result<Vec<Value>> {
        let mut returned = Vec::new();
        let types = self.adapter.types;
        let (Some(ty), Some(from_abi), Some(to_abi)) =
            (types.func(self.adapter.func).result, callee.results.abi, caller.results.abi)
        else {
            return Ok(returned);
        };
        let from = match callee.results.spilled {
            true => self.spilled(Party::Callee, from_abi, results.first().copied())?,
            false => Source::Flat(results),
        };
        self.prepare_realloc(std::iter::once(ty));
        let mut to = match caller.results.spilled {
            true => match self.spilled(Party::Caller, to_abi, out)? {
                Source::Memory(address, at) => Target::Memory(address, at),
                Source::Flat(_) => return Err(Unsupported),
            },
            false => Target::Flat(&mut returned),
        };
        self.value(ty, from, &mut to)?;
        Ok(returned)
    }

    /// Values in memory, at a pointer that is checked.
    fn spilled(&mut self, party: Party, abi: &Abi, pointer: Option<Value>) -> Result<Source<'static>> {
        let address = self.extend(pointer.ok_or(Unsupported)?);
        let size = self.constant(abi.size);
        self.check_range(party, address, size, abi.align, Failure::Value);
        Ok(Source::Memory(address, 0))
    }

    /// Ends the callee's task if somebody has made one of its activation, and keeps these values meanwhile. If something is
    /// kept on the stack, the activation is the one that runs.
    pub(super) fn finish(&mut self, phase: i64, kept: Option<StackSlot>, values: &mut [Value]) {
        let flags = self.flags();
        let thread = self.b.ins().stack_load(POINTER, types::I64, self.activation, activation::THREAD as i32);
        let (asked, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(asked);
        let args: Vec<BlockArg> = values.iter().map(|value| (*value).into()).collect();
        self.b.ins().brif(thread, asked, &[], go_on, &args);
        self.go_on_in(asked);
        // All of it is in memory, so that the usual way needs no registers that outlive a call.
        let size = values.len().max(1) as u32 * VALUE_SIZE;
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4));
        for (index, value) in values.iter().enumerate() {
            self.b.ins().stack_store(POINTER, *value, slot, value_offset(index));
        }
        let address = match kept {
            Some(kept) => {
                self.come_back(kept);
                self.b.ins().load(POINTER, flags, self.store, store_context::ACTIVATION as i32)
            }
            None => self.activation_address(),
        };
        let phase = self.b.ins().iconst(types::I32, phase);
        let status = self.helper(Helper::Finish, &[address, phase], true);
        if let Some(kept) = kept {
            self.come_back(kept);
        }
        let failed = self.b.ins().icmp_imm_s(IntCC::NotEqual, status, 0);
        self.raise_if(failed);
        let mut args: Vec<BlockArg> = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let ty = self.type_of(*value);
            args.push(self.b.ins().stack_load(POINTER, ty, slot, value_offset(index)).into());
        }
        self.b.ins().jump(go_on, &args);
        for value in values {
            let ty = self.type_of(*value);
            *value = self.b.append_block_param(go_on, ty);
        }
        self.go_on_in(go_on);
        if let Some(kept) = kept {
            self.come_back(kept);
        }
    }

    pub(super) fn end_lends(&mut self) {
        if self.lends > 0 {
            let lent = self.lent_at(0);
            let count = self.constant(self.lends.into());
            self.helper(Helper::EndLends, &[lent, count], false);
        }
    }
}
