//! Adapters: the compiled form of calls from one component instance to another.
//!
//! Each lowered function of a guest is a *link* (see [`tombolo_compile::vmctx::link`]). The first calls are made by the
//! interpreter, [`StoreCore::call_lowered`]; a link that is used often leads to an adapter then, if there is one for its
//! types and options. Adapters are code without data: an engine compiles each once, for all links of that form.

mod helpers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tombolo_compile::{Adapter, Compiler, Side};
use tombolo_types::component::{FuncTypeId, Types};
use tombolo_vm::CodeObject;

use super::core::StoreCore;
use super::func::{FuncValue, LiftedFunc, LoweredFunc};
use super::guest::{Callable, Guest};
use crate::abi::Encoding;

/// Calls of a link between attempts to have it lead to an adapter. Compiling one takes as long as hundreds of calls.
const CALLS: u32 = 16;

/// An engine's adapters.
#[derive(Default)]
pub(crate) struct Adapters {
    known: Mutex<HashMap<Key, Known>>,
}

/// What an adapter is compiled for. The address is that of the caller's types.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    types: usize,
    func: FuncTypeId,
    caller: Side,
    callee: Side,
    post_return: bool,
}

struct Known {
    /// Keeps the address from being used for other types.
    types: Weak<Types>,
    /// `None` if calls of this form are left to the interpreter.
    code: Option<Arc<CodeObject>>,
}

impl Adapters {
    fn find(&self, compiler: &Compiler, types: &Arc<Types>, key: Key) -> Option<Arc<CodeObject>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&key) {
            return known.code.clone();
        }
        known.retain(|_, known| known.types.strong_count() > 0);
        let Key { func, caller, callee, post_return, .. } = key;
        let code = compile(compiler, &Adapter { types, func, caller, callee, post_return });
        known.insert(key, Known { types: Arc::downgrade(types), code: code.clone() });
        code
    }
}

/// Compiles an adapter, on a stack of its own: that of the guest which is calling may be too small.
fn compile(compiler: &Compiler, adapter: &Adapter<'_>) -> Option<Arc<CodeObject>> {
    const STACK: usize = 1 << 20;
    let function = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("tombolo-adapter".into()).stack_size(STACK);
        thread.spawn_scoped(scope, || compiler.adapter(adapter)).ok()?.join().ok()
    });
    // Whatever it is that does not work, the interpreter does it.
    CodeObject::publish_function(function?.ok()??, "tombolo::adapter").ok()
}

impl StoreCore {
    /// The code that a link may lead to from now on: asked at each call that the interpreter makes.
    #[inline]
    pub(super) fn adapter(&self, lowered: &LoweredFunc) -> Option<*const u8> {
        let FuncValue::Guest(func) = &lowered.callee else { return None };
        let calls = lowered.calls.fetch_add(1, Ordering::Relaxed);
        if calls % CALLS == CALLS - 1 { self.make_adapter(lowered, func) } else { None }
    }

    #[cold]
    fn make_adapter(&self, lowered: &LoweredFunc, func: &LiftedFunc) -> Option<*const u8> {
        if func.blocks(self) {
            return None;
        }
        let types = &lowered.guest.env.types;
        let key = Key {
            types: Arc::as_ptr(types) as usize,
            func: lowered.sig.ty,
            caller: side(&lowered.guest, lowered.is_async),
            callee: side(&func.guest, func.is_async),
            post_return: func.post_return.is_some(),
        };
        let code = self.engine.adapters().find(self.engine.compiler(), types, key)?;
        let address = code.code();
        self.add_part(&lowered.guest.island, |parts| parts.adapters.push(code));
        Some(address)
    }

    /// The words of a link's context, from [`link::CALLER_DOOR`](tombolo_compile::vmctx::link::CALLER_DOOR) on; `None`
    /// for a function of the host.
    pub(super) fn link_words(&self, lowered: &LoweredFunc) -> Option<[usize; 10]> {
        let FuncValue::Guest(func) = &lowered.callee else { return None };
        let reference = |callable: Option<&Callable>| {
            callable.map_or(0, |callable| callable.func.func_ref(&self.vm).as_ptr() as usize)
        };
        let memory =
            |guest: &Guest| guest.memory.map_or(0, |memory| memory.definition(&self.vm).as_ptr() as usize);
        Some([
            lowered.guest.door.word().as_ptr() as usize,
            func.guest.door.word().as_ptr() as usize,
            Arc::as_ptr(func) as usize,
            reference(Some(&func.core)),
            reference(func.post_return.as_ref()),
            reference(lowered.guest.realloc.as_ref()),
            reference(func.guest.realloc.as_ref()),
            memory(&lowered.guest),
            memory(&func.guest),
            helpers::HELPERS.as_ptr() as usize,
        ])
    }
}

fn side(guest: &Guest, is_async: bool) -> Side {
    Side {
        width: guest.width,
        utf8: guest.encoding == Encoding::Utf8,
        realloc: guest.realloc.is_some(),
        is_async,
    }
}
