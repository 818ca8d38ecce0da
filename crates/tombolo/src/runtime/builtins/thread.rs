//! `thread.*`: the 🧵 built-ins, and `thread.yield`.

use tombolo_types::TypeId;
use tombolo_vm::{RawVal, TableHandle, Val};

use crate::component::Switch;
use crate::error::{Error, Result};
use crate::runtime::ThreadData;
use crate::runtime::core::StoreCore;
use crate::runtime::thread::Code;

impl StoreCore {
    pub fn thread_new_indirect(
        &self,
        ty: TypeId,
        table: TableHandle,
        index: u64,
        argument: RawVal,
    ) -> Result<u32> {
        let task = self.current_task()?;
        let func = match table.get(&self.vm, index) {
            Some(Val::FuncRef(Some(func))) => func,
            Some(_) => return Err(Error::abi(format!("thread.new-indirect: uninitialized element {index}"))),
            None => return Err(Error::abi(format!("thread.new-indirect: undefined element {index}"))),
        };
        if func.type_id(&self.vm) != ty {
            return Err(Error::abi("thread.new-indirect: indirect call type mismatch"));
        }
        let data = ThreadData::Fresh(Box::new(Code::Call(self.callable(func)?, argument)));
        Ok(self.tasks.borrow_mut().thread_new(task, data)?.1)
    }

    pub fn thread_suspend(&self) -> Result<u32> {
        let _held = self.hold_stack()?;
        let thread = self.current_thread()?;
        self.tasks.borrow_mut().thread_suspend(thread)?;
        self.leave(thread, None)?;
        Ok(0)
    }

    pub fn thread_yield(&self) -> Result<u32> {
        let _held = self.hold_stack()?;
        let thread = self.current_thread()?;
        self.tasks.borrow_mut().thread_yield(thread)?;
        self.leave(thread, None)?;
        Ok(0)
    }

    pub fn thread_switch(&self, switch: Switch, index: u32) -> Result<u32> {
        let _held = self.hold_stack()?;
        let thread = self.current_thread()?;
        let other = {
            let mut tasks = self.tasks.borrow_mut();
            match switch {
                Switch::SuspendThenResume => Some(tasks.thread_suspend_then_resume(thread, index)?),
                Switch::YieldThenResume => Some(tasks.thread_yield_then_resume(thread, index)?),
                Switch::SuspendThenPromote => tasks.thread_suspend_then_promote(thread, index)?,
                Switch::YieldThenPromote => tasks.thread_yield_then_promote(thread, index)?,
            }
        };
        self.leave(thread, other)?;
        Ok(0)
    }
}
