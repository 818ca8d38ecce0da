//! The frame of an adapter: doors, activation, call and return.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, StackSlotData, StackSlotKind, UserFuncName, Value, types};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilder;
use tombolo_types::component::{Abi, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, PtrWidth, TypeRef};
use tombolo_types::core::{FuncType, ValType};

use super::memory::pointer;
use super::{Adapter, Builder, Party, Result, Source, Target, Unsupported};
use crate::signature::{POINTER, wasm_signature};
use crate::translate::set_stack_limit;
use crate::vmctx::{Failure, Helper, activation, host_context, link, store_context};

/// Borrowed handles of one call at most.
const MOST_LENDS: u32 = 16;

/// Phases of [`Helper::Finish`].
const RETURNED: i64 = 1;
const DONE: i64 = 2;

/// How a list of values is passed to or from core code.
#[derive(Clone, Copy)]
struct Passing<'a> {
    abi: Option<&'a Abi>,
    /// Whether it lies in memory.
    spilled: bool,
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
struct Core<'a> {
    params: Passing<'a>,
    results: Passing<'a>,
    ty: FuncType,
}

impl<'a> Core<'a> {
    fn new(adapter: &Adapter<'a>, party: Party) -> Self {
        let width = match party {
            Party::Caller => adapter.caller.width,
            Party::Callee => adapter.callee.width,
        };
        let func = adapter.types.func(adapter.func);
        let abi = (!func.params.is_empty()).then(|| adapter.types.params_abi(adapter.func, width));
        let params = Passing::new(abi, MAX_FLAT_PARAMS);
        let abi = func.result.map(|ty| adapter.types.abi(ty, width));
        let results = Passing::new(abi, MAX_FLAT_RESULTS);
        let (mut takes, mut returns) = (params.core(width), results.core(width));
        // `flatten_functype`: a result in memory is where the caller says.
        if party == Party::Caller && results.spilled {
            takes.append(&mut returns);
        }
        Core { params, results, ty: FuncType::new(takes, returns) }
    }
}

pub(super) fn build(b: FunctionBuilder<'_>, adapter: &Adapter<'_>, isa: &dyn TargetIsa) -> Result<()> {
    let (caller, callee) = (Core::new(adapter, Party::Caller), Core::new(adapter, Party::Callee));
    let mut b = b;
    b.func.name = UserFuncName::user(1, 4);
    b.func.signature = wasm_signature(&caller.ty);
    set_stack_limit(b.func, host_context::STORE);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let params = b.block_params(entry).to_vec();
    let (link, args) = params.split_first().ok_or(Unsupported)?;
    let slot = |size| StackSlotData::new(StackSlotKind::ExplicitSlot, size, 3);
    let activation = b.create_sized_stack_slot(slot(activation::SIZE));
    let lent = b.create_sized_stack_slot(slot(MOST_LENDS * 4));
    let mut builder = Builder {
        b,
        adapter,
        link: *link,
        store: *link,
        realloc_activation: None,
        activation,
        lent,
        lends: 0,
        returning: false,
        depth: 0,
        bases: [None; 2],
    };
    builder.store = builder.of_link(host_context::STORE);
    builder.doors(&caller, &params);
    let lends = builder.borrows();
    if lends > MOST_LENDS {
        return Err(Unsupported);
    }
    builder.begin(lends);
    let passed = builder.params(&caller, &callee, args)?;
    let previous = builder.activate();
    let results = builder.call_func(link::CALLEE, &callee.ty, &passed);
    builder.bases = [None; 2];
    builder.returning = true;
    let returned = builder.results(&caller, &callee, &results, args)?;
    if adapter.post_return {
        builder.finish(RETURNED);
        let ty = FuncType::new(callee.ty.results.clone(), []);
        builder.without_leaving(Party::Callee, |this| this.call_func(link::POST_RETURN, &ty, &results));
        builder.finish(DONE);
    } else {
        builder.finish(RETURNED | DONE);
    }
    let (flags, store) = (builder.flags(), builder.store);
    builder.b.ins().store(flags, previous, store, store_context::ACTIVATION as i32);
    builder.end_lends();
    builder.b.ins().return_(&returned);
    builder.b.seal_all_blocks();
    builder.b.finalize(isa.frontend_config());
    Ok(())
}

impl<'a> Builder<'a, '_> {
    /// Leaves the call to the interpreter if a door is in the way.
    fn doors(&mut self, caller: &Core<'_>, params: &[Value]) {
        let flags = self.flags();
        let door = self.of_link(link::CALLER_DOOR);
        let leave = self.b.ins().load(types::I32, flags, door, 0);
        let door = self.of_link(link::CALLEE_DOOR);
        let enter = self.b.ins().load(types::I32, flags, door, 0);
        let enter = self.b.ins().band_imm_u(enter, i64::from(link::DEAD));
        let closed = self.b.ins().bor(leave, enter);
        let (stop, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(stop);
        self.b.ins().brif(closed, stop, &[], go_on, &[]);
        self.go_on_in(stop);
        let code = self.of_link(link::INTERPRETER);
        let signature = self.b.import_signature(wasm_signature(&caller.ty));
        self.b.ins().return_call_indirect(signature, code, params);
        self.go_on_in(go_on);
    }

    /// How many handles a call may lend: one for each `borrow` among the parameters.
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
        let zero = self.constant(0);
        let address = self.b.ins().stack_addr(POINTER, self.activation, 0);
        let func = self.of_link(link::FUNC);
        self.b.ins().store(flags, func, address, activation::FUNC as i32);
        for field in [activation::CONTEXT, activation::CONTEXT + 8, activation::THREAD] {
            self.b.ins().store(flags, zero, address, field as i32);
        }
        if lends > 0 {
            let lent = self.b.ins().stack_addr(POINTER, self.lent, 0);
            for pair in 0..lends.div_ceil(2) {
                self.b.ins().store(flags, zero, lent, pair as i32 * 8);
            }
        }
    }

    /// Links the activation; returns the one before.
    fn activate(&mut self) -> Value {
        let (flags, store) = (self.flags(), self.store);
        let previous = self.b.ins().load(POINTER, flags, store, store_context::ACTIVATION as i32);
        let address = self.b.ins().stack_addr(POINTER, self.activation, 0);
        self.b.ins().store(flags, previous, address, activation::PREVIOUS as i32);
        self.b.ins().store(flags, address, store, store_context::ACTIVATION as i32);
        previous
    }

    fn params(&mut self, caller: &Core<'a>, callee: &Core<'a>, args: &[Value]) -> Result<Vec<Value>> {
        let mut passed = Vec::new();
        let (Some(from_abi), Some(to_abi)) = (caller.params.abi, callee.params.abi) else {
            return Ok(passed);
        };
        let from = match caller.params.spilled {
            true => self.spilled(Party::Caller, from_abi, args.first())?,
            false => Source::Flat(args),
        };
        let room = match callee.params.spilled {
            true => {
                let size = self.constant(to_abi.size);
                Some(self.allocate(to_abi.align, size)?)
            }
            false => None,
        };
        let types = self.adapter.types;
        let fields = types.func(self.adapter.func).params.iter().map(|param| param.ty);
        let mut to = room.map_or(Target::Flat(&mut passed), |room| Target::Memory(room, 0));
        self.sequence(fields, &from_abi.offsets, &to_abi.offsets, from, &mut to)?;
        if let Some(room) = room {
            passed.push(self.narrow(Party::Callee, room));
        }
        Ok(passed)
    }

    fn results(
        &mut self,
        caller: &Core<'a>,
        callee: &Core<'a>,
        results: &[Value],
        args: &[Value],
    ) -> Result<Vec<Value>> {
        let mut returned = Vec::new();
        let types = self.adapter.types;
        let (Some(ty), Some(from_abi), Some(to_abi)) =
            (types.func(self.adapter.func).result, callee.results.abi, caller.results.abi)
        else {
            return Ok(returned);
        };
        let from = match callee.results.spilled {
            true => self.spilled(Party::Callee, from_abi, results.first())?,
            false => Source::Flat(results),
        };
        let mut to = match caller.results.spilled {
            true => match self.spilled(Party::Caller, to_abi, args.last())? {
                Source::Memory(address, at) => Target::Memory(address, at),
                Source::Flat(_) => return Err(Unsupported),
            },
            false => Target::Flat(&mut returned),
        };
        self.value(ty, from, &mut to)?;
        Ok(returned)
    }

    /// Values in memory, at a pointer that is checked.
    fn spilled(&mut self, party: Party, abi: &Abi, pointer: Option<&Value>) -> Result<Source<'static>> {
        let address = self.extend(*pointer.ok_or(Unsupported)?);
        let size = self.constant(abi.size);
        self.check_range(party, address, size, abi.align, Failure::Value);
        Ok(Source::Memory(address, 0))
    }

    /// Ends the callee's task if somebody has made one of its activation.
    fn finish(&mut self, phase: i64) {
        let flags = self.flags();
        let address = self.b.ins().stack_addr(POINTER, self.activation, 0);
        let thread = self.b.ins().load(types::I64, flags, address, activation::THREAD as i32);
        let (asked, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(asked);
        self.b.ins().brif(thread, asked, &[], go_on, &[]);
        self.go_on_in(asked);
        let phase = self.b.ins().iconst(types::I32, phase);
        let status = self.helper(Helper::Finish, &[address, phase], true);
        let failed = self.b.ins().icmp_imm_s(IntCC::NotEqual, status, 0);
        self.raise_if(failed);
        self.b.ins().jump(go_on, &[]);
        self.go_on_in(go_on);
    }

    fn end_lends(&mut self) {
        if self.lends > 0 {
            let lent = self.b.ins().stack_addr(POINTER, self.lent, 0);
            let count = self.constant(self.lends.into());
            self.helper(Helper::EndLends, &[lent, count], false);
        }
    }
}
