//! The error of setting up a context.

use std::io;
use std::path::PathBuf;

/// Why a context cannot be built as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A directory cannot be opened to be preopened.
    #[error("cannot open the directory {} to offer it as {guest:?}: {source}", .host.display())]
    Preopen {
        /// Where it should be on the host.
        host: PathBuf,
        /// Where the guest should find it.
        guest: String,
        /// What the system says.
        source: io::Error,
    },
}
