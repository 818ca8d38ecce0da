//! References to exceptions, which the runtime must find in order to free the exceptions that nobody refers to.
//!
//! Each operand and local of such a type is declared to Cranelift, which keeps those that live across a call in the frame
//! and says where: [`CompiledModule::exception_refs`](crate::CompiledModule::exception_refs). Which operands are of such
//! a type, the validator knows; it is asked after each instruction, about the operands that the instruction left.
//!
//! That is done only from where there can be a reference: everywhere if the module declares something of such a type,
//! else from the first `try_table` that catches one.

use cranelift_frontend::Variable;
use wasmparser::{AbstractHeapType, FuncValidator, HeapType, ValType, ValidatorResources};

use super::Translator;
use crate::CompileError;

/// Finding out where references live takes time and memory for each block and each that lives in it. How many blocks times
/// how many that may live at once there may be.
const MOST_LIVE: usize = 1 << 22;

/// What is known of a function's references to exceptions.
pub(super) struct ExceptionRefs {
    /// Whether there may be any.
    any: bool,
    /// How many of the lowest operands have been declared, if they needed to be.
    noted: usize,
    /// How many locals have been declared.
    locals: usize,
    /// How many operands have been declared.
    operands: usize,
}

impl ExceptionRefs {
    pub(super) fn new(any: bool) -> Self {
        ExceptionRefs { any, noted: 0, locals: 0, operands: 0 }
    }

    /// There will be some.
    pub(super) fn expect(&mut self) {
        self.any = true;
    }

    /// Operands above a height were removed.
    pub(super) fn lower(&mut self, height: usize) {
        self.noted = self.noted.min(height);
    }
}

impl Translator<'_, '_> {
    /// Declares a local of a type of exceptions, before it is defined.
    pub(super) fn keep_exception_local(&mut self, local: Variable) {
        self.builder.declare_var_needs_stack_map(local);
        self.exception_refs.locals += 1;
    }

    /// Declares the operands that are references to exceptions, after an instruction.
    pub(super) fn note_exception_refs(
        &mut self,
        validator: &FuncValidator<ValidatorResources>,
    ) -> Result<(), CompileError> {
        if !self.exception_refs.any || !self.reachable || self.frames.is_empty() {
            return Ok(());
        }
        let height = self.stack.len();
        if validator.operand_stack_height() as usize != height {
            return Err(self.internal("the validator counts other operands"));
        }
        let unseen = self.exception_refs.noted;
        for (depth, value) in self.stack.iter().skip(unseen).rev().enumerate() {
            if let Some(Some(ty)) = validator.get_operand_type(depth)
                && is_exception_ref(ty)
            {
                self.builder.declare_value_needs_stack_map(*value);
                self.exception_refs.operands += 1;
            }
        }
        self.exception_refs.noted = height;
        Ok(())
    }

    /// Refuses functions in which finding out where references live would take too much.
    pub(super) fn bound_exception_refs(&self) -> Result<(), CompileError> {
        let blocks = self.builder.func.dfg.num_blocks();
        let ExceptionRefs { locals, operands, .. } = self.exception_refs;
        let live = locals + operands.min(self.highest_stack);
        if live.saturating_mul(blocks) > MOST_LIVE {
            return Err(CompileError::too_large(
                "a function with too many references to exceptions",
                self.offset,
            ));
        }
        Ok(())
    }
}

/// Whether values of a type are references to exceptions.
pub(super) fn is_exception_ref(ty: ValType) -> bool {
    let ValType::Ref(ty) = ty else { return false };
    matches!(ty.heap_type(), HeapType::Abstract { ty: AbstractHeapType::Exn | AbstractHeapType::NoExn, .. })
}
