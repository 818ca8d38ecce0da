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
    /// A guest in it trapped, a function of the host that it called failed, its start did, or its deadline passed.
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
        let mut ended = self;
        loop {
            match ended.cause() {
                EndCause::Failed(error) => return Some(error),
                EndCause::Waited(other) => ended = other,
                EndCause::Removed | EndCause::NotCancelled => return None,
            }
        }
    }
}

impl Drop for Inner {
    /// One after another: thousands may have waited for each other, which is deeper than a stack.
    fn drop(&mut self) {
        let mut cause = std::mem::replace(&mut self.cause, EndCause::Removed);
        while let EndCause::Waited(mut other) = cause {
            let Some(inner) = Arc::get_mut(&mut other.0) else { return };
            cause = std::mem::replace(&mut inner.cause, EndCause::Removed);
        }
    }
}

/// How many that waited for each other are named.
const NAMED: usize = 10;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut ended, mut waited) = (self, 0);
        while let EndCause::Waited(other) = ended.cause() {
            match waited {
                ..NAMED => write!(f, "{} ended, as it waited for another: ", ended.instance())?,
                NAMED => f.write_str("… ")?,
                _ => {}
            }
            (ended, waited) = (other, waited + 1);
        }
        write!(f, "{} ", ended.instance())?;
        match ended.cause() {
            // Without its backtrace, which is on the lines behind the first.
            EndCause::Failed(error) => {
                let text = error.to_string();
                write!(f, "ended with: {}", text.lines().next().unwrap_or_default())
            }
            EndCause::NotCancelled => f.write_str("was ended, as it did not end a call that was cancelled"),
            EndCause::Removed | EndCause::Waited(_) => f.write_str("was ended by the host"),
        }
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
