//! Gives the decoder, the validator and the compiler bytes that nobody meant for them.
//!
//! Whatever they are, the answer is a module or component, or an error that says what is wrong with the bytes: no panic,
//! no error that blames the compiler, no more time or memory than bytes of that number are worth, and no other verdict
//! than the validator's.

mod corpus;
mod mutate;

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tombolo::{Component, Engine, ErrorKind, Feature};
use tombolo_compile::{CompileError, Compiler, Config, OptLevel, WasmFeatures};
use tombolo_types::TypeRegistry;
use tombolo_vm::{CodeError, Module, TrampolineCache};
use wasmparser::{Parser, Validator};

use crate::memory::Peak;
use crate::{Counts, Finding, Target};
use corpus::Corpus;

/// The target.
pub struct NoCrash {
    corpus: Corpus,
    /// With and without optimisation.
    engines: [(Arc<TrampolineCache>, Engine); 2],
    /// How many inputs the engines are still good for: they keep every type that they ever saw.
    left: u32,
}

const INPUTS_PER_ENGINE: u32 = 1000;

/// What an input may take: so much, and so much for each byte. The validator sets aside room for as many items as a
/// section says it has, up to a million, before it reads one; of that room nothing is touched.
const MEMORY: (usize, usize) = (300 << 20, 16 << 10);
const TIME: (Duration, Duration) = (Duration::from_secs(1), Duration::from_micros(100));

impl Target for NoCrash {
    const NAME: &'static str = "no-crash";
    const LONGEST: usize = 512;

    fn new() -> anyhow::Result<Self> {
        Ok(NoCrash { corpus: Corpus::load()?, engines: engines()?, left: INPUTS_PER_ENGINE })
    }

    fn run(&mut self, input: &[u8], counts: &mut Counts) -> Result<(), Finding> {
        if self.left == 0 {
            self.engines = engines().map_err(|error| Finding::while_doing("making a compiler", error))?;
            self.left = INPUTS_PER_ENGINE;
        }
        self.left -= 1;
        let (kind, bytes) = mutate::bytes(input, &self.corpus);
        let engine = &self.engines[usize::from(input.last().is_some_and(|byte| byte & 1 != 0))];

        let (peak, begun) = (Peak::begin(), cpu_time());
        let verdict = if Parser::is_core_wasm(&bytes) {
            module(&engine.0, &bytes)?
        } else {
            component(&engine.1, &engine.0, &bytes)?
        };
        let (memory, time) = (peak.end(), cpu_time() - begun);

        counts.count(&format!("{kind}: {verdict}"));
        counts.add("most memory for an input, MiB", (memory >> 20) as u64);
        counts.add("most processor time for an input, ms", time.as_millis() as u64);
        if memory > MEMORY.0 + MEMORY.1 * bytes.len() {
            return Err(Finding(format!("{} bytes of input took {memory} bytes of memory", bytes.len())));
        }
        if time > TIME.0 + TIME.1 * bytes.len() as u32 {
            return Err(Finding(format!("{} bytes of input took {time:?}", bytes.len())));
        }
        Ok(())
    }

    fn show(&mut self, input: &[u8]) -> String {
        let (kind, bytes) = mutate::bytes(input, &self.corpus);
        let text =
            wasmprinter::print_bytes(&bytes).unwrap_or_else(|error| format!(";; not printable: {error}"));
        format!(";; {kind}\n;; {}\n{text}", bytes.escape_ascii())
    }
}

fn engines() -> anyhow::Result<[(Arc<TrampolineCache>, Engine); 2]> {
    let engine = |optimize: bool| -> anyhow::Result<_> {
        let mut config = Config::default();
        config.opt_level = if optimize { OptLevel::Speed } else { OptLevel::None };
        config.threads = 1;
        config.verify = false;
        let cache =
            TrampolineCache::new(Arc::new(Compiler::new(&config)?), Arc::new(TypeRegistry::default()));
        let mut config = tombolo::Config::new();
        config.optimize(optimize).compile_threads(1);
        for feature in Feature::ALL {
            config.feature(*feature, true);
        }
        Ok((cache, Engine::new(&config)?))
    };
    Ok([engine(false)?, engine(true)?])
}

/// What the validator thinks of bytes.
fn is_valid(bytes: &[u8], features: WasmFeatures) -> bool {
    Validator::new_with_features(features).validate_all(bytes).is_ok()
}

fn module(engine: &TrampolineCache, bytes: &[u8]) -> Result<&'static str, Finding> {
    let error = match Module::compile(engine, bytes) {
        Ok(_) if is_valid(bytes, engine.compiler().features()) => return Ok("a module"),
        Ok(_) => return Err(Finding("the module was compiled, but is not valid".into())),
        Err(CodeError::Compile(error)) => error,
        Err(error) => return Err(Finding::while_doing("placing code", error)),
    };
    verdict(&error, || is_valid(bytes, engine.compiler().features()))
}

fn verdict(error: &CompileError, is_valid: impl Fn() -> bool) -> Result<&'static str, Finding> {
    // Whoever gets an error may print it.
    let text = error.to_string();
    match error {
        CompileError::Invalid { .. } | CompileError::Disabled { .. } if is_valid() => {
            Err(Finding(format!("a valid module was refused: {text}")))
        }
        CompileError::Invalid { .. } => Ok("invalid"),
        CompileError::Unsupported { .. } | CompileError::Disabled { .. } => Ok("unsupported"),
        CompileError::TooLarge { .. } => Ok("too large"),
        _ => Err(Finding(text)),
    }
}

fn component(engine: &Engine, core: &TrampolineCache, bytes: &[u8]) -> Result<&'static str, Finding> {
    let features = || {
        let components = WasmFeatures::COMPONENT_MODEL
            | WasmFeatures::CM_ASYNC
            | WasmFeatures::CM_MAP
            | WasmFeatures::CM_IMPLEMENTS
            | WasmFeatures::CM_MORE_ASYNC_BUILTINS
            | WasmFeatures::CM_ASYNC_STACKFUL
            | WasmFeatures::CM_THREADING
            | WasmFeatures::CM_FORWARD
            | WasmFeatures::CM_FIXED_LENGTH_LISTS;
        core.compiler().features() | components
    };
    let error = match Component::new(engine, bytes) {
        Ok(_) if !Parser::is_component(bytes) => return Ok("a component's text"),
        Ok(_) if is_valid(bytes, features()) => return Ok("a component"),
        Ok(_) => return Err(Finding("the component was compiled, but is not valid".into())),
        Err(error) => error,
    };
    let text = format!("{error} {error:?}");
    match error.kind() {
        ErrorKind::Malformed { .. } if is_valid(bytes, features()) => {
            Err(Finding(format!("a valid component was refused: {text}")))
        }
        ErrorKind::Malformed { .. } => Ok("invalid"),
        ErrorKind::Unsupported { .. } => Ok("unsupported"),
        ErrorKind::Text(_) => Ok("no text"),
        ErrorKind::NotAComponent => Ok("a module as a component"),
        ErrorKind::Compile(error) => verdict(error, || is_valid(bytes, features())),
        _ => Err(Finding(text)),
    }
}

/// Time that this thread has been running.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
