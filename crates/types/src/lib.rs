//! Core and component types, layouts, flattening and slabs of the Tombolo runtime.
