//! Memories, tables, code memory, instances, traps and fibers of the Tombolo runtime.
