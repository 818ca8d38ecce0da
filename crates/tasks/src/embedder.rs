//! What the runtime above plugs into the state machine.
//!
//! The state machine never looks inside any of these types: it stores them beside the entity that they
//! belong to and hands them back when that entity ends.

/// The types that a runtime attaches to the specification's entities.
pub trait Embedder: Sized + 'static {
    /// The runtime's data per task: how to start it, where its result goes.
    type Task;
    /// The runtime's data per thread: a fiber, a callback continuation, or nothing started yet.
    type Thread;
    /// The runtime's data per subtask.
    type Subtask;
    /// The runtime's data per component instance.
    type Instance;
    /// The memory region (or host value) that a stream or future copy reads from or writes to.
    type Buffer: Buffer;
    /// The element type of a stream or future, including "none".
    type Element: Element;
    /// The identity of a resource type.
    type Resource: Copy + Eq;
    /// The contents of an error context.
    type ErrorContext;
}

/// The buffer of a pending copy (CanonicalABI.md, "Buffer State").
///
/// `progress() + remain()` is the buffer's length, at most [`MAX_BUFFER_LENGTH`] elements.
pub trait Buffer {
    /// Returns how many elements can still be copied.
    fn remain(&self) -> u32;
    /// Returns how many elements have been copied so far.
    fn progress(&self) -> u32;
    /// Records that `count` more elements have been copied; `count` is at most [`Buffer::remain`].
    fn advance(&mut self, count: u32);
}

/// The element type of a stream or future.
pub trait Element: Clone + PartialEq {
    /// Says whether the type is absent or a number (`none_or_number_type` of the specification): only then
    /// may both ends of one stream copy within the same component instance.
    fn is_none_or_number(&self) -> bool;
}

/// The greatest number of elements in one copy (`Buffer.MAX_LENGTH`).
pub const MAX_BUFFER_LENGTH: u32 = (1 << 28) - 1;
