//! The functions between host and guest.
//!
//! # What an exit trampoline records
//!
//! In the store context, before it calls the host: at `EXIT_FP` the frame pointer of the compiled function that called it
//! (what the trampoline itself saved at its frame pointer), at `EXIT_PC` the address in that function to which it will
//! return. A walk of the stack starts with that pair: the next return address lies at `EXIT_FP + 8`, the next frame pointer
//! at `EXIT_FP`.

use cranelift_codegen::ir::{
    AbiParam, Function, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, UserFuncName,
    Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use tombolo_types::core::{FuncType, ValType};

use crate::signature::{POINTER, host_signature, value_type, wasm_signature};
use crate::translate::{set_stack_limit, trap};
use crate::vmctx::{
    Builtin, TrapCode, VALUE_SIZE, activation, builtin, header, host_context, link, store_context,
};

/// The functions between host and guest, each for one function type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrampolineKind {
    /// By which the host calls functions of the type.
    Entry,
    /// By which guests call functions of the host.
    Exit,
    /// By which guests call [links](crate::vmctx::link).
    Link,
    /// By which guests call a `task.return`: see [`activation`].
    TaskReturn,
    /// By which guests call a built-in that the host does: see [`builtin::DIRECT`].
    Direct,
    /// `context.get` or `context.set` of a slot, 0 or 1: the type says which.
    Context(u32),
}

/// With more values than this, an exit trampoline checks that its own frame leaves the host its stack.
const MANY_VALUES: usize = 16;

/// `extern "sysv64" fn(vmctx, code, values)`: calls `code`, a function of the type, with arguments from `values`, and
/// leaves its results there.
pub(crate) fn entry(function: &mut Function, ty: &FuncType, isa: &dyn TargetIsa) {
    let mut allocations = FunctionBuilderContext::new();
    function.name = UserFuncName::user(1, 0);
    function.signature = host_signature(&[POINTER; 3], &[]);
    let mut builder = FunctionBuilder::new(function, &mut allocations);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    if let [vmctx, code, values] = *builder.block_params(block) {
        let mut args = vec![vmctx];
        for (index, ty) in ty.params.iter().enumerate() {
            let flags = MemFlagsData::trusted();
            args.push(builder.ins().load(value_type(*ty), flags, values, value_offset(index)));
        }
        let signature = builder.import_signature(wasm_signature(ty));
        let call = builder.ins().call_indirect(signature, code, &args);
        let results = builder.inst_results(call).to_vec();
        store_values(&mut builder, values, &results);
    }
    builder.ins().return_(&[]);
    builder.finalize(isa.frontend_config());
}

/// A function of the type that calls the host: its context is a host context.
pub(crate) fn exit(function: &mut Function, ty: &FuncType, isa: &dyn TargetIsa) {
    let mut allocations = FunctionBuilderContext::new();
    let slots = ty.params.len().max(ty.results.len());
    function.name = UserFuncName::user(1, 1);
    function.signature = wasm_signature(ty);
    if slots > MANY_VALUES {
        set_stack_limit(function, host_context::STORE);
    }
    let mut builder = FunctionBuilder::new(function, &mut allocations);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    if let Some((context, params)) = builder.block_params(block).to_vec().split_first() {
        let context = *context;
        let flags = MemFlagsData::trusted();
        let store = builder.ins().load(POINTER, flags, context, host_context::STORE as i32);
        record_exit(&mut builder, store);

        let size = slots.max(1) as u32 * VALUE_SIZE;
        let values =
            builder.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4));
        let values = builder.ins().stack_addr(POINTER, values, 0);
        store_values(&mut builder, values, params);

        let host = builder.ins().load(POINTER, flags, context, host_context::CALL as i32);
        let signature = builder.import_signature(host_signature(&[POINTER; 2], &[types::I64]));
        let call = builder.ins().call_indirect(signature, host, &[context, values]);
        let status = builder.inst_results(call).first().copied().unwrap_or(context);
        raise_if(&mut builder, status, store);
        let mut results = Vec::with_capacity(ty.results.len());
        for (index, ty) in ty.results.iter().enumerate() {
            results.push(builder.ins().load(value_type(*ty), flags, values, value_offset(index)));
        }
        builder.ins().return_(&results);
    }
    builder.finalize(isa.frontend_config());
}

/// A function of the type that goes on where its link leads to.
pub(crate) fn link(function: &mut Function, ty: &FuncType, isa: &dyn TargetIsa) {
    let mut allocations = FunctionBuilderContext::new();
    function.name = UserFuncName::user(1, 3);
    function.signature = wasm_signature(ty);
    let mut builder = FunctionBuilder::new(function, &mut allocations);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    let params = builder.block_params(block).to_vec();
    if let Some(link) = params.first() {
        let code = builder.ins().load(POINTER, MemFlagsData::trusted(), *link, link::CODE as i32);
        let signature = builder.import_signature(wasm_signature(ty));
        builder.ins().return_call_indirect(signature, code, &params);
    }
    builder.finalize(isa.frontend_config());
}

/// A `task.return` of the type of its results: see [`activation`].
pub(crate) fn task_return(function: &mut Function, ty: &FuncType, isa: &dyn TargetIsa) {
    let mut allocations = FunctionBuilderContext::new();
    function.name = UserFuncName::user(1, 5);
    function.signature = wasm_signature(ty);
    let mut builder = FunctionBuilder::new(function, &mut allocations);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    let params = builder.block_params(block).to_vec();
    if let Some((context, results)) = params.split_first() {
        let (context, flags) = (*context, MemFlagsData::trusted());
        let [linked, open, lazy, other] = [(); 4].map(|()| builder.create_block());
        let store = builder.ins().load(POINTER, flags, context, host_context::STORE as i32);
        let at = builder.ins().load(POINTER, flags, store, store_context::ACTIVATION as i32);
        let link = builder.ins().load(POINTER, flags, at, activation::LINK as i32);
        builder.ins().brif(link, linked, &[], other, &[]);

        // The link of a call that has a thread may be gone.
        builder.switch_to_block(linked);
        let thread = builder.ins().load(types::I64, flags, at, activation::THREAD as i32);
        let state = builder.ins().load(types::I32, flags, at, activation::STATE as i32);
        let returned = builder.ins().band_imm_u(state, i64::from(activation::RETURNED));
        let returned = builder.ins().uextend(types::I64, returned);
        let settled = builder.ins().bor(thread, returned);
        builder.ins().brif(settled, other, &[], open, &[]);

        builder.switch_to_block(open);
        let own = builder.ins().load(types::I64, flags, context, builtin::DATA as i32 + 8);
        let fits = builder.ins().load(types::I64, flags, link, link::TASK_RETURN as i32);
        let differs = builder.ins().bxor(own, fits);
        let door = builder.ins().load(POINTER, flags, link, link::CALLEE_DOOR as i32);
        let door = builder.ins().load(types::I32, flags, door, 0);
        let stays = builder.ins().band_imm_u(door, i64::from(link::MAY_NOT_LEAVE));
        let stays = builder.ins().uextend(types::I64, stays);
        let in_the_way = builder.ins().bor(stays, differs);
        builder.ins().brif(in_the_way, other, &[], lazy, &[]);

        builder.switch_to_block(lazy);
        let code = builder.ins().load(POINTER, flags, link, link::RETURN as i32);
        let signature = builder.import_signature(wasm_signature(ty));
        let mut args = vec![link];
        args.extend_from_slice(results);
        builder.ins().return_call_indirect(signature, code, &args);

        builder.switch_to_block(other);
        builder.set_cold_block(other);
        let code = builder.ins().load(POINTER, flags, context, builtin::EXIT as i32);
        builder.ins().return_call_indirect(signature, code, &params);
    }
    builder.seal_all_blocks();
    builder.finalize(isa.frontend_config());
}

/// A built-in of the type that the host does: see [`builtin::DIRECT`].
pub(crate) fn direct(function: &mut Function, ty: &FuncType, isa: &dyn TargetIsa) {
    const PARAMS: usize = 3;
    let mut allocations = FunctionBuilderContext::new();
    function.name = UserFuncName::user(1, 6);
    function.signature = wasm_signature(ty);
    let mut builder = FunctionBuilder::new(function, &mut allocations);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    if let Some((context, params)) = builder.block_params(block).to_vec().split_first() {
        let (context, flags) = (*context, MemFlagsData::trusted());
        let store = builder.ins().load(POINTER, flags, context, host_context::STORE as i32);
        record_exit(&mut builder, store);
        let mut args = vec![context];
        for param in params.iter().take(PARAMS) {
            let wide = builder.func.dfg.value_type(*param) == types::I64;
            args.push(if wide { *param } else { builder.ins().uextend(types::I64, *param) });
        }
        while args.len() <= PARAMS {
            args.push(builder.ins().iconst(types::I64, 0));
        }
        let host = builder.ins().load(POINTER, flags, context, builtin::DIRECT as i32);
        let signature = builder.import_signature(host_signature(
            &[POINTER, types::I64, types::I64, types::I64],
            &[types::I64; 2],
        ));
        let call = builder.ins().call_indirect(signature, host, &args);
        let (result, fails) = match *builder.inst_results(call) {
            [result, fails] => (result, fails),
            _ => (context, context),
        };
        raise_if(&mut builder, fails, store);
        let mut results = Vec::new();
        for ty in &ty.results {
            let wide = value_type(*ty) == types::I64;
            results.push(if wide { result } else { builder.ins().ireduce(types::I32, result) });
        }
        builder.ins().return_(&results);
    }
    builder.finalize(isa.frontend_config());
}

/// `context.get` or `context.set` of a slot: the type says which.
pub(crate) fn context(function: &mut Function, ty: &FuncType, slot: u32, isa: &dyn TargetIsa) {
    let mut allocations = FunctionBuilderContext::new();
    function.name = UserFuncName::user(1, 7);
    function.signature = wasm_signature(ty);
    let mut builder = FunctionBuilder::new(function, &mut allocations);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    if let Some((context, params)) = builder.block_params(block).to_vec().split_first() {
        let flags = MemFlagsData::trusted();
        let store = builder.ins().load(POINTER, flags, *context, host_context::STORE as i32);
        let at = builder.ins().load(POINTER, flags, store, store_context::ACTIVATION as i32);
        let offset = activation::CONTEXT as i32 + 8 * slot as i32;
        if let Some(param) = params.first() {
            let wide = builder.func.dfg.value_type(*param) == types::I64;
            let value = if wide { *param } else { builder.ins().uextend(types::I64, *param) };
            builder.ins().store(flags, value, at, offset);
            builder.ins().return_(&[]);
        } else {
            let load = |ty: &ValType| builder.ins().load(value_type(*ty), flags, at, offset);
            let results: Vec<Value> = ty.results.iter().map(load).collect();
            builder.ins().return_(&results);
        }
    }
    builder.finalize(isa.frontend_config());
}

/// Raises the trap that is pending.
pub(crate) fn raise(builder: &mut FunctionBuilder<'_>, store: Value) {
    let raise = builder.ins().load(POINTER, MemFlagsData::trusted(), store, store_context::RAISE as i32);
    let signature = builder.import_signature(host_signature(&[POINTER], &[]));
    builder.ins().call_indirect(signature, raise, &[store]);
    builder.ins().trap(trap(TrapCode::Unreachable));
}

/// Raises the trap that is pending if `failed` is not 0, and else goes on.
fn raise_if(builder: &mut FunctionBuilder<'_>, failed: Value, store: Value) {
    let (raises, go_on) = (builder.create_block(), builder.create_block());
    builder.set_cold_block(raises);
    builder.ins().brif(failed, raises, &[], go_on, &[]);

    builder.switch_to_block(raises);
    builder.seal_block(raises);
    raise(builder, store);

    builder.switch_to_block(go_on);
    builder.seal_block(go_on);
}

/// Records in the store context which frame called the function that is being built.
pub(crate) fn record_exit(builder: &mut FunctionBuilder<'_>, store: Value) {
    let flags = MemFlagsData::trusted();
    let own = builder.ins().get_frame_pointer(POINTER);
    let caller = builder.ins().load(POINTER, flags, own, 0);
    builder.ins().store(flags, caller, store, store_context::EXIT_FP as i32);
    let back = builder.ins().get_return_address(POINTER);
    builder.ins().store(flags, back, store, store_context::EXIT_PC as i32);
}

/// Stores values in slots of their own, narrow ones with zeros above them: the host may look at 64 bits of each.
pub(crate) fn store_values(builder: &mut FunctionBuilder<'_>, base: Value, values: &[Value]) {
    for (index, value) in values.iter().enumerate() {
        let value = match builder.func.dfg.value_type(*value) {
            types::I32 => builder.ins().uextend(types::I64, *value),
            types::F32 => {
                let bits = builder.ins().bitcast(types::I32, MemFlagsData::new(), *value);
                builder.ins().uextend(types::I64, bits)
            }
            _ => *value,
        };
        builder.ins().store(MemFlagsData::trusted(), value, base, value_offset(index));
    }
}

/// Where a value is in an array of values. There are at most 1000, the limit on parameters and results.
pub(crate) fn value_offset(index: usize) -> i32 {
    index as i32 * VALUE_SIZE as i32
}

/// What intermediate code calls the interrupt shim.
pub(crate) const INTERRUPT_SHIM: (u32, u32) = (1, 2);

/// `fn(vmctx)`, which changes no register.
pub(crate) fn interrupt_signature() -> Signature {
    let mut signature = Signature::new(CallConv::PreserveAll);
    signature.params.push(AbiParam::new(POINTER));
    signature
}

/// What a function that is to be interrupted calls: records the exit like an exit trampoline and calls
/// [`Builtin::Interrupt`].
pub(crate) fn interrupt(function: &mut Function, isa: &dyn TargetIsa) {
    let mut allocations = FunctionBuilderContext::new();
    let (namespace, index) = INTERRUPT_SHIM;
    function.name = UserFuncName::user(namespace, index);
    function.signature = interrupt_signature();
    let mut builder = FunctionBuilder::new(function, &mut allocations);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    if let [vmctx] = *builder.block_params(block) {
        let flags = MemFlagsData::trusted();
        let store = builder.ins().load(POINTER, flags, vmctx, header::STORE as i32);
        record_exit(&mut builder, store);
        let builtins = builder.ins().load(POINTER, flags, vmctx, header::BUILTINS as i32);
        let code = builder.ins().load(POINTER, flags, builtins, Builtin::Interrupt as i32 * 8);
        let signature = builder.import_signature(host_signature(&[POINTER], &[]));
        builder.ins().call_indirect(signature, code, &[vmctx]);
    }
    builder.ins().return_(&[]);
    builder.finalize(isa.frontend_config());
}
