//! The error of this crate.

use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use crate::ended::Ended;

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: one word wide, with the details behind it. A clone is the same error.
///
/// Look at [`Error::kind`] to tell causes apart, and at [`Error::downcast_ref`] for an error that a host function
/// returned.
#[derive(Clone)]
pub struct Error(Arc<ErrorKind>);

/// The causes of an [`Error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not a valid component or module.
    #[error("{message} (at byte {offset:#x})")]
    Malformed {
        /// What is wrong.
        message: String,
        /// Where, in bytes from the start of the file.
        offset: usize,
    },
    /// The component is valid but needs something that this runtime does not have, or that is switched off.
    #[error("{feature} is not supported{}", .offset.map(|o| format!(" (at byte {o:#x})")).unwrap_or_default())]
    Unsupported {
        /// The feature, as the specification calls it.
        feature: String,
        /// Where it is used.
        offset: Option<usize>,
    },
    /// The text format does not parse.
    #[error("{0}")]
    Text(String),
    /// The compiler gave up on a valid component.
    #[error("{0}")]
    Compile(tombolo_compile::CompileError),
    /// A core module where a component was expected.
    #[error("this is a core module, not a component")]
    NotAComponent,
    /// A component imports something that the linker does not have.
    #[error("component imports {kind} `{name}`, which the linker does not define")]
    MissingImport {
        /// `instance`, `function`, …
        kind: &'static str,
        /// The import's name, with the member after `#` when an instance lacks just that.
        name: String,
    },
    /// Something has another type than asked for.
    #[error("{what}: {message}")]
    TypeMismatch {
        /// What was looked at.
        what: String,
        /// Expected and found.
        message: String,
    },
    /// A guest trapped.
    #[error("{0}")]
    Trap(Trap),
    /// A host function failed with an error of its own.
    #[error("{0}")]
    Host(Box<dyn std::error::Error + Send + Sync>),
    /// The embedder used the API in a way that cannot work.
    #[error("{0}")]
    Usage(String),
    /// A component would take up more than its store's [`Limits`](crate::Limits) allow.
    #[error("{0}")]
    Limit(LimitExceeded),
    /// The machine would not give what is needed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// A trap: what ended the guest and where it was.
#[derive(Debug)]
pub struct Trap {
    /// Why.
    pub reason: TrapReason,
    backtrace: OnceLock<Backtrace>,
    callee: OnceLock<String>,
}

/// Why a guest trapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrapReason {
    /// An instruction of core WebAssembly trapped.
    #[error("{0}")]
    Core(TrapCode),
    /// An exception of core WebAssembly left a component's function: no other component can catch it.
    #[error("uncaught exception with the tag `{tag}`")]
    Exception {
        /// What the core module calls the tag: the name of an export, or else its index.
        tag: String,
    },
    /// A rule of the Component Model's concurrency or handles was broken.
    #[error("{0}")]
    Concurrency(#[from] tombolo_tasks::Trap),
    /// A rule of the Canonical ABI was broken: a bad pointer, a bad string, a bad discriminant…
    #[error("{0}")]
    CanonicalAbi(String),
    /// The instance has ended before it was called.
    #[error("cannot enter component instance: {0}")]
    CannotEnter(Ended),
    /// The instance ended while it was working on a call.
    #[error("{0}")]
    Ended(Ended),
    /// The guest cannot go on: everything waits and nothing will happen.
    #[error("deadlock: {0}")]
    Deadlock(String),
    /// A host function panicked, or a future, stream producer, stream consumer or destructor of the host. The panic
    /// ended there; [`HostPanic::take_payload`] gives what [`std::panic::resume_unwind`] needs to go on with it.
    #[error("{0}")]
    HostPanic(HostPanic),
}

/// The traps of core WebAssembly, and those of a store's bounds.
pub use tombolo_compile::vmctx::TrapCode;
pub use tombolo_vm::{Backtrace, Frame, HostPanic, SourceFrame};
/// A limit of a store, and what passed it.
pub use tombolo_vm::{LimitExceeded, LimitKind};

impl Error {
    /// Makes an error of its cause.
    #[cold]
    pub fn new(kind: ErrorKind) -> Self {
        Error(Arc::new(kind))
    }

    /// Wraps an error of a host function.
    #[cold]
    pub fn host(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::new(ErrorKind::Host(error.into()))
    }

    #[cold]
    pub(crate) fn abi(message: impl Into<String>) -> Self {
        TrapReason::CanonicalAbi(message.into()).into()
    }

    #[cold]
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Usage(message.into()))
    }

    #[cold]
    pub(crate) fn mismatch(what: impl Into<String>, message: impl Into<String>) -> Self {
        Error::new(ErrorKind::TypeMismatch { what: what.into(), message: message.into() })
    }

    pub(crate) fn system(what: &'static str, source: std::io::Error) -> Self {
        Error::new(ErrorKind::System { what, source })
    }

    pub(crate) fn cancelled() -> Self {
        Error::usage("the call was cancelled")
    }

    /// An error of the compiler.
    pub(crate) fn compile(error: tombolo_compile::CompileError) -> Self {
        use tombolo_compile::CompileError::{Disabled, Invalid, Unsupported};
        match error {
            Invalid { message, offset, function } => {
                let message =
                    function.map_or(message.clone(), |function| format!("{message}, in {function}"));
                Error::new(ErrorKind::Malformed { message, offset: offset as usize })
            }
            Unsupported { what, offset, .. } | Disabled { what, offset, .. } => {
                Error::unsupported(what, offset as usize)
            }
            other => Error::new(ErrorKind::Compile(other)),
        }
    }

    /// An error of instantiating a core module.
    pub(crate) fn instantiation(error: tombolo_vm::InstantiationError) -> Self {
        match error {
            tombolo_vm::InstantiationError::Trap(trap) => Error::raised(trap),
            tombolo_vm::InstantiationError::Import { .. } => {
                Error::mismatch("core module", error.to_string())
            }
            tombolo_vm::InstantiationError::Resource(tombolo_vm::ResourceError::Limit(exceeded)) => {
                Error::new(ErrorKind::Limit(exceeded))
            }
            other => Error::host(other),
        }
    }

    /// A trap that came out of guest frames. An error of ours that was raised through them comes back as itself, with
    /// the backtrace of the innermost guest frames if it is a trap.
    pub(crate) fn raised(trap: tombolo_vm::Trap) -> Self {
        use tombolo_vm::TrapKind;
        let backtrace = trap.backtrace().clone();
        let reason = match trap.kind() {
            TrapKind::Wasm(code) => TrapReason::Core(*code),
            TrapKind::Exception(thrown) => TrapReason::Exception { tag: thrown.tag_name() },
            TrapKind::HostPanic(_) => match trap.into_panic() {
                Ok(panic) => TrapReason::HostPanic(panic),
                Err(trap) => return Error::host(trap),
            },
            TrapKind::Cancelled => return Error::cancelled(),
            TrapKind::Host(_) => match trap.downcast_host::<Error>() {
                Ok(error) => {
                    if let Some(trap) = error.trap() {
                        trap.set_backtrace(backtrace);
                    }
                    return error;
                }
                Err(trap) => return Error::host(trap),
            },
            _ => return Error::host(trap),
        };
        let trap = Trap { reason, backtrace: OnceLock::new(), callee: OnceLock::new() };
        trap.set_backtrace(backtrace);
        Error::new(ErrorKind::Trap(trap))
    }

    /// An error of code memory.
    pub(crate) fn code(error: tombolo_vm::CodeError) -> Self {
        Error::host(error)
    }

    /// An error of the text format.
    pub(crate) fn text(error: &wat::Error) -> Self {
        Error::new(ErrorKind::Text(error.to_string()))
    }

    /// Notes which function the host called, on a trap.
    pub(crate) fn called(self, name: &str) -> Self {
        if let Some(trap) = self.trap() {
            trap.callee.get_or_init(|| name.to_owned());
        }
        self
    }

    /// Says where a mismatch was found.
    pub(crate) fn inside(self, place: &str) -> Self {
        match self.kind() {
            ErrorKind::TypeMismatch { what, message } => {
                Error::mismatch(format!("`{place}`"), format!("{what}: {message}"))
            }
            _ => self,
        }
    }

    pub(crate) fn unsupported(feature: impl Into<String>, offset: impl Into<Option<usize>>) -> Self {
        Error::new(ErrorKind::Unsupported { feature: feature.into(), offset: offset.into() })
    }

    /// The cause.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// Whether both are clones of one error.
    pub(crate) fn is_clone_of(&self, other: &Error) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The trap, if a guest trapped.
    pub fn trap(&self) -> Option<&Trap> {
        match self.kind() {
            ErrorKind::Trap(trap) => Some(trap),
            _ => None,
        }
    }

    /// The error that a host function returned, if it is an `E`.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self.kind() {
            ErrorKind::Host(error) => error.downcast_ref(),
            _ => None,
        }
    }
}

impl From<TrapReason> for Error {
    fn from(reason: TrapReason) -> Self {
        Error::new(ErrorKind::Trap(Trap { reason, backtrace: OnceLock::new(), callee: OnceLock::new() }))
    }
}

impl From<tombolo_tasks::Trap> for Error {
    #[cold]
    fn from(trap: tombolo_tasks::Trap) -> Self {
        TrapReason::Concurrency(trap).into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::Host(error) => error.source(),
            ErrorKind::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Trap {
    /// Where: the functions of guests that were running.
    pub fn backtrace(&self) -> &Backtrace {
        static NONE: LazyLock<Backtrace> = LazyLock::new(Backtrace::default);
        self.backtrace.get().unwrap_or(&NONE)
    }

    /// Notes where, unless that is known.
    fn set_backtrace(&self, backtrace: Backtrace) {
        if !backtrace.is_empty() {
            let _ = self.backtrace.set(backtrace);
        }
    }

    /// The component function that the host called, if known.
    pub fn callee(&self) -> Option<&str> {
        self.callee.get().map(String::as_str)
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if !self.backtrace().is_empty() {
            write!(f, "\nwasm backtrace:{}", self.backtrace())?;
        }
        Ok(())
    }
}
