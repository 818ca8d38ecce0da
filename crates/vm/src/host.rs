//! Functions that the host provides.
//!
//! Such a function is a [`FuncRef`] whose code is the exit trampoline of its type and whose callee context is a
//! [`HostContext`] with data words behind it. Both live as long as their group. The trampoline calls
//! [`HostContext::call`], which must neither unwind nor leave values of other types than the results'.

use std::ffi::c_void;

use tombolo_compile::TrampolineKind;
use tombolo_compile::vmctx::{builtin, link};
use tombolo_types::TypeId;
use tombolo_types::core::ValType;

use crate::context::{FuncRef, HostContext, HostFn};
use crate::{CodeError, FuncHandle, GroupRef, RawVal, Store, Trap, entry};

/// A call of a host function: the store it came from, and its parameters, which the results replace.
#[derive(Debug)]
pub struct HostCall<'a> {
    /// The store.
    pub store: &'a Store,
    /// One slot for each parameter or result, whichever are more.
    pub values: &'a mut [RawVal],
}

/// What the code of a built-in is.
#[derive(Clone, Copy, Debug)]
pub enum BuiltinCode {
    /// A `task.return`. The function does what it does, unless the activation that runs lets it go to its caller straight
    /// away; it is as for [`GroupRef::raw_host_func`]. Whoever gives an activation a link sees to it that its fields are as
    /// they should.
    TaskReturn(HostFn),
    /// `context.get` or `context.set` of slot 0 or 1: a function without parameters and with one result, or the other way
    /// round, which is an integer.
    Context(u32),
    /// Another one, or any function of the host, whose core function has three integers as parameters at most and one as a
    /// result. The function does not unwind, and fails only with a trap set by [`guard`](crate::guard) or
    /// [`Store::set_pending`].
    Direct(DirectFn),
}

/// A built-in as the host does it: its context and its parameters, narrow ones with zeros above them.
pub type DirectFn = unsafe extern "sysv64" fn(*mut HostContext, u64, u64, u64) -> DirectResult;

/// What a [`DirectFn`] returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DirectResult {
    /// The core function's result, if it has one.
    pub value: u64,
    /// 0, or non-zero when the trap pending in the store is to be raised.
    pub failed: usize,
}

/// A host function in a box, as its context's first data words hold it.
pub(crate) type Closure = Box<dyn Fn(HostCall<'_>) -> Result<(), Trap> + Send>;

impl HostCall<'_> {
    /// A parameter; zero if there is none of that number.
    pub fn param(&self, index: usize) -> RawVal {
        self.values.get(index).copied().unwrap_or_default()
    }

    /// Sets a result, which overwrites the parameter of that number. Does nothing if there is none.
    pub fn set_result(&mut self, index: usize, value: RawVal) {
        if let Some(slot) = self.values.get_mut(index) {
            *slot = value;
        }
    }
}

impl Store {
    /// Makes a function of a closure. An error traps the guest that called it; so does a panic.
    ///
    /// # Errors
    /// When its trampoline cannot be made, or its type has references among the results: those only
    /// [`Store::host_func_unchecked`] can return.
    pub fn host_func(
        &self,
        type_id: TypeId,
        function: impl Fn(HostCall<'_>) -> Result<(), Trap> + Send + 'static,
    ) -> Result<FuncHandle, CodeError> {
        let ty = self.trampolines().registry().get(type_id).ok_or(CodeError::UnknownType(type_id))?;
        if ty.results.iter().any(|ty| matches!(ty, ValType::Ref(_))) {
            return Err(CodeError::ReferenceResult(type_id));
        }
        // SAFETY: there are no references among the results.
        unsafe { self.host_func_unchecked(type_id, function) }
    }

    /// Makes a function of a closure, of any type.
    ///
    /// # Errors
    /// When its trampoline cannot be made.
    ///
    /// # Safety
    /// References that the closure returns are null or of this store, and of the result's type.
    pub unsafe fn host_func_unchecked(
        &self,
        type_id: TypeId,
        function: impl Fn(HostCall<'_>) -> Result<(), Trap> + Send + 'static,
    ) -> Result<FuncHandle, CodeError> {
        let slots = self.trampolines().exit(type_id)?.slots();
        // In a box of its own, so that one word names it.
        let closure = self.own_group().keep_closure(Box::new(function));
        // SAFETY: `call_closure` finds what it expects in the two words; the store keeps the closure.
        unsafe { self.raw_host_func(type_id, call_closure, &[closure.as_ptr() as usize, slots]) }
    }

    /// Makes a function in the store's own group: see [`GroupRef::raw_host_func`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there.
    pub unsafe fn raw_host_func(
        &self,
        type_id: TypeId,
        call: HostFn,
        data: &[usize],
    ) -> Result<FuncHandle, CodeError> {
        // SAFETY: the caller's promise.
        unsafe { self.own_group().raw_host_func(type_id, call, data) }
    }

    /// Makes a function in the store's own group: see [`GroupRef::raw_func`].
    ///
    /// # Safety
    /// As there.
    pub unsafe fn raw_func(&self, func_ref: FuncRef) -> FuncHandle {
        // SAFETY: the caller's promise.
        unsafe { self.own_group().raw_func(func_ref) }
    }
}

impl GroupRef<'_> {
    /// Makes a function of the lowest form: `call` gets its [`HostContext`], behind which it finds `data`. Nothing else
    /// is allocated, and nothing is wrapped around `call`: see [`guard`](crate::guard).
    ///
    /// # Errors
    /// When its trampoline cannot be made.
    ///
    /// # Safety
    /// `call` does not unwind, reads and writes only as many values as the type has parameters and results, returns
    /// non-zero only with a trap set by [`guard`](crate::guard) or [`Store::set_pending`], and leaves references that
    /// are null or of this store and of the result's type.
    pub unsafe fn raw_host_func(
        self,
        type_id: TypeId,
        call: HostFn,
        data: &[usize],
    ) -> Result<FuncHandle, CodeError> {
        let trampoline = self.store.trampolines().exit(type_id)?;
        let mut words = Vec::with_capacity(HEADER_WORDS + data.len());
        words.extend([call as usize, self.store.context().as_ptr() as usize]);
        words.extend_from_slice(data);
        let context = self.keep_words(words);
        let func_ref =
            FuncRef { code: trampoline.code(), vmctx: context.as_ptr().cast::<c_void>(), type_id: type_id.0 };
        // SAFETY: code and context belong together, and both live as long as the group; the store keeps the cache.
        Ok(unsafe { self.raw_func(func_ref) })
    }

    /// Makes a link, a function of the form that [`link`] describes: at first, `call` makes the calls, as in
    /// [`GroupRef::raw_host_func`]. The context has the two `data` words, the two of where the link leads to, and then
    /// `more`.
    ///
    /// # Errors
    /// When a trampoline cannot be made.
    ///
    /// # Safety
    /// As for [`GroupRef::raw_host_func`]. Whoever has the link lead elsewhere sees to it that there is a function of the
    /// type, which takes this context.
    pub unsafe fn raw_link(
        self,
        type_id: TypeId,
        call: HostFn,
        data: [usize; 2],
        more: &[usize],
    ) -> Result<FuncHandle, CodeError> {
        let trampoline = self.store.trampolines().find(TrampolineKind::Link, type_id)?;
        let interpreter = self.store.trampolines().exit(type_id)?.code() as usize;
        let mut words = vec![call as usize, self.store.context().as_ptr() as usize];
        words.extend(data);
        debug_assert!(words.len() * size_of::<usize>() == link::CODE as usize);
        words.extend([interpreter, interpreter]);
        words.extend_from_slice(more);
        let context = self.keep_words(words);
        let func_ref =
            FuncRef { code: trampoline.code(), vmctx: context.as_ptr().cast::<c_void>(), type_id: type_id.0 };
        // SAFETY: code and context belong together, and both live as long as the group; the store keeps the cache.
        Ok(unsafe { self.raw_func(func_ref) })
    }

    /// Makes a built-in, a function of the form that [`builtin`] describes.
    ///
    /// # Errors
    /// When a trampoline cannot be made.
    ///
    /// # Safety
    /// What the built-in's [code](BuiltinCode) asks for; there is an activation of the form that
    /// [`activation`](tombolo_compile::vmctx::activation) describes when the function is called.
    pub unsafe fn raw_builtin(
        self,
        type_id: TypeId,
        code: BuiltinCode,
        data: [usize; 2],
    ) -> Result<FuncHandle, CodeError> {
        let trampolines = self.store.trampolines();
        let (kind, call, exit, direct) = match code {
            BuiltinCode::TaskReturn(call) => {
                let exit = trampolines.exit(type_id)?.code() as usize;
                (TrampolineKind::TaskReturn, call as usize, exit, 0)
            }
            BuiltinCode::Context(slot) => (TrampolineKind::Context(slot), 0, 0, 0),
            BuiltinCode::Direct(direct) => (TrampolineKind::Direct, 0, 0, direct as usize),
        };
        let trampoline = trampolines.find(kind, type_id)?;
        let mut words = vec![call, self.store.context().as_ptr() as usize];
        words.extend(data);
        debug_assert!(words.len() * size_of::<usize>() == builtin::EXIT as usize);
        words.extend([exit, direct]);
        let context = self.keep_words(words);
        let func_ref =
            FuncRef { code: trampoline.code(), vmctx: context.as_ptr().cast::<c_void>(), type_id: type_id.0 };
        // SAFETY: code and context belong together, and both live as long as the group; the store keeps the cache.
        Ok(unsafe { self.raw_func(func_ref) })
    }

    /// Makes a function of code that somebody else compiled.
    ///
    /// # Safety
    /// `func_ref` is a function in the convention of compiled code, of the type it says; code and context live as long
    /// as the group.
    pub unsafe fn raw_func(self, func_ref: FuncRef) -> FuncHandle {
        FuncHandle { pointer: self.keep_func_ref(func_ref), store: self.store.id() }
    }
}

/// Words of a [`HostContext`] before its data.
const HEADER_WORDS: usize = size_of::<HostContext>() / size_of::<usize>();

/// The `call` of a function that is a closure. Data words: the closure's address, and the number of values.
unsafe extern "sysv64" fn call_closure(host: *mut HostContext, values: *mut RawVal) -> usize {
    // SAFETY: compiled code calls with the context that `host_func_unchecked` made, whose closure the store keeps, and
    // with as many values as the type's trampoline has slots.
    unsafe {
        let data = HostContext::data(host);
        let closure = &*(data.read() as *const Closure);
        let values = std::slice::from_raw_parts_mut(values, data.add(1).read());
        entry::guard(host, |store| closure(HostCall { store, values }))
    }
}
