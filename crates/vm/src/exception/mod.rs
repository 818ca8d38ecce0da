//! Exceptions: throwing them, and finding where they are caught (core specification, section 4.4.8).
//!
//! To throw is to walk the compiled frames outwards from the one that throws, up to the innermost entry. Each frame either
//! has a landing at the call that it is in, where it compares tags itself, or the exception passes it. So throwing takes
//! time linear in the frames that are crossed, and what is cut off is compiled frames, which own nothing.
//!
//! An exception that no frame of the entry catches is a [`Trap`] to the host that made the entry. If that was a host
//! function which returns the trap to its own caller, the exception is thrown on there: see [`rethrow`].
//!
//! Exceptions belong to their store, which frees those that nobody refers to any more: see [`heap`].

pub(crate) mod heap;
mod roots;

use std::sync::Arc;

use tombolo_compile::vmctx::TrapCode;

use self::heap::{Exception, Root, TagAddress};
use crate::backtrace::{Position, frame_words};
use crate::code::{self, CodeObject};
use crate::context::{Header, StoreContext};
use crate::global::TagName;
use crate::store::StoreRef;
use crate::trap::TrapKind;
use crate::{RawVal, Store, TagHandle, Trap, Val, arch, entry};

/// An exception on its way through the host. It is kept while this lives, and goes on when a host function returns the
/// [`Trap`] that it is in.
#[derive(Debug)]
pub struct Thrown {
    root: Arc<Root>,
    tag: TagHandle,
    tag_name: TagName,
}

impl Thrown {
    /// Its tag.
    pub fn tag(&self) -> TagHandle {
        self.tag
    }

    /// What its module calls the tag: the name of an export, or else its index.
    pub fn tag_name(&self) -> String {
        self.tag_name.to_string()
    }

    /// Its values, of the types of its tag's parameters.
    ///
    /// # Panics
    /// When it is an exception of another store.
    pub fn values(&self, store: &Store) -> Vec<Val> {
        let ty = store.trampolines().registry().get(self.tag.ty(store));
        let exception = self.root.exception(store);
        // SAFETY: the root keeps the exception, whose values are of the types of its tag's parameters.
        let values = unsafe { Exception::values(exception) };
        let types = ty.as_ref().map_or(&[][..], |ty| &ty.params);
        // SAFETY: as above; references in it are null or of this store.
        types.iter().zip(values).map(|(ty, value)| unsafe { store.val(*ty, *value) }).collect()
    }
}

/// The built-in `Throw`; see [`arch::throw_shim`]. `pc` is the return address into compiled code, and `fp` the frame
/// pointer there.
///
/// # Safety
/// Only compiled code may call it, through the shim.
pub(crate) unsafe extern "sysv64" fn throw(
    vmctx: *mut u8,
    tag: TagAddress,
    values: *const RawVal,
    count: u32,
    pc: usize,
    fp: usize,
) -> ! {
    // SAFETY: a context begins with a header; its store lives while compiled code of it runs.
    let context = unsafe { (*vmctx.cast::<Header>()).store };
    let position = Position { pc, fp, returns: true };
    // SAFETY: compiled code passes as many values as it says.
    let made = unsafe { make(context, tag, std::slice::from_raw_parts(values, count as usize), position) };
    // SAFETY: compiled code called at that position; nothing that is left in this frame needs dropping.
    unsafe {
        match made {
            Some(exception) => unwind(context, exception, position),
            None => entry::leave_with(context, Trap::new(TrapCode::TooManyExceptions), position),
        }
    }
}

/// The built-in `ThrowRef`; see [`arch::throw_ref_shim`].
///
/// # Safety
/// Only compiled code may call it, through the shim.
pub(crate) unsafe extern "sysv64" fn throw_ref(
    vmctx: *mut u8,
    exception: *mut Exception,
    pc: usize,
    fp: usize,
) -> ! {
    // SAFETY: a context begins with a header.
    let context = unsafe { (*vmctx.cast::<Header>()).store };
    // SAFETY: compiled code called at that position, with a reference that is not null.
    unsafe { unwind(context, exception, Position { pc, fp, returns: true }) }
}

/// Throws an exception on that came to the host as a trap, if it is one of this store, from the call of the host
/// function that returned it.
///
/// # Safety
/// Compiled code of the store called the caller at `position`. No frame between here and there owns anything.
pub(crate) unsafe fn rethrow(context: *mut StoreContext, trap: Trap, position: Position) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some((exception, landing)) = landing_of(context, &trap, position) {
            drop(trap);
            landing.go_on(exception)
        }
        entry::leave_with(context, trap, position)
    }
}

/// # Safety
/// As for [`rethrow`].
unsafe fn landing_of(
    context: *mut StoreContext,
    trap: &Trap,
    position: Position,
) -> Option<(*mut Exception, Landing)> {
    let TrapKind::Exception(thrown) = trap.kind() else { return None };
    // SAFETY: the caller's promise.
    let store = unsafe { StoreRef::new(context) };
    let exception = thrown.root.of_store(store.id())?;
    // SAFETY: likewise.
    Some((exception, unsafe { landing(position)? }))
}

/// # Safety
/// As for [`rethrow`]; and the exception is one of the store's.
unsafe fn unwind(context: *mut StoreContext, exception: *mut Exception, position: Position) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        match landing(position) {
            Some(landing) => landing.go_on(exception),
            None => entry::leave_with(context, uncaught(context, exception), position),
        }
    }
}

/// Makes an exception; `None` if there are too many.
///
/// # Safety
/// As for [`throw`].
unsafe fn make(
    context: *mut StoreContext,
    tag: TagAddress,
    values: &[RawVal],
    position: Position,
) -> Option<*mut Exception> {
    // SAFETY: the caller's promise.
    unsafe {
        let store = StoreRef::new(context);
        let exceptions = &store.inner().exceptions;
        if exceptions.is_collection_due(values.len()) {
            store.collect_exceptions(tag, values, position);
            if exceptions.is_full(values.len()) {
                return None;
            }
        }
        exceptions.make(tag, values)
    }
}

/// What the host gets of an exception that nobody caught.
///
/// # Safety
/// The exception is of the store.
unsafe fn uncaught(context: *mut StoreContext, exception: *mut Exception) -> Trap {
    // SAFETY: the caller's promise; tags live as long as their store.
    let (store, tag) = unsafe { (StoreRef::new(context), (*exception).tag.read()) };
    let root = store.inner().exceptions.root(store.id(), exception);
    // SAFETY: as above.
    let tag_name = unsafe { (*tag).name.clone() };
    // SAFETY: as above: a tag has an address.
    let pointer = unsafe { std::ptr::NonNull::new_unchecked(tag.cast_mut()) };
    Trap::exception(Thrown { root, tag: TagHandle { pointer, store: store.id() }, tag_name })
}

/// Where a compiled frame takes up an exception.
struct Landing {
    sp: usize,
    fp: usize,
    pc: *const u8,
}

impl Landing {
    /// Continues there.
    ///
    /// # Safety
    /// The landing's frame is on this stack and is compiled code's. No frame between here and there owns anything.
    unsafe fn go_on(self, exception: *mut Exception) -> ! {
        // SAFETY: the caller's promise.
        unsafe { arch::land(exception as usize, self.sp, self.fp, self.pc) }
    }
}

/// Where the exception goes that is thrown at a call: the landing of the first frame outwards that has one, up to the
/// innermost entry.
///
/// # Safety
/// `position` is a call in a compiled frame of the innermost entry.
unsafe fn landing(position: Position) -> Option<Landing> {
    let Position { mut pc, mut fp, .. } = position;
    // Frames next to each other are mostly of the same code.
    let mut object: Option<Arc<CodeObject>> = None;
    loop {
        if !object.as_ref().is_some_and(|object| object.contains(pc)) {
            object = code::find(pc.wrapping_sub(1));
        }
        // What lies between two component instances, no exception passes. (The first frame may be the trampoline that a
        // host function was called through.)
        if fp != position.fp && object.as_ref().is_some_and(|object| object.is_trampoline()) {
            return None;
        }
        if let Some((below, landing)) = object.as_ref().and_then(|object| object.handler_at(pc)) {
            return Some(Landing { sp: fp.wrapping_sub(below), fp, pc: landing });
        }
        // SAFETY: the caller's promise for the first; the chain leads to further compiled frames up to the stub.
        let (caller, return_address) = unsafe { frame_words(fp) };
        if arch::is_entry_return(return_address) || caller <= fp || !code::is_guest_code(return_address) {
            return None;
        }
        (pc, fp) = (return_address, caller);
    }
}
