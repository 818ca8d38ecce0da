//! From the body of a wasm function to Cranelift's intermediate code, in one pass that validates as it goes.
//!
//! Each instruction is validated before it is translated, so translation relies on what validation guarantees: operands
//! are there and of the right type, indices are in range. Where it relies on that it still returns an error, never panics.
//!
//! * The operand stack exists at compile time only, as a stack of SSA values. A `v128` operand may have any vector type;
//!   wherever values meet (branches, locals, calls) it is [`V128`](crate::signature::V128).
//! * References are pointers: null is 0.
//! * Code that cannot be reached is validated and not translated.

mod atomic;
mod bulk;
pub(crate) mod call;
mod control;
mod exception;
mod exception_refs;
mod interrupt;
mod memory;
mod numeric;
mod reference;
mod simd;
mod table;
mod variable;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use cranelift_codegen::ir::{
    AliasRegion, AliasRegionData, Block, FuncRef, Function, GlobalValueData, InstBuilder, MemFlagsData,
    SigRef, SourceLoc, StackSlot, Type, UserFuncName, Value, types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FuncInstBuilder, FunctionBuilder, FunctionBuilderContext, Variable};
use tombolo_types::core::{FuncType, GlobalType, MemoryType, TableType};
use wasmparser::{
    FuncToValidate, FuncValidator, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader,
    OperatorsReaderAllocations, ValidatorResources,
};

use self::control::Frame;
use crate::CompileError;
use crate::arch::LAST_PLACE;
use crate::module::ModuleInfo;
use crate::parse::heap_type;
use crate::signature::{POINTER, V128, value_type, wasm_signature};
use crate::vmctx::{Builtin, Layout, TrapCode, header, store_context};

/// What a function's translation needs to know of its module and of the configuration.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) isa: &'a dyn TargetIsa,
    pub(crate) info: &'a ModuleInfo,
    pub(crate) layout: &'a Layout,
    /// The type section.
    pub(crate) types: &'a [Arc<FuncType>],
    /// Type index of each function.
    pub(crate) function_types: &'a [u32],
    /// Type index of each tag.
    pub(crate) tag_types: &'a [u32],
    /// Whether a type of the module's declarations has references to exceptions in it.
    pub(crate) exception_refs: bool,
    /// Whether the functions that the module defines are all put into one text.
    pub(crate) calls_directly: bool,
    pub(crate) fuel: bool,
    pub(crate) interruptible: bool,
    /// Whether the machine multiplies and adds with one rounding.
    pub(crate) fused_multiply_add: bool,
}

/// Allocations that are reused from one function to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    builder: FunctionBuilderContext,
    validator: FuncValidatorAllocations,
    reader: OperatorsReaderAllocations,
}

/// Validates a function and translates it into `function`, which is empty. Returns about how many values live at once
/// in it, at most: those on the operand stack and in locals.
pub(crate) fn translate(
    env: Env<'_>,
    body: &FunctionBody<'_>,
    validation: FuncToValidate<ValidatorResources>,
    function: &mut Function,
    scratch: &mut Scratch,
) -> Result<usize, CompileError> {
    let index = validation.index;
    let start = body.range().start;
    let ty = env
        .types
        .get(validation.ty as usize)
        .ok_or_else(|| CompileError::internal("a function without a type", start))?;
    function.name = UserFuncName::user(call::FUNCTIONS, index);
    function.signature = wasm_signature(ty);
    set_stack_limit(function, header::STORE);

    let mut validator = validation.into_validator(std::mem::take(&mut scratch.validator));
    let mut translator = Translator::new(env, FunctionBuilder::new(function, &mut scratch.builder), body);
    let done = translator.run(ty, body, &mut validator, &mut scratch.reader);
    scratch.validator = validator.into_allocations();
    match done {
        Ok(()) => {
            translator.bound_exception_refs()?;
            let values = translator.highest_stack + translator.locals.len();
            translator.builder.finalize(env.isa.frontend_config());
            Ok(values)
        }
        Err(error) => {
            // The builder's allocations hold the unfinished function.
            scratch.builder = FunctionBuilderContext::new();
            Err(error)
        }
    }
}

/// Makes a function trap when its frame would pass the limit of the store, which its context has at `store`.
pub(crate) fn set_stack_limit(function: &mut Function, store: u32) {
    let fixed = function.dfg.mem_flags.insert_unchecked(MemFlagsData::trusted().with_readonly());
    let current = function.dfg.mem_flags.insert_unchecked(MemFlagsData::trusted());
    let vmctx = function.create_global_value(GlobalValueData::VMContext);
    let store = function.create_global_value(GlobalValueData::Load {
        base: vmctx,
        offset: (store as i32).into(),
        global_type: POINTER,
        flags: fixed,
    });
    let limit = function.create_global_value(GlobalValueData::Load {
        base: store,
        offset: (store_context::STACK_LIMIT as i32).into(),
        global_type: POINTER,
        flags: current,
    });
    function.stack_limit = Some(limit);
}

/// Disjoint parts of memory: an access to one never touches what is in another.
#[derive(Clone, Copy)]
enum Region {
    /// The instance's context but for globals, and what describes memories and tables.
    Context,
    /// The function slots.
    Slots,
    /// Globals.
    Globals,
    /// The elements of tables.
    Tables,
    /// What function references point to.
    FuncRefs,
    /// Linear memories.
    Memories,
    /// Exceptions, thrown or about to be.
    Exceptions,
    /// The store context.
    Store,
    /// Fuel counters.
    Fuel,
}

/// The state of translating a function.
struct Translator<'a, 'b> {
    env: Env<'a>,
    builder: FunctionBuilder<'b>,
    /// The instance's context.
    vmctx: Value,
    locals: Vec<Variable>,
    stack: Vec<Value>,
    /// How many operands were on the stack when it was highest.
    highest_stack: usize,
    frames: Vec<Frame>,
    /// Which of the frames are `try_table`s.
    try_frames: Vec<usize>,
    reachable: bool,
    /// How many blocks have been entered since code became unreachable.
    dead_frames: u32,
    /// Where the instruction at hand is in the file.
    offset: u64,
    signatures: HashMap<SignatureKey, SigRef>,
    /// Functions that are called directly, by position.
    functions: HashMap<u32, FuncRef>,
    /// How many more values may be passed to blocks and functions: a limit on how much larger than the body the
    /// intermediate code becomes.
    passed_budget: u64,
    interrupts: interrupt::Interrupts,
    /// Where the values of an exception are put to be thrown.
    exception_slot: Option<StackSlot>,
    exception_refs: exception_refs::ExceptionRefs,
}

#[derive(PartialEq, Eq, Hash)]
enum SignatureKey {
    /// By type index.
    Wasm(u32),
    Builtin(Builtin),
}

impl<'a, 'b> Translator<'a, 'b> {
    fn new(env: Env<'a>, builder: FunctionBuilder<'b>, body: &FunctionBody<'_>) -> Self {
        let range = body.range();
        Translator {
            env,
            builder,
            vmctx: Value::from_u32(0),
            locals: Vec::new(),
            stack: Vec::new(),
            highest_stack: 0,
            frames: Vec::new(),
            try_frames: Vec::new(),
            reachable: true,
            dead_frames: 0,
            offset: range.start,
            signatures: HashMap::new(),
            functions: HashMap::new(),
            passed_budget: (range.end - range.start) * 4 + (1 << 18),
            interrupts: interrupt::Interrupts::default(),
            exception_slot: None,
            exception_refs: exception_refs::ExceptionRefs::new(env.exception_refs),
        }
    }

    fn run(
        &mut self,
        ty: &FuncType,
        body: &FunctionBody<'_>,
        validator: &mut FuncValidator<ValidatorResources>,
        allocations: &mut OperatorsReaderAllocations,
    ) -> Result<(), CompileError> {
        let entry = self.builder.create_block();
        self.builder.append_block_params_for_function_params(entry);
        self.builder.switch_to_block(entry);
        self.builder.seal_block(entry);
        self.builder.set_srcloc(self.srcloc());
        self.declare_params(ty, entry)?;

        let mut locals = body.get_locals_reader()?;
        for _ in 0..locals.get_count() {
            let offset = locals.original_position();
            let (count, ty) = locals.read()?;
            validator.define_locals(offset, count, ty)?;
            self.offset = offset;
            self.declare_locals(count, ty)?;
        }
        self.push_function_frame(ty)?;
        self.interrupt_at_entry()?;

        let mut reader =
            OperatorsReader::new_with_allocs(locals.get_binary_reader(), std::mem::take(allocations));
        while !reader.eof() {
            let (op, offset) = reader.read_with_offset()?;
            validator.op(offset, &op)?;
            self.offset = offset;
            self.op(&op)?;
            self.note_exception_refs(validator)?;
            self.highest_stack = self.highest_stack.max(self.stack.len());
        }
        reader.finish()?;
        *allocations = reader.into_allocations();
        Ok(())
    }

    /// Translates an instruction.
    fn op(&mut self, op: &Operator<'_>) -> Result<(), CompileError> {
        if !self.reachable {
            return self.unreachable_op(op);
        }
        self.builder.set_srcloc(self.srcloc());
        self.count_fuel(op);
        let translated = self.variable_op(op)?
            || self.numeric_op(op)?
            || self.memory_op(op)?
            || self.control_op(op)?
            || self.call_op(op)?
            || self.bulk_op(op)?
            || self.table_op(op)?
            || self.reference_op(op)?
            || self.exception_op(op)?
            || self.simd_op(op)?
            || self.atomic_op(op)?;
        if translated { Ok(()) } else { Err(self.unsupported(instruction_name(op))) }
    }

    fn srcloc(&self) -> SourceLoc {
        SourceLoc::new(u32::try_from(self.offset).unwrap_or(LAST_PLACE).min(LAST_PLACE))
    }

    fn unsupported(&self, what: impl Into<String>) -> CompileError {
        CompileError::unsupported(what, self.offset)
    }

    fn internal(&self, message: &str) -> CompileError {
        CompileError::internal(message, self.offset)
    }

    // The operand stack.

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    fn pop(&mut self) -> Result<Value, CompileError> {
        let value = self.stack.pop().ok_or_else(|| self.internal("the operand stack is empty"))?;
        self.exception_refs.lower(self.stack.len());
        Ok(value)
    }

    /// Removes the operands above a height.
    fn truncate(&mut self, height: usize) {
        self.stack.truncate(height);
        self.exception_refs.lower(self.stack.len());
    }

    fn pop2(&mut self) -> Result<(Value, Value), CompileError> {
        let second = self.pop()?;
        Ok((self.pop()?, second))
    }

    fn pop3(&mut self) -> Result<(Value, Value, Value), CompileError> {
        let third = self.pop()?;
        let (first, second) = self.pop2()?;
        Ok((first, second, third))
    }

    /// The topmost operands, in canonical form. They stay on the stack.
    fn top(&mut self, count: usize) -> Result<&[Value], CompileError> {
        let Some(start) = self.stack.len().checked_sub(count) else {
            return Err(self.internal("the operand stack is too low"));
        };
        self.charge(count)?;
        for index in start..self.stack.len() {
            let value = self.stack.get(index).copied();
            let canonical = value.map(|value| self.canonical(value));
            if let (Some(slot), Some(canonical)) = (self.stack.get_mut(index), canonical) {
                *slot = canonical;
            }
        }
        Ok(self.stack.get(start..).unwrap_or_default())
    }

    /// Charges values that are passed to the budget for that.
    ///
    /// One byte of wasm can pass a thousand values, and for the register allocator many at once are harder than many one
    /// by one. No compiler's output comes near the limit, since it makes each value that it passes.
    fn charge(&mut self, count: usize) -> Result<(), CompileError> {
        /// With more values than this at once, each costs more.
        const FEW: u64 = 32;
        let count = count as u64;
        let cost = count.saturating_mul(1 + count / FEW);
        let Some(budget) = self.passed_budget.checked_sub(cost) else {
            return Err(CompileError::too_large("a function that passes too many values", self.offset));
        };
        self.passed_budget = budget;
        Ok(())
    }

    /// A value as it is where values meet: vectors are of type [`V128`].
    fn canonical(&mut self, value: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(value);
        if ty.is_vector() && ty != V128 { self.bitcast(V128, value) } else { value }
    }

    fn bitcast(&mut self, ty: Type, value: Value) -> Value {
        // Lanes are numbered as in memory, which is little-endian.
        let flags = MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little);
        self.builder.ins().bitcast(ty, flags, value)
    }

    /// Replaces the topmost operand.
    fn unary(
        &mut self,
        op: impl FnOnce(FuncInstBuilder<'_, 'b>, Value) -> Value,
    ) -> Result<bool, CompileError> {
        let a = self.pop()?;
        let value = op(self.builder.ins(), a);
        self.push(value);
        Ok(true)
    }

    /// Replaces the two topmost operands.
    fn binary(
        &mut self,
        op: impl FnOnce(FuncInstBuilder<'_, 'b>, Value, Value) -> Value,
    ) -> Result<bool, CompileError> {
        let (a, b) = self.pop2()?;
        let value = op(self.builder.ins(), a, b);
        self.push(value);
        Ok(true)
    }

    /// A comparison's result as wasm has it.
    fn push_bool(&mut self, condition: Value) {
        let value = self.builder.ins().uextend(types::I32, condition);
        self.push(value);
    }

    // Types.

    /// The machine type of a type that a body names.
    fn body_type(&self, ty: wasmparser::ValType) -> Result<Type, CompileError> {
        Ok(match ty {
            wasmparser::ValType::I32 => types::I32,
            wasmparser::ValType::I64 => types::I64,
            wasmparser::ValType::F32 => types::F32,
            wasmparser::ValType::F64 => types::F64,
            wasmparser::ValType::V128 => V128,
            wasmparser::ValType::Ref(ty) => {
                heap_type(ty.heap_type(), self.offset)?;
                POINTER
            }
        })
    }

    fn function_type(&self, index: u32) -> Result<&'a Arc<FuncType>, CompileError> {
        self.env.types.get(index as usize).ok_or_else(|| self.internal("no such type"))
    }

    fn memory_type(&self, index: u32) -> Result<MemoryType, CompileError> {
        self.env.info.memories.get(index as usize).copied().ok_or_else(|| self.internal("no such memory"))
    }

    fn table_type(&self, index: u32) -> Result<TableType, CompileError> {
        self.env.info.tables.get(index as usize).copied().ok_or_else(|| self.internal("no such table"))
    }

    fn global_type(&self, index: u32) -> Result<GlobalType, CompileError> {
        self.env.info.globals.get(index as usize).copied().ok_or_else(|| self.internal("no such global"))
    }

    // Memory that the runtime owns.

    /// Flags of an access to a part of memory, which cannot trap.
    fn flags(&mut self, region: Region) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.region(region)))
    }

    /// Flags of a load from where nothing changes once the instance exists.
    fn fixed(&mut self, region: Region) -> MemFlagsData {
        self.flags(region).with_readonly().with_can_move()
    }

    /// Flags of an access that traps when its address is not mapped.
    fn trapping(&mut self, region: Region, code: TrapCode) -> MemFlagsData {
        MemFlagsData::new()
            .with_endianness(cranelift_codegen::ir::Endianness::Little)
            .with_trap_code(Some(trap(code)))
            .with_alias_region(Some(self.region(region)))
    }

    fn region(&mut self, region: Region) -> AliasRegion {
        let description = match region {
            Region::Context => "context",
            Region::Slots => "slots",
            Region::Globals => "globals",
            Region::Tables => "tables",
            Region::FuncRefs => "funcrefs",
            Region::Memories => "memories",
            Region::Exceptions => "exceptions",
            Region::Store => "store",
            Region::Fuel => "fuel",
        };
        self.builder
            .func
            .dfg
            .alias_regions
            .insert(AliasRegionData { user_id: region as u32, description: Cow::Borrowed(description) })
    }

    /// Loads a pointer that is fixed once the instance exists.
    fn fixed_pointer(&mut self, base: Value, offset: u32) -> Value {
        let flags = self.fixed(Region::Context);
        self.builder.ins().load(POINTER, flags, base, offset as i32)
    }

    /// The store context.
    fn store_context(&mut self) -> Value {
        self.fixed_pointer(self.vmctx, header::STORE)
    }

    /// An index or length of a 32- or 64-bit memory or table as 64 bits.
    fn extend_index(&mut self, index: Value) -> Value {
        match self.builder.func.dfg.value_type(index) {
            types::I64 => index,
            _ => self.builder.ins().uextend(types::I64, index),
        }
    }

    /// 64 bits as an index of a 32- or 64-bit memory or table.
    fn narrow_index(&mut self, value: Value, is_64: bool) -> Value {
        if is_64 { value } else { self.builder.ins().ireduce(types::I32, value) }
    }

    fn block_with_params(&mut self, params: &[Type]) -> Block {
        let block = self.builder.create_block();
        for ty in params {
            self.builder.append_block_param(block, *ty);
        }
        block
    }
}

/// A trap code as Cranelift has it. [`trap_code`] is the way back.
pub(crate) fn trap(code: TrapCode) -> cranelift_codegen::ir::TrapCode {
    // No code is 0 or among those that Cranelift keeps for itself.
    cranelift_codegen::ir::TrapCode::user(code as u8)
        .unwrap_or(cranelift_codegen::ir::TrapCode::HEAP_OUT_OF_BOUNDS)
}

/// Why Cranelift's code traps.
pub(crate) fn trap_code(code: cranelift_codegen::ir::TrapCode) -> Option<TrapCode> {
    use cranelift_codegen::ir::TrapCode as Clif;
    Some(match code {
        Clif::STACK_OVERFLOW => TrapCode::StackOverflow,
        Clif::INTEGER_OVERFLOW => TrapCode::IntegerOverflow,
        Clif::HEAP_OUT_OF_BOUNDS => TrapCode::MemoryOutOfBounds,
        Clif::INTEGER_DIVISION_BY_ZERO => TrapCode::IntegerDivisionByZero,
        Clif::BAD_CONVERSION_TO_INTEGER => TrapCode::BadConversionToInteger,
        other => return TrapCode::from_u8(other.as_raw().get()),
    })
}

/// How the names of the GC proposal's instructions begin.
const GC_INSTRUCTIONS: &[&str] = &[
    "Struct",
    "Array",
    "RefTest",
    "RefCast",
    "RefEq",
    "RefI31",
    "I31",
    "BrOnCast",
    "AnyConvert",
    "ExternConvert",
];

/// An instruction's name for an error.
fn instruction_name(op: &Operator<'_>) -> String {
    let name = format!("{op:?}");
    let end = name.find([' ', '{', '(']).unwrap_or(name.len());
    let name = &name[..end];
    let of_gc = GC_INSTRUCTIONS.iter().any(|prefix| name.starts_with(prefix));
    format!("the instruction {name}{}", if of_gc { " (GC proposal)" } else { "" })
}

/// Types of parameters and results as the machine has them.
fn machine_types(types: &[tombolo_types::core::ValType]) -> smallvec::SmallVec<[Type; 4]> {
    types.iter().map(|ty| value_type(*ty)).collect()
}
