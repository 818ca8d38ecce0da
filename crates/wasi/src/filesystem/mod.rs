//! The filesystem as guests see it: descriptors, what may be done through them, and paths that never lead out.
//!
//! Three layers, from the guest down:
//!
//! - [`Descriptor`] enforces rights, and [`FileReader`], [`FileWriter`] and [`DirectoryReader`] turn files into
//!   streams;
//! - [`Object`] is what a filesystem implements, the host's or an embedder's own;
//! - [`HostObject`] is the host's, sandboxed by the kernel.

mod descriptor;
mod error;
mod host;
mod metadata_hash;
mod object;
mod refusal;
mod streams;
mod types;

pub use crate::blocking::Blocking;
pub use crate::descriptor_limit::DescriptorLimit;
pub use descriptor::Descriptor;
pub use error::{ErrorCode, Result};
pub use host::HostObject;
pub use metadata_hash::MetadataHashKey;
pub use object::{Entries, Object};
pub(crate) use refusal::OnReadOnly;
pub use streams::{DirectoryReader, FileReader, FileWriter};
pub use types::{
    Advice, DescriptorFlags, DescriptorType, DirectoryEntry, MetadataHash, NewTimestamp, OpenFlags,
    Permissions, Position, Stat, SymlinkFollow,
};

/// A directory that a guest is given at its start, and the path that it knows it by.
#[derive(Clone)]
pub struct Preopen {
    /// The directory with what is allowed below it.
    pub descriptor: Descriptor,
    /// Where the guest finds it.
    pub path: String,
}
