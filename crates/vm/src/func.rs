//! Functions as the host sees them, and how it calls them.

use std::ptr::NonNull;

use tombolo_types::TypeId;
use tombolo_types::core::{HeapType, RefType, ValType};

use crate::context::FuncRef;
use crate::handle::handle;
use crate::store::Store;
use crate::{CodeError, RawVal, Trampoline, Trap, Val, entry};

handle! {
    /// A function of a store, of a guest or of the host.
    FuncHandle => FuncRef
}

/// Why a checked call did not return.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The function takes another number of arguments.
    #[error("the function takes {expected} arguments, not {found}")]
    Arity {
        /// How many it takes.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// An argument is of another type than the function's parameter.
    #[error("argument {0} is of another type than the function's parameter")]
    Type(usize),
    /// It cannot be called.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// It was called, and trapped.
    #[error(transparent)]
    Trap(#[from] Trap),
}

impl FuncHandle {
    /// What compiled code knows the function by. Valid while the store lives.
    pub fn func_ref(self, store: &Store) -> NonNull<FuncRef> {
        store.check(self.store);
        self.pointer
    }

    /// Its type.
    pub fn type_id(self, store: &Store) -> TypeId {
        TypeId(self.entity(store).type_id)
    }

    /// A function that compiled code has a reference to.
    ///
    /// # Safety
    /// `func_ref` is of this store.
    pub unsafe fn from_raw(store: &Store, func_ref: NonNull<FuncRef>) -> FuncHandle {
        FuncHandle { pointer: func_ref, store: store.id() }
    }
}

impl Store {
    /// The callee context of a function: another for each that the host provides.
    pub fn context_of(&self, func: FuncHandle) -> *mut std::ffi::c_void {
        func.entity(self).vmctx
    }

    /// Calls a function with arguments that are checked against its type.
    ///
    /// # Errors
    /// When the arguments do not fit, and when the function traps.
    pub fn call(&self, func: FuncHandle, arguments: &[Val]) -> Result<Vec<Val>, CallError> {
        let type_id = func.type_id(self);
        let ty = self.trampolines().registry().get(type_id).ok_or(CodeError::UnknownType(type_id))?;
        let trampoline = self.trampolines().entry(type_id)?;
        if arguments.len() != ty.params.len() {
            return Err(CallError::Arity { expected: ty.params.len(), found: arguments.len() });
        }
        let mut values = vec![RawVal::ZERO; trampoline.slots()];
        for (index, ((argument, param), value)) in
            arguments.iter().zip(&ty.params).zip(&mut values).enumerate()
        {
            *value = self.raw(*param, *argument).ok_or(CallError::Type(index))?;
        }
        // SAFETY: the arguments are of the parameters' types.
        unsafe { self.call_raw(func, &trampoline, &mut values)? };
        // SAFETY: compiled code and host functions leave values of the results' types.
        Ok(ty.results.iter().zip(values).map(|(ty, value)| unsafe { self.val(*ty, value) }).collect())
    }

    /// Calls a function through the entry trampoline of its type: parameters in `values`, results back in it.
    ///
    /// # Errors
    /// The trap that ended the call.
    ///
    /// # Panics
    /// When the trampoline is of another type than the function, or `values` has fewer than
    /// [`Trampoline::slots`] elements.
    ///
    /// # Safety
    /// References among the parameters are null or of this store, and of the parameter's type.
    #[inline]
    pub unsafe fn call_raw(
        &self,
        func: FuncHandle,
        trampoline: &Trampoline,
        values: &mut [RawVal],
    ) -> Result<(), Trap> {
        let func = func.entity(self);
        assert!(trampoline.is_entry_of(TypeId(func.type_id)), "an entry trampoline of another type");
        assert!(values.len() >= trampoline.slots(), "too few slots for parameters and results");
        // SAFETY: the store lives and, as `&Store` does not cross threads, is this thread's; code and context belong
        // together, as in every `FuncRef`; the trampoline and `values` fit, and the caller sees to the references.
        unsafe {
            entry::enter(
                self.context().as_ptr(),
                trampoline.code(),
                func.vmctx,
                func.code,
                values.as_mut_ptr(),
            )
        }
    }

    /// A value as compiled code has it, if it is of the type.
    pub(crate) fn raw(&self, ty: ValType, value: Val) -> Option<RawVal> {
        Some(match (ty, value) {
            (ValType::I32, Val::I32(value)) => RawVal::from_i32(value),
            (ValType::I64, Val::I64(value)) => RawVal::from_i64(value),
            (ValType::F32, Val::F32(bits)) => RawVal::from_u32(bits),
            (ValType::F64, Val::F64(bits)) => RawVal::from_u64(bits),
            (ValType::V128, Val::V128(bits)) => RawVal::from_v128(bits),
            (ValType::Ref(ty), value) => RawVal::from_u64(self.word_of(ty, value)?),
            _ => return None,
        })
    }

    /// A value that compiled code had.
    ///
    /// # Safety
    /// The value is of the type; a reference is null or of this store.
    pub(crate) unsafe fn val(&self, ty: ValType, value: RawVal) -> Val {
        match ty {
            ValType::I32 => Val::I32(value.i32()),
            ValType::I64 => Val::I64(value.i64()),
            ValType::F32 => Val::F32(value.u32()),
            ValType::F64 => Val::F64(value.u64()),
            ValType::V128 => Val::V128(value.v128()),
            // SAFETY: the caller's promise.
            ValType::Ref(ty) => unsafe { self.reference(ty, value.u64()) },
        }
    }

    /// A reference's word, if the value is of the type.
    pub(crate) fn word_of(&self, ty: RefType, value: Val) -> Option<u64> {
        let word = match (ty.heap, value) {
            (HeapType::Func | HeapType::Concrete(_) | HeapType::NoFunc, Val::FuncRef(None)) => 0,
            (HeapType::Func, Val::FuncRef(Some(func))) => func.func_ref(self).as_ptr() as u64,
            (HeapType::Concrete(id), Val::FuncRef(Some(func))) if func.type_id(self) == id => {
                func.func_ref(self).as_ptr() as u64
            }
            (HeapType::Extern, Val::ExternRef(word)) => word,
            (HeapType::NoExtern, Val::ExternRef(0)) | (HeapType::Exn | HeapType::NoExn, Val::ExnRef(0)) => 0,
            _ => return None,
        };
        (ty.nullable || word != 0).then_some(word)
    }

    /// What a reference's word stands for.
    ///
    /// # Safety
    /// The word is a reference of the type, null or of this store.
    pub(crate) unsafe fn reference(&self, ty: RefType, word: u64) -> Val {
        match ty.heap {
            HeapType::Func | HeapType::Concrete(_) | HeapType::NoFunc => {
                let func = NonNull::new(word as *mut FuncRef);
                Val::FuncRef(func.map(|pointer| FuncHandle { pointer, store: self.id() }))
            }
            HeapType::Extern | HeapType::NoExtern => Val::ExternRef(word),
            HeapType::Exn | HeapType::NoExn => Val::ExnRef(word),
        }
    }
}
