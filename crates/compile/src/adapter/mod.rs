//! Adapters: compiled functions by which one component instance calls another (CanonicalABI.md, `canon_lift` and
//! `canon_lower` fused).
//!
//! An adapter is compiled for the types of a function and the options of its two sides. It moves values from memory to
//! memory with every check that the specification asks for, and calls the callee directly. What it does not know how
//! to do it leaves to the interpreter, from the start ([`build`] says no) or at a call (a door is in the way). What can
//! go wrong has the same outcome either way.
//!
//! | what | where |
//! |---|---|
//! | doors, activation, call and return | `call.rs` |
//! | the same of `async` functions | `async_call.rs` |
//! | values by their types | `value.rs`, `variant.rs`, `list.rs`, `string.rs` |
//! | memories, `realloc`, failures, helpers | `memory.rs` |

mod async_call;
mod call;
mod list;
mod memory;
mod string;
mod value;
mod variant;

use cranelift_codegen::ir::{Block, Function, StackSlot, Type, Value};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use tombolo_types::component::{FuncTypeId, PtrWidth, Types};

/// What an adapter is compiled for.
#[derive(Clone, Copy, Debug)]
pub struct Adapter<'a> {
    /// The caller's types. The callee's are equal.
    pub types: &'a Types,
    /// The function's type.
    pub func: FuncTypeId,
    /// The options of the caller's `canon lower`.
    pub caller: Side,
    /// The options of the callee's `canon lift`.
    pub callee: Side,
    /// Whether the callee has a post-return function.
    pub post_return: bool,
    /// Whether the callee has a callback.
    pub callback: bool,
    /// Whether the callee may block in the middle, and so gets a stack of its own.
    pub on_fiber: bool,
}

/// One side's canonical options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Side {
    /// The width of pointers in its memory.
    pub width: PtrWidth,
    /// Whether its strings are UTF-8.
    pub utf8: bool,
    /// Whether it has a `realloc`.
    pub realloc: bool,
    /// Whether it uses the async ABI.
    pub is_async: bool,
}

/// Builds an adapter; `false` if it is of a kind that is left to the interpreter.
pub(crate) fn build(function: &mut Function, adapter: &Adapter<'_>, isa: &dyn TargetIsa) -> bool {
    let mut allocations = FunctionBuilderContext::new();
    let builder = FunctionBuilder::new(function, &mut allocations);
    call::build(builder, adapter, isa).is_ok()
}

/// Builds what `task.return` jumps to in calls through an adapter of an `async` function that returns so.
pub(crate) fn build_return(function: &mut Function, adapter: &Adapter<'_>, isa: &dyn TargetIsa) -> bool {
    let mut allocations = FunctionBuilderContext::new();
    let builder = FunctionBuilder::new(function, &mut allocations);
    async_call::build_return(builder, adapter, isa).is_ok()
}

/// The adapter is of a kind that is left to the interpreter.
#[derive(Debug)]
struct Unsupported;

type Result<T> = std::result::Result<T, Unsupported>;

/// The two sides of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Party {
    Caller,
    Callee,
}

/// An adapter that is being built.
struct Builder<'a, 'b> {
    b: FunctionBuilder<'b>,
    adapter: &'a Adapter<'a>,
    link: Value,
    store: Value,
    /// The activation of `realloc`, if there was a call of it.
    realloc_activation: Option<StackSlot>,
    /// Where the callee's activation is, and where lent handles are noted, if any can be.
    activation: StackSlot,
    lent: Option<StackSlot>,
    lends: u32,
    /// Whether values go from the callee to the caller.
    returning: bool,
    /// Where to go with a trap that is set, if it is not to be raised at once.
    failing: Option<Block>,
    /// Where the memories begin, as long as nothing runs that may move them.
    bases: [Option<Value>; 2],
}

/// Where a value comes from.
#[derive(Clone, Copy)]
enum Source<'v> {
    /// Flat values.
    Flat(&'v [Value]),
    /// A checked address in the memory, and what to add to it.
    Memory(Value, i32),
}

/// Where a value goes.
enum Target<'v> {
    Flat(&'v mut Vec<Value>),
    Memory(Value, i32),
}

impl Adapter<'_> {
    fn is_async(&self) -> bool {
        self.types.func(self.func).is_async
    }

    /// Whether the callee runs with its instance's exclusive lock (`Task.needs_exclusive`).
    fn needs_exclusive(&self) -> bool {
        self.is_async() && (!self.callee.is_async || self.callback)
    }
}

impl Builder<'_, '_> {
    /// Whose the values are that are read.
    fn source(&self) -> Party {
        if self.returning { Party::Callee } else { Party::Caller }
    }

    /// Whose they will be.
    fn target(&self) -> Party {
        if self.returning { Party::Caller } else { Party::Callee }
    }

    fn side(&self, party: Party) -> Side {
        match party {
            Party::Caller => self.adapter.caller,
            Party::Callee => self.adapter.callee,
        }
    }

    fn width(&self, party: Party) -> PtrWidth {
        self.side(party).width
    }

    /// Goes on in a block that other code jumps to as well, perhaps later.
    fn switch_to(&mut self, block: Block) {
        self.b.switch_to_block(block);
        self.bases = [None; 2];
    }

    /// Goes on in a block that nothing else will jump to.
    fn go_on_in(&mut self, block: Block) {
        self.switch_to(block);
        self.b.seal_block(block);
    }

    fn type_of(&self, value: Value) -> Type {
        self.b.func.dfg.value_type(value)
    }
}
