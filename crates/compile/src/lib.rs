//! Compiles core WebAssembly to machine code with Cranelift for the Tombolo runtime.
