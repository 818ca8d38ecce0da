//! Machine code of guests: where it lies, what is known of each piece, and whose an address is.

mod arena;
mod error;
mod object;

pub(crate) use arena::is_guest_code;
pub use error::CodeError;
pub(crate) use object::find;
pub use object::{CodeKind, CodeObject, CodeTables, Origin};
