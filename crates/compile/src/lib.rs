//! Compiles core WebAssembly to machine code for the Tombolo runtime. The only crate that names Cranelift.

pub mod module;
pub mod vmctx;
