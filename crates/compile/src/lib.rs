//! Compiles core WebAssembly to machine code for the Tombolo runtime. The only crate that names Cranelift.
//!
//! A [`Compiler`] takes a module's bytes to a [`CompiledModule`]: position-independent machine code, tables that say
//! where it can trap and which instruction it came from, and the module's declarations. All of it is plain data.
//! [`vmctx`] is the agreement between that code and the runtime that executes it.
//!
//! ```
//! use tombolo_compile::{Compiler, Config};
//! use tombolo_types::TypeRegistry;
//!
//! # fn main() -> Result<(), tombolo_compile::CompileError> {
//! let compiler = Compiler::new(&Config::default())?;
//! let module = compiler.compile_module(b"\0asm\x01\0\0\0", &TypeRegistry::default())?;
//! assert!(module.functions.is_empty());
//! # Ok(())
//! # }
//! ```

mod adapter;
mod arch;
mod call_graph;
mod compiled;
mod compiler;
mod config;
mod error;
pub mod module;
mod parse;
mod signature;
mod trampoline;
mod translate;
pub mod vmctx;

pub use adapter::{Adapter, Side};
pub use call_graph::{Call, CallGraph};
pub use compiled::{
    CompiledFunction, CompiledModule, FUNCTION_ALIGNMENT, FunctionRange, Handler, NO_ADDRESS,
};
pub use compiler::Compiler;
pub use config::{Config, OptLevel, SUPPORTED_FEATURES};
pub use error::{CompileError, FunctionName};
pub use parse::ParsedModule;
pub use trampoline::TrampolineKind;
pub use wasmparser::WasmFeatures;
