//! `error-context.*`.

use crate::abi::{LiftContext, LowerContext, load_string, store_string};
use crate::async_value::ErrorContextAny;
use crate::error::Result;
use crate::runtime::core::StoreCore;
use crate::runtime::guest::{Guest, Scope};

impl StoreCore {
    pub fn error_context_new(&self, guest: &Guest, ptr: u64, length: u64) -> Result<u32> {
        guest.check_may_leave()?;
        let mut side = guest.lift(self, Scope::None);
        let message = load_string(&mut LiftContext::new(&guest.env.types, &mut side), ptr, length)?;
        let context = ErrorContextAny::new(&message);
        Ok(self.tasks.borrow_mut().error_context_new(guest.instance, context.0)?)
    }

    pub fn error_context_debug_message(&self, guest: &Guest, index: u32, out: u64) -> Result<()> {
        guest.check_may_leave()?;
        let context = self.tasks.borrow().lift_error_context(guest.instance, index)?;
        let mut side = guest.lower(self, None);
        let mut cx = LowerContext::new(&guest.env.types, &mut side);
        let pair = store_string(&mut cx, &context.value)?;
        cx.store_pair(out, pair)
    }
}
