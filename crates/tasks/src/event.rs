//! The events that waitables deliver (CanonicalABI.md, "Waitable State").

/// What an [`Event`] is about (`EventCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum EventCode {
    /// Nothing happened: a poll found nothing, or a callback yielded.
    None = 0,
    /// A subtask started or resolved: `p1` is its handle, `p2` its state.
    Subtask = 1,
    /// A stream read made progress: `p1` is the handle, `p2` the packed result.
    StreamRead = 2,
    /// A stream write made progress: `p1` is the handle, `p2` the packed result.
    StreamWrite = 3,
    /// A future read ended: `p1` is the handle, `p2` the result.
    FutureRead = 4,
    /// A future write ended: `p1` is the handle, `p2` the result.
    FutureWrite = 5,
    /// The caller of this task asked to cancel it.
    TaskCancelled = 6,
}

/// What core wasm receives from a wait, a poll or as a callback's arguments (`EventTuple`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// What happened.
    pub code: EventCode,
    /// The handle of the waitable, or 0.
    pub p1: u32,
    /// The payload, or 0.
    pub p2: u32,
}

impl Event {
    /// Nothing happened.
    pub const NONE: Event = Event { code: EventCode::None, p1: 0, p2: 0 };
    /// The current task shall cancel itself.
    pub const TASK_CANCELLED: Event = Event { code: EventCode::TaskCancelled, p1: 0, p2: 0 };
}

/// How a copy ended (`CopyResult`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CopyResult {
    /// Elements were copied, or a zero-length copy found its peer.
    Completed = 0,
    /// The other end is gone.
    Dropped = 1,
    /// The copy was cancelled.
    Cancelled = 2,
}

/// The event of a stream or future end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyEvent {
    /// Which kind of copy: one of the four stream and future codes.
    pub code: EventCode,
    /// How it ended.
    pub result: CopyResult,
    /// How many elements were copied in all.
    pub progress: u32,
}

impl CopyEvent {
    /// The `i32` that core wasm receives: for streams the result in the low four bits and the progress above,
    /// for futures the result alone.
    #[inline]
    pub fn payload(self) -> u32 {
        match self.code {
            EventCode::StreamRead | EventCode::StreamWrite => self.result as u32 | self.progress << 4,
            _ => self.result as u32,
        }
    }
}

/// What a copying or cancelling built-in returns when the event comes later.
pub const BLOCKED: u32 = u32::MAX;
