//! Instantiation (core specification, section 4.5.4), without the start function.

use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;

use tombolo_compile::module::{ConstExpr, ElementItems, SegmentMode};
use tombolo_compile::vmctx::{TrapCode, VALUE_SIZE};
use tombolo_types::TypeId;
use tombolo_types::core::{ExternType, GlobalType, HeapType, MemoryType, RefType, TableType, ValType};

use crate::const_expr::evaluate;
use crate::context::{Definition, FuncRef, Header, ImportedFunction};
use crate::global::{GlobalEntity, TagEntity, TagName};
use crate::instance::{Context, InstanceRecord};
use crate::memory::MemoryEntity;
use crate::table::TableEntity;
use crate::{
    Extern, GlobalHandle, GroupRef, InstanceHandle, LimitExceeded, LimitKind, MemoryHandle, Module, SetError,
    Store, TableHandle, TagHandle, Trap, Val, builtins,
};

/// Why a module was not instantiated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstantiationError {
    /// Another number of imports was given than the module has.
    #[error("the module has {expected} imports, {found} were given")]
    ImportCount {
        /// How many it has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// The module was compiled by another engine than the store's.
    #[error("the module was compiled by another engine than its store's")]
    OtherEngine,
    /// An import is of another type than the module declares.
    #[error("incompatible import `{module}` `{name}`: the module expects {expected}, it was given {found}")]
    Import {
        /// First name.
        module: String,
        /// Second name.
        name: String,
        /// What the module declares.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A memory or table could not be made.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// A segment does not fit its memory or table. Segments before it were copied.
    #[error(transparent)]
    Trap(#[from] Trap),
    /// The compiled module contradicts itself.
    #[error("the compiled module is damaged: {0}")]
    Damaged(&'static str),
}

/// Why a memory or table could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// The store's limits do not allow it.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The system refused it.
    #[error("no memory for a memory of {pages} pages: {source}")]
    Memory {
        /// Its size.
        pages: u64,
        /// What the system said.
        source: io::Error,
    },
    /// It would be too large.
    #[error("no memory for a table of {elements} elements")]
    Table {
        /// Its length.
        elements: u64,
    },
    /// The initial value is of another type.
    #[error("the initial value is of another type")]
    Value(#[from] SetError),
}

const DAMAGED: InstantiationError =
    InstantiationError::Damaged("an index or constant expression is not valid");

impl GroupRef<'_> {
    /// Instantiates a module with an import for each that it declares, in order. Its start function is not run: see
    /// [`Store::start`].
    ///
    /// # Errors
    /// When imports do not fit, there is no room for its memories or tables, or a segment is out of bounds.
    pub fn instantiate(
        self,
        module: &Arc<Module>,
        imports: &[Extern],
    ) -> Result<InstanceHandle, InstantiationError> {
        let store = self.store;
        if module.is_foreign(store.trampolines().registry()) {
            return Err(InstantiationError::OtherEngine);
        }
        store.check_imports(module, imports)?;
        self.spend(LimitKind::Instances, 1).map_err(ResourceError::Limit)?;
        let context = Context::new(module.layout().size);
        let context = context.ok_or(InstantiationError::Damaged("there is no memory for its context"))?;
        let info = module.info();
        let record = self.keep_instance(InstanceRecord {
            context,
            module: module.clone(),
            tables: Vec::with_capacity(info.tables.len()),
            memories: Vec::with_capacity(info.memories.len()),
            globals: Vec::with_capacity(info.globals.len()),
            tags: Vec::with_capacity(info.tags.len()),
            elements: RefCell::default(),
            data_dropped: RefCell::new(vec![false; info.data.len()]),
            started: Cell::new(false),
        });
        // SAFETY: the store keeps the record, and nobody else knows of it before this returns.
        let instance = unsafe { &mut *record.as_ptr() };
        self.write_header(instance, record);
        store.link(instance, imports);
        self.define(instance)?;
        instance.write_func_refs().ok_or(DAMAGED)?;
        store.initialise_globals(instance).ok_or(DAMAGED)?;
        store.initialise_tables(instance)?;
        instance.evaluate_elements().ok_or(DAMAGED)?;
        // From here on others may know of the instance, through tables that it shares with them.
        // SAFETY: the store keeps the record; what changes from now on is in cells.
        let instance = unsafe { record.as_ref() };
        instance.copy_elements(store)?;
        instance.copy_data(store)?;
        Ok(InstanceHandle { pointer: record, store: store.id() })
    }

    fn write_header(self, instance: &InstanceRecord, record: NonNull<InstanceRecord>) {
        let header = Header {
            reserved: 0,
            store: self.store.context().as_ptr(),
            builtins: builtins::TABLE.as_ptr(),
            slots: instance.module.slots().as_ptr().cast(),
            type_ids: instance.module.type_ids().as_ptr(),
            instance: record.as_ptr(),
            fuel: self.fuel_counter(),
        };
        // SAFETY: a context begins with a header.
        unsafe { instance.context.base().cast::<Header>().write(header) };
    }

    /// Makes what the module defines: tables, memories, tags, and globals, which are zero still.
    fn define(self, instance: &mut InstanceRecord) -> Result<(), InstantiationError> {
        let info = instance.module.info().clone();
        let layout = *instance.module.layout();
        for (defined, ty) in (0..).zip(info.tables.iter().skip(info.imported_tables as usize)) {
            let definition = instance.table_definition(defined);
            // SAFETY: the definition is in the instance's context, which lives as long as the group.
            let table = unsafe { TableEntity::new(self, *ty, definition)? };
            instance.tables.push(self.keep_table(table));
        }
        for (defined, ty) in (0..).zip(info.memories.iter().skip(info.imported_memories as usize)) {
            let definition = instance.memory_definition(defined);
            // SAFETY: the definition is in the instance's context, which lives as long as the group.
            let memory = unsafe { MemoryEntity::new(self, *ty, definition)? };
            instance.memories.push(self.keep_memory(memory));
        }
        for (defined, ty) in (0..).zip(info.tags.iter().skip(info.imported_tags as usize)) {
            let cell = instance.context.array(layout.tags, defined, 8);
            let name = TagName::Index(info.clone(), info.imported_tags + defined);
            instance.tags.push(self.keep_tag(TagEntity { cell, ty: *ty, name }));
        }
        for (defined, ty) in (0..).zip(info.globals.iter().skip(info.imported_globals as usize)) {
            let cell = instance.context.array(layout.globals, defined, VALUE_SIZE);
            instance.globals.push(self.keep_global(GlobalEntity { cell, ty: *ty }));
        }
        Ok(())
    }
}

impl Store {
    /// Instantiates a module in the store's own group: see [`GroupRef::instantiate`].
    ///
    /// # Errors
    /// As there.
    pub fn instantiate(
        &self,
        module: &Arc<Module>,
        imports: &[Extern],
    ) -> Result<InstanceHandle, InstantiationError> {
        self.own_group().instantiate(module, imports)
    }

    fn check_imports(&self, module: &Module, imports: &[Extern]) -> Result<(), InstantiationError> {
        let declared = &module.info().imports;
        if declared.len() != imports.len() {
            return Err(InstantiationError::ImportCount { expected: declared.len(), found: imports.len() });
        }
        for (declared, import) in declared.iter().zip(imports) {
            let found = import.ty(self);
            if !matches(&found, &declared.ty) {
                return Err(InstantiationError::Import {
                    module: declared.module.clone(),
                    name: declared.name.clone(),
                    expected: self.describe(&declared.ty),
                    found: self.describe(&found),
                });
            }
        }
        Ok(())
    }

    /// Fills in what the module imports.
    fn link(&self, instance: &mut InstanceRecord, imports: &[Extern]) {
        let layout = *instance.module.layout();
        let (mut functions, mut tables, mut memories, mut globals, mut tags) = (0, 0, 0, 0, 0);
        let next = |count: &mut u32| std::mem::replace(count, *count + 1);
        for import in imports {
            // About each write: the layout has room for as many imports of each kind as the module declares,
            // and the imports were compared with those. The handles are of this store, as was checked.
            match *import {
                Extern::Func(func) => {
                    // SAFETY: see above.
                    let FuncRef { code, vmctx, .. } = unsafe { func.func_ref(self).read() };
                    let at = instance.context.array(layout.imported_functions, next(&mut functions), 16);
                    // SAFETY: see above.
                    unsafe { at.write(ImportedFunction { code, vmctx }) };
                }
                Extern::Table(table) => {
                    let at = instance.context.array(layout.imported_tables, next(&mut tables), 8);
                    // SAFETY: see above.
                    unsafe { at.write(table.definition(self)) };
                    instance.tables.push(table.pointer);
                }
                Extern::Memory(memory) => {
                    let at = instance.context.array(layout.imported_memories, next(&mut memories), 8);
                    // SAFETY: see above.
                    unsafe { at.write(memory.definition(self)) };
                    instance.memories.push(memory.pointer);
                }
                Extern::Global(global) => {
                    let at = instance.context.array(layout.imported_globals, next(&mut globals), 8);
                    // SAFETY: see above.
                    unsafe { at.write(global.cell(self)) };
                    instance.globals.push(global.pointer);
                }
                Extern::Tag(tag) => {
                    let at = instance.context.array(layout.imported_tags, next(&mut tags), 8);
                    // SAFETY: see above.
                    unsafe { at.write(tag.entity(self).cell) };
                    instance.tags.push(tag.pointer);
                }
            }
        }
    }

    fn initialise_globals(&self, instance: &InstanceRecord) -> Option<()> {
        let info = instance.module.info();
        let defined = instance.globals.iter().skip(info.imported_globals as usize);
        for (global, init) in defined.zip(&info.global_inits) {
            let value = evaluate(init, instance)?;
            // SAFETY: the cell is in the instance's context; the value is of the global's type by validation.
            unsafe { global.as_ref().cell.write(value) };
        }
        Some(())
    }

    fn initialise_tables(&self, instance: &InstanceRecord) -> Result<(), InstantiationError> {
        let info = instance.module.info();
        for (table, init) in (info.imported_tables..).zip(&info.table_inits) {
            let Some(init) = init else { continue };
            let value = evaluate(init, instance).ok_or(DAMAGED)?.u64();
            let length = instance.table(table).ok_or(DAMAGED)?.len();
            self.do_all(length, |work| instance.table_fill(table, 0, value, work))?.ok_or(DAMAGED)?;
        }
        Ok(())
    }

    /// A type, for people.
    fn describe(&self, ty: &ExternType) -> String {
        match ty {
            ExternType::Func(id) => format!("a function {}", self.describe_func(*id)),
            ExternType::Tag(id) => format!("a tag {}", self.describe_func(*id)),
            ExternType::Table(ty) => {
                let limits = limits(ty.minimum, ty.maximum, "");
                format!("a table of {} with {limits} elements", reference(&ty.element))
            }
            ExternType::Memory(ty) => {
                let kind = match (ty.memory64, ty.shared) {
                    (false, false) => "memory",
                    (true, false) => "64-bit memory",
                    (false, true) => "shared memory",
                    (true, true) => "shared 64-bit memory",
                };
                let limits = limits(ty.minimum, ty.maximum, "pages");
                let page = if ty.page_size_log2 == 16 { "" } else { " of another page size" };
                format!("a {kind} with {limits}{page}")
            }
            ExternType::Global(ty) => {
                let kind = if ty.mutable { "a mutable global" } else { "a global" };
                format!("{kind} of type {}", value(&ty.value))
            }
        }
    }

    fn describe_func(&self, id: TypeId) -> String {
        let Some(ty) = self.trampolines().registry().get(id) else { return "of an unknown type".into() };
        let list = |types: &[ValType]| types.iter().map(value).collect::<Vec<_>>().join(", ");
        format!("({}) -> ({})", list(&ty.params), list(&ty.results))
    }

    /// Makes a memory of the host's.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn new_memory(&self, ty: MemoryType) -> Result<MemoryHandle, ResourceError> {
        let group = self.own_group();
        let definition = group.keep_words(vec![0; DEFINITION_WORDS]).cast::<Definition>();
        // SAFETY: the group keeps the words, which nobody else uses.
        let memory = unsafe { MemoryEntity::new(group, ty, definition)? };
        Ok(MemoryHandle { pointer: group.keep_memory(memory), store: self.id() })
    }

    /// Makes a table of the host's, all elements the same.
    ///
    /// # Errors
    /// When there is no room for it, or the value is of another type.
    pub fn new_table(&self, ty: TableType, value: Val) -> Result<TableHandle, ResourceError> {
        let word = self.word_of(ty.element, value).ok_or(SetError::Type)?;
        let group = self.own_group();
        let definition = group.keep_words(vec![0; DEFINITION_WORDS]).cast::<Definition>();
        // SAFETY: the group keeps the words, which nobody else uses.
        let table = unsafe { TableEntity::new(group, ty, definition)? };
        table.fill(0, ty.minimum, word);
        Ok(TableHandle { pointer: group.keep_table(table), store: self.id() })
    }

    /// Makes a global of the host's.
    ///
    /// # Errors
    /// When the value is of another type.
    pub fn new_global(&self, ty: GlobalType, value: Val) -> Result<GlobalHandle, ResourceError> {
        let value = self.raw(ty.value, value).ok_or(SetError::Type)?;
        let cell = self.own_group().keep_value(value);
        Ok(GlobalHandle {
            pointer: self.own_group().keep_global(GlobalEntity { cell, ty }),
            store: self.id(),
        })
    }

    /// Makes an exception tag of the host's, with a name for messages.
    pub fn new_tag(&self, ty: TypeId, name: &str) -> TagHandle {
        let cell = self.own_group().keep_words(vec![0]).cast();
        TagHandle {
            pointer: self.own_group().keep_tag(TagEntity { cell, ty, name: TagName::Host(name.into()) }),
            store: self.id(),
        }
    }
}

/// Words of a [`Definition`].
const DEFINITION_WORDS: usize = size_of::<Definition>() / size_of::<usize>();

impl InstanceRecord {
    fn write_func_refs(&self) -> Option<()> {
        for function in &self.module.info().escaping {
            let (code, vmctx, type_id) = self.function(*function)?;
            // SAFETY: the context has room for a `FuncRef` of each of these functions.
            unsafe { self.func_ref(*function)?.write(FuncRef { code, vmctx, type_id: type_id.0 }) };
        }
        Some(())
    }

    fn evaluate_elements(&mut self) -> Option<()> {
        let info = self.module.info();
        let mut elements = Vec::with_capacity(info.elements.len());
        for segment in &info.elements {
            elements.push(match (&segment.mode, &segment.items) {
                (SegmentMode::Declared, _) => Box::default(),
                (_, ElementItems::Functions(functions)) => functions
                    .iter()
                    .map(|function| Some(self.func_ref(*function)?.as_ptr() as u64))
                    .collect::<Option<_>>()?,
                (_, ElementItems::Expressions(expressions)) => expressions
                    .iter()
                    .map(|expression| Some(evaluate(expression, self)?.u64()))
                    .collect::<Option<_>>()?,
            });
        }
        *self.elements.get_mut() = elements;
        Some(())
    }

    fn copy_elements(&self, store: &Store) -> Result<(), InstantiationError> {
        for (segment, declared) in (0..).zip(&self.module.info().elements) {
            let SegmentMode::Active { index, offset } = &declared.mode else { continue };
            let table64 = self.table(*index).ok_or(DAMAGED)?.ty().table64;
            let offset = self.offset(offset, table64)?;
            let length = self.elements.borrow().get(segment as usize).map_or(0, |items| items.len());
            store
                .do_all(length as u64, |work| self.table_init(*index, segment, offset, 0, work))?
                .ok_or(Trap::new(TrapCode::TableOutOfBounds))?;
            self.elem_drop(segment);
        }
        Ok(())
    }

    fn copy_data(&self, store: &Store) -> Result<(), InstantiationError> {
        for (segment, declared) in (0..).zip(&self.module.info().data) {
            let SegmentMode::Active { index, offset } = &declared.mode else { continue };
            let memory64 = self.memory(*index).ok_or(DAMAGED)?.ty().memory64;
            let offset = self.offset(offset, memory64)?;
            store
                .do_all(declared.range.len() as u64, |work| {
                    self.memory_init(*index, segment, offset, 0, work)
                })?
                .ok_or(Trap::new(TrapCode::MemoryOutOfBounds))?;
            self.data_drop(segment);
        }
        Ok(())
    }

    fn offset(&self, expression: &ConstExpr, wide: bool) -> Result<u64, InstantiationError> {
        let value = evaluate(expression, self).ok_or(DAMAGED)?;
        Ok(if wide { value.u64() } else { u64::from(value.u32()) })
    }
}

/// Import subtyping (core specification, section 3.3).
fn matches(found: &ExternType, expected: &ExternType) -> bool {
    let within = |minimum: u64, maximum: Option<u64>, least: u64, most: Option<u64>| {
        minimum >= least && most.is_none_or(|most| maximum.is_some_and(|maximum| maximum <= most))
    };
    match (found, expected) {
        (ExternType::Func(found), ExternType::Func(expected))
        | (ExternType::Tag(found), ExternType::Tag(expected)) => found == expected,
        (ExternType::Table(found), ExternType::Table(expected)) => {
            found.element == expected.element
                && found.table64 == expected.table64
                && within(found.minimum, found.maximum, expected.minimum, expected.maximum)
        }
        (ExternType::Memory(found), ExternType::Memory(expected)) => {
            found.memory64 == expected.memory64
                && found.shared == expected.shared
                && found.page_size_log2 == expected.page_size_log2
                && within(found.minimum, found.maximum, expected.minimum, expected.maximum)
        }
        (ExternType::Global(found), ExternType::Global(expected)) => {
            found.mutable == expected.mutable
                && (found.value == expected.value
                    || !found.mutable && value_matches(&found.value, &expected.value))
        }
        _ => false,
    }
}

/// Whether values of one type are values of another.
fn value_matches(found: &ValType, expected: &ValType) -> bool {
    let (ValType::Ref(found), ValType::Ref(expected)) = (found, expected) else { return found == expected };
    let heap = match (found.heap, expected.heap) {
        (found, expected) if found == expected => true,
        (HeapType::NoFunc, expected) => expected.is_func(),
        (HeapType::Concrete(_), HeapType::Func) => true,
        (HeapType::NoExtern, HeapType::Extern) | (HeapType::NoExn, HeapType::Exn) => true,
        _ => false,
    };
    heap && (expected.nullable || !found.nullable)
}

fn limits(minimum: u64, maximum: Option<u64>, unit: &str) -> String {
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    match maximum {
        Some(maximum) => format!("{minimum} to {maximum}{unit}"),
        None => format!("at least {minimum}{unit}"),
    }
}

fn value(ty: &ValType) -> String {
    match ty {
        ValType::I32 => "i32".into(),
        ValType::I64 => "i64".into(),
        ValType::F32 => "f32".into(),
        ValType::F64 => "f64".into(),
        ValType::V128 => "v128".into(),
        ValType::Ref(ty) => reference(ty),
    }
}

fn reference(ty: &RefType) -> String {
    let heap = match ty.heap {
        HeapType::Func => "func".into(),
        HeapType::Concrete(id) => format!("type {}", id.0),
        HeapType::NoFunc => "nofunc".into(),
        HeapType::Extern => "extern".into(),
        HeapType::NoExtern => "noextern".into(),
        HeapType::Exn => "exn".into(),
        HeapType::NoExn => "noexn".into(),
    };
    format!("(ref {}{heap})", if ty.nullable { "null " } else { "" })
}
