//! What depends on the processor: entering compiled code and leaving it, and the registers of an interrupted thread.
//!
//! Every architecture provides `enter`, `leave`, `is_entry_return`, `stack_pointer`, `interrupt_shim`, and, for the
//! signal handler, `Interrupted` with `of`, `redirect` and `restart`.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("Tombolo runs on x86-64 only so far: src/arch of tombolo-vm has no module for this processor");
