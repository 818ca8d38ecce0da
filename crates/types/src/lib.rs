//! The types of WebAssembly as the Tombolo runtime sees them: core types and the registry that gives each
//! function type one number per engine, and component types with their layouts in linear memory and their
//! flattening to core types.
//!
//! Nothing here runs anything: this crate is data, arithmetic on it, and comparison.

pub mod component;
pub mod core;
mod registry;

pub use registry::{TypeId, TypeRegistry};
