//! A small runtime to test with: buffers are lengths, types are numbers, and data are names.

use crate::*;

pub(super) struct Test;

impl Embedder for Test {
    type Task = &'static str;
    type Thread = &'static str;
    type Subtask = &'static str;
    type Instance = &'static str;
    type Buffer = Elements;
    type Element = Type;
    type Resource = u8;
    type ErrorContext = String;
}

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Number,
    Text,
}

impl Element for Type {
    fn is_none_or_number(&self) -> bool {
        *self == Type::Number
    }
}

/// A buffer of so many elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elements {
    pub(super) length: u32,
    pub(super) progress: u32,
}

pub(super) fn elements(length: u32) -> Elements {
    Elements { length, progress: 0 }
}

impl Buffer for Elements {
    fn remain(&self) -> u32 {
        self.length - self.progress
    }
    fn progress(&self) -> u32 {
        self.progress
    }
    fn advance(&mut self, count: u32) {
        assert!(count <= self.remain());
        self.progress += count;
    }
}

pub(super) type TestStore = Store<Test>;

/// A store with two instances.
pub(super) fn store() -> (TestStore, InstanceId, InstanceId) {
    let mut store = Store::new();
    let a = store.new_instance("A", Limits::default()).unwrap();
    let b = store.new_instance("B", Limits::default()).unwrap();
    (store, a, b)
}

/// The kinds of function, by what `Task.needs_exclusive` makes of them.
pub(super) const CALLBACK: bool = true;
pub(super) const STACKFUL: bool = false;

pub(super) const READ: EndKind = EndKind::StreamReadable;
pub(super) const WRITE: EndKind = EndKind::StreamWritable;

/// How a guest's copy or cancellation ended: with a result and a number of elements, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    Blocked,
    Done(CopyResult, u32),
}

impl From<Delivered<Test>> for Copied {
    fn from(delivered: Delivered<Test>) -> Self {
        Copied::Done(delivered.event.result, delivered.event.progress)
    }
}

impl TestStore {
    /// Starts a call of an async-typed function that must be able to enter.
    pub(super) fn call(&mut self, inst: InstanceId, exclusive: bool) -> (TaskId, ThreadId) {
        let (task, thread, enter) = self.try_call(inst, exclusive);
        assert_eq!(enter, Enter::Entered);
        (task, thread)
    }

    pub(super) fn try_call(&mut self, inst: InstanceId, exclusive: bool) -> (TaskId, ThreadId, Enter) {
        let (task, thread, enter) = self.begin_task(inst, true, exclusive, "task", "thread").unwrap();
        if enter == Enter::Entered {
            self.task_start(task).unwrap();
        }
        self.check_invariants();
        (task, thread, enter)
    }

    /// Lets a thread that waited to enter, and was resumed, enter and start.
    pub(super) fn enter(&mut self, task: TaskId, thread: ThreadId) {
        assert!(matches!(self.finish_entering(task, thread), Ok(Entering::Entered)));
        self.task_start(task).unwrap();
        self.check_invariants();
    }

    pub(super) fn finish(&mut self, task: TaskId, thread: ThreadId) {
        self.task_return(task).unwrap();
        let exit = self.exit_implicit_thread(task, thread).unwrap();
        assert_eq!(exit.task, Some("task"));
        self.check_invariants();
    }

    pub(super) fn waits(&mut self, thread: ThreadId, wait_for: WaitFor) {
        self.start_waiting(thread, wait_for).unwrap();
        self.check_invariants();
    }

    /// A stream from instance `a`, which keeps the writable end, to `b`: the two handles.
    pub(super) fn stream(&mut self, a: InstanceId, b: InstanceId, element: Type) -> (u32, u32) {
        let (reader, writer) = self.stream_new(a, element).unwrap();
        let end = self.lift_readable(a, reader, READ, &element).unwrap();
        (writer, self.lower_readable(b, end).unwrap())
    }

    /// As [`TestStore::stream`], a future.
    pub(super) fn future(&mut self, a: InstanceId, b: InstanceId, element: Type) -> (u32, u32) {
        let (reader, writer) = self.future_new(a, element).unwrap();
        let end = self.lift_readable(a, reader, EndKind::FutureReadable, &element).unwrap();
        (writer, self.lower_readable(b, end).unwrap())
    }

    /// An asynchronous read or write by a guest.
    pub(super) fn guest_copy(
        &mut self,
        inst: InstanceId,
        index: u32,
        kind: EndKind,
        element: Type,
        length: u32,
    ) -> Result<Copied, Trap> {
        let end = self.end_to_copy(inst, index, kind, &element, true)?;
        let step = self.copy(end, elements(length))?;
        let copied = self.transferred(step);
        self.check_invariants();
        Ok(copied)
    }

    /// Carries out a transfer, if there is one.
    pub(super) fn transferred(&mut self, step: CopyStep<Test>) -> Copied {
        match step {
            CopyStep::Transfer(transfer) => {
                let (to, from) = self.buffers_mut(transfer.reader, transfer.writer).unwrap();
                assert_eq!(transfer.count, to.remain().min(from.remain()));
                let step = self.finish_transfer(transfer).unwrap();
                self.transferred(step)
            }
            CopyStep::Pending => Copied::Blocked,
            CopyStep::Done(delivered) => delivered.into(),
        }
    }

    /// An asynchronous cancellation by a guest.
    pub(super) fn guest_cancel(
        &mut self,
        inst: InstanceId,
        index: u32,
        kind: EndKind,
    ) -> Result<Copied, Trap> {
        let end = self.end_to_cancel(inst, index, kind, &Type::Number, true)?;
        let step = self.cancel(end)?;
        self.check_invariants();
        Ok(match step {
            CancelStep::Done(delivered) => delivered.into(),
            CancelStep::Blocked => Copied::Blocked,
        })
    }
}
