//! How deep the stacks of fibers are, and what memory they take up for it.
//!
//! A stack takes up memory for as deep as it has been, not as it is. Of most fibers that is little, and the same: they are
//! *shallow*. A guest that makes them deeper is to pay for it while it leaves them suspended.
//!
//! * The stack limit of a fiber says how far down its stack may take up memory, but for what host functions use below
//!   guests. It is [`Depths::shallow`] at first.
//! * A function that is called below the limit finds that out before it has done anything. The signal handler then lowers
//!   the limit to [`Depths::deepest`], once, and the function begins again; below that it traps. So shallow fibers pay
//!   nothing.
//! * Whoever leaves a fiber for another asks [`Store::is_shallow`], and if it is not, calls [`Store::trim_stack`], which
//!   raises the limit to a little below the stack pointer again, and gives back what lies below.
//! * Of the stacks that are kept for new fibers, one may be deep: that which the next fiber gets. A store whose fibers
//!   are deep one after the other does not pay for each.
//!
//! So the stacks of a store take up what `trim_stack` told of those that were left, the depth of the one that runs or
//! ran last, and [`StoreConfig::shallow_stack`](crate::StoreConfig::shallow_stack) for each.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use corosensei::stack::{DefaultStack, Stack};

use super::Slot;
use crate::context::StoreContext;
use crate::store::StoreInner;
use crate::{Store, arch, os};

/// Bytes that host functions use below guests and that nobody counts.
const MARGIN: usize = 8 << 10;

/// How far below the stack pointer the limit of a fiber is raised that is left where it is deep. It uses as much again,
/// mostly, when it goes on.
const ROOM: usize = 32 << 10;

/// A stack is not trimmed for less than so many bytes.
const LEAST: usize = 16 << 10;

/// Where on a stack it becomes what. A stack begins at its top.
#[derive(Clone, Copy)]
pub(super) struct Depths {
    /// Highest address.
    top: usize,
    /// The stack limit of a fiber that is shallow.
    pub(super) shallow: usize,
    /// How far down compiled code may use the stack.
    deepest: usize,
    /// Lowest address, above the guard.
    bottom: usize,
}

impl Depths {
    /// Those of a stack of which so many bytes may be used and it still is shallow, and so many are left to the host at its
    /// bottom.
    pub(super) fn new(stack: &DefaultStack, shallow: usize, host: usize) -> Depths {
        let (top, bottom) = (stack.base().get(), stack.limit().get() + os::page_size());
        let deepest = bottom + host;
        Depths { top, shallow: top.saturating_sub(shallow).max(deepest), deepest, bottom }
    }

    /// Gives the pages below an address back. If that fails, they are still there.
    ///
    /// # Safety
    /// Nothing below the address is used any more. The stack is still there.
    unsafe fn give_back_below(self, address: usize) -> bool {
        let end = address & !(os::page_size() - 1);
        // SAFETY: the range is of the stack's own memory; the caller says that it is not needed.
        end <= self.bottom || unsafe { os::give_back(self.bottom, end - self.bottom) }.is_ok()
    }
}

impl Store {
    /// Whether the stack of the fiber that runs has not been deeper than
    /// [`StoreConfig::shallow_stack`](crate::StoreConfig::shallow_stack). So it is if none runs.
    #[inline]
    pub fn is_shallow(&self) -> bool {
        let slot = self.inner().fibers.current.get();
        // SAFETY: a running fiber's slot is kept, and the context lives.
        slot.is_null() || unsafe { (*self.context().as_ptr()).stack_limit >= (*slot).depths.shallow }
    }

    /// Gives back memory of the stack of the fiber that runs, as much as it does not need now. Returns the bytes that it
    /// may take up beyond [`StoreConfig::shallow_stack`](crate::StoreConfig::shallow_stack) until it goes on.
    #[cold]
    pub fn trim_stack(&self) -> usize {
        let slot = self.inner().fibers.current.get();
        if slot.is_null() {
            return 0;
        }
        // SAFETY: a running fiber's slot is kept; nothing else uses these fields now.
        let (depths, limit) = unsafe { ((*slot).depths, &mut (*self.context().as_ptr()).stack_limit) };
        let sp = arch::stack_pointer();
        let raised = match sp.saturating_sub(MARGIN) >= depths.shallow {
            true => depths.shallow,
            false => sp.saturating_sub(ROOM).clamp(depths.deepest, depths.shallow),
        };
        if raised >= limit.saturating_add(LEAST) || (raised == depths.shallow && *limit < raised) {
            // SAFETY: this runs on that stack, and needs less than is kept below the stack pointer.
            if unsafe { depths.give_back_below(raised.min(sp).saturating_sub(MARGIN)) } {
                *limit = raised;
            }
        }
        depths.shallow.saturating_sub(*limit)
    }

    /// The highest address of the stack of the fiber that runs, if one does.
    pub fn stack_top(&self) -> Option<usize> {
        let slot = self.inner().fibers.current.get();
        // SAFETY: a running fiber's slot is kept.
        (!slot.is_null()).then(|| unsafe { (*slot).depths.top })
    }

    /// Sees to it that no more than one of the stacks that are kept is deep, when another comes to them.
    #[inline]
    pub(super) fn settle_stack(&self, slot: &mut Slot) {
        if slot.saved.stack_limit < slot.depths.shallow && self.inner().fibers.keeps_deep.replace(true) {
            // SAFETY: nothing is on the stack, which is the slot's.
            if unsafe { slot.depths.give_back_below(slot.depths.shallow.saturating_sub(MARGIN)) } {
                slot.saved.stack_limit = slot.depths.shallow;
            }
        }
    }

    /// Notes that a stack that was kept is used again.
    #[inline]
    pub(super) fn unsettle_stack(&self, slot: &Slot) {
        if slot.saved.stack_limit < slot.depths.shallow {
            self.inner().fibers.keeps_deep.set(false);
        }
    }
}

/// Lets the fiber that a store runs on become deep, if one does and it is not.
///
/// # Safety
/// `store` is the context of a store which this thread runs.
pub(crate) unsafe fn deepen(store: *mut StoreContext) -> bool {
    // SAFETY: the caller's promise; a store's context is its first field, and the slot of a running fiber is kept.
    unsafe {
        let slot = (*store.cast::<StoreInner>()).fibers.current.get();
        if slot.is_null() || (*store).stack_limit <= (*slot).depths.deepest {
            return false;
        }
        (*store).stack_limit = (*slot).depths.deepest;
        true
    }
}

/// The stacks of all slots in the process, by lowest address. A store that is entered from another store's fiber finds
/// there how deep it is.
static STACKS: RwLock<BTreeMap<usize, KnownStack>> = RwLock::new(BTreeMap::new());

struct KnownStack {
    top: usize,
    slot: *const Slot,
}

// SAFETY: the slot is looked at only by the thread that runs on its stack.
unsafe impl Send for KnownStack {}
// SAFETY: as above.
unsafe impl Sync for KnownStack {}

/// Makes a slot's stack known. The slot does not move any more.
pub(super) fn know(slot: &Slot) {
    let stack = KnownStack { top: slot.depths.top, slot };
    stacks_mut().insert(slot.depths.bottom, stack);
}

/// Undoes that.
pub(super) fn forget(slot: &Slot) {
    stacks_mut().remove(&slot.depths.bottom);
}

fn stacks_mut() -> RwLockWriteGuard<'static, BTreeMap<usize, KnownStack>> {
    STACKS.write().unwrap_or_else(PoisonError::into_inner)
}

/// The lowest usable address of the fiber's stack that the stack pointer lies on, if it is one's. That fiber counts as deep
/// from now on: how far down it is used, is somebody else's to say.
#[cold]
pub(crate) fn stack_start(sp: usize) -> Option<usize> {
    let stacks = STACKS.read().unwrap_or_else(PoisonError::into_inner);
    let (bottom, KnownStack { top, slot }) = stacks.range(..=sp).next_back()?;
    if sp >= *top {
        return None;
    }
    // SAFETY: this thread runs on the slot's stack, so it runs the slot's store; known slots are kept.
    unsafe {
        let store = (**slot).store;
        if std::ptr::eq((*store).fibers.current.get(), *slot) {
            deepen(store.cast());
        }
    }
    Some(*bottom)
}
