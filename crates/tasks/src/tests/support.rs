//! A small runtime to test with: buffers are vectors, types are numbers, and data are names.

use crate::{Buffer, Element, Embedder, InstanceId, Limits, Store, TaskId, ThreadId};

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

/// A buffer of `length` elements.
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

pub(super) fn store() -> (TestStore, InstanceId) {
    let mut store = Store::new();
    let inst = store.new_instance("A", Limits::default()).unwrap();
    (store, inst)
}

impl TestStore {
    /// Starts a call that must be able to enter.
    pub(super) fn call(&mut self, inst: InstanceId, exclusive: bool) -> (TaskId, ThreadId) {
        let (task, thread, enter) = self.try_call(inst, exclusive);
        assert_eq!(enter, crate::Enter::Entered);
        (task, thread)
    }

    pub(super) fn try_call(&mut self, inst: InstanceId, exclusive: bool) -> (TaskId, ThreadId, crate::Enter) {
        let task = self.new_task(inst, true, exclusive, "task").unwrap();
        let thread = self.new_thread(task, "thread").unwrap();
        let enter = self.enter_implicit_thread(task, thread).unwrap();
        if enter == crate::Enter::Entered {
            self.task_start(task).unwrap();
        }
        self.check_invariants();
        (task, thread, enter)
    }

    pub(super) fn finish(&mut self, task: TaskId, thread: ThreadId) {
        self.task_return(task).unwrap();
        let exit = self.exit_implicit_thread(task, thread).unwrap();
        assert_eq!(exit.task, Some("task"));
        self.check_invariants();
    }
}
