//! What depends on the operating system: mappings, stacks of threads, signals.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

#[cfg(not(target_os = "linux"))]
compile_error!("Tombolo runs on Linux only so far: src/os of tombolo-vm has no module for this system");
