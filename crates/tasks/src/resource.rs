//! Resource handles (CanonicalABI.md, "Resource State").
//!
//! Invariants: a handle's `num_lends` counts its entries in the lend scopes of unfinished calls, and a handle
//! that is lent stays where it is, so lend scopes may name it by index; a borrow's scope counts it in
//! `num_borrows` until it is dropped.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::embedder::Embedder;
use crate::handle_table::Handle;
use crate::id::{InstanceId, SubtaskId, TaskId};
use crate::instance::{Cost, Instance};
use crate::store::Store;
use crate::trap::{HandleKind, Trap};

/// An owned or borrowed resource in an instance's handle table.
pub(crate) struct ResourceHandle<E: Embedder> {
    pub(crate) rt: E::Resource,
    /// The lower half; see [`Instance::high_reps`].
    rep: u32,
    /// The task whose call the borrow is limited to; `None` for an own.
    pub(crate) borrow_scope: Option<TaskId>,
    pub(crate) num_lends: u32,
}

impl<E: Embedder> ResourceHandle<E> {
    pub(crate) fn is_own(&self) -> bool {
        self.borrow_scope.is_none()
    }

    /// What it stands for.
    #[inline]
    pub(crate) fn rep(&self, index: u32, high_reps: &BTreeMap<u32, u32>) -> u64 {
        let high = if high_reps.is_empty() { None } else { high_reps.get(&index) };
        u64::from(self.rep) | u64::from(high.copied().unwrap_or(0)) << 32
    }
}

impl<E: Embedder> Instance<E> {
    /// Adds a handle for a resource.
    #[inline]
    fn add_resource(&mut self, rt: E::Resource, rep: u64, scope: Option<TaskId>) -> Result<u32, Trap> {
        let resource = ResourceHandle { rt, rep: rep as u32, borrow_scope: scope, num_lends: 0 };
        let index = self.add_handle(Handle::Resource(resource))?;
        if rep > u64::from(u32::MAX) {
            self.add_high_rep(index, rep)?;
        }
        Ok(index)
    }

    #[cold]
    fn add_high_rep(&mut self, index: u32, rep: u64) -> Result<(), Trap> {
        self.charge(Cost::<E>::HIGH_REP).inspect_err(|_| self.discard_handle(index))?;
        self.high_reps.insert(index, (rep >> 32) as u32);
        Ok(())
    }

    /// Removes the handle of a resource.
    #[inline]
    fn discard_resource(&mut self, index: u32) {
        self.discard_handle(index);
        if !self.high_reps.is_empty() && self.high_reps.remove(&index).is_some() {
            self.uncharge(Cost::<E>::HIGH_REP);
        }
    }
}

/// The handles that one call has borrowed from its caller.
///
/// It lives on the native stack for a call that does not block, and moves into the [subtask](SubtaskId) of one
/// that does ([`Store::subtask_add_lenders`]). It must be given back to [`Store::release_lenders`]: until then
/// its handles can be neither dropped nor passed on.
#[derive(Debug, Default)]
#[must_use = "the handles stay lent until the lenders are released"]
pub struct Lenders {
    pub(crate) handles: SmallVec<[u32; 4]>,
}

impl Lenders {
    /// Creates an empty scope.
    #[inline]
    pub fn new() -> Self {
        Lenders { handles: SmallVec::new() }
    }

    /// Says whether nothing was lent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }
}

/// Handles that were lent by [`Store::lend`].
impl FromIterator<u32> for Lenders {
    fn from_iter<I: IntoIterator<Item = u32>>(handles: I) -> Self {
        Lenders { handles: handles.into_iter().collect() }
    }
}

/// Where [`Store::lift_borrow`] notes the lend.
#[derive(Debug)]
pub enum LendScope<'a> {
    /// A call that has a subtask.
    Subtask(SubtaskId),
    /// A call that has none (yet).
    Lenders(&'a mut Lenders),
}

impl From<SubtaskId> for LendScope<'_> {
    fn from(subtask: SubtaskId) -> Self {
        LendScope::Subtask(subtask)
    }
}

impl<'a> From<&'a mut Lenders> for LendScope<'a> {
    fn from(lenders: &'a mut Lenders) -> Self {
        LendScope::Lenders(lenders)
    }
}

/// What [`Store::resource_drop`] took out of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// An own: the runtime calls the resource type's destructor with the representation.
    Own {
        /// The resource's representation.
        rep: u64,
    },
    /// A borrow: there is nothing more to do.
    Borrow,
}

/// Why a handle can be neither lent nor taken.
enum Refused {
    Trap(Trap),
    /// There is no resource at that index.
    NoResource,
}

impl From<Trap> for Refused {
    fn from(trap: Trap) -> Self {
        Refused::Trap(trap)
    }
}

impl<E: Embedder> Instance<E> {
    /// Counts one more lend of a handle and returns what it stands for.
    #[inline]
    fn lend(&mut self, rt: E::Resource, index: u32) -> Result<u64, Refused> {
        self.charge(Cost::<E>::LEND)?;
        let why = match self.handles.get_mut(index) {
            Some(Handle::Resource(resource)) if resource.rt == rt => {
                match resource.num_lends.checked_add(1) {
                    Some(num_lends) => {
                        resource.num_lends = num_lends;
                        return Ok(resource.rep(index, &self.high_reps));
                    }
                    None => Refused::Trap(Trap::TooManyLends(index)),
                }
            }
            Some(Handle::Resource(_)) => Refused::Trap(Trap::WrongResource(index)),
            _ => Refused::NoResource,
        };
        self.uncharge(Cost::<E>::LEND);
        Err(why)
    }

    /// Removes a resource that is of the right type, not lent and passes a check. Returns what it stands for, and its scope.
    #[inline]
    fn take_resource(
        &mut self,
        rt: E::Resource,
        index: u32,
        check: impl FnOnce(&ResourceHandle<E>) -> Result<(), Trap>,
    ) -> Result<(u64, Option<TaskId>), Refused> {
        match self.handles.get(index) {
            Some(Handle::Resource(resource)) if resource.rt != rt => Err(Trap::WrongResource(index).into()),
            Some(Handle::Resource(resource)) if resource.num_lends != 0 => {
                Err(Trap::Lent { index, lends: resource.num_lends }.into())
            }
            Some(Handle::Resource(resource)) => {
                check(resource)?;
                let taken = (resource.rep(index, &self.high_reps), resource.borrow_scope);
                self.discard_resource(index);
                Ok(taken)
            }
            _ => Err(Refused::NoResource),
        }
    }
}

impl<E: Embedder> Store<E> {
    /// Creates an own handle (`canon_resource_new`).
    ///
    /// # Errors
    ///
    /// Traps when the instance cannot be left or holds too much.
    #[inline]
    pub fn resource_new(&mut self, inst: InstanceId, rt: E::Resource, rep: u64) -> Result<u32, Trap> {
        let instance = self.instances.get_mut(inst)?;
        if !instance.door.may_leave() {
            return Err(Trap::CannotLeave);
        }
        instance.add_resource(rt, rep, None)
    }

    /// Returns the representation behind a handle (`canon_resource_rep`).
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown or the handle not of this type.
    #[inline]
    pub fn resource_rep(&self, inst: InstanceId, rt: E::Resource, index: u32) -> Result<u64, Trap> {
        match self.handle(inst, index)? {
            Handle::Resource(resource) if resource.rt == rt => {
                Ok(resource.rep(index, &self.instances.get(inst)?.high_reps))
            }
            Handle::Resource(_) => Err(Trap::WrongResource(index)),
            _ => Err(self.wrong_handle(inst, index, HandleKind::Resource)),
        }
    }

    /// Removes a handle (`canon_resource_drop`, up to the destructor).
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown, the handle not of this type, or lent.
    #[inline]
    pub fn resource_drop(&mut self, inst: InstanceId, rt: E::Resource, index: u32) -> Result<Dropped, Trap> {
        let instance = self.instances.get_mut(inst)?;
        if !instance.door.may_leave() {
            return Err(Trap::CannotLeave);
        }
        let taken = instance.take_resource(rt, index, |_| Ok(()));
        let (rep, scope) = taken.map_err(|why| self.refused(inst, index, why))?;
        let Some(task) = scope else {
            return Ok(Dropped::Own { rep });
        };
        if let Ok(task) = self.tasks.get_mut(task) {
            task.num_borrows = task.num_borrows.saturating_sub(1);
        }
        Ok(Dropped::Borrow)
    }

    /// Takes an own handle out of an instance (`lift_own`).
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown, the handle not of this type, not owned, or lent.
    #[inline]
    pub fn lift_own(&mut self, inst: InstanceId, rt: E::Resource, index: u32) -> Result<u64, Trap> {
        let owned = |resource: &ResourceHandle<E>| match resource.is_own() {
            true => Ok(()),
            false => Err(Trap::NotOwned(index)),
        };
        match self.instances.get_mut(inst)?.take_resource(rt, index, owned) {
            Ok((rep, _)) => Ok(rep),
            Err(why) => Err(self.refused(inst, index, why)),
        }
    }

    /// Lends a handle to a call (`lift_borrow`).
    ///
    /// # Errors
    ///
    /// Traps when the index is unknown, the handle not of this type, or the instance holds too much.
    #[inline]
    pub fn lift_borrow<'a>(
        &mut self,
        inst: InstanceId,
        rt: E::Resource,
        index: u32,
        scope: impl Into<LendScope<'a>>,
    ) -> Result<u64, Trap> {
        let lenders = match scope.into() {
            LendScope::Subtask(subtask) => {
                let subtask = self.subtasks.get_mut(subtask)?;
                if subtask.inst != inst || subtask.state.resolved() || subtask.resolve_delivered {
                    return Err(Trap::Misuse("a borrow was lifted for a subtask that has resolved"));
                }
                &mut subtask.lenders
            }
            LendScope::Lenders(lenders) => lenders,
        };
        match self.instances.get_mut(inst)?.lend(rt, index) {
            Ok(rep) => {
                lenders.handles.push(index);
                Ok(rep)
            }
            Err(why) => Err(self.refused(inst, index, why)),
        }
    }

    /// As [`Store::lift_borrow`], for a caller that notes the handle itself and calls [`Store::end_lend`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn lend(&mut self, inst: InstanceId, rt: E::Resource, index: u32) -> Result<u64, Trap> {
        self.instances.get_mut(inst)?.lend(rt, index).map_err(|why| self.refused(inst, index, why))
    }

    /// Ends one lend.
    #[inline]
    pub fn end_lend(&mut self, inst: InstanceId, index: u32) {
        let Ok(instance) = self.instances.get_mut(inst) else { return };
        instance.uncharge(Cost::<E>::LEND);
        if let Some(Handle::Resource(resource)) = instance.handles.get_mut(index) {
            resource.num_lends = resource.num_lends.saturating_sub(1);
        }
    }

    /// Ends the lends of a call: what `Subtask.deliver_resolve` does.
    ///
    /// Lenders of an instance that is gone are released by that.
    #[inline]
    pub fn release_lenders(&mut self, inst: InstanceId, lenders: Lenders) {
        if lenders.handles.is_empty() {
            return;
        }
        self.end_lends(inst, lenders);
    }

    fn end_lends(&mut self, inst: InstanceId, lenders: Lenders) {
        let Ok(instance) = self.instances.get_mut(inst) else { return };
        instance.uncharge(Cost::<E>::LEND.saturating_mul(lenders.handles.len() as u64));
        for index in lenders.handles {
            if let Some(Handle::Resource(resource)) = instance.handles.get_mut(index) {
                resource.num_lends = resource.num_lends.saturating_sub(1);
            }
        }
    }

    /// Puts an own handle into an instance (`lower_own`).
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much.
    #[inline]
    pub fn lower_own(&mut self, inst: InstanceId, rt: E::Resource, rep: u64) -> Result<u32, Trap> {
        self.instances.get_mut(inst)?.add_resource(rt, rep, None)
    }

    /// Puts a borrow handle into an instance, for the duration of a task (`lower_borrow`).
    ///
    /// Not for the instance that implements the resource: it receives the representation itself.
    ///
    /// # Errors
    ///
    /// Traps when the instance holds too much.
    #[inline]
    pub fn lower_borrow(
        &mut self,
        inst: InstanceId,
        rt: E::Resource,
        rep: u64,
        task: TaskId,
    ) -> Result<u32, Trap> {
        let scope = self.tasks.get_mut(task)?;
        if scope.inst != inst {
            return Err(Trap::Misuse("a borrow was lowered for a task of another instance"));
        }
        let index = self.instances.get_mut(inst)?.add_resource(rt, rep, Some(task))?;
        scope.num_borrows = scope.num_borrows.saturating_add(1); // one per handle, so below 2^28
        Ok(index)
    }

    #[cold]
    fn refused(&self, inst: InstanceId, index: u32, why: Refused) -> Trap {
        match why {
            Refused::Trap(trap) => trap,
            Refused::NoResource => self.wrong_handle(inst, index, HandleKind::Resource),
        }
    }
}
