//! Adapters: the compiled form of calls from one component instance to another.
//!
//! Each lowered function of a guest is a *link* (see [`tombolo_compile::vmctx::link`]). The first calls are made by the
//! interpreter, [`StoreCore::call_lowered`]; a link that is used often leads to an adapter then, if there is one for its
//! types and options. Adapters are code without data: an engine compiles each once, for all links of that form.

mod helpers;
mod link;
#[cfg(test)]
mod tests;

pub(crate) use self::link::AdapterCode;
pub(super) use self::link::fits;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tombolo_compile::{Adapter, CompileError, Compiler, Side};
use tombolo_types::component::{FuncTypeId, Types};
use tombolo_vm::CodeObject;

use super::core::StoreCore;
use super::func::{FuncValue, LiftedFunc, LoweredFunc};
use super::guest::{Callable, Guest};
use crate::abi::Encoding;

/// An engine's adapters.
pub(crate) struct Adapters {
    /// Calls of a link before it leads to an adapter, and between attempts to have it do so.
    after: u32,
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
    callback: bool,
    on_fiber: bool,
}

struct Known {
    /// Keeps the address from being used for other types.
    types: Weak<Types>,
    /// `None` if calls of this form are left to the interpreter.
    code: Option<AdapterCode>,
}

impl Adapters {
    /// None yet; see [`Config::adapters_after`](crate::Config::adapters_after).
    pub fn new(after: u32) -> Self {
        Adapters { after, known: Mutex::default() }
    }

    fn find(&self, compiler: &Compiler, types: &Arc<Types>, key: Key) -> Option<AdapterCode> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&key) {
            return known.code.clone();
        }
        known.retain(|_, known| known.types.strong_count() > 0);
        let Key { func, caller, callee, post_return, callback, on_fiber, .. } = key;
        let adapter = Adapter { types, func, caller, callee, post_return, callback, on_fiber };
        let code = compile(compiler, &adapter);
        known.insert(key, Known { types: Arc::downgrade(types), code: code.clone() });
        code
    }
}

/// Compiles an adapter, on a stack of its own: that of the guest which is calling may be too small.
fn compile(compiler: &Compiler, adapter: &Adapter<'_>) -> Option<AdapterCode> {
    const STACK: usize = 1 << 20;
    let functions = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("tombolo-adapter".into()).stack_size(STACK);
        let compile = || -> Result<_, CompileError> {
            Ok((compiler.adapter(adapter)?, compiler.adapter_return(adapter)?))
        };
        thread.spawn_scoped(scope, compile).ok()?.join().ok()
    });
    // Whatever it is that does not work, the interpreter does it.
    let (call, task_return) = functions?.ok()?;
    if adapter.callee.is_async && task_return.is_none() {
        return None;
    }
    let publish = |function, name| CodeObject::publish_function(function, name).ok();
    let call = publish(call?, "tombolo::adapter")?;
    let task_return = match task_return {
        Some(function) => Some(publish(function, "tombolo::adapter task.return")?),
        None => None,
    };
    Some(AdapterCode { call, task_return })
}

impl StoreCore {
    /// The code that a link may lead to from now on: asked at each call that the interpreter makes.
    #[inline]
    pub(super) fn adapter(&self, lowered: &LoweredFunc) -> Option<AdapterCode> {
        let FuncValue::Guest(func) = &lowered.callee else { return None };
        let calls = lowered.calls.fetch_add(1, Ordering::Relaxed);
        let after = self.engine.adapters().after.max(1);
        if calls % after == after - 1 { self.make_adapter(lowered, func) } else { None }
    }

    /// The code that a new link leads to from the start.
    pub(super) fn first_adapter(&self, lowered: &LoweredFunc) -> Option<AdapterCode> {
        match &lowered.callee {
            // Whether others block is not known before their instances are complete.
            FuncValue::Guest(func) if self.engine.adapters().after == 0 && func.sig.is_async => {
                self.make_adapter(lowered, func)
            }
            _ => None,
        }
    }

    #[cold]
    fn make_adapter(&self, lowered: &LoweredFunc, func: &LiftedFunc) -> Option<AdapterCode> {
        if func.guest.door.is_dead() {
            return None;
        }
        // The callee of an `async` function goes on by itself when it blocks; others block their callers.
        if !func.sig.is_async && func.blocks(self) {
            return None;
        }
        let types = &lowered.guest.env.types;
        let key = Key {
            types: Arc::as_ptr(types) as usize,
            func: lowered.sig.ty,
            caller: side(&lowered.guest, lowered.is_async),
            callee: side(&func.guest, func.is_async),
            post_return: func.post_return.is_some(),
            callback: func.callback.is_some(),
            on_fiber: func.sig.is_async && func.code.waits(),
        };
        let code = self.engine.adapters().find(self.engine.compiler(), types, key)?;
        self.add_part(&lowered.guest.island, |parts| parts.adapters.push(code.clone()));
        Some(code)
    }

    /// The words of a link's context, from [`link::CALLER_DOOR`](tombolo_compile::vmctx::link::CALLER_DOOR) on; `None`
    /// for a function of the host.
    pub(super) fn link_words(&self, lowered: &LoweredFunc) -> Option<[usize; 13]> {
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
            0,
            0,
            lowered.guest.instance.to_bits() as usize,
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
