//! Instances: what a module's code works on.
//!
//! An instance's context, which compiled code is given, is one zeroed allocation with the layout of its module. It is
//! filled in by [`instantiate`](crate::instantiate) and lives as long as the store. Beside it stands a record of the
//! runtime's own, to which the context points back; built-ins find it there.

use std::alloc::{self, Layout as Allocation};
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use tombolo_compile::module::Item;
use tombolo_compile::vmctx::{definition, func_ref};
use tombolo_types::core::{ExternType, ValType};

use crate::const_expr::Names;
use crate::context::{Definition, FuncRef, Header, ImportedFunction};
use crate::global::{GlobalEntity, TagEntity};
use crate::handle::handle;
use crate::memory::MemoryEntity;
use crate::table::TableEntity;
use crate::{FuncHandle, GlobalHandle, MemoryHandle, Module, RawVal, Store, TableHandle, TagHandle, Trap};

handle! {
    /// An instance of a module.
    InstanceHandle => InstanceRecord
}

/// Something that an instance exports or imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extern {
    /// A function.
    Func(FuncHandle),
    /// A table.
    Table(TableHandle),
    /// A memory.
    Memory(MemoryHandle),
    /// A global.
    Global(GlobalHandle),
    /// An exception tag.
    Tag(TagHandle),
}

/// An instance as the runtime sees it. Index spaces list imports first.
#[derive(Debug)]
pub(crate) struct InstanceRecord {
    pub(crate) context: Context,
    pub(crate) module: Arc<Module>,
    pub(crate) tables: Vec<NonNull<TableEntity>>,
    pub(crate) memories: Vec<NonNull<MemoryEntity>>,
    pub(crate) globals: Vec<NonNull<GlobalEntity>>,
    pub(crate) tags: Vec<NonNull<TagEntity>>,
    /// The elements of each element segment; none once it was dropped.
    pub(crate) elements: RefCell<Vec<Box<[u64]>>>,
    /// Whether each data segment was dropped.
    pub(crate) data_dropped: RefCell<Vec<bool>>,
    pub(crate) started: Cell<bool>,
}

impl InstanceHandle {
    /// The instance's module.
    pub fn module(self, store: &Store) -> &Arc<Module> {
        &self.entity(store).module
    }

    /// The instance's context, which its functions take. Valid while the store lives.
    pub fn context(self, store: &Store) -> NonNull<u8> {
        self.entity(store).context.base()
    }

    /// What the instance exports under a name.
    pub fn export(self, store: &Store, name: &str) -> Option<Extern> {
        let info = self.entity(store).module.info();
        self.export_item(store, info.exports.get(*info.export_index.get(name)?)?.item)
    }

    /// An item of the instance's index spaces; of functions only those that can be values, as exported ones can.
    pub fn export_item(self, store: &Store, item: Item) -> Option<Extern> {
        let record = self.entity(store);
        let store = store.id();
        Some(match item {
            Item::Func(index) => Extern::Func(FuncHandle { pointer: record.func_ref(index)?, store }),
            Item::Table(index) => {
                Extern::Table(TableHandle { pointer: *record.tables.get(index as usize)?, store })
            }
            Item::Memory(index) => {
                Extern::Memory(MemoryHandle { pointer: *record.memories.get(index as usize)?, store })
            }
            Item::Global(index) => {
                Extern::Global(GlobalHandle { pointer: *record.globals.get(index as usize)?, store })
            }
            Item::Tag(index) => Extern::Tag(TagHandle { pointer: *record.tags.get(index as usize)?, store }),
        })
    }
}

impl Extern {
    /// Its type now: the minimum of a table or memory is its size.
    pub fn ty(self, store: &Store) -> ExternType {
        match self {
            Extern::Func(func) => ExternType::Func(func.type_id(store)),
            Extern::Table(table) => {
                let mut ty = table.ty(store);
                ty.minimum = table.len(store);
                ExternType::Table(ty)
            }
            Extern::Memory(memory) => {
                let mut ty = memory.ty(store);
                ty.minimum = memory.pages(store);
                ExternType::Memory(ty)
            }
            Extern::Global(global) => ExternType::Global(global.ty(store)),
            Extern::Tag(tag) => ExternType::Tag(tag.ty(store)),
        }
    }

    /// The function that this is, if it is one.
    pub fn func(self) -> Option<FuncHandle> {
        if let Extern::Func(func) = self { Some(func) } else { None }
    }

    /// The table that this is, if it is one.
    pub fn table(self) -> Option<TableHandle> {
        if let Extern::Table(table) = self { Some(table) } else { None }
    }

    /// The memory that this is, if it is one.
    pub fn memory(self) -> Option<MemoryHandle> {
        if let Extern::Memory(memory) = self { Some(memory) } else { None }
    }

    /// The global that this is, if it is one.
    pub fn global(self) -> Option<GlobalHandle> {
        if let Extern::Global(global) = self { Some(global) } else { None }
    }
}

impl From<FuncHandle> for Extern {
    fn from(func: FuncHandle) -> Self {
        Extern::Func(func)
    }
}

impl From<TableHandle> for Extern {
    fn from(table: TableHandle) -> Self {
        Extern::Table(table)
    }
}

impl From<MemoryHandle> for Extern {
    fn from(memory: MemoryHandle) -> Self {
        Extern::Memory(memory)
    }
}

impl From<GlobalHandle> for Extern {
    fn from(global: GlobalHandle) -> Self {
        Extern::Global(global)
    }
}

impl From<TagHandle> for Extern {
    fn from(tag: TagHandle) -> Self {
        Extern::Tag(tag)
    }
}

impl Store {
    /// Runs the start function of an instance, if its module has one and it was not run before.
    ///
    /// # Errors
    /// The trap that ended it.
    pub fn start(&self, instance: InstanceHandle) -> Result<(), Trap> {
        let record = instance.entity(self);
        let Some(start) = record.module.info().start else { return Ok(()) };
        if record.started.replace(true) {
            return Ok(());
        }
        let missing = || Trap::host("the module's start function is not there");
        let (code, vmctx, type_id) = record.function(start).ok_or_else(missing)?;
        let trampoline = self.trampolines().entry(type_id).map_err(Trap::host)?;
        let mut values = vec![RawVal::ZERO; trampoline.slots()];
        // SAFETY: code, context and trampoline belong to one function of this store; it takes and returns nothing.
        unsafe { crate::enter(self.context().as_ptr(), trampoline.code(), vmctx, code, values.as_mut_ptr()) }
    }
}

impl InstanceRecord {
    /// The reference to a function; `None` if there is no such function, or it never becomes a value.
    pub(crate) fn func_ref(&self, index: u32) -> Option<NonNull<FuncRef>> {
        let position = self.module.reference(index)?;
        Some(self.context.array(self.module.layout().func_refs, position, func_ref::SIZE))
    }

    /// Code, context and type of a function.
    pub(crate) fn function(&self, index: u32) -> Option<(*const u8, *mut c_void, tombolo_types::TypeId)> {
        let info = self.module.info();
        let type_id = *info.functions.get(index as usize)?;
        if let Some(defined) = index.checked_sub(info.imported_functions) {
            let slot = self.module.slots().get(defined as usize)?;
            let code = slot.load(std::sync::atomic::Ordering::Acquire);
            return Some((code, self.context.base().as_ptr().cast(), type_id));
        }
        let imported: NonNull<ImportedFunction> =
            self.context.array(self.module.layout().imported_functions, index, 16);
        // SAFETY: there are so many imported functions, which were filled in.
        let ImportedFunction { code, vmctx } = unsafe { imported.read() };
        Some((code, vmctx, type_id))
    }

    /// Has the instance's code spend from a counter, which is to live as long as the instance.
    pub(crate) fn set_fuel_counter(&self, counter: *mut i64) {
        // SAFETY: a context begins with a header, and compiled code does not run now.
        unsafe { (*self.header()).fuel = counter };
    }

    /// Whether the instance's code has spent more than there was.
    pub(crate) fn is_out_of_fuel(&self) -> bool {
        // SAFETY: a context begins with a header, whose counter lives as long; compiled code does not run now.
        unsafe { *(*self.header()).fuel > 0 }
    }

    fn header(&self) -> *mut Header {
        self.context.base().as_ptr().cast()
    }

    pub(crate) fn table(&self, index: u32) -> Option<&TableEntity> {
        // SAFETY: tables live as long as the store, and so as the instance.
        self.tables.get(index as usize).map(|table| unsafe { table.as_ref() })
    }

    pub(crate) fn memory(&self, index: u32) -> Option<&MemoryEntity> {
        // SAFETY: memories live as long as the store, and so as the instance.
        self.memories.get(index as usize).map(|memory| unsafe { memory.as_ref() })
    }

    /// Shows the references to exceptions in its element segments.
    pub(crate) fn each_exception_element(&self, show: &mut dyn FnMut(u64)) {
        for (elements, declared) in self.elements.borrow().iter().zip(&self.module.info().elements) {
            if ValType::Ref(declared.ty).is_exception() {
                elements.iter().for_each(|element| show(*element));
            }
        }
    }

    /// The definition of a table that the module defines.
    pub(crate) fn table_definition(&self, defined: u32) -> NonNull<Definition> {
        self.context.array(self.module.layout().tables, defined, definition::SIZE)
    }

    /// The definition of a memory that the module defines.
    pub(crate) fn memory_definition(&self, defined: u32) -> NonNull<Definition> {
        self.context.array(self.module.layout().memories, defined, definition::SIZE)
    }
}

impl Names for InstanceRecord {
    fn global(&self, index: u32) -> Option<RawVal> {
        let global = self.globals.get(index as usize)?;
        // SAFETY: globals and their cells live as long as the store, and the guest does not write them meanwhile.
        Some(unsafe { global.as_ref().cell.read() })
    }

    fn func(&self, index: u32) -> Option<RawVal> {
        Some(RawVal::from_usize(self.func_ref(index)?.as_ptr() as usize))
    }
}

/// The allocation that compiled code knows the instance by.
#[derive(Debug)]
pub(crate) struct Context {
    base: NonNull<u8>,
    allocation: Allocation,
}

impl Context {
    /// Alignment of contexts.
    const ALIGNMENT: usize = 16;

    /// Allocates a context of a layout's size, all zero; `None` if there is no memory for it.
    pub(crate) fn new(size: u32) -> Option<Context> {
        let size = (size as usize).max(size_of::<Header>());
        let allocation = Allocation::from_size_align(size, Context::ALIGNMENT).ok()?;
        // SAFETY: the size is not 0.
        let base = unsafe { alloc::alloc_zeroed(allocation) };
        Some(Context { base: NonNull::new(base)?, allocation })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The element at an index of the array that begins at an offset.
    pub(crate) fn array<T>(&self, offset: u32, index: u32, size: u32) -> NonNull<T> {
        let at = offset as usize + index as usize * size as usize;
        debug_assert!(at + size_of::<T>() <= self.allocation.size());
        // SAFETY: layouts place arrays within the context, and callers index what the module declares.
        unsafe { self.base.add(at).cast() }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and is freed with its store.
        unsafe { alloc::dealloc(self.base.as_ptr(), self.allocation) };
    }
}
