//! Function types as machine signatures.

use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, Signature, Type, types};
use cranelift_codegen::isa::CallConv;
use tombolo_types::core::{FuncType, ValType};

/// A pointer on the machine. References are pointers too, or host numbers of that size.
pub(crate) const POINTER: Type = types::I64;

/// What every `v128` is outside the operations that see lanes.
pub(crate) const V128: Type = types::I8X16;

/// The machine type of a value.
pub(crate) fn value_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => V128,
        ValType::Ref(_) => POINTER,
    }
}

/// The signature of a compiled function: the callee's context, then the parameters.
pub(crate) fn wasm_signature(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.reserve(ty.params.len() + 1);
    signature.params.push(AbiParam::special(POINTER, ArgumentPurpose::VMContext));
    signature.params.extend(ty.params.iter().map(|ty| AbiParam::new(value_type(*ty))));
    signature.returns.extend(ty.results.iter().map(|ty| AbiParam::new(value_type(*ty))));
    signature
}

/// The signature of a host function.
pub(crate) fn host_signature(params: &[Type], results: &[Type]) -> Signature {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.extend(params.iter().map(|ty| AbiParam::new(*ty)));
    signature.returns.extend(results.iter().map(|ty| AbiParam::new(*ty)));
    signature
}
