//! Machine code of guests: where it lies, what is known of each piece, and whose an address is.

mod arena;
mod error;
mod object;
mod perf_map;

pub(crate) use arena::is_guest_code;
pub use error::CodeError;
pub(crate) use object::find;
pub use object::{CodeKind, CodeObject, CodeTables, Origin};
pub use perf_map::{perf_map_path, write_perf_map};
