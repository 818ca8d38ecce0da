//! One guest's side of a call: its memory, its `realloc` and its handles behind the Canonical ABI's traits.
#![allow(unsafe_code, reason = "reads and writes guest memory; each block says why it may")]

use std::sync::Arc;

use tombolo_tasks::{Door, EndId, InstanceId, Lenders, SubtaskId, TaskId, Trap};
use tombolo_types::component::{Def, DefId, PtrWidth, ResourceIdx};
use tombolo_vm::{FuncHandle, MemoryHandle, RawVal, Trampoline};

use super::Island;
use super::activation::Activation;
use super::core::StoreCore;
use super::env::{ElementOf, Env};
use crate::abi::{Bridge, Encoding, Handle, LiftSide, LowerSide, check_realloc};
use crate::async_value::ErrorContextAny;
use crate::error::{Error, Result, TrapCode, TrapReason};
use crate::resource::{ResourceAny, ResourceType};

/// A core function and the trampoline through which the host calls it.
#[derive(Clone)]
pub(crate) struct Callable {
    pub func: FuncHandle,
    pub trampoline: Trampoline,
}

/// A component instance as one function's canonical options see it.
#[derive(Clone)]
pub(crate) struct Guest {
    pub island: Arc<Island>,
    pub instance: InstanceId,
    pub door: Door,
    pub env: Arc<Env>,
    pub encoding: Encoding,
    pub width: PtrWidth,
    pub memory: Option<MemoryHandle>,
    pub realloc: Option<Callable>,
}

/// Who is responsible for the handles that are lent while values are lifted.
pub(crate) enum Scope<'a> {
    /// Nothing can be lent: results, stream elements.
    None,
    Subtask(SubtaskId),
    Lenders(&'a mut Lenders),
}

/// Whose the borrowed handles are that are lowered into a guest.
pub(crate) enum Borrower<'a> {
    /// Nothing can be borrowed: results, stream elements.
    Nobody,
    Task(TaskId),
    Activation(&'a Activation<'a>),
}

impl From<Option<TaskId>> for Borrower<'_> {
    fn from(task: Option<TaskId>) -> Self {
        task.map_or(Borrower::Nobody, Borrower::Task)
    }
}

impl<'a> From<&'a Activation<'a>> for Borrower<'a> {
    fn from(activation: &'a Activation<'a>) -> Self {
        Borrower::Activation(activation)
    }
}

impl Guest {
    /// The guest as a source of values.
    #[inline]
    pub fn lift<'a>(&'a self, core: &'a StoreCore, scope: Scope<'a>) -> GuestLift<'a> {
        GuestLift { core, guest: self, scope, lifted: 0 }
    }

    /// The guest as a target of values; borrows belong to `task`.
    #[inline]
    pub fn lower<'a>(&'a self, core: &'a StoreCore, task: impl Into<Borrower<'a>>) -> GuestLower<'a> {
        GuestLower { core, guest: self, borrower: task.into() }
    }

    /// The guest's memory; empty once its island has ended.
    #[inline]
    pub fn bytes<'a>(&self, core: &'a StoreCore) -> &'a [u8] {
        // SAFETY: the memory belongs to this store, and nothing in it runs or grows while the Canonical ABI holds
        // the slice: each user drops it before it calls the guest. It is freed after its island has ended, when no guest
        // runs.
        self.live_memory().map_or(&[], |memory| unsafe { memory.bytes(&core.vm) })
    }

    /// The guest's memory, to write to.
    #[allow(clippy::mut_from_ref, reason = "the memory lies outside of Rust's objects")]
    #[inline]
    pub fn bytes_mut<'a>(&self, core: &'a StoreCore) -> &'a mut [u8] {
        // SAFETY: as in `bytes`, and each user holds no other slice of this store's memories while it writes.
        self.live_memory().map_or(&mut [], |memory| unsafe { memory.bytes_mut(&core.vm) })
    }

    #[inline]
    fn live_memory(&self) -> Option<MemoryHandle> {
        if self.door.is_dead() { None } else { self.memory }
    }

    /// Fails if the guest's island has ended.
    #[inline]
    pub fn check_alive(&self) -> Result<()> {
        if self.door.is_dead() { self.island.check() } else { Ok(()) }
    }

    /// Calls the guest's `realloc` and checks what it returns.
    pub fn realloc(
        &self,
        core: &StoreCore,
        old: u64,
        old_size: u64,
        align: u32,
        new_size: u64,
    ) -> Result<u64> {
        let Some(realloc) = &self.realloc else {
            return Err(Error::abi("values must be stored in a guest's memory, but it names no `realloc`"));
        };
        let value = |v: u64| match self.width {
            PtrWidth::Bits32 => RawVal::from_u32(v as u32),
            PtrWidth::Bits64 => RawVal::from_u64(v),
        };
        self.check_alive()?;
        let mut values = [value(old), value(old_size), value(align.into()), value(new_size)];
        let activation = Activation::of_realloc(self.instance);
        core.activate(&activation, || self.without_leaving(|| core.call(realloc, &mut values)))?;
        let ptr = self.pointer(values.first());
        let len = self.bytes(core).len() as u64;
        check_realloc(ptr, new_size, align, len)?;
        Ok(ptr)
    }

    /// Runs `f` while the instance may not call out of itself.
    #[inline]
    pub fn without_leaving<R>(&self, f: impl FnOnce() -> R) -> R {
        self.door.set_may_leave(false);
        let result = f();
        self.door.set_may_leave(true);
        result
    }

    /// Traps unless the instance may call out of itself (`may_leave`).
    #[inline]
    pub fn check_may_leave(&self) -> Result<()> {
        if self.door.may_leave() { Ok(()) } else { Err(Trap::CannotLeave.into()) }
    }

    /// A core value as a pointer into this guest's memory.
    pub fn pointer(&self, value: Option<&RawVal>) -> u64 {
        let value = value.copied().unwrap_or_default();
        match self.width {
            PtrWidth::Bits32 => value.u32().into(),
            PtrWidth::Bits64 => value.u64(),
        }
    }

    fn element(&self, def: DefId) -> ElementOf<'_> {
        ElementOf::new(&self.env, self.env.types.def(def))
    }
}

/// Bytes that one call may make the host hold as values, whatever the guest's budget.
const MOST_LIFTED: usize = 256 << 20;

/// A guest as a source of values.
pub(crate) struct GuestLift<'a> {
    pub core: &'a StoreCore,
    pub guest: &'a Guest,
    scope: Scope<'a>,
    /// Bytes that the host holds for it, as values.
    pub lifted: usize,
}

impl LiftSide for GuestLift<'_> {
    fn width(&self) -> PtrWidth {
        self.guest.width
    }

    fn encoding(&self) -> Encoding {
        self.guest.encoding
    }

    fn memory(&self) -> &[u8] {
        self.guest.bytes(self.core)
    }

    fn check_interrupt(&self) -> Result<()> {
        self.core.check_interrupt()
    }

    fn charge(&mut self, bytes: usize) -> Result<()> {
        let lifted = self.lifted.saturating_add(bytes);
        if lifted > MOST_LIFTED {
            return Err(Error::abi(format!(
                "a call passes more than {MOST_LIFTED} bytes of values to the host"
            )));
        }
        let budget = &self.guest.island.budget;
        if lifted as u64 > budget.left() {
            return Err(Trap::BudgetExceeded(budget.limit()).into());
        }
        self.lifted = lifted;
        Ok(())
    }

    fn lift_own(&mut self, resource: ResourceIdx, index: u32) -> Result<ResourceAny> {
        let ty = self.guest.env.resource(resource)?;
        let rep = self.core.tasks.borrow_mut().lift_own(self.guest.instance, ty, index)?;
        Ok(ResourceAny { ty, rep, owned: true })
    }

    fn lift_borrow(&mut self, resource: ResourceIdx, index: u32) -> Result<ResourceAny> {
        let ty = self.guest.env.resource(resource)?;
        let mut tasks = self.core.tasks.borrow_mut();
        let rep = match &mut self.scope {
            Scope::None => return Err(Error::abi("a borrow handle where none can be lent")),
            Scope::Subtask(subtask) => tasks.lift_borrow(self.guest.instance, ty, index, *subtask)?,
            Scope::Lenders(lenders) => tasks.lift_borrow(self.guest.instance, ty, index, &mut **lenders)?,
        };
        Ok(ResourceAny { ty, rep, owned: false })
    }

    fn lift_async_value(&mut self, def: DefId, index: u32) -> Result<Handle> {
        let kind = match self.guest.env.types.def(def) {
            Def::Future(_) => tombolo_tasks::EndKind::FutureReadable,
            _ => tombolo_tasks::EndKind::StreamReadable,
        };
        let element = self.guest.element(def);
        let end = self.core.tasks.borrow_mut().lift_readable(self.guest.instance, index, kind, &element)?;
        Ok(handle_of(end))
    }

    fn lift_error_context(&mut self, index: u32) -> Result<ErrorContextAny> {
        let context = self.core.tasks.borrow().lift_error_context(self.guest.instance, index)?;
        Ok(ErrorContextAny(context))
    }
}

/// A guest as a target of values.
pub(crate) struct GuestLower<'a> {
    pub core: &'a StoreCore,
    pub guest: &'a Guest,
    borrower: Borrower<'a>,
}

impl LowerSide for GuestLower<'_> {
    fn width(&self) -> PtrWidth {
        self.guest.width
    }

    fn encoding(&self) -> Encoding {
        self.guest.encoding
    }

    fn memory(&mut self) -> &mut [u8] {
        self.guest.bytes_mut(self.core)
    }

    fn check_interrupt(&self) -> Result<()> {
        self.core.check_interrupt()
    }

    fn realloc(&mut self, old: u64, old_size: u64, align: u32, new_size: u64) -> Result<u64> {
        self.guest.realloc(self.core, old, old_size, align, new_size)
    }

    fn lower_own(&mut self, resource: ResourceIdx, value: &ResourceAny) -> Result<u32> {
        let ty = self.guest.env.resource(resource)?;
        self.check(resource, ty, value)?;
        Ok(self.core.tasks.borrow_mut().lower_own(self.guest.instance, ty, value.rep)?)
    }

    fn lower_borrow(&mut self, resource: ResourceIdx, value: &ResourceAny) -> Result<u32> {
        let ty = self.guest.env.resource(resource)?;
        self.check(resource, ty, value)?;
        if self.core.implements(self.guest.instance, ty) {
            return rep_as_borrow(value.rep);
        }
        let task = match self.borrower {
            Borrower::Nobody => return Err(Error::abi("a borrow handle can only be passed as a parameter")),
            Borrower::Task(task) => task,
            Borrower::Activation(activation) => {
                let thread = self.core.thread_of(activation)?;
                self.core.tasks.borrow().thread_scope(thread)?.0
            }
        };
        Ok(self.core.tasks.borrow_mut().lower_borrow(self.guest.instance, ty, value.rep, task)?)
    }

    fn lower_async_value(&mut self, def: DefId, value: Handle) -> Result<u32> {
        let end = end_of(value)?;
        let element = self.guest.element(def);
        let mut tasks = self.core.tasks.borrow_mut();
        let (kind, found) = tasks.end_type(end)?;
        let is_stream = matches!(self.guest.env.types.def(def), Def::Stream(_));
        if kind.is_stream() != is_stream || *found != element {
            let what = if is_stream { "stream" } else { "future" };
            return Err(Error::mismatch(what, "its elements are of another type than the guest expects"));
        }
        if found.env.is_none() {
            tasks.set_element(end, element.into())?;
        }
        if let Some(other) = tasks.other_end(end)? {
            self.core.charge_end(other, &self.guest.island.budget)?;
        }
        Ok(tasks.lower_readable(self.guest.instance, end)?)
    }

    fn lower_error_context(&mut self, value: &ErrorContextAny) -> Result<u32> {
        Ok(self.core.tasks.borrow_mut().lower_error_context(self.guest.instance, value.0.clone())?)
    }
}

impl GuestLower<'_> {
    #[inline]
    fn check(&self, resource: ResourceIdx, ty: ResourceType, value: &ResourceAny) -> Result<()> {
        if ty == value.ty { Ok(()) } else { Err(self.wrong_resource(resource)) }
    }

    #[cold]
    fn wrong_resource(&self, resource: ResourceIdx) -> Error {
        let name = self.guest.env.types.resource_name(resource);
        Error::mismatch(format!("resource `{name}`"), "the value is a resource of another type")
    }
}

/// What the component that defines a resource gets for a borrow of it: its representation, in the `i32` that a borrow is.
pub(super) fn rep_as_borrow(rep: u64) -> Result<u32> {
    let too_wide = |_| {
        Error::abi(format!(
            "a borrow was passed to the component that defines the resource, whose representation {rep:#x} does not fit the `i32` of a borrow"
        ))
    };
    u32::try_from(rep).map_err(too_wide)
}

/// Why values could not be carried over, and whose fault it was.
pub(crate) struct Fault {
    pub error: Error,
    pub instance: InstanceId,
}

/// Two guests of one store.
pub(crate) struct GuestBridge<'a> {
    pub from: GuestLift<'a>,
    pub to: GuestLower<'a>,
    /// Whether it was the target that was worked on last, and so is at fault if that failed.
    to_last: bool,
}

impl<'a> GuestBridge<'a> {
    pub fn new(from: GuestLift<'a>, to: GuestLower<'a>) -> Self {
        GuestBridge { from, to, to_last: false }
    }

    /// The instance at fault for an error; `runner` is the one whose time it was.
    pub fn at_fault(&self, error: Error, runner: InstanceId) -> Fault {
        let (from, to) = (self.from.guest, self.to.guest);
        let last = if self.to_last { to } else { from };
        // One that has ended meanwhile has no memory any more: other errors are of that.
        let ended = [last, from, to].into_iter().find(|guest| guest.door.is_dead());
        if let Some(ended) = ended {
            let error = ended.island.error().unwrap_or(error);
            return Fault { error, instance: ended.instance };
        }
        let instance = match error.trap().map(|trap| &trap.reason) {
            Some(TrapReason::Core(TrapCode::Interrupted)) => runner,
            _ => last.instance,
        };
        Fault { error, instance }
    }
}

impl Bridge for GuestBridge<'_> {
    fn source(&mut self) -> &mut dyn LiftSide {
        self.to_last = false;
        &mut self.from
    }

    fn target(&mut self) -> &mut dyn LowerSide {
        self.to_last = true;
        &mut self.to
    }

    fn copy(&mut self, from: u64, to: u64, len: u64) -> Result<()> {
        copy_between(self.from.core, self.from.guest, from, self.to.guest, to, len)
    }
}

/// Copies bytes from one guest's memory to another's, or within one.
pub(crate) fn copy_between(
    core: &StoreCore,
    from: &Guest,
    from_ptr: u64,
    to: &Guest,
    to_ptr: u64,
    len: u64,
) -> Result<()> {
    let range = |ptr: u64, size: usize| {
        let end = ptr.checked_add(len).filter(|end| *end <= size as u64);
        end.map(|_| ptr as usize)
            .ok_or_else(|| Error::abi(format!("{len} bytes at {ptr:#x} are out of bounds")))
    };
    let source = from.bytes(core);
    let at = range(from_ptr, source.len())?;
    let source = source.as_ptr();
    let target = to.bytes_mut(core);
    let target_at = range(to_ptr, target.len())?;
    // SAFETY: both ranges were checked against memories that do not move and from which nothing is taken away; guests do
    // not run before the copy is done.
    unsafe { core.vm.copy(source.add(at), target.as_mut_ptr().add(target_at), len as usize) }
        .map_err(Error::raised)
}

/// A stream or future end as the Canonical ABI carries it.
#[inline]
pub(crate) fn handle_of(end: EndId) -> Handle {
    let bits = end.to_bits();
    Handle(bits as u32, (bits >> 32) as u32)
}

/// The end that a handle stands for.
#[inline]
pub(crate) fn end_of(handle: Handle) -> Result<EndId> {
    EndId::from_bits(u64::from(handle.1) << 32 | u64::from(handle.0))
        .ok_or_else(|| Error::usage("this stream or future is closed"))
}
