//! Calls.
//!
//! A function of the module is called directly if it is compiled with all others, else through its slot; an imported one through the context's record of it, and one that
//! is a value through what the reference points to. The pointer and context of an import or a reference are loaded
//! together, right before the call, since a link may be moved whenever the guest is not between those loads.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    ExtFuncData, ExternalName, FuncRef, InstBuilder, SigRef, UserExternalName, Value, types,
};
use smallvec::SmallVec;
use tombolo_types::core::HeapType;
use wasmparser::Operator;

use super::{Region, SignatureKey, Translator, trap};
use crate::CompileError;
use crate::signature::{POINTER, wasm_signature};
use crate::vmctx::{TrapCode, func_ref, header};

/// A function that is about to be called.
struct Callee {
    code: Code,
    vmctx: Value,
}

/// Where the code of a callee is.
#[derive(Clone, Copy)]
pub(super) enum Code {
    /// In the same text.
    Known(FuncRef),
    /// Where a pointer points to.
    At(Value),
}

/// The names of functions in intermediate code, by their position among those that the module defines.
pub(crate) const FUNCTIONS: u32 = 0;

impl Translator<'_, '_> {
    pub(super) fn call_op(&mut self, op: &Operator<'_>) -> Result<bool, CompileError> {
        match *op {
            Operator::Call { function_index } => self.call(function_index, false)?,
            Operator::ReturnCall { function_index } => self.call(function_index, true)?,
            Operator::CallIndirect { type_index, table_index } => {
                self.call_indirect(type_index, table_index, false)?;
            }
            Operator::ReturnCallIndirect { type_index, table_index } => {
                self.call_indirect(type_index, table_index, true)?;
            }
            Operator::CallRef { type_index } => self.call_ref(type_index, false)?,
            Operator::ReturnCallRef { type_index } => self.call_ref(type_index, true)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn call(&mut self, function: u32, is_tail: bool) -> Result<(), CompileError> {
        let info = self.env.info;
        let type_index = self.env.function_types.get(function as usize).copied();
        let type_index = type_index.ok_or_else(|| self.internal("no such function"))?;
        let callee = match function.checked_sub(info.imported_functions) {
            Some(defined) if self.env.calls_directly => {
                let code = Code::Known(self.function(defined, type_index)?);
                Callee { code, vmctx: self.vmctx }
            }
            Some(defined) => {
                let slots = self.fixed_pointer(self.vmctx, header::SLOTS);
                let flags = self.flags(Region::Slots);
                let code = self.builder.ins().load(POINTER, flags, slots, (defined * 8) as i32);
                Callee { code: Code::At(code), vmctx: self.vmctx }
            }
            None => {
                let offset = self.context_offset(self.env.layout.imported_functions, function, 16)?;
                let flags = self.flags(Region::Context);
                let code = self.builder.ins().load(POINTER, flags, self.vmctx, offset as i32);
                let vmctx = self.builder.ins().load(POINTER, flags, self.vmctx, offset as i32 + 8);
                Callee { code: Code::At(code), vmctx }
            }
        };
        self.call_callee(callee, type_index, is_tail)
    }

    fn call_indirect(&mut self, type_index: u32, table: u32, is_tail: bool) -> Result<(), CompileError> {
        let index = self.pop()?;
        let reference = self.table_get(table, index)?;
        let element = self.table_type(table)?.element;
        let expected = self.env.info.types.get(type_index as usize).copied();
        // In a table of one type there is nothing to compare.
        let mut null = Some(TrapCode::IndirectCallToNull);
        if expected.is_none_or(|expected| element.heap != HeapType::Concrete(expected)) {
            let flags = self.trapping(Region::FuncRefs, TrapCode::IndirectCallToNull);
            let actual = self.builder.ins().load(types::I32, flags, reference, func_ref::TYPE_ID as i32);
            let type_ids = self.fixed_pointer(self.vmctx, header::TYPE_IDS);
            let flags = self.fixed(Region::Context);
            let expected = self.builder.ins().load(types::I32, flags, type_ids, (type_index * 4) as i32);
            let different = self.builder.ins().icmp(IntCC::NotEqual, actual, expected);
            self.builder.ins().trapnz(different, trap(TrapCode::BadSignature));
            null = None;
        }
        let callee = self.callee(reference, null);
        self.call_callee(callee, type_index, is_tail)
    }

    fn call_ref(&mut self, type_index: u32, is_tail: bool) -> Result<(), CompileError> {
        let reference = self.pop()?;
        let callee = self.callee(reference, Some(TrapCode::NullReference));
        self.call_callee(callee, type_index, is_tail)
    }

    /// What a reference refers to; traps if it can be null and is.
    fn callee(&mut self, reference: Value, null: Option<TrapCode>) -> Callee {
        let flags = match null {
            Some(null) => self.trapping(Region::FuncRefs, null),
            None => self.flags(Region::FuncRefs),
        };
        let code = self.builder.ins().load(POINTER, flags, reference, func_ref::CODE as i32);
        let flags = self.flags(Region::FuncRefs);
        let vmctx = self.builder.ins().load(POINTER, flags, reference, func_ref::VMCTX as i32);
        Callee { code: Code::At(code), vmctx }
    }

    fn call_callee(&mut self, callee: Callee, type_index: u32, is_tail: bool) -> Result<(), CompileError> {
        let ty = self.function_type(type_index)?;
        let params = ty.params.len();
        let signature = self.wasm_signature(type_index)?;
        let mut args: SmallVec<[Value; 8]> = SmallVec::with_capacity(params + 1);
        args.push(callee.vmctx);
        args.extend_from_slice(self.top(params)?);
        self.truncate(self.stack.len() - params);
        self.charge(ty.results.len())?;
        self.save_fuel();
        if is_tail {
            match callee.code {
                Code::Known(function) => self.builder.ins().return_call(function, &args),
                Code::At(code) => self.builder.ins().return_call_indirect(signature, code, &args),
            };
            self.reachable = false;
        } else {
            let results = self.call_catching(signature, callee.code, &args, &ty.results)?;
            self.stack.extend(results);
            self.load_fuel();
        }
        Ok(())
    }

    /// A function that the module defines, to be called directly.
    fn function(&mut self, defined: u32, type_index: u32) -> Result<FuncRef, CompileError> {
        if let Some(function) = self.functions.get(&defined) {
            return Ok(*function);
        }
        let signature = self.wasm_signature(type_index)?;
        let name = UserExternalName::new(FUNCTIONS, defined);
        let name = ExternalName::user(self.builder.func.declare_imported_user_function(name));
        let data = ExtFuncData { name, signature, colocated: true, patchable: false };
        let function = self.builder.import_function(data);
        self.functions.insert(defined, function);
        Ok(function)
    }

    fn wasm_signature(&mut self, type_index: u32) -> Result<SigRef, CompileError> {
        if let Some(signature) = self.signatures.get(&SignatureKey::Wasm(type_index)) {
            return Ok(*signature);
        }
        let signature = wasm_signature(self.function_type(type_index)?);
        let signature = self.builder.import_signature(signature);
        self.signatures.insert(SignatureKey::Wasm(type_index), signature);
        Ok(signature)
    }
}
