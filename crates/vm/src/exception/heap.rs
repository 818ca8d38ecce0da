//! Where exceptions lie, and which of them are freed.
//!
//! An exception is an allocation of its own, which compiled code has the address of. The heap knows all of its store's.
//! When they have grown by some amount since the last time, those are freed that cannot be reached: neither from a frame
//! of compiled code (see [`roots`](super::roots)), nor from a table, a global, an element segment, a trap that the host
//! holds, nor from the values of one that can be.
//!
//! Exceptions do not move. What can be reached is bounded: over the bound the guest traps. There may be as much again that
//! cannot be reached any more, so that a collection looks at no more than two exceptions for each that was made since the
//! last.

use std::alloc::{self, Layout};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;

use tombolo_compile::vmctx::exception;
use tombolo_types::core::FuncType;
use tombolo_types::{TypeId, TypeRegistry};

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
    /// Bytes that those may take which can be reached.
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

/// Bytes of exceptions that are made between collections, at least, if the limit allows as much. Few where it is not
/// speed that matters but to find mistakes.
const COLLECTION: usize = if cfg!(debug_assertions) { 1 << 12 } else { 1 << 20 };

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

    /// Makes an exception; `None` if there is no memory for it.
    pub(crate) fn make(&self, tag: TagAddress, values: &[RawVal]) -> Option<*mut Exception> {
        let bytes = self.bytes.get().checked_add(cost(values.len()))?;
        let mut all = self.all.borrow_mut();
        all.try_reserve(1).ok()?;
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

    /// Frees what cannot be reached from the references that `find` shows.
    ///
    /// # Safety
    /// `find` shows exceptions of this heap and null, and each reference that is used from now on but for those among
    /// exceptions' values and those that the host holds.
    pub(crate) unsafe fn collect(&self, types: &TypeRegistry, find: impl FnOnce(&mut dyn FnMut(u64))) {
        let mut reached = Vec::new();
        // SAFETY: the caller's promise; roots keep their exceptions, and these those among their values.
        unsafe {
            find(&mut |reference| reach(&mut reached, reference));
            let mut roots = self.roots.borrow_mut();
            roots.retain(|root| Arc::strong_count(root) > 1);
            for root in &*roots {
                reach(&mut reached, root.exception as u64);
            }
            let mut tags = Tags { types, last: None };
            while let Some(exception) = reached.pop() {
                tags.references(exception.as_ptr(), |reference| reach(&mut reached, reference));
            }
        }
        let mut bytes = 0;
        self.all.borrow_mut().retain(|exception| {
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
        self.due.set(bytes.saturating_add(bytes.max(COLLECTION.min(self.limit))));
    }

    /// Whether what was reached in the last collection is so much that another exception would pass the limit.
    pub(crate) fn is_full(&self, count: usize) -> bool {
        self.bytes.get().saturating_add(cost(count)) > self.limit
    }
}

/// Notes an exception that can be reached.
///
/// # Safety
/// The reference is null or an exception.
unsafe fn reach(reached: &mut Vec<NonNull<Exception>>, reference: u64) {
    let Some(exception) = NonNull::new(reference as *mut Exception) else { return };
    // SAFETY: the caller's promise.
    if !std::mem::replace(unsafe { &mut (*exception.as_ptr()).reached }, true) {
        reached.push(exception);
    }
}

/// Finds the references among exceptions' values.
struct Tags<'a> {
    types: &'a TypeRegistry,
    /// The type of the last one's tag.
    last: Option<(TypeId, Arc<FuncType>)>,
}

impl Tags<'_> {
    /// Shows the references to exceptions among an exception's values.
    ///
    /// # Safety
    /// It is an exception.
    unsafe fn references(&mut self, exception: *const Exception, show: impl FnMut(u64)) {
        // SAFETY: the caller's promise; tags live as long as their store.
        let (values, tag) = unsafe { (Exception::values(exception), (*(*exception).tag.read()).ty) };
        if values.is_empty() {
            return;
        }
        if self.last.as_ref().is_none_or(|(last, _)| *last != tag) {
            self.last = self.types.get(tag).map(|ty| (tag, ty));
        }
        if let Some((_, ty)) = &self.last {
            references(ty, values).for_each(show);
        }
    }
}

/// The references to exceptions among values of the types of a tag's parameters.
pub(super) fn references(tag: &FuncType, values: &[RawVal]) -> impl Iterator<Item = u64> {
    tag.params.iter().zip(values).filter(|(ty, _)| ty.is_exception()).map(|(_, value)| value.u64())
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
