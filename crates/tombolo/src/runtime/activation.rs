//! Activations: the calls into component instances that are under way (CanonicalABI.md, "Threads" and "Tasks").
//!
//! The store points at the innermost one. It lies on the native stack, in the frame of whoever made the call, and links
//! to the one that it interrupted. Most calls end without anybody asking for their task or thread; such a call is its
//! activation and nothing else. [`StoreCore::current_thread`] makes task and thread when somebody asks after all: the
//! specification lets an implementation allocate them lazily.
//!
//! Compiled code makes activations too, at the offsets of [`tombolo_compile::vmctx::activation`].
//!
//! # Why the unsafe code is sound
//!
//! The store's pointer is null or that of a live activation: whoever links one unlinks it before its frame is left
//! ([`Linked`] on every way out, adapters when they return). A trap cuts compiled frames off without that, but all of
//! them up to an entry of the host, and the host restores the pointer that it had there ([`StoreCore::call`]). A thread on a
//! fiber has its activation there, innermost while the fiber is suspended; whoever resumes the fiber restores its own.
#![allow(unsafe_code, reason = "follows the pointer to the activation that runs; see above")]

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use tombolo_compile::vmctx::activation;
use tombolo_tasks::{InstanceId, SubtaskId, SubtaskState, TaskId, ThreadId, Trap};
use tombolo_vm::HostContext;

use super::core::StoreCore;
use super::func::LiftedFunc;
use super::thread::BLOCKED;
use super::{Caller, Island, TaskData, ThreadData};
use crate::ended::EndCause;
use crate::error::{Error, Result};

/// A call into a component instance.
#[repr(C)]
pub(crate) struct Activation<'a> {
    previous: Cell<*const Activation<'static>>,
    func: Cell<*const LiftedFunc>,
    context: [Cell<u64>; 2],
    thread: Cell<u64>,
    /// What a call of an `async` function through an adapter has, and others do not: see `lazy.rs`.
    link: Cell<*mut HostContext>,
    /// Not set by adapters where there is a function.
    instance: Cell<u64>,
    pub(super) value: Cell<u64>,
    subtask: Cell<u64>,
    lent: Cell<*mut u32>,
    lends: Cell<u32>,
    state: Cell<u32>,
    /// The function lives as long.
    borrowed: PhantomData<&'a LiftedFunc>,
}

const _: () = {
    assert!(offset_of!(Activation, previous) == activation::PREVIOUS as usize);
    assert!(offset_of!(Activation, func) == activation::FUNC as usize);
    assert!(offset_of!(Activation, context) == activation::CONTEXT as usize);
    assert!(offset_of!(Activation, thread) == activation::THREAD as usize);
    assert!(offset_of!(Activation, instance) == activation::INSTANCE as usize);
    assert!(offset_of!(Activation, link) == activation::LINK as usize);
    assert!(offset_of!(Activation, value) == activation::VALUE as usize);
    assert!(offset_of!(Activation, subtask) == activation::SUBTASK as usize);
    assert!(offset_of!(Activation, lent) == activation::LENT as usize);
    assert!(offset_of!(Activation, lends) == activation::LENDS as usize);
    assert!(offset_of!(Activation, state) == activation::STATE as usize);
    assert!(size_of::<Activation>() == activation::SIZE as usize);
};

impl<'a> Activation<'a> {
    fn new(func: *const LiftedFunc, thread: u64, instance: u64, context: [u64; 2]) -> Self {
        Activation {
            previous: Cell::new(ptr::null()),
            func: Cell::new(func),
            context: [Cell::new(context[0]), Cell::new(context[1])],
            thread: Cell::new(thread),
            instance: Cell::new(instance),
            link: Cell::new(ptr::null_mut()),
            value: Cell::new(0),
            subtask: Cell::new(0),
            lent: Cell::new(ptr::null_mut()),
            lends: Cell::new(0),
            state: Cell::new(0),
            borrowed: PhantomData,
        }
    }

    /// A call of a lifted function.
    pub fn of_func(func: &'a Arc<LiftedFunc>) -> Self {
        Activation::new(Arc::as_ptr(func), 0, 0, [0; 2])
    }

    /// Core code of an instance that is no component function, called like one.
    pub fn of_instance(instance: InstanceId) -> Self {
        Activation::new(ptr::null(), 0, instance.to_bits(), [0; 2])
    }

    /// A thread that exists.
    pub fn of_thread(thread: ThreadId, instance: InstanceId, context: [u64; 2]) -> Self {
        Activation::new(ptr::null(), thread.to_bits(), instance.to_bits(), context)
    }

    /// A call of an instance's `realloc`, in which nobody may ask for the thread.
    pub fn of_realloc(instance: InstanceId) -> Self {
        Activation::new(ptr::null(), activation::NO_THREAD, instance.to_bits(), [0; 2])
    }

    /// The thread's storage.
    pub fn context(&self) -> [u64; 2] {
        [self.context[0].get(), self.context[1].get()]
    }

    /// A call that an adapter has prepared, to go on elsewhere.
    ///
    /// What it has lent stays where it is.
    pub(super) fn moved(&self) -> Activation<'a> {
        let copy = Activation::new(self.func.get(), self.thread.get(), self.instance.get(), self.context());
        copy.copy_call(self);
        copy.lent.set(self.lent.get());
        copy.lends.set(self.lends.get());
        copy
    }

    /// Notes how far the call has come elsewhere.
    pub(super) fn copy_call(&self, other: &Activation<'_>) {
        self.thread.set(other.thread.get());
        for (to, from) in self.context.iter().zip(other.context()) {
            to.set(from);
        }
        self.link.set(other.link.get());
        self.value.set(other.value.get());
        self.subtask.set(other.subtask.get());
        self.state.set(other.state.get());
    }

    /// The link of the `async` function that is called.
    pub(super) fn link(&self) -> *mut HostContext {
        self.link.get()
    }

    /// The link of an `async` call that has neither returned its result nor been asked for its thread.
    pub(super) fn lazy_link(&self) -> Option<Link> {
        let lazy = self.thread.get() == 0 && !self.has_returned();
        NonNull::new(self.link.get()).filter(|_| lazy).map(Link)
    }

    /// Whether whoever made the call is still there: nobody has left its stack since.
    pub(super) fn has_caller(&self) -> bool {
        !self.previous.get().is_null()
    }

    pub(super) fn has_returned(&self) -> bool {
        self.state.get() & activation::RETURNED != 0
    }

    pub(super) fn set_returned(&self) {
        self.state.set(self.state.get() | activation::RETURNED);
    }

    pub(super) fn is_on_fiber(&self) -> bool {
        self.state.get() & activation::ON_FIBER != 0
    }

    /// The subtask of the call, if somebody asked for it or for the task.
    pub(super) fn subtask(&self) -> Option<SubtaskId> {
        // Adapters of other functions leave the fields behind the link as they are.
        if self.link.get().is_null() { None } else { SubtaskId::from_bits(self.subtask.get()) }
    }

    /// Notes that the callee does not run on its fiber any more.
    pub(super) fn left_fiber(&self) {
        self.state.set(self.state.get() & !activation::ON_FIBER);
    }

    /// Notes task and subtask of the call, which were made of it, and its instance.
    pub(super) fn set_call(&self, instance: InstanceId, thread: ThreadId, subtask: Option<SubtaskId>) {
        self.instance.set(instance.to_bits());
        self.thread.set(thread.to_bits());
        self.subtask.set(subtask.map_or(0, SubtaskId::to_bits));
    }

    /// The places of the handles that the call has lent.
    pub(super) fn lent(&self) -> &[Cell<u32>] {
        let (lent, lends) = (self.lent.get(), self.lends.get() as usize);
        if lent.is_null() || lends == 0 {
            return &[];
        }
        // SAFETY: the adapter keeps so many places, in a frame that is there as long as the call has no subtask.
        unsafe { std::slice::from_raw_parts(lent.cast(), lends) }
    }

    /// The component function, if it is a call of one that has no thread of its own.
    fn func(&self) -> Option<&LiftedFunc> {
        // SAFETY: an activation's function is in an `Arc` that outlives the call.
        unsafe { self.func.get().as_ref() }
    }

    /// The activation that this one interrupted.
    pub(super) fn outer(&self) -> Option<&Activation<'static>> {
        // SAFETY: it is null or that of a live activation; see the module.
        unsafe { self.previous.get().as_ref() }
    }

    /// The thread, if somebody asked for it.
    pub fn thread(&self) -> Option<ThreadId> {
        ThreadId::from_bits(self.thread.get())
    }
}

/// The link of a call that is under way.
#[derive(Clone, Copy)]
pub(super) struct Link(pub(super) NonNull<HostContext>);

/// Unlinks an activation.
struct Linked<'a> {
    core: &'a StoreCore,
    activation: &'a Activation<'a>,
}

impl Drop for Linked<'_> {
    fn drop(&mut self) {
        self.core.vm.set_activation(self.activation.previous.get().cast_mut().cast());
    }
}

impl StoreCore {
    /// Runs `f` in an activation.
    #[inline]
    pub fn activate<R>(&self, activation: &Activation<'_>, f: impl FnOnce() -> R) -> R {
        activation.previous.set(self.vm.activation().cast_const().cast());
        self.vm.set_activation(ptr::from_ref(activation).cast_mut().cast());
        let _linked = Linked { core: self, activation };
        f()
    }

    /// Runs `f`, which goes on with a thread or begins one, and comes back to the activation that runs now.
    pub fn apart<R>(&self, f: impl FnOnce() -> R) -> R {
        let activation = self.vm.activation();
        let result = f();
        self.vm.set_activation(activation);
        result
    }

    /// Leaves the fiber that runs now, with what is on it, and goes on with it once it is resumed.
    ///
    /// # Safety
    /// As for [`tombolo_vm::Store::suspend`].
    pub unsafe fn suspend(&self) -> Result<()> {
        let activation = self.vm.activation();
        // SAFETY: the caller's promise.
        let resumed = unsafe { self.vm.suspend(BLOCKED) };
        self.vm.set_activation(activation);
        if let Some(activation) = self.activation() {
            // Whoever began the fiber may be gone, with the function; who resumed it comes back to its own.
            activation.previous.set(ptr::null());
            activation.func.set(ptr::null());
        }
        resumed.map(drop).map_err(|_| Error::cancelled())
    }

    /// The innermost activation.
    #[inline]
    pub fn activation(&self) -> Option<&Activation<'_>> {
        // SAFETY: it is null or that of a live activation; see the module.
        unsafe { self.vm.activation().cast_const().cast::<Activation<'_>>().as_ref() }
    }

    /// The thread that runs now.
    pub fn current_thread(&self) -> Result<ThreadId> {
        match self.activation() {
            Some(activation) => self.thread_of(activation),
            None => Err(Trap::CannotLeave.into()),
        }
    }

    /// The task that runs now.
    pub fn current_task(&self) -> Result<TaskId> {
        let thread = self.current_thread()?;
        Ok(self.tasks.borrow().thread_scope(thread)?.0)
    }

    /// The thread of an activation, which is made if need be.
    pub fn thread_of(&self, activation: &Activation<'_>) -> Result<ThreadId> {
        match activation.thread.get() {
            0 => {}
            thread => return Ok(ThreadId::from_bits(thread).ok_or(Trap::CannotLeave)?),
        }
        if !activation.link().is_null() {
            return self.thread_of_call(activation);
        }
        let func = activation.func.get();
        let (instance, func) = if func.is_null() {
            (InstanceId::from_bits(activation.instance.get()).ok_or(Trap::CannotLeave)?, None)
        } else {
            // SAFETY: an activation's function is in an `Arc` that outlives the call.
            let func = unsafe {
                Arc::increment_strong_count(func);
                Arc::from_raw(func)
            };
            (func.guest.instance, Some(func))
        };
        let data = TaskData { func, caller: Caller::Nobody };
        let (_, thread) = self.tasks.borrow_mut().begin_sync(instance, data, ThreadData::OnStack)?;
        activation.thread.set(thread.to_bits());
        Ok(thread)
    }

    /// The component instance that runs now.
    pub(super) fn running(&self) -> Option<InstanceId> {
        let activation = self.activation()?;
        match activation.func() {
            Some(func) => Some(func.guest.instance),
            None => InstanceId::from_bits(activation.instance.get()),
        }
    }

    /// The islands of the innermost activations, out to the first that is not below an address; each once, but for those
    /// that have ended.
    pub(super) fn islands_below(&self, above: usize) -> Vec<Arc<Island>> {
        let mut islands: Vec<Arc<Island>> = Vec::new();
        let mut next = self.activation();
        while let Some(activation) = next
            && ptr::from_ref(activation).addr() < above
        {
            if let Some(island) = self.island_at(activation)
                && !islands.iter().any(|known| Arc::ptr_eq(known, &island))
            {
                islands.push(island);
            }
            next = activation.outer();
        }
        islands
    }

    /// The island of the innermost activation, unless it has ended.
    pub(super) fn running_island(&self) -> Option<Arc<Island>> {
        self.island_at(self.activation()?)
    }

    /// The island that an activation runs in, unless it has ended.
    fn island_at(&self, activation: &Activation<'_>) -> Option<Arc<Island>> {
        let island = match activation.func() {
            Some(func) => Some(func.guest.island.clone()),
            None => self.island_of(InstanceId::from_bits(activation.instance.get())?),
        };
        island.filter(|island| island.ended().is_none())
    }

    /// The error of an activation whose island has ended.
    pub(super) fn ended_of(&self, activation: &Activation<'_>) -> Option<Error> {
        match activation.func() {
            Some(func) => func.guest.island.error(),
            None => {
                let instance = InstanceId::from_bits(activation.instance.get())?;
                self.islands.borrow().dead_with(instance).and_then(|island| island.error())
            }
        }
    }

    /// Sees to it that callees of islands that have ended do not return into them: adapters ask when the callee has a
    /// thread, and all others always do.
    pub(super) fn make_callees_return(&self) {
        let mut next = self.activation();
        while let Some(activation) = next {
            next = activation.outer();
            if let (Some(_), Some(caller)) = (activation.func(), next)
                && self.ended_of(caller).is_some()
                && activation.thread.get() == 0
                && let Some(island) = self.island_at(activation)
                && let Err(error) = self.thread_of(activation)
            {
                self.end_island(&island, EndCause::Failed(error));
            }
        }
    }

    /// The callee of an activation has returned: its task, if there is one, resolves (`Task.return_`).
    #[inline]
    pub fn activation_returned(&self, activation: &Activation<'_>) -> Result<()> {
        match activation.thread() {
            None => Ok(()),
            Some(thread) => {
                let mut tasks = self.tasks.borrow_mut();
                let (task, _) = tasks.thread_scope(thread)?;
                tasks.task_return(task)?;
                let Some(subtask) = activation.subtask() else { return Ok(()) };
                match tasks.subtask_mut(subtask) {
                    Ok(data) => {
                        // What is passed in memory is there already.
                        data.value = activation.value.get();
                        Ok(tasks.subtask_resolve(subtask, SubtaskState::Returned)?)
                    }
                    // A caller that is gone does not mind.
                    Err(Trap::Gone(_)) => Ok(()),
                    Err(trap) => Err(trap.into()),
                }
            }
        }
    }

    /// The callee of an activation is done: its thread, if there is one, exits (`Task.exit_implicit_thread`).
    #[inline]
    pub fn activation_done(&self, activation: &Activation<'_>) -> Result<()> {
        match activation.thread() {
            None => Ok(()),
            Some(thread) => {
                let mut tasks = self.tasks.borrow_mut();
                let (task, _) = tasks.thread_scope(thread)?;
                tasks.exit_implicit_thread(task, thread)?;
                Ok(())
            }
        }
    }
}
