//! The structures that compiled code reads and writes, at the offsets of [`tombolo_compile::vmctx`].
//!
//! Invariants, on which every raw access in this crate rests:
//!
//! * A store's context and all that its instances point at (contexts, definitions, globals, host contexts) lie in
//!   allocations that never move and live until the store is dropped, or until their group is freed and nothing of it is
//!   used any more. A store is dropped only when nothing of it runs.
//! * One thread at a time runs a store. Compiled code and the host take turns, they never run at once, so what one of
//!   them does with a field is done before the other looks. Fields are reached through raw pointers, never through
//!   references that outlive a call.
//! * `entry` is null or the innermost [`EntryRecord`] on the stack (or fiber) that the store runs on now.

use std::ffi::c_void;
use std::mem::offset_of;

use tombolo_compile::vmctx::{definition, func_ref, header, host_context, store_context};

use crate::RawVal;

/// What all instances of a store share with compiled code.
#[repr(C)]
#[derive(Debug)]
pub struct StoreContext {
    /// Compiled functions trap when the stack pointer would go below this. Set by entries and fiber switches.
    pub(crate) stack_limit: usize,
    /// The innermost entry record; null when no compiled code is on the stack.
    pub(crate) entry: *mut EntryRecord,
    /// Frame pointer of the last compiled function that called the host.
    pub(crate) exit_fp: usize,
    /// Return address into that function.
    pub(crate) exit_pc: usize,
    /// Leaves through the innermost entry with the pending trap.
    pub(crate) raise: unsafe extern "sysv64" fn(*mut StoreContext) -> !,
    /// Non-zero when the guest is to be interrupted at its next check. Other threads set it through
    /// [`InterruptHandle`](crate::InterruptHandle); here it is only ever reached atomically.
    pub(crate) interrupt: std::sync::atomic::AtomicU64,
    /// The component-level activation that runs now. The component runtime's, and not touched here, fiber switches
    /// included.
    pub activation: *mut c_void,
    /// The fuel counter of instances whose group has none of its own: see [`Header::fuel`].
    pub(crate) fuel: i64,
    /// A word for whoever embeds this crate: the way from a host function to the embedder's own store.
    pub host_data: *mut c_void,
}

/// A function as a value: what tables hold pointers to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FuncRef {
    /// The function's code, in the callee convention of compiled code.
    pub code: *const u8,
    /// Its callee context.
    pub vmctx: *mut c_void,
    /// The engine-wide number of its type.
    pub type_id: u32,
}

/// A table or memory as compiled code sees it.
#[repr(C)]
#[derive(Debug)]
pub struct Definition {
    /// The first element or byte.
    pub base: *mut u8,
    /// Its length now, in elements or bytes.
    pub length: u64,
}

/// The callee context of a function that the host provides. The host's own data words follow it.
#[repr(C)]
#[derive(Debug)]
pub struct HostContext {
    /// What the exit trampoline calls.
    pub call: HostFn,
    /// The store that the function belongs to.
    pub store: *mut StoreContext,
}

/// A host function as exit trampolines call it: its context, and its parameters, which its results replace. Returns 0,
/// or non-zero when the trap pending in the store is to be raised. Must not unwind: see [`guard`](crate::guard).
pub type HostFn = unsafe extern "sysv64" fn(*mut HostContext, *mut RawVal) -> usize;

impl HostContext {
    /// The address of its data words.
    ///
    /// # Safety
    ///
    /// `this` is the context of a function that [`Store::raw_host_func`](crate::Store::raw_host_func) made, in a live
    /// store. The words are as many as were given there, may be written, and must be read and written on the thread
    /// that runs the store.
    pub unsafe fn data(this: *mut HostContext) -> *mut usize {
        this.wrapping_byte_add(host_context::DATA as usize).cast()
    }
}

/// What an instance's context begins with.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) reserved: usize,
    pub(crate) store: *mut StoreContext,
    pub(crate) builtins: *const *const u8,
    pub(crate) slots: *const *const u8,
    pub(crate) type_ids: *const u32,
    pub(crate) instance: *mut crate::instance::InstanceRecord,
    /// Fuel spent, counting up from minus the budget; positive means none is left. The counter is the group's or the
    /// store's.
    pub(crate) fuel: *mut i64,
}

/// An imported function in an instance's context.
#[repr(C)]
pub(crate) struct ImportedFunction {
    pub(crate) code: *const u8,
    pub(crate) vmctx: *mut c_void,
}

/// An entry of the host into compiled code, on the native stack in the frame of the entry stub.
///
/// Written and unlinked by [`crate::arch`]; its layout is known there.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct EntryRecord {
    /// The entry around this one on the same stack; null for the outermost.
    pub(crate) previous: *mut EntryRecord,
    /// The exit through which compiled code had called the host that made this entry, if `previous` is not null.
    pub(crate) exit_fp: usize,
    pub(crate) exit_pc: usize,
    /// The store entered.
    pub(crate) store: *mut StoreContext,
}

const _: () = {
    assert!(offset_of!(StoreContext, stack_limit) == store_context::STACK_LIMIT as usize);
    assert!(offset_of!(StoreContext, entry) == store_context::ENTRY as usize);
    assert!(offset_of!(StoreContext, exit_fp) == store_context::EXIT_FP as usize);
    assert!(offset_of!(StoreContext, exit_pc) == store_context::EXIT_PC as usize);
    assert!(offset_of!(StoreContext, raise) == store_context::RAISE as usize);
    assert!(offset_of!(StoreContext, interrupt) == store_context::INTERRUPT as usize);
    assert!(offset_of!(StoreContext, activation) == store_context::ACTIVATION as usize);
    assert!(offset_of!(StoreContext, fuel) >= store_context::END as usize);
    assert!(offset_of!(StoreContext, host_data) >= store_context::END as usize);
    assert!(offset_of!(FuncRef, code) == func_ref::CODE as usize);
    assert!(offset_of!(FuncRef, vmctx) == func_ref::VMCTX as usize);
    assert!(offset_of!(FuncRef, type_id) == func_ref::TYPE_ID as usize);
    assert!(size_of::<FuncRef>() == func_ref::SIZE as usize);
    assert!(offset_of!(Definition, base) == definition::BASE as usize);
    assert!(offset_of!(Definition, length) == definition::LENGTH as usize);
    assert!(size_of::<Definition>() == definition::SIZE as usize);
    assert!(offset_of!(HostContext, call) == host_context::CALL as usize);
    assert!(offset_of!(HostContext, store) == host_context::STORE as usize);
    assert!(size_of::<HostContext>() == host_context::DATA as usize);
    assert!(offset_of!(Header, store) == header::STORE as usize && header::STORE == host_context::STORE);
    assert!(offset_of!(Header, builtins) == header::BUILTINS as usize);
    assert!(offset_of!(Header, slots) == header::SLOTS as usize);
    assert!(offset_of!(Header, type_ids) == header::TYPE_IDS as usize);
    assert!(offset_of!(Header, instance) == header::INSTANCE as usize);
    assert!(offset_of!(Header, fuel) == header::FUEL as usize);
    assert!(size_of::<Header>() <= header::END as usize);
};
