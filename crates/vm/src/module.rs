//! Modules that are ready to be instantiated.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;

use tombolo_compile::module::ModuleInfo;
use tombolo_compile::vmctx::Layout;
use tombolo_compile::{CallGraph, CompiledModule};
use tombolo_types::TypeRegistry;

use crate::code::{CodeKind, CodeTables};
use crate::{CodeError, CodeObject, Origin, TrampolineCache};

/// A compiled module whose code is in place. Instances share it and keep it.
#[derive(Debug)]
pub struct Module {
    /// Whose numbers its function types have, if it was compiled here.
    registry: Option<Arc<TypeRegistry>>,
    info: Arc<ModuleInfo>,
    calls: CallGraph,
    layout: Layout,
    code: Arc<CodeObject>,
    /// Where each function that the module defines is: what compiled code calls through.
    slots: Box<[AtomicPtr<u8>]>,
    type_ids: Box<[u32]>,
    /// The bytes of all data segments.
    data: Box<[u8]>,
    /// Where in `data` each segment is.
    segments: Box<[Range<usize>]>,
    /// For each function, which of the instance's `FuncRef`s is its, or [`NO_REFERENCE`].
    references: Box<[u32]>,
}

/// Marks a function that never becomes a value.
const NO_REFERENCE: u32 = u32::MAX;

impl Module {
    /// Compiles a module and puts its code in place.
    ///
    /// # Errors
    /// When it is invalid, or there is no memory for its code.
    pub fn compile(cache: &TrampolineCache, wasm: &[u8]) -> Result<Arc<Module>, CodeError> {
        let compiled = cache.compiler().compile_module(wasm, cache.registry())?;
        Module::place(compiled, wasm, Origin::default(), Some(cache.registry().clone()))
    }

    /// Puts a compiled module's code in place.
    ///
    /// # Errors
    /// When there is no memory for its code.
    ///
    /// # Safety
    /// `compiled` is what the compiler made of `wasm`, unchanged, with the types of the registry of every store that
    /// the module will be instantiated in.
    pub unsafe fn new(
        compiled: CompiledModule,
        wasm: &[u8],
        origin: Origin,
    ) -> Result<Arc<Module>, CodeError> {
        Module::place(compiled, wasm, origin, None)
    }

    fn place(
        compiled: CompiledModule,
        wasm: &[u8],
        origin: Origin,
        registry: Option<Arc<TypeRegistry>>,
    ) -> Result<Arc<Module>, CodeError> {
        let CompiledModule {
            info,
            calls,
            layout,
            code,
            functions,
            traps,
            handlers,
            exception_refs,
            addresses,
            ..
        } = compiled;
        let tables = CodeTables { traps, handlers, exception_refs, addresses, functions };
        let code = CodeObject::publish(&code, CodeKind::Module { info: info.clone(), origin }, tables)?;
        let slots: Box<[AtomicPtr<u8>]> =
            code.entries().map(|entry| AtomicPtr::new(entry.cast_mut())).collect();
        let defined = info.functions.len().saturating_sub(info.imported_functions as usize);
        if slots.len() != defined || Layout::new(&info) != Some(layout) {
            return Err(CodeError::WrongBytes);
        }
        let (data, segments) = copy_data(&info, wasm).ok_or(CodeError::WrongBytes)?;
        let mut references = vec![NO_REFERENCE; info.functions.len()];
        for (position, function) in (0..).zip(&info.escaping) {
            *references.get_mut(*function as usize).ok_or(CodeError::WrongBytes)? = position;
        }
        Ok(Arc::new(Module {
            registry,
            type_ids: info.types.iter().map(|id| id.0).collect(),
            references: references.into(),
            info,
            calls,
            layout,
            code,
            slots,
            data,
            segments,
        }))
    }

    /// What the module declares.
    pub fn info(&self) -> &Arc<ModuleInfo> {
        &self.info
    }

    /// Who calls whom in the module.
    pub(crate) fn calls(&self) -> &CallGraph {
        &self.calls
    }

    /// The module's code.
    pub fn code(&self) -> &Arc<CodeObject> {
        &self.code
    }

    /// Whether its function types can have the numbers of another registry than this.
    pub(crate) fn is_foreign(&self, registry: &Arc<TypeRegistry>) -> bool {
        self.registry.as_ref().is_some_and(|own| !Arc::ptr_eq(own, registry))
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn slots(&self) -> &[AtomicPtr<u8>] {
        &self.slots
    }

    pub(crate) fn type_ids(&self) -> &[u32] {
        &self.type_ids
    }

    /// The bytes of a data segment.
    pub(crate) fn data(&self, segment: usize) -> Option<&[u8]> {
        self.data.get(self.segments.get(segment)?.clone())
    }

    /// Which of an instance's `FuncRef`s is that of a function.
    pub(crate) fn reference(&self, function: u32) -> Option<u32> {
        self.references.get(function as usize).copied().filter(|position| *position != NO_REFERENCE)
    }
}

/// The bytes of a module's data segments, and where each is among them.
type Data = (Box<[u8]>, Box<[Range<usize>]>);

fn copy_data(info: &ModuleInfo, wasm: &[u8]) -> Option<Data> {
    let mut data = Vec::new();
    let mut segments = Vec::with_capacity(info.data.len());
    for segment in &info.data {
        let start = data.len();
        data.extend_from_slice(wasm.get(segment.range.clone())?);
        segments.push(start..data.len());
    }
    Some((data.into(), segments.into()))
}
