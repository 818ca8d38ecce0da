//! Why a module could not be compiled.

use std::fmt;

/// Why a module could not be compiled.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The module is malformed or does not validate.
    #[error("invalid WebAssembly module: {message}{}", Place(*.offset, .function))]
    Invalid {
        /// What is wrong with it.
        message: String,
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// The function it lies in.
        function: Option<FunctionName>,
    },
    /// The module uses something that is not supported.
    #[error("unsupported: {what}{}", Place(*.offset, .function))]
    Unsupported {
        /// The feature.
        what: String,
        /// Where it is used, in bytes from the start of the file.
        offset: u64,
        /// The function it lies in.
        function: Option<FunctionName>,
    },
    /// The module uses something that is not among the configuration's features.
    #[error("not enabled: {what}{}", Place(*.offset, .function))]
    Disabled {
        /// The feature.
        what: String,
        /// Where it is used, in bytes from the start of the file.
        offset: u64,
        /// The function it lies in.
        function: Option<FunctionName>,
    },
    /// The module passes a limit of this implementation.
    #[error("too large: {what}{}", Place(*.offset, .function))]
    TooLarge {
        /// The limit.
        what: String,
        /// Where it is passed, in bytes from the start of the file.
        offset: u64,
        /// The function it lies in.
        function: Option<FunctionName>,
    },
    /// Compiled code cannot run on this machine.
    #[error("this machine cannot run compiled code: {0}")]
    Host(String),
    /// A defect of the compiler: no module should cause this.
    #[error("internal error in the compiler: {message}{}", Place(*.offset, .function))]
    Internal {
        /// What went wrong.
        message: String,
        /// Where it was at, in bytes from the start of the file.
        offset: u64,
        /// The function it lies in.
        function: Option<FunctionName>,
    },
}

/// A function as errors name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    /// Its index in the module.
    pub index: u32,
    /// Its name from the name section.
    pub name: Option<String>,
}

impl CompileError {
    /// Where in the file the error was found, if it belongs to a place.
    pub fn offset(&self) -> Option<u64> {
        match self {
            CompileError::Invalid { offset, .. }
            | CompileError::Unsupported { offset, .. }
            | CompileError::Disabled { offset, .. }
            | CompileError::TooLarge { offset, .. }
            | CompileError::Internal { offset, .. } => Some(*offset),
            CompileError::Host(_) => None,
        }
    }

    pub(crate) fn unsupported(what: impl Into<String>, offset: u64) -> CompileError {
        CompileError::Unsupported { what: what.into(), offset, function: None }
    }

    pub(crate) fn too_large(what: impl Into<String>, offset: u64) -> CompileError {
        CompileError::TooLarge { what: what.into(), offset, function: None }
    }

    pub(crate) fn internal(message: impl Into<String>, offset: u64) -> CompileError {
        CompileError::Internal { message: message.into(), offset, function: None }
    }

    /// Says which function an error lies in.
    pub(crate) fn in_function(mut self, index: u32, name: Option<&String>) -> CompileError {
        match &mut self {
            CompileError::Invalid { function, .. }
            | CompileError::Unsupported { function, .. }
            | CompileError::Disabled { function, .. }
            | CompileError::TooLarge { function, .. }
            | CompileError::Internal { function, .. } => {
                function.get_or_insert_with(|| FunctionName { index, name: name.cloned() });
            }
            CompileError::Host(_) => {}
        }
        self
    }
}

impl From<wasmparser::Error> for CompileError {
    fn from(error: wasmparser::Error) -> Self {
        let (message, offset) = (error.message().to_owned(), error.offset());
        match error.missing_wasm_feature() {
            Some(_) => CompileError::Disabled { what: message, offset, function: None },
            None => CompileError::Invalid { message, offset, function: None },
        }
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "function {} `{name}`", self.index),
            None => write!(f, "function {}", self.index),
        }
    }
}

struct Place<'a>(u64, &'a Option<FunctionName>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " (at byte {:#x}", self.0)?;
        match self.1 {
            Some(function) => write!(f, ", in {function})"),
            None => write!(f, ")"),
        }
    }
}
