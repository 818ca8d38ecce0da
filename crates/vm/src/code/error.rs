//! Why code could not be made ready to run.

use std::io;

use tombolo_compile::CompileError;
use tombolo_types::TypeId;

/// Why code could not be made ready to run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The system refused memory for it.
    #[error("no memory for {size} bytes of machine code: {source}")]
    Memory {
        /// How much it is.
        size: usize,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than what one piece may be.
    #[error("{0} bytes of machine code in one piece are too many")]
    TooLarge(usize),
    /// A trampoline could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A type that the engine's registry did not number.
    #[error("function type {} is not in this engine's registry", .0.0)]
    UnknownType(TypeId),
    /// A host function with checks cannot return references.
    #[error("a checked host function of type {} would return a reference", .0.0)]
    ReferenceResult(TypeId),
    /// The module's tables do not fit its bytes: they are of different modules.
    #[error("the compiled module does not belong to these bytes")]
    WrongBytes,
}
