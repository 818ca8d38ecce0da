//! Why a root instance is no more.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;

/// That a root instance has ended, and why.
///
/// A root instance is what one [`Linker::instantiate`](crate::Linker::instantiate) has made. It ends as a whole; whatever
/// else is in its store goes on, but for root instances that wait for it.
#[derive(Clone)]
pub struct Ended(Arc<Inner>);

struct Inner {
    instance: String,
    cause: EndCause,
}

/// The reasons for which a root instance ends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EndCause {
    /// A guest in it trapped, a function of the host that it called failed, or its start did.
    Failed(Error),
    /// It waited for a call into another root instance, which ended.
    Waited(Ended),
    /// The embedder has ended it: [`Instance::end`](crate::Instance::end).
    Removed,
    /// A call into it was cancelled, and had not ended when its time was up:
    /// [`Store::set_cancellation_grace`](crate::Store::set_cancellation_grace).
    NotCancelled,
}

impl Ended {
    pub(crate) fn new(instance: String, cause: EndCause) -> Self {
        Ended(Arc::new(Inner { instance, cause }))
    }

    /// What people call the instance: the name that its component gives itself, with its number in the store.
    pub fn instance(&self) -> &str {
        &self.0.instance
    }

    /// Why it ended.
    pub fn cause(&self) -> &EndCause {
        &self.0.cause
    }

    /// The error with which it all began: that of this instance, or of the one that it waited for.
    pub fn error(&self) -> Option<&Error> {
        match self.cause() {
            EndCause::Failed(error) => Some(error),
            EndCause::Waited(other) => other.error(),
            EndCause::Removed | EndCause::NotCancelled => None,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.instance())?;
        match self.cause() {
            // Without its backtrace, which is on the lines behind the first.
            EndCause::Failed(error) => {
                let text = error.to_string();
                write!(f, "ended with: {}", text.lines().next().unwrap_or_default())
            }
            EndCause::Waited(other) => write!(f, "ended, as it waited for another: {other}"),
            EndCause::Removed => f.write_str("was ended by the host"),
            EndCause::NotCancelled => f.write_str("was ended, as it did not end a call that was cancelled"),
        }
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
