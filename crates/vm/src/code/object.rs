//! A piece of published code and what is known of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tombolo_compile::module::ModuleInfo;
use tombolo_compile::vmctx::TrapCode;
use tombolo_compile::{CompiledFunction, FunctionRange, Handler, NO_ADDRESS};

use super::CodeError;
use super::arena::CodePages;
use super::perf_map;

/// A piece of published code: executable for as long as this lives.
#[derive(Debug)]
pub struct CodeObject {
    pages: CodePages,
    len: usize,
    kind: CodeKind,
    tables: CodeTables,
}

/// Whose code it is.
#[derive(Clone, Debug)]
pub enum CodeKind {
    /// A module's functions.
    Module {
        /// What the module declares.
        info: Arc<ModuleInfo>,
        /// What it is part of.
        origin: Origin,
    },
    /// Code between guests and host, which backtraces do not show.
    Trampoline {
        /// What profilers show.
        name: Box<str>,
    },
}

/// What a component's names say of a module in it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The component that defines it, inside of which others where they are nested.
    pub component: Option<Arc<str>>,
    /// The module's name there, for where it has none of its own.
    pub module: Option<Arc<str>>,
}

/// What is known of addresses in the code, all by offset from its beginning, ascending.
#[derive(Clone, Debug, Default)]
pub struct CodeTables {
    /// Instructions that can trap.
    pub traps: Vec<(u32, TrapCode)>,
    /// Which wasm instruction the code from an offset on comes from, as in
    /// [`CompiledModule`](tombolo_compile::CompiledModule).
    pub addresses: Vec<(u32, u32)>,
    /// Calls that exceptions do not pass.
    pub handlers: Vec<Handler>,
    /// References to exceptions that frames keep during calls, as in
    /// [`CompiledModule`](tombolo_compile::CompiledModule).
    pub exception_refs: Vec<(u32, u32)>,
    /// Where each function that the module defines lies.
    pub functions: Vec<FunctionRange>,
}

impl CodeObject {
    /// Makes code executable and its addresses known to traps and backtraces.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn publish(code: &[u8], kind: CodeKind, tables: CodeTables) -> Result<Arc<CodeObject>, CodeError> {
        let pages = CodePages::publish(code)?;
        let object = Arc::new(CodeObject { pages, len: code.len(), kind, tables });
        let mut objects = OBJECTS.write().unwrap_or_else(PoisonError::into_inner);
        objects.insert(object.pages.address(), Arc::downgrade(&object));
        drop(objects);
        perf_map::note(&object);
        Ok(object)
    }

    /// Publishes a function that was compiled on its own, under a name for profilers.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn publish_function(
        function: CompiledFunction,
        name: impl Into<Box<str>>,
    ) -> Result<Arc<CodeObject>, CodeError> {
        let tables = CodeTables {
            traps: function.traps,
            addresses: function.addresses,
            handlers: function.handlers,
            exception_refs: function.exception_refs,
            functions: Vec::new(),
        };
        CodeObject::publish(&function.code, CodeKind::Trampoline { name: name.into() }, tables)
    }

    /// Where the code begins.
    pub fn code(&self) -> *const u8 {
        self.pages.address() as *const u8
    }

    /// Whose code it is.
    pub fn kind(&self) -> &CodeKind {
        &self.kind
    }

    /// Whether it is code between guests and host.
    pub(crate) fn is_trampoline(&self) -> bool {
        matches!(self.kind, CodeKind::Trampoline { .. })
    }

    /// The start of each function that the module defines.
    pub(crate) fn entries(&self) -> impl Iterator<Item = *const u8> {
        self.tables.functions.iter().map(|function| self.code().wrapping_add(function.start as usize))
    }

    /// The first instruction of the function that an address lies in.
    pub(crate) fn start_of(&self, address: usize) -> Option<*const u8> {
        match self.kind {
            CodeKind::Trampoline { .. } => Some(self.code()),
            CodeKind::Module { .. } => {
                let function = self.tables.functions.get(self.function_at(address)? as usize)?;
                Some(self.code().wrapping_add(function.start as usize))
            }
        }
    }

    /// Why the instruction at an address traps.
    pub(crate) fn trap_at(&self, address: usize) -> Option<TrapCode> {
        let offset = self.offset(address)?;
        let index = self.tables.traps.binary_search_by_key(&offset, |(at, _)| *at).ok()?;
        self.tables.traps.get(index).map(|(_, code)| *code)
    }

    /// Whether an address lies in the code.
    pub(crate) fn contains(&self, address: usize) -> bool {
        self.offset(address).is_some()
    }

    /// Where exceptions go that arrive at the call with a return address, and how far the stack pointer lies below the
    /// frame pointer there.
    pub(crate) fn handler_at(&self, return_address: usize) -> Option<(usize, *const u8)> {
        let offset = self.offset(return_address)?;
        let index =
            self.tables.handlers.binary_search_by_key(&offset, |handler| handler.return_offset).ok()?;
        let handler = self.tables.handlers.get(index)?;
        Some((handler.frame_size as usize, self.code().wrapping_add(handler.landing as usize)))
    }

    /// The references to exceptions that a frame keeps during the call with a return address: how far each lies below
    /// the frame pointer, second.
    pub(crate) fn exception_refs_at(&self, return_address: usize) -> &[(u32, u32)] {
        let Some(offset) = self.offset(return_address) else { return &[] };
        let refs = &self.tables.exception_refs;
        let first = refs.partition_point(|(at, _)| *at < offset);
        let refs = refs.get(first..).unwrap_or_default();
        refs.get(..refs.partition_point(|(at, _)| *at == offset)).unwrap_or_default()
    }

    /// Which of the functions that the module defines an address lies in.
    pub(crate) fn function_at(&self, address: usize) -> Option<u32> {
        let offset = self.offset(address)?;
        let next = self.tables.functions.partition_point(|function| function.start <= offset);
        let index = next.checked_sub(1)?;
        let function = self.tables.functions.get(index)?;
        (offset - function.start < function.len).then_some(index as u32)
    }

    /// The offset in the wasm file of the instruction that an address comes from.
    pub(crate) fn wasm_offset_at(&self, address: usize) -> Option<u32> {
        let offset = self.offset(address)?;
        let next = self.tables.addresses.partition_point(|(at, _)| *at <= offset);
        let (_, wasm) = *self.tables.addresses.get(next.checked_sub(1)?)?;
        (wasm != NO_ADDRESS).then_some(wasm)
    }

    /// Calls `each` for every function with its address, its length and a name.
    pub(super) fn for_each_function(
        &self,
        mut each: impl FnMut(usize, usize, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        let (info, origin) = match &self.kind {
            CodeKind::Module { info, origin } => (info, origin),
            CodeKind::Trampoline { name } => return each(self.pages.address(), self.len, name),
        };
        let module = info.name.as_deref().or(origin.module.as_deref()).unwrap_or("<unknown>");
        let component = origin.component.as_deref().map(|name| format!("{name}/")).unwrap_or_default();
        for (index, range) in (info.imported_functions..).zip(&self.tables.functions) {
            let start = self.pages.address().saturating_add(range.start as usize);
            let name = match info.function_names.get(&index) {
                Some(name) => format!("{component}{module}!{}", crate::backtrace::Shown(name)),
                None => format!("{component}{module}!<wasm function {index}>"),
            };
            each(start, range.len as usize, &name)?;
        }
        Ok(())
    }

    fn offset(&self, address: usize) -> Option<u32> {
        let offset = address.checked_sub(self.pages.address())?;
        if offset < self.len { u32::try_from(offset).ok() } else { None }
    }
}

impl Drop for CodeObject {
    fn drop(&mut self) {
        OBJECTS.write().unwrap_or_else(PoisonError::into_inner).remove(&self.pages.address());
    }
}

/// All published code by its first address. Used by a signal handler only where the thread was at a guest's instruction.
static OBJECTS: RwLock<BTreeMap<usize, Weak<CodeObject>>> = RwLock::new(BTreeMap::new());

/// The code that an address lies in.
pub(crate) fn find(address: usize) -> Option<Arc<CodeObject>> {
    let object = {
        let objects = OBJECTS.read().unwrap_or_else(PoisonError::into_inner);
        objects.range(..=address).next_back().and_then(|(_, object)| object.upgrade())
    }?;
    object.contains(address).then_some(object)
}
