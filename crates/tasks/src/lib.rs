//! The Component Model's concurrency rules as a pure state machine.
