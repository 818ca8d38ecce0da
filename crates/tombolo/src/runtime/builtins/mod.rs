//! The canonical built-ins (CanonicalABI.md, "Canonical Definitions").
//!
//! What is not said here is a method of the state machine's alone. How they become core functions of a guest stands beside
//! instantiation.

mod error_context;
mod resource;
mod stream;
mod task;
mod thread;
mod waitable;

pub(crate) use self::task::TaskReturn;
