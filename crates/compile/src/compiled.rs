//! What comes out: machine code and the tables that go with it, as plain data without pointers.

use std::sync::Arc;

use crate::CompileError;
use crate::call_graph::CallGraph;
use crate::module::ModuleInfo;
use crate::vmctx::{Layout, TrapCode};

/// Where functions begin in a text section: a multiple of this.
pub const FUNCTION_ALIGNMENT: usize = 32;

/// A compiled module.
#[derive(Clone, Debug)]
pub struct CompiledModule {
    /// What the module declares.
    pub info: Arc<ModuleInfo>,
    /// Who calls whom in it.
    pub calls: CallGraph,
    /// Where things lie in the context of its instances.
    pub layout: Layout,
    /// Machine code of all its functions. It can be placed at any address that is a multiple of
    /// [`FUNCTION_ALIGNMENT`]; nothing in it is left to relocate.
    pub code: Vec<u8>,
    /// Where each function that the module defines lies in `code`.
    pub functions: Vec<FunctionRange>,
    /// Each instruction of `code` that can trap, ascending by its offset.
    pub traps: Vec<(u32, TrapCode)>,
    /// Each call that exceptions do not pass, ascending by its return address.
    pub handlers: Vec<Handler>,
    /// References to exceptions that a function uses after a call: the call's return address, and how far below the
    /// frame pointer of the function that called the reference lies meanwhile. Ascending by the return address.
    pub exception_refs: Vec<(u32, u32)>,
    /// Which wasm instruction the code at an offset comes from, until the next entry: offset in `code`, then offset in
    /// the file or [`NO_ADDRESS`]. Ascending.
    pub addresses: Vec<(u32, u32)>,
}

/// The wasm offset of code that comes from no instruction.
pub const NO_ADDRESS: u32 = u32::MAX;

/// Where a function's machine code lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRange {
    /// Offset of its first byte, which is its entry.
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
    /// Offset of its body in the file.
    pub wasm_start: u32,
}

/// Where an exception goes that arrives at a call: the runtime sets the stack pointer to the frame pointer of the
/// function that called minus `frame_size`, the frame pointer to that function's, the first return register (`rax`) to
/// the exception, and continues at `landing`. No other register matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Offset in the code of the call's return address.
    pub return_offset: u32,
    /// Offset in the code of where to continue.
    pub landing: u32,
    /// How far the stack pointer lies below the frame pointer at the call.
    pub frame_size: u32,
}

/// A function compiled on its own.
#[derive(Clone, Debug, Default)]
pub struct CompiledFunction {
    /// Machine code; position independent.
    pub code: Vec<u8>,
    /// Each instruction of `code` that can trap, ascending by its offset.
    pub traps: Vec<(u32, TrapCode)>,
    /// As in [`CompiledModule::handlers`].
    pub handlers: Vec<Handler>,
    /// As in [`CompiledModule::exception_refs`].
    pub exception_refs: Vec<(u32, u32)>,
    /// As in [`CompiledModule::addresses`]. Empty for trampolines.
    pub addresses: Vec<(u32, u32)>,
}

impl CompiledModule {
    /// Why the instruction at an offset of `code` trapped; `None` if it cannot trap.
    pub fn trap_at(&self, offset: u32) -> Option<TrapCode> {
        let index = self.traps.binary_search_by_key(&offset, |(at, _)| *at).ok()?;
        self.traps.get(index).map(|(_, code)| *code)
    }

    /// Offset in the file of the wasm instruction that the code at an offset of `code` comes from. For a return
    /// address, pass the offset of the byte before it.
    pub fn address_at(&self, offset: u32) -> Option<u32> {
        let next = self.addresses.partition_point(|(at, _)| *at <= offset);
        let (_, wasm) = *self.addresses.get(next.checked_sub(1)?)?;
        (wasm != NO_ADDRESS).then_some(wasm)
    }

    /// Where an exception goes that arrives at the call with a return address; `None` if it passes on to the caller.
    pub fn handler_at(&self, return_offset: u32) -> Option<Handler> {
        let index =
            self.handlers.binary_search_by_key(&return_offset, |handler| handler.return_offset).ok()?;
        self.handlers.get(index).copied()
    }

    /// Which of the functions that the module defines the code at an offset belongs to.
    pub fn function_at(&self, offset: u32) -> Option<u32> {
        let next = self.functions.partition_point(|function| function.start <= offset);
        let index = next.checked_sub(1)?;
        let function = self.functions.get(index)?;
        (offset - function.start < function.len).then_some(index as u32)
    }
}

/// What a function calls at a place that is known only once it lies in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallTarget {
    /// The interrupt shim.
    InterruptShim,
    /// A function of the same module, by its position among those that it defines.
    Function(u32),
}

/// A function of machine code whose calls go nowhere yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnlinkedFunction {
    pub(crate) function: CompiledFunction,
    /// Offsets of the displacements of calls, and what they call.
    pub(crate) calls: Vec<(u32, CallTarget)>,
}

impl UnlinkedFunction {
    /// Makes the function whole with an interrupt shim of its own.
    pub(crate) fn link(self, shim: Option<&CompiledFunction>) -> Result<CompiledFunction, CompileError> {
        let UnlinkedFunction { mut function, calls } = self;
        if !calls.is_empty() {
            let start = append(&mut function.code, shim)?;
            for (call, target) in calls {
                match target {
                    CallTarget::InterruptShim => link_call(&mut function.code, call, start)?,
                    CallTarget::Function(_) => return Err(CompileError::internal("a call to nowhere", 0)),
                }
            }
        }
        Ok(function)
    }
}

/// Appends the interrupt shim to code and says where it is now.
fn append(code: &mut Vec<u8>, shim: Option<&CompiledFunction>) -> Result<u32, CompileError> {
    let shim = shim.ok_or_else(|| CompileError::internal("no interrupt shim", 0))?;
    code.resize(code.len().next_multiple_of(FUNCTION_ALIGNMENT), PADDING);
    let start = code.len() as u32;
    code.extend_from_slice(&shim.code);
    Ok(start)
}

/// Makes a call whose displacement lies at `call` go to `target`.
fn link_call(code: &mut [u8], call: u32, target: u32) -> Result<(), CompileError> {
    let at = call as usize;
    // A displacement counts from its end.
    let displacement = i64::from(target) - (i64::from(call) + 4);
    match (code.get_mut(at..at + 4), i32::try_from(displacement)) {
        (Some(bytes), Ok(displacement)) => bytes.copy_from_slice(&displacement.to_le_bytes()),
        _ => return Err(CompileError::internal("a call out of reach", 0)),
    }
    Ok(())
}

/// `int3`: what lies between functions is never executed.
const PADDING: u8 = 0xcc;

/// Puts functions behind one another.
#[derive(Default)]
pub(crate) struct Text {
    pub(crate) code: Vec<u8>,
    pub(crate) functions: Vec<FunctionRange>,
    pub(crate) traps: Vec<(u32, TrapCode)>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) exception_refs: Vec<(u32, u32)>,
    pub(crate) addresses: Vec<(u32, u32)>,
    calls: Vec<(u32, CallTarget)>,
}

impl Text {
    pub(crate) fn push(&mut self, unlinked: &UnlinkedFunction, wasm_start: u32) -> Result<(), CompileError> {
        let function = &unlinked.function;
        let too_large = || CompileError::too_large("more than 2 GiB of machine code", u64::from(wasm_start));
        let start = self.code.len().next_multiple_of(FUNCTION_ALIGNMENT);
        let end = start.checked_add(function.code.len()).filter(|end| *end <= i32::MAX as usize);
        if end.is_none() {
            return Err(too_large());
        }
        self.code.resize(start, PADDING);
        self.code.extend_from_slice(&function.code);
        let start = start as u32;
        self.functions.push(FunctionRange { start, len: function.code.len() as u32, wasm_start });
        self.traps.extend(function.traps.iter().map(|(at, code)| (start + at, *code)));
        self.handlers.extend(function.handlers.iter().map(|handler| Handler {
            return_offset: start + handler.return_offset,
            landing: start + handler.landing,
            frame_size: handler.frame_size,
        }));
        self.exception_refs.extend(function.exception_refs.iter().map(|(at, below)| (start + at, *below)));
        for (at, wasm) in &function.addresses {
            push_address(&mut self.addresses, start + at, *wasm);
        }
        self.calls.extend(unlinked.calls.iter().map(|(at, target)| (start + at, *target)));
        Ok(())
    }

    /// Makes calls go where they should, and adds the interrupt shim if anything calls it.
    pub(crate) fn link(&mut self, shim: Option<&CompiledFunction>) -> Result<(), CompileError> {
        let mut shim_start = None;
        for (call, target) in std::mem::take(&mut self.calls) {
            let start = match (target, shim_start) {
                (CallTarget::InterruptShim, Some(start)) => start,
                (CallTarget::InterruptShim, None) => *shim_start.insert(append(&mut self.code, shim)?),
                (CallTarget::Function(defined), _) => self
                    .functions
                    .get(defined as usize)
                    .map(|function| function.start)
                    .ok_or_else(|| CompileError::internal("a call of no function", 0))?,
            };
            link_call(&mut self.code, call, start)?;
        }
        Ok(())
    }
}

/// Adds an entry to an address table unless it says what the last one says.
pub(crate) fn push_address(addresses: &mut Vec<(u32, u32)>, at: u32, wasm: u32) {
    match addresses.last_mut() {
        Some((_, last)) if *last == wasm => {}
        Some((last_at, last)) if *last_at == at => *last = wasm,
        _ => addresses.push((at, wasm)),
    }
}
