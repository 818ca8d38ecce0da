//! Derive macros of the Tombolo runtime.
