//! Core modules, straight on the engine.

use std::collections::HashMap;
use std::sync::Arc;

use tombolo_compile::vmctx::TrapCode;
use tombolo_compile::{CompileError, Compiler, Config, OptLevel, SUPPORTED_FEATURES, WasmFeatures};
use tombolo_types::TypeRegistry;
use tombolo_vm::{
    CallError, CodeError, Extern, InstanceHandle, InstantiationError, Module, Store, StoreConfig,
    TrampolineCache, Trap, TrapKind, Val,
};
use wast::{WastArg, WastRet};

use crate::core_value::{argument, matches, show, show_expected};
use crate::machine::{Cause, Machine, Refusal};
use crate::{spectest, wording};

/// What compiles core modules, for any number of [`Modules`].
#[derive(Clone, Debug)]
pub struct ModuleEngine(Arc<TrampolineCache>);

impl ModuleEngine {
    /// Makes one for everything that the compiler knows.
    ///
    /// # Errors
    /// When compiled code cannot run on this machine.
    pub fn new(optimize: bool) -> Result<Self, CompileError> {
        ModuleEngine::with_features(SUPPORTED_FEATURES, optimize)
    }

    /// Makes one for modules that use some features only, of those that the compiler knows.
    ///
    /// # Errors
    /// When compiled code cannot run on this machine.
    pub fn with_features(features: WasmFeatures, optimize: bool) -> Result<Self, CompileError> {
        let mut config = Config::default();
        config.features = features.intersection(SUPPORTED_FEATURES);
        config.opt_level = if optimize { OptLevel::Speed } else { OptLevel::None };
        let compiler = Arc::new(Compiler::new(&config)?);
        Ok(ModuleEngine(TrampolineCache::new(compiler, Arc::new(TypeRegistry::default()))))
    }
}

/// Runs a script's core modules, all instances in one store, with the module `spectest` to import from.
pub struct Modules {
    store: Store,
    registered: HashMap<String, Registered>,
}

/// What an import's first name stands for.
enum Registered {
    Host(HashMap<&'static str, Extern>),
    Instance(InstanceHandle),
}

impl Modules {
    /// Makes an empty place.
    ///
    /// # Errors
    /// When there is no memory for what the host provides.
    pub fn new(engine: &ModuleEngine) -> Result<Self, Refusal> {
        let store = Store::new(engine.0.clone(), StoreConfig::default());
        let spectest = spectest::exports(&store)
            .map_err(|error| Refusal::new(Cause::Misuse, format!("no module `spectest`: {error}")))?;
        let registered = HashMap::from([("spectest".to_owned(), Registered::Host(spectest))]);
        Ok(Modules { store, registered })
    }

    fn import(&self, module: &str, name: &str) -> Option<Extern> {
        match self.registered.get(module)? {
            Registered::Host(exports) => exports.get(name).copied(),
            Registered::Instance(instance) => instance.export(&self.store, name),
        }
    }
}

impl Machine for Modules {
    type Definition = Arc<Module>;
    type Instance = InstanceHandle;
    type Results = Vec<Val>;

    fn define(&mut self, binary: &[u8]) -> Result<Arc<Module>, Refusal> {
        Module::compile(self.store.trampolines(), binary).map_err(|error| {
            let cause = match error {
                // To a version of the standard, what came later is as invalid as what never will.
                CodeError::Compile(CompileError::Invalid { .. } | CompileError::Disabled { .. }) => {
                    Cause::Invalid
                }
                CodeError::Compile(_) => Cause::Unsupported,
                _ => Cause::Misuse,
            };
            // The cause says it already.
            let message = error.to_string();
            let message = ["unsupported: ", "invalid WebAssembly module: "]
                .iter()
                .find_map(|prefix| message.strip_prefix(prefix))
                .unwrap_or(&message);
            Refusal::new(cause, message)
        })
    }

    fn instantiate(&mut self, definition: &Arc<Module>) -> Result<InstanceHandle, Refusal> {
        let imports = definition.info().imports.iter().map(|import| {
            self.import(&import.module, &import.name).ok_or_else(|| {
                let message = format!("unknown import `{}` `{}`", import.module, import.name);
                Refusal::new(Cause::Unlinkable, message)
            })
        });
        let imports = imports.collect::<Result<Vec<_>, _>>()?;
        let instance = self.store.instantiate(definition, &imports).map_err(|error| match error {
            InstantiationError::Trap(trap) => trapped(&trap),
            InstantiationError::Import { .. } => Refusal::new(Cause::Unlinkable, error.to_string()),
            InstantiationError::Resource(_) => Refusal::new(Cause::Unsupported, error.to_string()),
            _ => Refusal::new(Cause::Misuse, error.to_string()),
        })?;
        self.store.start(instance).map_err(|trap| trapped(&trap))?;
        Ok(instance)
    }

    fn register(&mut self, name: &str, instance: &InstanceHandle) -> Result<(), Refusal> {
        self.registered.insert(name.to_owned(), Registered::Instance(*instance));
        Ok(())
    }

    fn invoke(
        &mut self,
        instance: &InstanceHandle,
        name: &str,
        args: &[WastArg<'_>],
    ) -> Result<Vec<Val>, Refusal> {
        let func = instance
            .export(&self.store, name)
            .and_then(Extern::func)
            .ok_or_else(|| Refusal::new(Cause::Misuse, format!("no function `{name}` is exported")))?;
        let args = args
            .iter()
            .map(|arg| match arg {
                WastArg::Core(written) => argument(written),
                other => Err(format!("{other:?} is not a core value")),
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|message| Refusal::new(Cause::Misuse, message))?;
        self.store.call(func, &args).map_err(|error| match error {
            CallError::Trap(trap) => trapped(&trap),
            other => Refusal::new(Cause::Misuse, other.to_string()),
        })
    }

    fn global(&mut self, instance: &InstanceHandle, name: &str) -> Result<Vec<Val>, Refusal> {
        let global = instance
            .export(&self.store, name)
            .and_then(Extern::global)
            .ok_or_else(|| Refusal::new(Cause::Misuse, format!("no global `{name}` is exported")))?;
        Ok(vec![global.get(&self.store)])
    }

    fn compare(&self, results: &Vec<Val>, expected: &[WastRet<'_>]) -> Result<(), String> {
        if results.len() != expected.len() {
            return Err(format!("there are {} results, not {}", results.len(), expected.len()));
        }
        for (found, expected) in results.iter().zip(expected) {
            let WastRet::Core(expected) = expected else {
                return Err(format!("{expected:?} is not a core value"));
            };
            if !matches(*found, expected) {
                return Err(format!("the result is {}, not {}", show(*found), show_expected(expected)));
            }
        }
        Ok(())
    }

    fn says(&self, cause: Cause, message: &str, expected: &str) -> bool {
        // Why a module is malformed or invalid, the standard leaves open: the scripts quote the reference interpreter.
        cause == Cause::Invalid || wording::says(message, expected)
    }
}

fn trapped(trap: &Trap) -> Refusal {
    let cause = match trap.kind() {
        TrapKind::Wasm(TrapCode::StackOverflow) => Cause::Exhausted,
        TrapKind::Exception(_) => Cause::Exception,
        _ => Cause::Trap,
    };
    Refusal::new(cause, trap.to_string())
}
