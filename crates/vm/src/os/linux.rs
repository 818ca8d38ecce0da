//! Linux.

use std::cell::Cell;
use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

/// Bytes of an alternate signal stack.
const SIGNAL_STACK: usize = 64 << 10;

/// A range of address space that this process owns, inaccessible at first and page aligned.
///
/// Invariant: `base .. base + len` is one or more anonymous private mappings that nobody else unmaps or remaps. Bytes
/// read from it are zero until somebody wrote them.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: it is a range of addresses; what is in it is used under its owner's rules.
unsafe impl Send for Reservation {}
// SAFETY: likewise; `&Reservation` gives no access to the bytes.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `len` bytes, rounded up to whole pages; at least one.
    pub(crate) fn new(len: usize) -> io::Result<Reservation> {
        let len = round_to_pages(len.max(1)).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                len,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Reservation { base, len })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes a range readable and writable. Whole pages; those that were not touched before are zero.
    pub(crate) fn make_writable(&self, start: usize, len: usize) -> io::Result<()> {
        self.protect(start, len, MprotectFlags::READ | MprotectFlags::WRITE)
    }

    /// Makes a range executable and no longer writable.
    pub(crate) fn make_executable(&self, start: usize, len: usize) -> io::Result<()> {
        self.protect(start, len, MprotectFlags::READ | MprotectFlags::EXEC)
    }

    /// Gives a range's pages back and makes it inaccessible; once writable again it reads as zero.
    pub(crate) fn discard(&self, start: usize, len: usize) -> io::Result<()> {
        let address = self.range(start, len)?;
        self.protect(start, len, MprotectFlags::empty())?;
        // SAFETY: the range lies in this reservation, and its owner says that its contents are not needed.
        unsafe { give_back(address as usize, len) }
    }

    fn protect(&self, start: usize, len: usize, flags: MprotectFlags) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let address = self.range(start, len)?;
        // SAFETY: the range lies in this reservation, whose owner decides what may be done with it.
        unsafe { rustix::mm::mprotect(address.cast(), len, flags)? };
        Ok(())
    }

    fn range(&self, start: usize, len: usize) -> io::Result<*mut u8> {
        match start.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.base.as_ptr().wrapping_add(start)),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the range is this reservation's, and its owner gives it up. Failure leaks address space.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Gives the pages of a range back, which then reads as zero.
///
/// # Safety
/// The range is whole pages of anonymous memory that is the caller's, and what is in it is not needed.
pub(crate) unsafe fn give_back(start: usize, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::madvise(start as *mut c_void, len, Advice::LinuxDontNeed)? };
    Ok(())
}

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    rustix::param::page_size()
}

/// `len` rounded up to whole pages.
pub(crate) fn round_to_pages(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(page_size())
}

/// The range of a thread's own stack, without its guard; both 0 if unknown.
pub(crate) type StackRange = (usize, usize);

struct SignalStack(Option<Reservation>);

thread_local! {
    static STACK: Cell<Option<StackRange>> = const { Cell::new(None) };
    static SIGNAL_STACK_OF_THREAD: SignalStack = SignalStack(install_signal_stack());
}

/// Sees to it that the current thread has a signal stack of [`SIGNAL_STACK`] bytes, and says where its own stack lies.
/// Cheap after the first time.
///
/// To be called only by functions that are never inlined and end soon: a fiber may be resumed on another thread, so
/// code that can be suspended must not keep an address of a thread's own storage.
#[inline]
pub(crate) fn prepare_thread() -> StackRange {
    match STACK.get() {
        Some(range) => range,
        None => prepare_new_thread(),
    }
}

#[cold]
fn prepare_new_thread() -> StackRange {
    // In a destructor of the thread's storage there may be no storage any more. Then it goes on without.
    let _ = SIGNAL_STACK_OF_THREAD.try_with(|_| ());
    let range = thread_stack();
    STACK.set(Some(range));
    range
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let Some(stack) = &self.0 else { return };
        // SAFETY: plain data that the call fills in.
        let mut current: libc::stack_t = unsafe { std::mem::zeroed() };
        // SAFETY: asks for the current stack only.
        let asked = unsafe { libc::sigaltstack(ptr::null(), &mut current) };
        if asked == 0 && current.ss_sp == stack.base().as_ptr().wrapping_add(page_size()).cast() {
            let off = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            // SAFETY: switches off the stack that is unmapped next; no handler runs on it now, for this code does.
            unsafe { libc::sigaltstack(&off, ptr::null_mut()) };
        }
    }
}

fn install_signal_stack() -> Option<Reservation> {
    // SAFETY: plain data that the call fills in.
    let mut current: libc::stack_t = unsafe { std::mem::zeroed() };
    // SAFETY: asks for the current stack only.
    let asked = unsafe { libc::sigaltstack(ptr::null(), &mut current) };
    if asked == 0 && current.ss_flags & libc::SS_DISABLE == 0 && current.ss_size >= SIGNAL_STACK {
        return None;
    }
    let guard = page_size();
    let stack = Reservation::new(guard + SIGNAL_STACK).ok()?;
    stack.make_writable(guard, SIGNAL_STACK).ok()?;
    let new = libc::stack_t {
        ss_sp: stack.base().as_ptr().wrapping_add(guard).cast(),
        ss_flags: 0,
        ss_size: SIGNAL_STACK,
    };
    // SAFETY: the memory is writable, and `SignalStack` keeps it until the thread's end, where it is switched off.
    let installed = unsafe { libc::sigaltstack(&new, ptr::null_mut()) };
    (installed == 0).then_some(stack)
}

fn thread_stack() -> StackRange {
    // SAFETY: plain data that the calls below fill in.
    let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
    let (mut base, mut size, mut guard) = (ptr::null_mut::<c_void>(), 0, 0);
    // SAFETY: the attributes are initialised by the first call, read by the next two and freed by the last.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return (0, 0);
        }
        let found = libc::pthread_attr_getstack(&attributes, &mut base, &mut size) == 0
            && libc::pthread_attr_getguardsize(&attributes, &mut guard) == 0;
        libc::pthread_attr_destroy(&mut attributes);
        if !found {
            return (0, 0);
        }
    }
    let low = base as usize;
    (low.saturating_add(guard), low.saturating_add(size))
}
