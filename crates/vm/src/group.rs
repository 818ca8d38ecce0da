//! Groups: what of a store is freed together.
//!
//! Everything that compiled code reaches belongs to a group: instances with their contexts, memories, tables, globals, tags,
//! and the functions of the host that are made for them. Much of it points to more of it, so none is freed alone. One
//! group is the store's own, and lives as long; others are made by whoever embeds this crate, and freed by
//! [`Store::free_group`]. Invariants:
//!
//! * What a group owns never moves. It is freed only with the whole group, when nothing uses any of it any more: that is
//!   for the caller of [`Store::free_group`] to know, who must have kept references (functions, tables, exceptions)
//!   from passing from one group to another.
//! * What is used of limits is counted twice: for the group, and for the store, which gets back what a freed group used.
//! * Fuel is counted once: for the group, if it has its own, or else for the store.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use crate::context::FuncRef;
use crate::global::{GlobalEntity, TagEntity};
use crate::handle::handle;
use crate::host::Closure;
use crate::instance::InstanceRecord;
use crate::limits::Budget;
use crate::memory::MemoryEntity;
use crate::table::TableEntity;
use crate::{LimitExceeded, LimitKind, Limits, RawVal, Store};

handle! {
    /// A group of a store.
    GroupHandle => Group
}

/// What is freed together. Boxes are kept as pointers, since compiled code points to their contents too.
#[derive(Debug)]
pub(crate) struct Group {
    budget: Budget,
    /// The counter of its own fuel, to which its instances' contexts point if it has any.
    fuel: Cell<i64>,
    has_fuel: Cell<bool>,
    /// Its place in the store's list.
    place: Cell<usize>,
    instances: List<InstanceRecord>,
    memories: List<MemoryEntity>,
    tables: List<TableEntity>,
    globals: List<GlobalEntity>,
    tags: List<TagEntity>,
    func_refs: List<FuncRef>,
    words: List<[usize]>,
    values: List<RawVal>,
    closures: RefCell<Vec<NonNull<Closure>>>,
}

type List<T> = RefCell<Vec<NonNull<T>>>;

/// A group together with its store: where things are made. See [`Store::within`].
#[derive(Clone, Copy, Debug)]
pub struct GroupRef<'a> {
    pub(crate) store: &'a Store,
    pub(crate) group: &'a Group,
}

impl Store {
    /// Makes an empty group, which may hold no more than its own limits and the store's allow.
    pub fn new_group(&self, limits: Limits) -> GroupHandle {
        let pointer = Group::new(limits);
        let groups = &self.inner().groups;
        // SAFETY: it was just made, and the store keeps it.
        unsafe { pointer.as_ref() }.place.set(groups.borrow().len());
        groups.borrow_mut().push(pointer);
        GroupHandle { pointer, store: self.id() }
    }

    /// A group, to make something in it.
    pub fn within(&self, group: GroupHandle) -> GroupRef<'_> {
        GroupRef { store: self, group: group.entity(self) }
    }

    /// The group that lives as long as the store.
    pub(crate) fn own_group(&self) -> GroupRef<'_> {
        // SAFETY: the store keeps it.
        GroupRef { store: self, group: unsafe { self.inner().own.as_ref() } }
    }

    /// Frees a group and all that was made in it.
    ///
    /// # Panics
    /// When it is the group of another store.
    ///
    /// # Safety
    /// It was not freed before. No frame of its code is on any stack, suspended fibers included, no handle of something in
    /// it is used any more, no [`Thrown`](crate::Thrown) has an exception with one of its tags, and nothing outside of the
    /// group refers to something in it but what is never followed again.
    pub unsafe fn free_group(&self, group: GroupHandle) {
        self.check(group.store);
        let place = group.entity(self).place.get();
        let mut groups = self.inner().groups.borrow_mut();
        if groups.get(place) != Some(&group.pointer) {
            return;
        }
        groups.swap_remove(place);
        if let Some(moved) = groups.get(place) {
            // SAFETY: the store keeps those in its list.
            unsafe { moved.as_ref() }.place.set(place);
        }
        drop(groups);
        // SAFETY: it is out of the list; the caller's promise for the rest.
        let freed = unsafe { Box::from_raw(group.pointer.as_ptr()) };
        self.inner().budget.unspend_all(&freed.budget);
    }

    /// Frees all groups, for the store's drop.
    ///
    /// # Safety
    /// Nothing of the store is used any more.
    pub(crate) unsafe fn free_groups(&self) {
        for group in self.inner().groups.take() {
            // SAFETY: it was leaked from a box once; the caller's promise.
            drop(unsafe { Box::from_raw(group.as_ptr()) });
        }
    }

    /// Whether an address lies in the address space of one of the store's memories.
    pub(crate) fn guards(&self, address: usize) -> bool {
        let mut found = false;
        self.each_group(|group| each(&group.memories, |memory| found |= memory.guards(address)));
        found
    }

    pub(crate) fn each_instance(&self, mut show: impl FnMut(&InstanceRecord)) {
        self.each_group(|group| each(&group.instances, &mut show));
    }

    pub(crate) fn each_table(&self, mut show: impl FnMut(&TableEntity)) {
        self.each_group(|group| each(&group.tables, &mut show));
    }

    pub(crate) fn each_global(&self, mut show: impl FnMut(&GlobalEntity)) {
        self.each_group(|group| each(&group.globals, &mut show));
    }

    fn each_group(&self, mut show: impl FnMut(&Group)) {
        each(&self.inner().groups, &mut show);
    }
}

impl GroupRef<'_> {
    /// Takes account of something that is about to be made: also by whoever embeds this crate, of instances of another
    /// kind.
    ///
    /// # Errors
    /// When the limits of the group or of the store do not allow it.
    pub fn spend(self, kind: LimitKind, amount: u64) -> Result<(), LimitExceeded> {
        self.group.budget.spend(kind, amount)?;
        let spent = self.store.inner().budget.spend(kind, amount);
        if spent.is_err() {
            self.group.budget.unspend(kind, amount);
        }
        spent
    }

    /// Takes back what was not made after all.
    pub(crate) fn unspend(self, kind: LimitKind, amount: u64) {
        self.group.budget.unspend(kind, amount);
        self.store.inner().budget.unspend(kind, amount);
    }

    /// Fuel that is left to the group of its own; `None` if it goes by the store's.
    pub fn fuel(self) -> Option<i64> {
        let Group { fuel, has_fuel, .. } = self.group;
        has_fuel.get().then(|| fuel.get().saturating_neg())
    }

    /// Gives the group fuel of its own, or has it go by the store's. Frames of its code that are on a stack go by it as
    /// soon as they go on.
    pub fn set_fuel(self, fuel: Option<i64>) {
        self.group.has_fuel.set(fuel.is_some());
        self.group.fuel.set(fuel.map_or(0, i64::saturating_neg));
        let counter = self.fuel_counter();
        each(&self.group.instances, |instance| instance.set_fuel_counter(counter));
    }

    /// The counter that its instances' contexts point to.
    pub(crate) fn fuel_counter(self) -> *mut i64 {
        if self.group.has_fuel.get() { self.group.fuel.as_ptr() } else { self.store.fuel_counter() }
    }

    pub(crate) fn pointer(self) -> NonNull<Group> {
        NonNull::from(self.group)
    }

    pub(crate) fn keep_instance(self, instance: InstanceRecord) -> NonNull<InstanceRecord> {
        keep(&self.group.instances, instance)
    }

    pub(crate) fn keep_memory(self, memory: MemoryEntity) -> NonNull<MemoryEntity> {
        keep(&self.group.memories, memory)
    }

    pub(crate) fn keep_table(self, table: TableEntity) -> NonNull<TableEntity> {
        keep(&self.group.tables, table)
    }

    pub(crate) fn keep_global(self, global: GlobalEntity) -> NonNull<GlobalEntity> {
        keep(&self.group.globals, global)
    }

    pub(crate) fn keep_tag(self, tag: TagEntity) -> NonNull<TagEntity> {
        let cell = tag.cell;
        let tag = keep(&self.group.tags, tag);
        // SAFETY: the cell lives as long as the group and is the tag's alone; compiled code only has its address.
        unsafe { cell.write(tag.as_ptr()) };
        tag
    }

    pub(crate) fn keep_func_ref(self, func_ref: FuncRef) -> NonNull<FuncRef> {
        keep(&self.group.func_refs, func_ref)
    }

    /// Keeps words that compiled code and host functions reach, and gives their address.
    pub(crate) fn keep_words(self, words: Vec<usize>) -> NonNull<usize> {
        let words = NonNull::from(Box::leak(words.into_boxed_slice()));
        self.group.words.borrow_mut().push(words);
        words.cast()
    }

    pub(crate) fn keep_value(self, value: RawVal) -> NonNull<RawVal> {
        keep(&self.group.values, value)
    }

    pub(crate) fn keep_closure(self, closure: Closure) -> NonNull<Closure> {
        keep(&self.group.closures, closure)
    }
}

impl Group {
    /// Makes an empty group, which somebody is to free.
    pub(crate) fn new(limits: Limits) -> NonNull<Group> {
        NonNull::from(Box::leak(Box::new(Group {
            budget: Budget::new(limits),
            fuel: Cell::new(0),
            has_fuel: Cell::new(false),
            place: Cell::new(0),
            instances: List::default(),
            memories: List::default(),
            tables: List::default(),
            globals: List::default(),
            tags: List::default(),
            func_refs: List::default(),
            words: List::default(),
            values: List::default(),
            closures: RefCell::default(),
        })))
    }

    /// The group, to spend for it.
    ///
    /// # Safety
    /// `group` is one of the store's that was not freed.
    pub(crate) unsafe fn of(store: &Store, group: NonNull<Group>) -> GroupRef<'_> {
        // SAFETY: the caller's promise.
        GroupRef { store, group: unsafe { group.as_ref() } }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: whoever frees a group knows that nothing uses what is in it any more.
        unsafe {
            free(&self.closures);
            free(&self.instances);
            free(&self.memories);
            free(&self.tables);
            free(&self.globals);
            free(&self.tags);
            free(&self.func_refs);
            free(&self.words);
            free(&self.values);
        }
    }
}

fn keep<T>(owned: &List<T>, value: T) -> NonNull<T> {
    let pointer = NonNull::from(Box::leak(Box::new(value)));
    owned.borrow_mut().push(pointer);
    pointer
}

fn each<T>(owned: &List<T>, mut show: impl FnMut(&T)) {
    for pointer in owned.borrow().iter() {
        // SAFETY: what is in a list lives until it is taken out, and is not borrowed mutably while compiled code runs.
        show(unsafe { pointer.as_ref() });
    }
}

/// Frees what [`keep`] kept.
///
/// # Safety
/// Nobody follows the pointers any more.
unsafe fn free<T: ?Sized>(owned: &RefCell<Vec<NonNull<T>>>) {
    for pointer in owned.take() {
        // SAFETY: it was leaked from a box once, and nobody else uses it.
        drop(unsafe { Box::from_raw(pointer.as_ptr()) });
    }
}
