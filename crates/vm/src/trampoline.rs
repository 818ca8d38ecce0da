//! Trampolines between host and compiled code, one pair for each function type of an engine.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tombolo_compile::Compiler;
use tombolo_types::core::{FuncType, ValType};
use tombolo_types::{TypeId, TypeRegistry};

use crate::{CodeError, CodeObject};

/// An engine's compiler and types, and the trampolines compiled so far. They are kept while the cache lives, which
/// every store of the engine sees to.
pub struct TrampolineCache {
    compiler: Arc<Compiler>,
    registry: Arc<TypeRegistry>,
    entries: RwLock<HashMap<TypeId, Trampoline>>,
    exits: RwLock<HashMap<TypeId, Trampoline>>,
    links: RwLock<HashMap<TypeId, Trampoline>>,
    task_returns: RwLock<HashMap<TypeId, Trampoline>>,
}

/// The kinds of trampolines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Entry,
    Exit,
    Link,
    TaskReturn,
}

/// A published trampoline. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trampoline {
    object: Arc<CodeObject>,
    code: *const u8,
    type_id: TypeId,
    slots: u32,
    way: Way,
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
        self.way == Way::Entry && self.type_id == type_id
    }
}

impl TrampolineCache {
    /// Makes an empty cache.
    pub fn new(compiler: Arc<Compiler>, registry: Arc<TypeRegistry>) -> Arc<TrampolineCache> {
        Arc::new(TrampolineCache {
            compiler,
            registry,
            entries: RwLock::default(),
            exits: RwLock::default(),
            links: RwLock::default(),
            task_returns: RwLock::default(),
        })
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
        self.find(&self.entries, type_id, Way::Entry)
    }

    /// The trampoline through which compiled code calls host functions of a type.
    ///
    /// # Errors
    /// When it cannot be compiled or there is no memory for it.
    pub fn exit(&self, type_id: TypeId) -> Result<Trampoline, CodeError> {
        self.find(&self.exits, type_id, Way::Exit)
    }

    /// The trampoline through which compiled code calls links of a type: see
    /// [`GroupRef::raw_link`](crate::GroupRef::raw_link).
    ///
    /// # Errors
    /// When it cannot be compiled or there is no memory for it.
    pub fn link(&self, type_id: TypeId) -> Result<Trampoline, CodeError> {
        self.find(&self.links, type_id, Way::Link)
    }

    /// The trampoline through which compiled code calls a `task.return` of a type: see
    /// [`GroupRef::raw_task_return`](crate::GroupRef::raw_task_return).
    ///
    /// # Errors
    /// When it cannot be compiled or there is no memory for it.
    pub fn task_return(&self, type_id: TypeId) -> Result<Trampoline, CodeError> {
        self.find(&self.task_returns, type_id, Way::TaskReturn)
    }

    fn find(
        &self,
        known: &RwLock<HashMap<TypeId, Trampoline>>,
        type_id: TypeId,
        way: Way,
    ) -> Result<Trampoline, CodeError> {
        if let Some(trampoline) = known.read().unwrap_or_else(PoisonError::into_inner).get(&type_id) {
            return Ok(trampoline.clone());
        }
        let ty = self.registry.get(type_id).ok_or(CodeError::UnknownType(type_id))?;
        let new = self.compile(&ty, type_id, way)?;
        // Two threads may both have compiled it; the first one's is used by both.
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        Ok(known.entry(type_id).or_insert(new).clone())
    }

    fn compile(&self, ty: &FuncType, type_id: TypeId, way: Way) -> Result<Trampoline, CodeError> {
        let (function, name) = match way {
            Way::Entry => (self.compiler.entry_trampoline(ty)?, "host to guest"),
            Way::Exit => (self.compiler.exit_trampoline(ty)?, "guest to host"),
            Way::Link => (self.compiler.link_trampoline(ty)?, "link"),
            Way::TaskReturn => (self.compiler.task_return_trampoline(ty)?, "task.return"),
        };
        let object = CodeObject::publish_function(function, format!("tombolo::{name} {}", signature(ty)))?;
        let slots = ty.params.len().max(ty.results.len());
        let slots = u32::try_from(slots).map_err(|_| CodeError::TooLarge(slots))?;
        Ok(Trampoline { code: object.code(), object, type_id, slots, way })
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
