//! Components: bytes made ready to be instantiated.

mod decode;
mod names;
mod plan;
mod types;

use std::path::Path;
use std::sync::Arc;

use tombolo_types::component::Types;
use tombolo_vm::Module;

pub(crate) use plan::*;

use crate::engine::Engine;
use crate::error::{Error, Result};

/// A component, validated and compiled. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    inner: Arc<ComponentInner>,
}

pub(crate) struct ComponentInner {
    pub engine: Engine,
    pub plan: Arc<ComponentPlan>,
    pub types: Arc<Types>,
    pub modules: Vec<Arc<Module>>,
    /// What the component calls itself.
    pub name: Option<Arc<str>>,
}

impl Component {
    /// Validates and compiles a component from its binary or its text.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) with the offset of the first bad byte,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) with the name of a feature that is missing, and
    /// [`ErrorKind::NotAComponent`](crate::ErrorKind::NotAComponent) for a core module.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Self> {
        let bytes = wat::parse_bytes(bytes.as_ref()).map_err(|error| Error::text(&error))?;
        let decoded = decode::decode(&bytes, engine.features(), engine.registry())?;
        let modules = (decoded.modules.iter().zip(decoded.origins))
            .map(|(range, origin)| {
                let wasm = bytes.get(range.clone()).unwrap_or_default();
                let compiled =
                    (engine.compiler().compile_module_at(wasm, range.start as u64, engine.registry()))
                        .map_err(Error::compile)?;
                // SAFETY: it was just compiled from these bytes, with this engine's registry.
                #[allow(unsafe_code, reason = "see above")]
                unsafe { Module::new(compiled, wasm, origin) }.map_err(Error::code)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Component {
            inner: Arc::new(ComponentInner {
                engine: engine.clone(),
                plan: Arc::new(decoded.plan),
                types: Arc::new(decoded.types),
                modules,
                name: decoded.name,
            }),
        })
    }

    /// Reads a file and makes a component of it; see [`Component::new`].
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::system("reading the component", source))?;
        Component::new(engine, bytes)
    }

    /// The names of the component's imports, in order.
    pub fn imports(&self) -> impl Iterator<Item = &str> {
        self.inner.plan.imports.iter().map(|import| import.name.as_str())
    }

    /// The names of the component's exports, in order.
    pub fn exports(&self) -> impl Iterator<Item = &str> {
        self.inner.plan.exports.iter().map(|export| export.name.as_str())
    }

    pub(crate) fn inner(&self) -> &Arc<ComponentInner> {
        &self.inner
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("modules", &self.inner.modules.len()).finish_non_exhaustive()
    }
}
