//! Component functions at run time.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};

use tombolo_types::component::{
    FuncTypeId, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, TypeRef,
};
use tombolo_vm::RawVal;

use super::blocking::CoreCode;
use super::call_host::HostFunction;
use super::core::StoreCore;
use super::env::Env;
use super::guest::{Callable, Guest};
use crate::abi::TypeList;
use crate::error::{Error, Result};

/// A component function: what a component imports, exports and lowers.
#[derive(Clone)]
pub(crate) enum FuncValue {
    /// A guest's core function, lifted.
    Guest(Arc<LiftedFunc>),
    /// A function of the host.
    Host(Arc<dyn HostFunction>),
}

/// A function's type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FuncSig {
    pub ty: FuncTypeId,
    pub result: Option<TypeRef>,
    pub is_async: bool,
}

impl FuncSig {
    pub fn new(env: &Env, id: FuncTypeId) -> Self {
        let func = env.types.func(id);
        FuncSig { ty: id, result: func.result, is_async: func.is_async }
    }

    /// The parameters, as the Canonical ABI passes them.
    #[inline]
    pub fn params(&self) -> TypeList {
        TypeList::Params(self.ty)
    }

    /// The result, as the Canonical ABI passes it.
    #[inline]
    pub fn result(&self) -> TypeList {
        TypeList::Result(self.result)
    }
}

/// `canon lift`: a core function as a component function.
pub(crate) struct LiftedFunc {
    pub guest: Guest,
    pub sig: FuncSig,
    pub core: Callable,
    pub callback: Option<Callable>,
    pub post_return: Option<Callable>,
    /// Whether the core function uses the async ABI.
    pub is_async: bool,
    /// The core code that it leads into.
    pub code: Arc<CoreCode>,
    /// Whether that can block, once it was asked.
    pub known_to_block: OnceLock<bool>,
    /// Whether the core function has a result. It has one at most.
    pub has_result: bool,
}

impl LiftedFunc {
    /// The flat result of the core function, which is in the first of these places.
    #[inline]
    pub fn core_result(&self, values: &[RawVal]) -> Option<u64> {
        if self.has_result { values.first().map(|value| value.u64()) } else { None }
    }

    /// Whether it may have to wait, and so needs a stack of its own.
    #[inline]
    pub fn blocks(&self, core: &StoreCore) -> bool {
        self.sig.is_async || self.code.blocks(core, &self.known_to_block, [self.core.func])
    }
}

/// `canon lower`: a component function as a core function.
pub(crate) struct LoweredFunc {
    pub guest: Guest,
    pub sig: FuncSig,
    pub callee: FuncValue,
    /// Whether the caller uses the async ABI.
    pub is_async: bool,
    /// Parameters of the core function.
    pub core_params: usize,
    /// Results of the core function.
    pub core_results: usize,
    /// Whether the last core parameter says where the result goes.
    pub has_out_pointer: bool,
    /// Calls that the interpreter has made.
    pub calls: AtomicU32,
}

impl LoweredFunc {
    /// More flat parameters than this lie in memory.
    #[inline]
    pub fn max_flat_params(&self) -> usize {
        if self.is_async { MAX_FLAT_ASYNC_PARAMS } else { MAX_FLAT_PARAMS }
    }

    /// More flat results than this go to memory.
    #[inline]
    pub fn max_flat_results(&self) -> usize {
        if self.is_async { 0 } else { MAX_FLAT_RESULTS }
    }

    /// The guest's function that it leads to.
    pub fn guest_callee(&self) -> Result<&Arc<LiftedFunc>> {
        match &self.callee {
            FuncValue::Guest(func) => Ok(func),
            FuncValue::Host(_) => Err(Error::usage("an adapter for a function of the host")),
        }
    }

    /// Where the caller wants the result.
    #[inline]
    pub fn out_pointer(&self, args: &[u64]) -> Option<u64> {
        if self.has_out_pointer { args.last().copied() } else { None }
    }
}
