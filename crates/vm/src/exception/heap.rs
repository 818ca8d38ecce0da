//! Where exceptions lie, and which of them are freed.
//!
//! An exception is an allocation of its own, which compiled code has the address of. The heap knows all of its store's.
//! When they have grown by some amount since the last time, those are freed that cannot be reached: neither from a frame
//! of compiled code (see [`roots`](super::roots)), nor from a table, a global, an element segment, a trap that the host
//! holds, nor from the values of one that can be.
//!
//! A word counts as a reference if it is the address of an exception. So a number among an exception's values may keep
//! another exception for longer, and a word that is no reference does no harm. Exceptions do not move.
//!
//! What can be reached is bounded. Over the bound the guest traps.

use std::alloc::{self, Layout};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;

use tombolo_compile::vmctx::exception;

use crate::global::TagEntity;
use crate::handle::StoreId;
use crate::{RawVal, Store};

/// An exception as compiled code sees it; its values follow.
#[repr(C, align(16))]
pub(crate) struct Exception {
    pub(crate) tag: TagAddress,
    /// How many values it has.
    count: u32,
    /// Whether it was reached in the collection that is going on.
    reached: bool,
}

/// What identifies a tag in compiled code: the address of a word that leads to it.
pub(crate) type TagAddress = *const *const TagEntity;

/// The exceptions of a store.
pub(crate) struct Exceptions {
    all: RefCell<Vec<NonNull<Exception>>>,
    /// Bytes that they take.
    bytes: Cell<usize>,
    /// With more bytes than this there is a collection before the next exception is made.
    due: Cell<usize>,
    /// Bytes that they may take at most.
    limit: usize,
    roots: RefCell<Vec<Arc<Root>>>,
    /// With more roots than this those that nobody holds are dropped before the next is made.
    roots_due: Cell<usize>,
}

/// Keeps an exception that the host holds.
#[derive(Debug)]
pub(crate) struct Root {
    store: StoreId,
    exception: *mut Exception,
}

// SAFETY: the address is followed only along with the store that the exception is of, by the thread that runs it.
unsafe impl Send for Root {}
// SAFETY: likewise.
unsafe impl Sync for Root {}

/// Bytes of exceptions that are made between collections, at least, if the limit allows as much.
const COLLECTION: usize = 1 << 20;

/// Roots that are made before the first are dropped.
const FEW_ROOTS: usize = 64;

impl Exceptions {
    pub(crate) fn new(limit: usize) -> Exceptions {
        Exceptions {
            all: RefCell::default(),
            bytes: Cell::new(0),
            due: Cell::new(COLLECTION.min(limit)),
            limit,
            roots: RefCell::default(),
            roots_due: Cell::new(FEW_ROOTS),
        }
    }

    /// Whether there should be a collection before another exception is made with so many values.
    pub(crate) fn is_collection_due(&self, count: usize) -> bool {
        self.bytes.get().saturating_add(cost(count)) > self.due.get()
    }

    /// Makes an exception; `None` if that would pass the limit, or there is no memory for it.
    pub(crate) fn make(&self, tag: TagAddress, values: &[RawVal]) -> Option<*mut Exception> {
        let bytes = self.bytes.get().checked_add(cost(values.len()))?;
        let mut all = self.all.borrow_mut();
        if bytes > self.limit || all.try_reserve(1).is_err() {
            return None;
        }
        let layout = layout(values.len())?;
        // SAFETY: the layout is not empty.
        let exception = NonNull::new(unsafe { alloc::alloc(layout) })?.cast::<Exception>();
        let header = Exception { tag, count: u32::try_from(values.len()).ok()?, reached: false };
        // SAFETY: the allocation has room for the header and the values behind it.
        unsafe {
            exception.write(header);
            let first = exception.as_ptr().add(1).cast::<RawVal>();
            first.copy_from_nonoverlapping(values.as_ptr(), values.len());
        }
        all.push(exception);
        self.bytes.set(bytes);
        Some(exception.as_ptr())
    }

    /// Keeps an exception for the host.
    pub(crate) fn root(&self, store: StoreId, exception: *mut Exception) -> Arc<Root> {
        let mut roots = self.roots.borrow_mut();
        if roots.len() >= self.roots_due.get() {
            roots.retain(|root| Arc::strong_count(root) > 1);
            self.roots_due.set(FEW_ROOTS.max(2 * roots.len()));
        }
        let root = Arc::new(Root { store, exception });
        roots.push(root.clone());
        root
    }

    /// Frees what cannot be reached from the words that `find` shows.
    ///
    /// # Safety
    /// `find` shows each reference to an exception that is used from now on, but for those among exceptions' values and
    /// those that the host holds.
    pub(crate) unsafe fn collect(&self, find: impl FnOnce(&mut dyn FnMut(u64))) {
        let mut all = self.all.borrow_mut();
        all.sort_unstable();
        let mut reached = Vec::new();
        let reach = |reached: &mut Vec<NonNull<Exception>>, word: u64| {
            let Some(address) = NonNull::new(word as *mut Exception) else { return };
            if all.binary_search(&address).is_err() {
                return;
            }
            // SAFETY: it is the address of an exception.
            unsafe {
                if !std::mem::replace(&mut (*address.as_ptr()).reached, true) {
                    reached.push(address);
                }
            }
        };
        find(&mut |word| reach(&mut reached, word));
        let mut roots = self.roots.borrow_mut();
        roots.retain(|root| Arc::strong_count(root) > 1);
        for root in &*roots {
            reach(&mut reached, root.exception as u64);
        }
        while let Some(exception) = reached.pop() {
            // SAFETY: it is an exception.
            for value in unsafe { Exception::values(exception.as_ptr()) } {
                reach(&mut reached, value.u64());
            }
        }
        let mut bytes = 0;
        all.retain(|exception| {
            // SAFETY: it is an exception; if it was not reached, nobody uses it any more.
            unsafe {
                let reached = std::mem::replace(&mut (*exception.as_ptr()).reached, false);
                if reached {
                    bytes += cost((*exception.as_ptr()).count as usize);
                } else {
                    free(*exception);
                }
                reached
            }
        });
        self.bytes.set(bytes);
        self.due.set((2 * bytes).max(COLLECTION).min(self.limit));
    }
}

impl Drop for Exceptions {
    fn drop(&mut self) {
        for exception in self.all.take() {
            // SAFETY: the store is gone, so nobody uses them any more.
            unsafe { free(exception) };
        }
    }
}

impl Exception {
    /// Its values.
    ///
    /// # Safety
    /// `this` is an exception, which lives as long as the result is used.
    pub(crate) unsafe fn values<'a>(this: *const Exception) -> &'a [RawVal] {
        // SAFETY: so many values follow the header.
        unsafe { std::slice::from_raw_parts(this.add(1).cast(), (*this).count as usize) }
    }
}

impl Root {
    /// The exception, if it is one of the store.
    pub(crate) fn of_store(&self, store: StoreId) -> Option<*mut Exception> {
        (self.store == store).then_some(self.exception)
    }

    /// The exception, of this store.
    #[track_caller]
    pub(crate) fn exception(&self, store: &Store) -> *mut Exception {
        store.check(self.store);
        self.exception
    }
}

fn layout(count: usize) -> Option<Layout> {
    let size = count.checked_mul(size_of::<RawVal>())?.checked_add(size_of::<Exception>())?;
    Layout::from_size_align(size, align_of::<Exception>()).ok()
}

/// Bytes that an exception with so many values takes: its own, and about as many as keeping track of it does.
fn cost(count: usize) -> usize {
    count.saturating_mul(size_of::<RawVal>()).saturating_add(size_of::<Exception>() + 32)
}

/// # Safety
/// Nobody uses the exception any more.
unsafe fn free(exception: NonNull<Exception>) {
    // SAFETY: it was allocated with this layout, which exists.
    unsafe {
        if let Some(layout) = layout((*exception.as_ptr()).count as usize) {
            if cfg!(debug_assertions) {
                // Whoever uses it still is to notice.
                exception.as_ptr().cast::<u8>().write_bytes(0xdb, layout.size());
            }
            alloc::dealloc(exception.as_ptr().cast(), layout);
        }
    }
}

const _: () = {
    assert!(std::mem::offset_of!(Exception, tag) == exception::TAG as usize);
    assert!(size_of::<Exception>() == exception::VALUES as usize);
};
