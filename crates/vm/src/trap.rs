//! Why a guest stopped.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use tombolo_compile::vmctx::TrapCode;

use crate::{Backtrace, Frame, Thrown};

/// Why a guest stopped, and where.
///
/// A trap unwinds all compiled frames of the innermost entry; the host code that made the entry gets it as an `Err` and
/// may pass it on to a guest further out, which then stops too, or end it there. A guest further out may catch what is an
/// [exception](TrapKind::Exception).
pub struct Trap(Box<Inner>);

struct Inner {
    kind: TrapKind,
    fault_address: Option<usize>,
    backtrace: Option<Backtrace>,
}

/// The kinds of reasons.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrapKind {
    /// What the specification calls a trap, or a limit of the runtime.
    Wasm(TrapCode),
    /// An error of a host function.
    Host(Box<dyn Error + Send + Sync>),
    /// A host function panicked. The panic ended at the host function; it is reported here and not resumed.
    HostPanic(HostPanic),
    /// A guest threw an exception that none of its frames caught.
    Exception(Thrown),
    /// The fiber was cancelled while it was suspended.
    Cancelled,
}

/// A panic of a host function.
pub struct HostPanic {
    message: String,
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Trap {
    /// A trap that the specification or the runtime names.
    pub fn new(code: TrapCode) -> Trap {
        Trap::of_kind(TrapKind::Wasm(code))
    }

    /// An error of a host function. [`Trap::downcast_host`] gives it back.
    pub fn host(error: impl Into<Box<dyn Error + Send + Sync>>) -> Trap {
        Trap::of_kind(TrapKind::Host(error.into()))
    }

    /// What ends a cancelled fiber.
    pub fn cancelled() -> Trap {
        Trap::of_kind(TrapKind::Cancelled)
    }

    /// A panic that was caught.
    pub fn panic(payload: Box<dyn Any + Send>) -> Trap {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("a value that is not text").to_owned();
        Trap::of_kind(TrapKind::HostPanic(HostPanic { message, payload: Mutex::new(Some(payload)) }))
    }

    pub(crate) fn exception(thrown: Thrown) -> Trap {
        Trap::of_kind(TrapKind::Exception(thrown))
    }

    fn of_kind(kind: TrapKind) -> Trap {
        Trap(Box::new(Inner { kind, fault_address: None, backtrace: None }))
    }

    pub(crate) fn set_fault_address(&mut self, address: usize) {
        self.0.fault_address = Some(address);
    }

    /// Whether the stack was already recorded: once is enough, where the trap began.
    pub(crate) fn has_backtrace(&self) -> bool {
        self.0.backtrace.is_some()
    }

    /// Gives it a backtrace, instead of that of where it is raised.
    pub fn set_backtrace(&mut self, backtrace: Backtrace) {
        self.0.backtrace = Some(backtrace);
    }

    /// Why.
    pub fn kind(&self) -> &TrapKind {
        &self.0.kind
    }

    /// The trap's code, if it is one of compiled code or of the runtime.
    pub fn code(&self) -> Option<TrapCode> {
        match self.0.kind {
            TrapKind::Wasm(code) => Some(code),
            TrapKind::Exception(_) => Some(TrapCode::UncaughtException),
            _ => None,
        }
    }

    /// The compiled functions that were running. Empty if none was.
    pub fn backtrace(&self) -> &Backtrace {
        static NONE: Backtrace = Backtrace::new(Vec::new(), 0, 0);
        self.0.backtrace.as_ref().unwrap_or(&NONE)
    }

    /// The frames of the backtrace.
    pub fn frames(&self) -> &[Frame] {
        self.backtrace().frames()
    }

    /// The address in the host's memory that the guest tried to reach, if it was that.
    pub fn fault_address(&self) -> Option<usize> {
        self.0.fault_address
    }

    /// The host function's error, if it is an `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        match &self.0.kind {
            TrapKind::Host(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// The host function's error.
    ///
    /// # Errors
    /// The trap itself if it is something else.
    pub fn downcast_host<E: Error + 'static>(self) -> Result<E, Trap> {
        let Inner { kind, fault_address, backtrace } = *self.0;
        let kind = match kind {
            TrapKind::Host(error) => match error.downcast() {
                Ok(error) => return Ok(*error),
                Err(error) => TrapKind::Host(error),
            },
            kind => kind,
        };
        Err(Trap(Box::new(Inner { kind, fault_address, backtrace })))
    }

    /// The host function's panic.
    ///
    /// # Errors
    /// The trap itself if it is something else.
    pub fn into_panic(self) -> Result<HostPanic, Trap> {
        match *self.0 {
            Inner { kind: TrapKind::HostPanic(panic), .. } => Ok(panic),
            inner => Err(Trap(Box::new(inner))),
        }
    }

    /// The payload of a host function's panic, for [`std::panic::resume_unwind`]; once.
    pub fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        match &self.0.kind {
            TrapKind::HostPanic(panic) => panic.take_payload(),
            _ => None,
        }
    }
}

impl HostPanic {
    /// What the panic said.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What it was raised with, for [`std::panic::resume_unwind`]; once.
    pub fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.payload.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Display for HostPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a host function panicked: {}", self.message)
    }
}

impl fmt::Debug for HostPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostPanic").field(&self.message).finish()
    }
}

impl fmt::Debug for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trap")
            .field("kind", &self.0.kind)
            .field("fault_address", &self.0.fault_address)
            .field("backtrace", self.backtrace())
            .finish()
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            TrapKind::Wasm(code) => code.fmt(f),
            TrapKind::Host(error) => error.fmt(f),
            TrapKind::HostPanic(panic) => panic.fmt(f),
            TrapKind::Exception(thrown) => {
                write!(f, "{} with the tag `{}`", TrapCode::UncaughtException, thrown.tag_name())
            }
            TrapKind::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl Error for Trap {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.kind {
            // The error's own text is this one's.
            TrapKind::Host(error) => error.source(),
            _ => None,
        }
    }
}

impl From<TrapCode> for Trap {
    fn from(code: TrapCode) -> Self {
        Trap::new(code)
    }
}

const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Trap>();
    assert!(size_of::<Result<(), Trap>>() == size_of::<usize>());
};
