//! The engine: what all components and stores of a program share.

use std::sync::Arc;

use tombolo_compile::{Compiler, OptLevel};
use tombolo_types::TypeRegistry;
use tombolo_vm::TrampolineCache;
use wasmparser::WasmFeatures;

use crate::error::{Error, Result};
use crate::feature::Feature;
use crate::runtime::Adapters;
use crate::store::Limits;

/// Calls that are interpreted by default: compiling an adapter takes as long as hundreds of them.
pub(crate) const ADAPTERS_AFTER: u32 = 16;

/// Choices that hold for everything an [`Engine`] compiles and runs.
#[derive(Clone, Debug)]
pub struct Config {
    compiler: tombolo_compile::Config,
    features: WasmFeatures,
    limits: Limits,
    profile: Profile,
    adapters_after: u32,
}

/// What a profiler of the system is told of guests' functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Nothing.
    #[default]
    None,
    /// Their addresses and names, by the map that `perf` reads (`/tmp/perf-PID.map`). There is one for the process: it
    /// has what any engine compiles after the first that was made with this choice.
    PerfMap,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            compiler: tombolo_compile::Config::default(),
            features: Feature::DEFAULT,
            limits: Limits::default(),
            profile: Profile::None,
            adapters_after: ADAPTERS_AFTER,
        }
    }
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

    /// Counts what guests do, in units of fuel, and ends with a trap those that have used theirs up: that of their store
    /// ([`Store::set_fuel`](crate::Store::set_fuel)), or of their root instance if it has its own
    /// ([`Limits::fuel`], [`Instance::set_fuel`](crate::Instance::set_fuel)). Off by default, and then without cost.
    ///
    /// Each instruction of core WebAssembly that is executed costs one unit; `nop`, `drop`, `block`, `loop`, `else`,
    /// `end` and `try_table` cost nothing, and the bulk instructions on memories and tables one more for each 64 bytes
    /// or 8 elements that they write. What the host does costs nothing. So the count is the same
    /// on every run and every machine, with optimisation and without. Fuel is found to be used up at the next function
    /// entry, loop or bulk instruction; what ends a guest otherwise (a trap, an error of the host) leaves the count as it
    /// was at the last branch or call before.
    pub fn fuel(&mut self, on: bool) -> &mut Self {
        self.compiler.fuel = on;
        self
    }

    /// Compiles checks into guests, with which they can be stopped at a time
    /// ([`Store::set_deadline`](crate::Store::set_deadline), [`Instance::set_deadline`](crate::Instance::set_deadline)) or
    /// the executor be let to do something else meanwhile ([`Store::set_time_slice`](crate::Store::set_time_slice)). Off by
    /// default, and then without cost; a check is a load and a comparison, at function entries and in loops.
    pub fn deadlines(&mut self, on: bool) -> &mut Self {
        self.compiler.interruptible = on;
        self
    }

    /// Lets components use a part of the Component Model, or forbids it.
    pub fn feature(&mut self, feature: Feature, on: bool) -> &mut Self {
        self.features.set(feature.flag(), on);
        self
    }

    /// How much each store of the engine may hold, unless it is made with
    /// [limits of its own](crate::Store::with_limits).
    pub fn limits(&mut self, limits: Limits) -> &mut Self {
        self.limits = limits;
        self
    }

    /// Tells a profiler of the system the names of guests' functions, also of the trampolines between host and guest.
    pub fn profile(&mut self, profile: Profile) -> &mut Self {
        self.profile = profile;
        self
    }

    /// Keeps what components bring along for debuggers (DWARF), so that the backtraces of traps name source files and
    /// lines. On by default. It costs as much memory as the debug sections are long; they are not looked at before
    /// somebody looks at a trap's backtrace.
    pub fn debug_info(&mut self, on: bool) -> &mut Self {
        self.compiler.debug_info = on;
        self
    }

    /// After how many calls of a function of another component instance code is compiled for those calls, which then cost
    /// little more than calls within an instance; 16 by default. Before that, they are interpreted. With 0, code for calls
    /// of `async` functions is compiled at instantiation, and other code at the first call.
    pub fn adapters_after(&mut self, calls: u32) -> &mut Self {
        self.adapters_after = calls;
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
    features: WasmFeatures,
    limits: Limits,
    compiler: Arc<Compiler>,
    registry: Arc<TypeRegistry>,
    trampolines: Arc<TrampolineCache>,
    adapters: Adapters,
}

impl Engine {
    /// Makes an engine.
    ///
    /// # Errors
    /// If compiled code cannot run on this machine, or the profiler's file cannot be written.
    pub fn new(config: &Config) -> Result<Self> {
        if config.profile == Profile::PerfMap {
            let what = "making perf's map";
            tombolo_vm::write_perf_map().map_err(|source| Error::system(what, source))?;
        }
        let compiler = Arc::new(Compiler::new(&config.compiler).map_err(Error::compile)?);
        let registry = Arc::new(TypeRegistry::default());
        let trampolines = TrampolineCache::new(compiler.clone(), registry.clone());
        let features = compiler.features().union(config.features);
        let inner = EngineInner {
            features,
            limits: config.limits.clone(),
            compiler,
            registry,
            trampolines,
            adapters: Adapters::new(config.adapters_after),
        };
        Ok(Engine { inner: Arc::new(inner) })
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.inner.compiler
    }

    pub(crate) fn has_fuel(&self) -> bool {
        self.compiler().config().fuel
    }

    pub(crate) fn has_deadlines(&self) -> bool {
        self.compiler().config().interruptible
    }

    pub(crate) fn registry(&self) -> &TypeRegistry {
        &self.inner.registry
    }

    pub(crate) fn trampolines(&self) -> &Arc<TrampolineCache> {
        &self.inner.trampolines
    }

    pub(crate) fn adapters(&self) -> &Adapters {
        &self.inner.adapters
    }

    /// What components and their modules may use.
    pub(crate) fn features(&self) -> WasmFeatures {
        self.inner.features
    }

    /// What a store may hold.
    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
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
