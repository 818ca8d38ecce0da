//! The agreement between compiled code and the runtime: what lies where, and who calls whom how.
//!
//! # Calling conventions
//!
//! A compiled function follows Cranelift's `Tail` convention and takes its **callee context** (`vmctx`) before its
//! wasm parameters. Results beyond the registers go through Cranelift's implicit return area.
//!
//! * An **entry trampoline** (one per function type) is what the host calls:
//!   `extern "sysv64" fn(vmctx, code, values: *mut RawVal)`. It loads the parameters from `values`, calls `code`,
//!   and stores the results back into `values`, each in a slot of its own (16 bytes).
//! * An **exit trampoline** (one per function type) is a compiled function that reaches the host. Its `vmctx` is a
//!   [`host_context`]: it records the exit (frame pointer and return address) in the store context, spills its
//!   parameters to an array of `RawVal`, calls `host_context.call(host_context, values)` and returns the results
//!   from the same array. If the call returns non-zero it calls `store_context.raise`, which does not return.
//! * A **built-in** is `extern "sysv64" fn(vmctx, …)`. Those that can fail return a status, and compiled code traps.
//!   Before calling a built-in that may raise or call the guest, compiled code records the exit too.
//!
//! # Contexts
//!
//! An instance's context is one allocation, aligned to 16: the fixed [`header`], then the arrays whose offsets
//! [`Layout`] computes. All fields are 8 bytes wide unless said otherwise.

use crate::module::ModuleInfo;

/// Offsets in the header that every instance's context begins with.
pub mod header {
    /// `*mut StoreContext`. At the same offset in a host context.
    pub const STORE: u32 = 8;
    /// `*const [*const u8]`: the built-ins, indexed by [`super::Builtin`].
    pub const BUILTINS: u32 = 16;
    /// `*const [AtomicPtr<u8>]`: where each function that the module defines is now (its function slot).
    /// Functions that were compiled one by one call each other through it.
    pub const SLOTS: u32 = 24;
    /// `*const [u32]`: the engine-wide number of each of the module's types.
    pub const TYPE_IDS: u32 = 32;
    /// `*mut` the runtime's own record of the instance.
    pub const INSTANCE: u32 = 40;
    /// `*mut i64`: the counter of the fuel that the instance's code spends, counting up from minus the budget; positive
    /// means none is left. The host may have it point to another counter whenever compiled code does not run.
    pub const FUEL: u32 = 48;
    /// Where the arrays begin.
    pub const END: u32 = 64;
}

/// Offsets in a host context: the `vmctx` of a function that the host provides.
pub mod host_context {
    /// `extern "sysv64" fn(*mut HostContext, *mut RawVal) -> usize`: 0, or non-zero when a trap is to be raised.
    pub const CALL: u32 = 0;
    /// `*mut StoreContext`.
    pub const STORE: u32 = 8;
    /// Where the host's own data begins.
    pub const DATA: u32 = 16;
}

/// Offsets in the host context of a link: a function of one component instance that another one calls.
///
/// A link's code is a **link trampoline** (one per function type), which jumps to what [`CODE`](link::CODE) says: the
/// interpreter at first, an adapter once there is one. To move a link is to store another address there.
///
/// An **adapter** is compiled for the types and options of its two sides. It takes the link as its `vmctx`. While either
/// [door](link::CALLER_DOOR) has a bit set that is in the way, it leaves the call to the interpreter.
pub mod link {
    /// `*const u8`: the code that the link leads to now.
    pub const CODE: u32 = super::host_context::DATA + 16;
    /// `*const u8`: an exit trampoline, by which the host makes the call.
    pub const INTERPRETER: u32 = CODE + 8;
    /// `*const u32`: what stands in the way of leaving the caller's instance: [`MAY_NOT_LEAVE`], [`DEAD`].
    pub const CALLER_DOOR: u32 = CODE + 16;
    /// `*const u32`: likewise of entering the callee's: [`DEAD`]; if the function is `async`, also [`HELD_BACK`], and
    /// [`LOCKED`] if it needs the exclusive lock.
    pub const CALLEE_DOOR: u32 = CODE + 24;
    /// What an activation of the callee has for [`FUNC`](super::activation::FUNC).
    pub const FUNC: u32 = CODE + 32;
    /// `*const FuncRef`: the callee.
    pub const CALLEE: u32 = CODE + 40;
    /// `*const FuncRef`: its post-return function.
    pub const POST_RETURN: u32 = CODE + 48;
    /// `*const FuncRef`: the caller's `realloc`.
    pub const CALLER_REALLOC: u32 = CODE + 56;
    /// `*const FuncRef`: the callee's.
    pub const CALLEE_REALLOC: u32 = CODE + 64;
    /// `*const` definition: the caller's memory.
    pub const CALLER_MEMORY: u32 = CODE + 72;
    /// `*const` definition: the callee's.
    pub const CALLEE_MEMORY: u32 = CODE + 80;
    /// `*const [*const u8]`: the helpers, indexed by [`super::Helper`].
    pub const HELPERS: u32 = CODE + 88;
    /// The second data word of the `task.return` that is known to fit the callee, or 0.
    pub const TASK_RETURN: u32 = CODE + 96;
    /// `*const u8`: what that jumps to: see [`activation`](super::activation).
    pub const RETURN: u32 = CODE + 104;
    /// What an activation of the caller's `realloc` has for [`INSTANCE`](super::activation::INSTANCE).
    pub const CALLER_INSTANCE: u32 = CODE + 112;
    /// Where the host's further data begins.
    pub const END: u32 = CODE + 120;

    /// Bit of a door: the instance may not be left.
    pub const MAY_NOT_LEAVE: u32 = 1;
    /// Bit of a door: nothing may run in the instance.
    pub const DEAD: u32 = 2;
    /// Bit of a door: the instance's exclusive lock is taken. An adapter sets it for its call, and clears it if none of
    /// [`WANTED`] is set then; else it calls [`Helper::Unlock`](super::Helper::Unlock).
    pub const LOCKED: u32 = 4;
    /// Bit of a door: calls of `async` functions wait before they enter.
    pub const HELD_BACK: u32 = 8;
    /// Bits of a door: somebody may wait for the exclusive lock.
    pub const WANTED: u32 = HELD_BACK | 16;
}

/// Offsets in the host context of a built-in.
pub mod builtin {
    /// Two data words of the host.
    pub const DATA: u32 = super::host_context::DATA;
    /// `*const u8`: an exit trampoline, by which the host does what a `task.return` does.
    pub const EXIT: u32 = DATA + 16;
    /// `extern "sysv64" fn(*mut HostContext, u64, u64, u64) -> (u64, usize)`: does what another built-in does. Its core
    /// function has as many integers as parameters at most, of which narrow ones come with zeros above them, and one
    /// result at most. Returned are the result and 0, or anything and non-zero when a trap is to be raised.
    pub const DIRECT: u32 = DATA + 24;
}

/// The runtime's functions that adapters call, `extern "sysv64"`, the link first. Where it is not said, they do not call
/// guests. Before those that do, adapters record the exit as exit trampolines do.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Helper {
    /// `(link, failure: u32, a: u64, b: u64, c: u64, d: u64)`: sets the trap that the adapter then raises; see
    /// [`Failure`]. If it is the callee's fault, the number has [`Failure::OF_CALLEE`] added.
    Fail,
    /// `(link, start: *const u8, len: u64) -> u64`: 0 if the bytes are UTF-8.
    CheckUtf8,
    /// `(link, to: *mut u8, from: *const u8, len: u64)`: copies bytes, which may overlap.
    Copy,
    /// `(link, result: u32, resource: u32, index: u32) -> u64`: passes on an `own` handle of a resource of the caller's types,
    /// as a parameter or a result; its new index, or `u64::MAX` with a trap to raise.
    PassOwn,
    /// `(link, result: u32, def: u32, index: u32) -> u64`: likewise, the readable end of a stream or future, of type `def` of
    /// the caller's types.
    PassEnd,
    /// `(link, resource: u32, index: u32, activation, lent: *mut u32) -> u64`: lends a handle and notes it in `lent`,
    /// which may have noted others before; likewise.
    Lend,
    /// `(link, lent: *const u32, count: u64)`: ends the lends noted in so many places; 0 is none.
    EndLends,
    /// `(link, activation, phase: u32) -> u64`: the callee has returned (1) or is done (2) or both (3), and somebody had
    /// asked for its thread; 0, or else there is a trap to raise.
    Finish,
    /// `(link, activation, packed: u32) -> u64`: the core function of an `async` callee has returned, `packed` if it has a
    /// callback, else 0, and the call goes on otherwise than by ending at once. The activation's value is then what the
    /// call's core function returns; 0, or else there is a trap to raise. May call guests and suspend the fiber.
    Settle,
    /// `(link, activation, values: *mut RawVal) -> u64`: calls an `async` callee's core function on a fiber, with its
    /// parameters in `values`; the activation is not linked. 0: it has returned, with its results there; 1: the rest is
    /// done too, as by [`Settle`](Helper::Settle); else there is a trap to raise. May call guests and suspend the fiber.
    CallOnFiber,
    /// `(link)`: releases the callee's exclusive lock for whoever wants it.
    Unlock,
    /// `(link, result: u32, address: u64, length: u64, out: *mut [u64; 2]) -> u64`: passes on a string whose encodings are
    /// not both UTF-8; `out` gets where it is then and how long. 0, or else there is a trap to raise. Calls `realloc`.
    Transcode,
    /// `(link, align: u32, size: u64) -> u64`: room in the caller's memory, from its `realloc`, which is called so that a trap
    /// in it cuts off nobody else; or `u64::MAX` with a trap to raise.
    Realloc,
    /// `(link, activation) -> u64`: a trap is set because the result of an `async` function could not be carried. If that is the
    /// caller's fault, its island ends, and the callee goes on: 0. Else there is a trap to raise.
    CallerFailed,
    /// `(link, result: u32, index: u32) -> u64`: passes on an error context, as [`Helper::PassOwn`] does a handle.
    PassErrorContext,
}

impl Helper {
    /// How many there are.
    pub const COUNT: usize = Helper::PassErrorContext as usize + 1;
}

/// Why an adapter fails, with what the four values are.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// A value that is not aligned or not within its memory: address, length, alignment, the memory's size.
    Value,
    /// Likewise, a list's elements.
    List,
    /// Likewise, a string.
    String,
    /// Likewise, what a `realloc` returned.
    Realloc,
    /// A list that is too long: how many elements, bytes of one, most bytes.
    ListLength,
    /// A string that is too long: its length.
    StringLength,
    /// Bytes that are not UTF-8: where in the host's memory, how many.
    Utf8,
    /// Bits that are no `char`.
    Char,
    /// A discriminant that is none: which, how many cases there are.
    Discriminant,
}

impl Failure {
    /// See [`Helper::Fail`].
    pub const OF_CALLEE: u32 = 1 << 8;

    /// The failure of a number that an adapter passes.
    pub fn from_u32(number: u32) -> Option<Failure> {
        use Failure::*;
        let number = number & !Failure::OF_CALLEE;
        [Value, List, String, Realloc, ListLength, StringLength, Utf8, Char, Discriminant]
            .into_iter()
            .find(|failure| *failure as u32 == number)
    }
}

/// Offsets in the store context, which all instances of a store share.
pub mod store_context {
    /// `usize`: compiled functions trap when the stack pointer would go below this.
    pub const STACK_LIMIT: u32 = 0;
    /// `*mut` the innermost entry record.
    pub const ENTRY: u32 = 8;
    /// `usize`: frame pointer of the last compiled function that called the host.
    pub const EXIT_FP: u32 = 16;
    /// `usize`: return address into that function.
    pub const EXIT_PC: u32 = 24;
    /// `extern "sysv64" fn(*mut StoreContext) -> !`: leaves through the innermost entry with the pending trap.
    pub const RAISE: u32 = 32;
    /// `u64`: non-zero when the guest is to be interrupted at its next check.
    pub const INTERRUPT: u32 = 40;
    /// `*mut` the component-level activation that runs now.
    pub const ACTIVATION: u32 = 48;
    /// Where the runtime's own fields begin.
    pub const END: u32 = 56;
}

/// An activation: a call into a component instance, on the native stack. The runtime gives its other fields meaning.
///
/// That of a call of an `async` function through an adapter tells its [`LINK`](activation::LINK). A `task.return` that fits
/// the function, while nobody has asked for the thread, jumps to [`link::RETURN`] with the activation as its `vmctx`: that
/// takes the result to the caller and notes [`RETURNED`](activation::RETURNED).
pub mod activation {
    /// `*const` the activation that this one interrupted.
    pub const PREVIOUS: u32 = 0;
    /// `*const` the runtime's record of the function that runs, or whose `realloc` does; null if there is none.
    pub const FUNC: u32 = 8;
    /// Two cells of `u64`: the thread's storage (`context.get`, `context.set`).
    pub const CONTEXT: u32 = 16;
    /// `u64`: the thread's number; 0 as long as nobody asked for it, or [`NO_THREAD`] if nobody may.
    pub const THREAD: u32 = 32;
    /// See [`THREAD`]. It is no thread's number.
    pub const NO_THREAD: u64 = 1;
    /// `*const` the link of an `async` function that is called, or 0.
    pub const LINK: u32 = 40;
    /// `u64`: the number of the instance, if there is no function.
    pub const INSTANCE: u32 = 48;
    /// `u64`: where the caller of an `async` function wants the result, if that goes to memory; then, what the caller's
    /// core function returns.
    pub const VALUE: u32 = 56;
    /// `u64`: the number of the subtask, or 0 as long as nobody asked for it.
    pub const SUBTASK: u32 = 64;
    /// `*mut u32`: the handles that the call has lent.
    pub const LENT: u32 = 72;
    /// `u32`: how many these may be.
    pub const LENDS: u32 = 80;
    /// `u32`: how far an `async` call has come.
    pub const STATE: u32 = 84;
    /// Size of one.
    pub const SIZE: u32 = 88;

    /// Bit of the state: the result was returned.
    pub const RETURNED: u32 = 1;
    /// Bit of the state: the callee runs on a fiber of its own.
    pub const ON_FIBER: u32 = 2;
}

/// A function as a value (`funcref`): what tables hold pointers to. 24 bytes.
pub mod func_ref {
    /// `*const u8`: the function's code.
    pub const CODE: u32 = 0;
    /// The callee context.
    pub const VMCTX: u32 = 8;
    /// `u32`: engine-wide number of the function's type.
    pub const TYPE_ID: u32 = 16;
    /// Size of one.
    pub const SIZE: u32 = 24;
}

/// A table or memory as compiled code sees it. 16 bytes.
pub mod definition {
    /// `*mut u8`: the first element or byte.
    pub const BASE: u32 = 0;
    /// `u64`: its length now, in elements or bytes.
    pub const LENGTH: u32 = 8;
    /// Size of one.
    pub const SIZE: u32 = 16;
}

/// An exception: what an `exnref` points to, aligned to 16. It does not change once it is thrown, nor move; the runtime
/// frees it when no reference to it is left, of which compiled code shows those that live across a call
/// ([`CompiledModule::exception_refs`](crate::CompiledModule::exception_refs)).
pub mod exception {
    /// The address that identifies its tag.
    pub const TAG: u32 = 0;
    /// Where its values begin: 16 bytes each, in the order of the tag's parameters.
    pub const VALUES: u32 = 16;
}

/// Size of a slot of the arrays through which the host passes values, and of a global.
pub const VALUE_SIZE: u32 = 16;

/// Size of a table element: a pointer to a `FuncRef`, or a host reference; 0 is null.
pub const ELEMENT_SIZE: u32 = 8;

/// Bytes of address space reserved for a 32-bit memory with 64 KiB pages, from its base.
pub const MEMORY_RESERVATION: u64 = 1 << 32;

/// Bytes after [`MEMORY_RESERVATION`] that are never mapped. An access whose constant offset plus width is at most
/// this needs no bounds check in a 32-bit memory.
pub const MEMORY_GUARD: u64 = 1 << 31;

/// Bytes from which on [`Builtin::MachineMoveLong`] is to move them.
pub const LONG_MOVE: u32 = 2048;

/// Bytes that a host function finds below the stack limit.
pub const HOST_STACK: usize = 64 << 10;

/// Where the arrays of an instance's context begin, for one module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Imported functions: `{ code, vmctx }`, 16 bytes each.
    pub imported_functions: u32,
    /// Imported tables: `*mut` definition.
    pub imported_tables: u32,
    /// Imported memories: `*mut` definition.
    pub imported_memories: u32,
    /// Imported globals: `*mut` 16-byte cell.
    pub imported_globals: u32,
    /// Imported tags: an address that identifies the tag.
    pub imported_tags: u32,
    /// Defined tables: definitions.
    pub tables: u32,
    /// Defined memories: definitions.
    pub memories: u32,
    /// Defined tags: cells of 8 bytes whose address identifies the tag.
    pub tags: u32,
    /// Defined globals: 16-byte cells, aligned to 16.
    pub globals: u32,
    /// `FuncRef`s of `ModuleInfo::escaping`, in its order.
    pub func_refs: u32,
    /// Size of the whole context.
    pub size: u32,
}

impl Layout {
    /// Computes the layout for a module; `None` if the context would pass 2 GiB.
    pub fn new(module: &ModuleInfo) -> Option<Layout> {
        let mut end = header::END;
        let mut array = |count: usize, size: u32, align: u32| -> Option<u32> {
            let start = end.checked_next_multiple_of(align)?;
            end = u32::try_from(count).ok()?.checked_mul(size)?.checked_add(start)?;
            (end <= i32::MAX as u32).then_some(start)
        };
        let defined = |all: usize, imported: u32| all.saturating_sub(imported as usize);
        let layout = Layout {
            imported_functions: array(module.imported_functions as usize, 16, 8)?,
            imported_tables: array(module.imported_tables as usize, 8, 8)?,
            imported_memories: array(module.imported_memories as usize, 8, 8)?,
            imported_globals: array(module.imported_globals as usize, 8, 8)?,
            imported_tags: array(module.imported_tags as usize, 8, 8)?,
            tables: array(defined(module.tables.len(), module.imported_tables), definition::SIZE, 8)?,
            memories: array(defined(module.memories.len(), module.imported_memories), definition::SIZE, 8)?,
            tags: array(defined(module.tags.len(), module.imported_tags), 8, 8)?,
            globals: array(defined(module.globals.len(), module.imported_globals), VALUE_SIZE, 16)?,
            func_refs: array(module.escaping.len(), func_ref::SIZE, 8)?,
            size: 0,
        };
        Some(Layout { size: end, ..layout })
    }
}

/// The runtime's functions that compiled code calls, `extern "sysv64"`, the instance's context first.
///
/// `u64`/`u32` parameters are as named. Operations on `len` bytes or elements do what is `left` of them, all of them at
/// first, and return how many are left then: `u64::MAX` if they are out of bounds, which is found before anything is
/// done; 0 when they are done; else an interrupt was asked for, and the operation is to be continued.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// `(vmctx, memory: u32, pages: u64) -> u64`: the old size in pages, or `u64::MAX`.
    MemoryGrow,
    /// `(vmctx, dst_memory: u32, dst: u64, src_memory: u32, src: u64, len: u64, left: u64) -> u64` left.
    MemoryCopy,
    /// `(vmctx, memory: u32, dst: u64, byte: u32, len: u64, left: u64) -> u64` left.
    MemoryFill,
    /// `(vmctx, memory: u32, segment: u32, dst: u64, src: u64, len: u64, left: u64) -> u64` left.
    MemoryInit,
    /// `(vmctx, segment: u32)`.
    DataDrop,
    /// `(vmctx, table: u32, delta: u64) -> u64`: the old length, or `u64::MAX`. The new elements are null.
    TableGrow,
    /// `(vmctx, table: u32, index: u64, value: u64, len: u64, left: u64) -> u64` left.
    TableFill,
    /// `(vmctx, dst_table: u32, dst: u64, src_table: u32, src: u64, len: u64, left: u64) -> u64` left.
    TableCopy,
    /// `(vmctx, table: u32, segment: u32, dst: u64, src: u64, len: u64, left: u64) -> u64` left.
    TableInit,
    /// `(vmctx, segment: u32)`.
    ElemDrop,
    /// `(vmctx) -> ()`, after recording the exit: fuel is used up or an interrupt was asked for. May raise.
    Interrupt,
    /// `(vmctx, memory: u32, address: u64, count: u32) -> u32`: threads woken.
    AtomicNotify,
    /// `(vmctx, memory: u32, address: u64, expected: u32, timeout_ns: i64) -> u32`: 0, 1, 2 as in the instruction,
    /// or 3 when it would block forever in a runtime of one thread (a trap).
    AtomicWait32,
    /// `(vmctx, memory: u32, address: u64, expected: u64, timeout_ns: i64) -> u32`: likewise.
    AtomicWait64,
    /// `(vmctx, tag: address, values: *const RawVal, count: u32) -> !`: makes an exception (see [`exception`]) of a copy
    /// of the values and throws it. May raise.
    ///
    /// To throw is to walk the stack from the caller's frame: its return address, then those of the frames outwards up
    /// to the innermost entry. The first that has a [`Handler`](crate::Handler) continues as that says. If none has, the
    /// guest traps with [`TrapCode::UncaughtException`]. Registers need not be restored. The return address of this call
    /// itself counts: its caller may be the one that catches.
    Throw,
    /// `(vmctx, exception: not null) -> !`: throws an exception again, likewise.
    ThrowRef,
    /// `(to: *mut u8, from: *const u8, len: u64)`: the machine's `memmove`, for ranges that have been checked and are
    /// shorter than [`LONG_MOVE`]. It gets no context.
    MachineMove,
    /// Likewise, for ranges of any length.
    MachineMoveLong,
    /// `(to: *mut u8, byte: u32, len: u64)`: the machine's `memset`, likewise.
    MachineSet,
}

impl Builtin {
    /// How many there are.
    pub const COUNT: usize = Builtin::MachineSet as usize + 1;
}

/// Why compiled code trapped.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the message says it")]
pub enum TrapCode {
    Unreachable = 1,
    StackOverflow,
    MemoryOutOfBounds,
    HeapMisaligned,
    TableOutOfBounds,
    IndirectCallToNull,
    BadSignature,
    IntegerOverflow,
    IntegerDivisionByZero,
    BadConversionToInteger,
    NullReference,
    UncaughtException,
    AtomicWaitForever,
    OutOfFuel,
    Interrupted,
    TooManyExceptions,
}

impl TrapCode {
    /// The trap of a number that compiled code carries.
    pub fn from_u8(code: u8) -> Option<TrapCode> {
        use TrapCode::*;
        [
            Unreachable,
            StackOverflow,
            MemoryOutOfBounds,
            HeapMisaligned,
            TableOutOfBounds,
            IndirectCallToNull,
            BadSignature,
            IntegerOverflow,
            IntegerDivisionByZero,
            BadConversionToInteger,
            NullReference,
            UncaughtException,
            AtomicWaitForever,
            OutOfFuel,
            Interrupted,
            TooManyExceptions,
        ]
        .into_iter()
        .find(|trap| *trap as u8 == code)
    }
}

impl std::fmt::Display for TrapCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TrapCode::Unreachable => "wasm `unreachable` instruction executed",
            TrapCode::StackOverflow => "call stack exhausted",
            TrapCode::MemoryOutOfBounds => "out of bounds memory access",
            TrapCode::HeapMisaligned => "unaligned atomic",
            TrapCode::TableOutOfBounds => "out of bounds table access",
            TrapCode::IndirectCallToNull => "uninitialized element: indirect call through a null reference",
            TrapCode::BadSignature => "indirect call type mismatch",
            TrapCode::IntegerOverflow => "integer overflow",
            TrapCode::IntegerDivisionByZero => "integer divide by zero",
            TrapCode::BadConversionToInteger => "invalid conversion to integer",
            TrapCode::NullReference => "null reference",
            TrapCode::UncaughtException => "uncaught exception",
            TrapCode::AtomicWaitForever => "atomic wait that nobody can end",
            TrapCode::OutOfFuel => "all fuel consumed",
            TrapCode::Interrupted => "interrupted: deadline passed",
            TrapCode::TooManyExceptions => {
                "too many exceptions are referred to: the store's limit is reached"
            }
        })
    }
}
