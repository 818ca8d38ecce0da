//! Telling the embedder of attempts to change what may only be read.

use std::fmt;
use std::sync::Arc;

/// Whom to tell, and by which name the guest knows the directory.
#[derive(Clone)]
pub(crate) struct OnReadOnly {
    pub(crate) tell: Arc<dyn Fn(&str) + Send + Sync>,
    pub(crate) path: Arc<str>,
}

impl OnReadOnly {
    pub(crate) fn call(&self) {
        (self.tell)(&self.path);
    }
}

impl fmt::Debug for OnReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnReadOnly").field("path", &self.path).finish_non_exhaustive()
    }
}
