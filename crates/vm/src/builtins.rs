//! What compiled code calls in the runtime: [`tombolo_compile::vmctx::Builtin`].
//!
//! All but [`interrupt`] return to compiled code with a result or a status. None may panic: they are called from
//! compiled code directly, where a panic ends the process.

use std::ptr;

use tombolo_compile::vmctx::{Builtin, TrapCode};

use crate::arch;
use crate::backtrace::Position;
use crate::bulk::Work;
use crate::context::Header;
use crate::entry;
use crate::instance::InstanceRecord;
use crate::store::StoreRef;

/// The built-ins as instances' contexts point to them.
pub(crate) static TABLE: Table = Table(TABLE_OF_BUILTINS);

pub(crate) struct Table([*const u8; Builtin::COUNT]);

// SAFETY: addresses of functions.
unsafe impl Sync for Table {}

impl Table {
    pub(crate) fn as_ptr(&self) -> *const *const u8 {
        self.0.as_ptr()
    }
}

const TABLE_OF_BUILTINS: [*const u8; Builtin::COUNT] = {
    let mut table = [ptr::null(); Builtin::COUNT];
    table[Builtin::MemoryGrow as usize] = memory_grow as *const u8;
    table[Builtin::MemoryCopy as usize] = memory_copy as *const u8;
    table[Builtin::MemoryFill as usize] = memory_fill as *const u8;
    table[Builtin::MemoryInit as usize] = memory_init as *const u8;
    table[Builtin::DataDrop as usize] = data_drop as *const u8;
    table[Builtin::TableGrow as usize] = table_grow as *const u8;
    table[Builtin::TableFill as usize] = table_fill as *const u8;
    table[Builtin::TableCopy as usize] = table_copy as *const u8;
    table[Builtin::TableInit as usize] = table_init as *const u8;
    table[Builtin::ElemDrop as usize] = elem_drop as *const u8;
    table[Builtin::Interrupt as usize] = arch::interrupt_shim as *const u8;
    table[Builtin::Throw as usize] = arch::throw_shim as *const u8;
    table[Builtin::ThrowRef as usize] = arch::throw_ref_shim as *const u8;
    table[Builtin::MachineMove as usize] = libc::memmove as *const u8;
    table[Builtin::MachineMoveLong as usize] = crate::copy::machine_move as *const u8;
    table[Builtin::MachineSet as usize] = libc::memset as *const u8;
    table[Builtin::AtomicNotify as usize] = atomic_notify as *const u8;
    table[Builtin::AtomicWait32 as usize] = atomic_wait32 as *const u8;
    table[Builtin::AtomicWait64 as usize] = atomic_wait64 as *const u8;
    table
};

/// What growing returns when it failed, and a bulk operation that is out of bounds.
const FAILED: u64 = u64::MAX;

/// The instance that compiled code runs for, and its store.
///
/// # Safety
/// `vmctx` is the context of an instance in a store that this thread runs.
unsafe fn caller<'a>(vmctx: *mut u8) -> (&'a InstanceRecord, StoreRef<'a>) {
    let header = vmctx.cast::<Header>();
    // SAFETY: a context begins with a header, which was filled in when the instance was made; record and store live as
    // long as compiled code of the instance runs.
    unsafe { (&*(*header).instance, StoreRef::new((*header).store)) }
}

/// # Safety
/// Only compiled code calls this, as it does all functions below.
unsafe extern "sysv64" fn memory_grow(vmctx: *mut u8, memory: u32, pages: u64) -> u64 {
    // SAFETY: compiled code passes its context.
    let (instance, store) = unsafe { caller(vmctx) };
    instance.memory(memory).and_then(|memory| memory.grow(&store, pages)).unwrap_or(FAILED)
}

unsafe extern "sysv64" fn table_grow(vmctx: *mut u8, table: u32, delta: u64) -> u64 {
    // SAFETY: compiled code passes its context.
    let (instance, store) = unsafe { caller(vmctx) };
    instance.table(table).and_then(|table| table.grow(&store, delta)).unwrap_or(FAILED)
}

/// Operations of [`crate::bulk`] as compiled code calls them: what is left of them, or [`FAILED`].
macro_rules! bulk {
    ($($name:ident($($argument:ident: $ty:ty),*);)*) => {$(
        unsafe extern "sysv64" fn $name(vmctx: *mut u8, $($argument: $ty,)* length: u64, left: u64) -> u64 {
            // SAFETY: compiled code passes its context.
            let (instance, store) = unsafe { caller(vmctx) };
            instance.$name($($argument,)* Work { store: &store, length, left }).unwrap_or(FAILED)
        }
    )*};
}

bulk! {
    memory_copy(to_memory: u32, to: u64, from_memory: u32, from: u64);
    memory_fill(memory: u32, to: u64, byte: u32);
    memory_init(memory: u32, segment: u32, to: u64, from: u64);
    table_copy(to_table: u32, to: u64, from_table: u32, from: u64);
    table_fill(table: u32, to: u64, value: u64);
    table_init(table: u32, segment: u32, to: u64, from: u64);
}

unsafe extern "sysv64" fn data_drop(vmctx: *mut u8, segment: u32) {
    // SAFETY: compiled code passes its context.
    unsafe { caller(vmctx) }.0.data_drop(segment);
}

unsafe extern "sysv64" fn elem_drop(vmctx: *mut u8, segment: u32) {
    // SAFETY: compiled code passes its context.
    unsafe { caller(vmctx) }.0.elem_drop(segment);
}

/// Fuel is used up, or an interrupt was asked for; see [`arch::interrupt_shim`]. `pc` is the return address into
/// compiled code, and `fp` the frame pointer there.
///
/// # Safety
/// Only compiled code may call it, through the shim.
pub(crate) unsafe extern "sysv64" fn interrupt(vmctx: *mut u8, pc: usize, fp: usize) {
    // SAFETY: compiled code passes its context.
    let (instance, store) = unsafe { caller(vmctx) };
    let decided = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // An interrupt has no say in when fuel runs out.
        store.check_interrupt()?;
        if instance.is_out_of_fuel() { store.decide(TrapCode::OutOfFuel) } else { Ok(()) }
    }));
    let trap = match decided {
        Ok(Ok(())) => return,
        Ok(Err(trap)) => trap,
        Err(payload) => crate::Trap::panic(payload),
    };
    // SAFETY: compiled code called at that position; nothing that is left in this frame needs dropping.
    unsafe { entry::leave_with(store.context().as_ptr(), trap, Position { pc, fp, returns: true }) }
}

/// Nobody can be waiting: one thread at a time runs a store, and memories are of one store.
unsafe extern "sysv64" fn atomic_notify(_vmctx: *mut u8, _memory: u32, _address: u64, _count: u32) -> u32 {
    0
}

/// The value found is another.
const NOT_EQUAL: u32 = 1;
/// The time passed. It need not pass really: nobody can wake the guest meanwhile, and the thread is not the guest's
/// alone to hold up.
const TIMED_OUT: u32 = 2;
/// It would wait forever.
const FOREVER: u32 = 3;

unsafe extern "sysv64" fn atomic_wait32(
    vmctx: *mut u8,
    memory: u32,
    address: u64,
    expected: u32,
    timeout: i64,
) -> u32 {
    // SAFETY: compiled code passes its context.
    let (instance, _) = unsafe { caller(vmctx) };
    let found = instance.memory(memory).and_then(|memory| memory.range(address, 4).ok());
    // SAFETY: the range is memory of the guest, which does not run now.
    wait(found.map(|at| unsafe { at.cast::<u32>().read_unaligned() } == expected), timeout)
}

unsafe extern "sysv64" fn atomic_wait64(
    vmctx: *mut u8,
    memory: u32,
    address: u64,
    expected: u64,
    timeout: i64,
) -> u32 {
    // SAFETY: compiled code passes its context.
    let (instance, _) = unsafe { caller(vmctx) };
    let found = instance.memory(memory).and_then(|memory| memory.range(address, 8).ok());
    // SAFETY: the range is memory of the guest, which does not run now.
    wait(found.map(|at| unsafe { at.cast::<u64>().read_unaligned() } == expected), timeout)
}

fn wait(equal: Option<bool>, timeout: i64) -> u32 {
    match equal {
        Some(false) => NOT_EQUAL,
        _ if timeout >= 0 => TIMED_OUT,
        _ => FOREVER,
    }
}
