//! WASI hosts for the Tombolo runtime.
