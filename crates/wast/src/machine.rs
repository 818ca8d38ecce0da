//! What a script needs from that which it tests.

use wast::{WastArg, WastRet};

use crate::wording;

/// Something that defines, instantiates and calls: a script is run on one for components and one for core modules.
pub trait Machine {
    /// A validated component or module.
    type Definition;
    /// An instance of one.
    type Instance;
    /// What a call returned.
    type Results;

    /// Decodes, validates and compiles a binary.
    ///
    /// # Errors
    /// If it is refused.
    fn define(&mut self, binary: &[u8]) -> Result<Self::Definition, Refusal>;

    /// Instantiates a definition with what was registered.
    ///
    /// # Errors
    /// If an import is missing or does not fit, or a start function traps.
    fn instantiate(&mut self, definition: &Self::Definition) -> Result<Self::Instance, Refusal>;

    /// Lets later instances import from this one under `name`.
    ///
    /// # Errors
    /// If that is not possible.
    fn register(&mut self, name: &str, instance: &Self::Instance) -> Result<(), Refusal>;

    /// Calls an exported function.
    ///
    /// # Errors
    /// If there is none, the arguments are not of its types, or it traps.
    fn invoke(
        &mut self,
        instance: &Self::Instance,
        name: &str,
        args: &[WastArg<'_>],
    ) -> Result<Self::Results, Refusal>;

    /// Reads an exported global.
    ///
    /// # Errors
    /// If there is none.
    fn global(&mut self, instance: &Self::Instance, name: &str) -> Result<Self::Results, Refusal>;

    /// Compares what a call returned with what it should have.
    ///
    /// # Errors
    /// Says how they differ.
    fn compare(&self, results: &Self::Results, expected: &[WastRet<'_>]) -> Result<(), String>;

    /// Whether a message that the machine gave for a refusal says what a script expects.
    fn says(&self, cause: Cause, message: &str, expected: &str) -> bool {
        let _ = cause;
        wording::says(message, expected)
    }
}

/// Why a [`Machine`] did not do what it was told.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {message}", .cause.noun())]
pub struct Refusal {
    /// What kind of reason it is.
    pub cause: Cause,
    /// The reason, as the machine gave it.
    pub message: String,
}

/// Kinds of [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The definition is malformed or invalid.
    Invalid,
    /// The definition needs something that the machine does not have, or that is switched off.
    Unsupported,
    /// An import is missing or of another type.
    Unlinkable,
    /// The guest trapped.
    Trap,
    /// The guest used up its stack.
    Exhausted,
    /// The guest threw an exception that nothing caught.
    Exception,
    /// The script asked for something that is not there.
    Misuse,
}

impl Refusal {
    /// Makes a refusal.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Refusal { cause, message: message.into() }
    }
}

impl Cause {
    /// The cause in a sentence that continues with a colon and the message.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Cause::Invalid => "invalid",
            Cause::Unsupported => "unsupported",
            Cause::Unlinkable => "unlinkable",
            Cause::Trap => "trap",
            Cause::Exhausted => "exhausted",
            Cause::Exception => "exception",
            Cause::Misuse => "error",
        }
    }
}
