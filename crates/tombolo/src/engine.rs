//! The engine: what all components and stores of a program share.

use std::sync::Arc;

use tombolo_compile::{Compiler, OptLevel};
use tombolo_types::TypeRegistry;
use tombolo_vm::TrampolineCache;

use crate::error::{Error, Result};

/// Choices that hold for everything an [`Engine`] compiles and runs.
#[derive(Clone, Debug, Default)]
pub struct Config {
    compiler: tombolo_compile::Config,
}

impl Config {
    /// The defaults: optimised code, everything on that WASI 0.3 needs.
    pub fn new() -> Self {
        Config::default()
    }

    /// Chooses between code that runs fast (`true`, the default) and code that is compiled fast.
    pub fn optimize(&mut self, yes: bool) -> &mut Self {
        self.compiler.opt_level = if yes { OptLevel::Speed } else { OptLevel::None };
        self
    }

    /// How many threads compile a component; by default one per processor.
    pub fn compile_threads(&mut self, threads: usize) -> &mut Self {
        self.compiler.threads = threads.max(1);
        self
    }
}

/// A compiler and what compiled code shares. Cheap to clone; clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<EngineInner>,
}

struct EngineInner {
    compiler: Arc<Compiler>,
    registry: Arc<TypeRegistry>,
    trampolines: Arc<TrampolineCache>,
}

impl Engine {
    /// Makes an engine.
    ///
    /// # Errors
    /// If compiled code cannot run on this machine.
    pub fn new(config: &Config) -> Result<Self> {
        let compiler = Arc::new(Compiler::new(&config.compiler).map_err(Error::compile)?);
        let registry = Arc::new(TypeRegistry::default());
        let trampolines = TrampolineCache::new(compiler.clone(), registry.clone());
        Ok(Engine { inner: Arc::new(EngineInner { compiler, registry, trampolines }) })
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.inner.compiler
    }

    pub(crate) fn registry(&self) -> &TypeRegistry {
        &self.inner.registry
    }

    pub(crate) fn trampolines(&self) -> &Arc<TrampolineCache> {
        &self.inner.trampolines
    }

    pub(crate) fn same(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}
