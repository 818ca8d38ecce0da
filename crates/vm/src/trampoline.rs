//! Trampolines between host and compiled code, one pair for each function type of an engine.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tombolo_compile::{Compiler, TrampolineKind};
use tombolo_types::core::{FuncType, ValType};
use tombolo_types::{TypeId, TypeRegistry};

use crate::{CodeError, CodeObject};

/// An engine's compiler and types, and the trampolines compiled so far. They are kept while the cache lives, which
/// every store of the engine sees to.
pub struct TrampolineCache {
    compiler: Arc<Compiler>,
    registry: Arc<TypeRegistry>,
    known: RwLock<HashMap<(TrampolineKind, TypeId), Trampoline>>,
}

/// A published trampoline. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trampoline {
    object: Arc<CodeObject>,
    code: *const u8,
    type_id: TypeId,
    slots: u32,
    kind: TrampolineKind,
}

// SAFETY: `code` is the address of `object`'s code, which does not change.
unsafe impl Send for Trampoline {}
// SAFETY: likewise.
unsafe impl Sync for Trampoline {}

impl std::fmt::Debug for TrampolineCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrampolineCache").finish_non_exhaustive()
    }
}

impl Trampoline {
    /// Its code.
    pub fn code(&self) -> *const u8 {
        self.code
    }

    /// The function type that it is for.
    pub fn type_id(&self) -> TypeId {
        self.type_id
    }

    /// How many values it reads and writes: as many as parameters or results, whichever are more.
    pub fn slots(&self) -> usize {
        self.slots as usize
    }

    /// The object that its code is in.
    pub fn object(&self) -> &Arc<CodeObject> {
        &self.object
    }

    pub(crate) fn is_entry_of(&self, type_id: TypeId) -> bool {
        self.kind == TrampolineKind::Entry && self.type_id == type_id
    }
}

impl TrampolineCache {
    /// Makes an empty cache.
    pub fn new(compiler: Arc<Compiler>, registry: Arc<TypeRegistry>) -> Arc<TrampolineCache> {
        Arc::new(TrampolineCache { compiler, registry, known: RwLock::default() })
    }

    /// The engine's compiler.
    pub fn compiler(&self) -> &Arc<Compiler> {
        &self.compiler
    }

    /// The engine's function types.
    pub fn registry(&self) -> &Arc<TypeRegistry> {
        &self.registry
    }

    /// The trampoline through which the host calls functions of a type.
    ///
    /// # Errors
    /// When it cannot be compiled or there is no memory for it.
    pub fn entry(&self, type_id: TypeId) -> Result<Trampoline, CodeError> {
        self.find(TrampolineKind::Entry, type_id)
    }

    /// The trampoline through which compiled code calls host functions of a type.
    ///
    /// # Errors
    /// When it cannot be compiled or there is no memory for it.
    pub fn exit(&self, type_id: TypeId) -> Result<Trampoline, CodeError> {
        self.find(TrampolineKind::Exit, type_id)
    }

    /// The trampoline of a kind for a type.
    ///
    /// # Errors
    /// When it cannot be compiled or there is no memory for it.
    pub(crate) fn find(&self, kind: TrampolineKind, type_id: TypeId) -> Result<Trampoline, CodeError> {
        let key = (kind, type_id);
        if let Some(trampoline) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(trampoline.clone());
        }
        let ty = self.registry.get(type_id).ok_or(CodeError::UnknownType(type_id))?;
        let new = self.compile(&ty, type_id, kind)?;
        // Two threads may both have compiled it; the first one's is used by both.
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Ok(known.entry(key).or_insert(new).clone())
    }

    fn compile(&self, ty: &FuncType, type_id: TypeId, kind: TrampolineKind) -> Result<Trampoline, CodeError> {
        let name = match kind {
            TrampolineKind::Entry => "host to guest",
            TrampolineKind::Exit => "guest to host",
            TrampolineKind::Link => "link",
            TrampolineKind::TaskReturn => "task.return",
            TrampolineKind::Direct => "built-in",
            TrampolineKind::Context(_) => "context",
        };
        let function = self.compiler.trampoline(kind, ty)?;
        let object = CodeObject::publish_function(function, format!("tombolo::{name} {}", signature(ty)))?;
        let slots = ty.params.len().max(ty.results.len());
        let slots = u32::try_from(slots).map_err(|_| CodeError::TooLarge(slots))?;
        Ok(Trampoline { code: object.code(), object, type_id, slots, kind })
    }
}

/// A function type as text.
fn signature(ty: &FuncType) -> String {
    let list = |types: &[ValType]| {
        let names: Vec<_> = types
            .iter()
            .map(|ty| match ty {
                ValType::I32 => "i32",
                ValType::I64 => "i64",
                ValType::F32 => "f32",
                ValType::F64 => "f64",
                ValType::V128 => "v128",
                ValType::Ref(_) => "ref",
            })
            .collect();
        names.join(", ")
    };
    format!("({}) -> ({})", list(&ty.params), list(&ty.results))
}
