//! The compiler: modules in, machine code out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::ExternalName;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::{Context, FinalizedMachExceptionHandler, FinalizedRelocTarget};
use tombolo_types::TypeRegistry;
use tombolo_types::core::FuncType;
use wasmparser::WasmFeatures;

use crate::CompileError;
use crate::adapter::{self, Adapter};
use crate::arch;
use crate::call_graph::CallGraph;
use crate::compiled::{
    CallTarget, CompiledFunction, CompiledModule, Handler, NO_ADDRESS, Text, UnlinkedFunction, push_address,
};
use crate::config::{self, Config, Registers, SUPPORTED_FEATURES};
use crate::parse::ParsedModule;
use crate::trampoline::{self, TrampolineKind};
use crate::translate::{self, Env, Scratch};

/// Compiles modules for the machine it runs on. One serves all threads of a process.
pub struct Compiler {
    isa: OwnedTargetIsa,
    /// For functions in which more than [`MANY_VALUES`] live at once.
    plain_isa: OwnedTargetIsa,
    config: Config,
    fused_multiply_add: bool,
    /// What functions call to be interrupted, if they can be.
    interrupt_shim: Option<CompiledFunction>,
}

/// Modules with less code than this are compiled on the caller's thread: starting others takes longer.
const WORTH_THREADS: usize = 8 << 10;

/// With more values than this at once in a function, it is not worth to allocate registers well: it would take seconds,
/// then minutes, and most values are in memory anyway. The largest functions of real programs stay below.
const MANY_VALUES: usize = 4000;

impl Compiler {
    /// Makes a compiler.
    ///
    /// # Errors
    /// If compiled code cannot run on this machine, or the configuration asks for what is not supported.
    pub fn new(config: &Config) -> Result<Compiler, CompileError> {
        let config = config.clone();
        let beyond = config.features.difference(SUPPORTED_FEATURES);
        if !beyond.is_empty() {
            let names: Vec<_> = beyond.iter_names().map(|(name, _)| name).collect();
            return Err(CompileError::unsupported(format!("the features {}", names.join(", ")), 0));
        }
        let isa = config::target(&config, Registers::Backtracking)?;
        let plain_isa = config::target(&config, Registers::SinglePass)?;
        let fused_multiply_add = config::has_isa_flag(&*isa, "has_fma") || !cfg!(target_arch = "x86_64");
        let mut compiler = Compiler { isa, plain_isa, config, fused_multiply_add, interrupt_shim: None };
        if compiler.config.fuel || compiler.config.interruptible {
            let mut context = Context::new();
            trampoline::interrupt(&mut context.func, &*compiler.isa);
            compiler.interrupt_shim = Some(compiler.finish(&mut context, 0, 0)?.link(None)?);
        }
        Ok(compiler)
    }

    /// What was chosen.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What modules may use.
    pub fn features(&self) -> WasmFeatures {
        self.config.features
    }

    /// Validates a module and compiles all its functions, in parallel.
    ///
    /// # Errors
    /// If the module is not valid or uses what is not supported. Of several faulty functions the first is named.
    pub fn compile_module(
        &self,
        wasm: &[u8],
        registry: &TypeRegistry,
    ) -> Result<CompiledModule, CompileError> {
        self.compile_module_at(wasm, 0, registry)
    }

    /// [`Compiler::compile_module`], for a module that lies at `offset` of a bigger file: places in errors and in
    /// [`CompiledModule::addresses`] are those in that file.
    ///
    /// # Errors
    /// As [`Compiler::compile_module`]; also if the module's end is beyond 4 GiB.
    pub fn compile_module_at(
        &self,
        wasm: &[u8],
        offset: u64,
        registry: &TypeRegistry,
    ) -> Result<CompiledModule, CompileError> {
        let module = self.parse_module(wasm, offset, registry)?;
        let functions = self.compile_functions(&module, wasm)?;
        let calls = CallGraph::new(wasm)
            .map_err(|error| CompileError::internal(error.to_string(), error.offset()))?;
        let mut text = Text::default();
        text.code.reserve(functions.iter().map(|function| function.function.code.len() + 16).sum());
        for (defined, function) in functions.iter().enumerate() {
            text.push(function, module.body_start(defined))?;
        }
        text.link(self.interrupt_shim.as_ref())?;
        Ok(CompiledModule {
            info: module.info,
            calls,
            layout: module.layout,
            code: text.code,
            functions: text.functions,
            traps: text.traps,
            handlers: text.handlers,
            exception_refs: text.exception_refs,
            addresses: text.addresses,
        })
    }

    /// Reads and validates everything of a module but its functions' bodies, which can be compiled from then on, in
    /// any order. The module's bytes lie at `offset` of a file.
    ///
    /// # Errors
    /// As [`Compiler::compile_module_at`].
    pub fn parse_module(
        &self,
        wasm: &[u8],
        offset: u64,
        registry: &TypeRegistry,
    ) -> Result<ParsedModule, CompileError> {
        ParsedModule::new(wasm, offset, &self.config, registry)
    }

    /// Validates and compiles one of the functions that a module defines (imported functions do not count), of which
    /// `wasm` are the bytes.
    ///
    /// # Errors
    /// If the function is not valid or uses what is not supported, or if there is none of that number.
    pub fn compile_function(
        &self,
        module: &ParsedModule,
        wasm: &[u8],
        defined: usize,
    ) -> Result<CompiledFunction, CompileError> {
        Worker::new(false).compile(self, module, wasm, defined)?.link(self.interrupt_shim.as_ref())
    }

    /// Compiles a function between host and guest, of a type.
    ///
    /// # Errors
    /// If the type has too many parameters or results.
    pub fn trampoline(&self, kind: TrampolineKind, ty: &FuncType) -> Result<CompiledFunction, CompileError> {
        if kind == TrampolineKind::Link
            && let Some(code) = arch::link()
        {
            return Ok(CompiledFunction { code, ..CompiledFunction::default() });
        }
        let mut context = Context::new();
        let (function, isa) = (&mut context.func, &*self.isa);
        match kind {
            TrampolineKind::Entry => trampoline::entry(function, ty, isa),
            TrampolineKind::Exit => trampoline::exit(function, ty, isa),
            TrampolineKind::Link => trampoline::link(function, ty, isa),
            TrampolineKind::TaskReturn => trampoline::task_return(function, ty, isa),
            TrampolineKind::Direct => trampoline::direct(function, ty, isa),
            TrampolineKind::Context(slot) => trampoline::context(function, ty, slot, isa),
        }
        self.finish(&mut context, 0, 0)?.link(None)
    }

    /// Compiles an adapter; `None` if it is of a kind that is left to the interpreter.
    ///
    /// # Errors
    /// If its types are too large.
    pub fn adapter(&self, adapter: &Adapter<'_>) -> Result<Option<CompiledFunction>, CompileError> {
        self.build(|function| adapter::build(function, adapter, &*self.isa))
    }

    /// Compiles what `task.return` jumps to in calls through an adapter: see [`activation`](crate::vmctx::activation).
    /// `None` if the callee does not return so, or if it is of a kind that is left to the interpreter.
    ///
    /// # Errors
    /// If its types are too large.
    pub fn adapter_return(&self, adapter: &Adapter<'_>) -> Result<Option<CompiledFunction>, CompileError> {
        self.build(|function| adapter::build_return(function, adapter, &*self.isa))
    }

    fn build(
        &self,
        build: impl FnOnce(&mut cranelift_codegen::ir::Function) -> bool,
    ) -> Result<Option<CompiledFunction>, CompileError> {
        let mut context = Context::new();
        if !build(&mut context.func) {
            return Ok(None);
        }
        let function = self.finish(&mut context, 0, 0)?.link(None)?;
        Ok(Some(function))
    }

    fn compile_functions(
        &self,
        module: &ParsedModule,
        wasm: &[u8],
    ) -> Result<Vec<UnlinkedFunction>, CompileError> {
        let count = module.defined_functions();
        // The largest first, so that no thread begins one when the others are done.
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|defined| std::cmp::Reverse(module.body_len(*defined)));
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let done: Mutex<Vec<Option<UnlinkedFunction>>> = Mutex::new(vec![None; count]);
        let failed: Mutex<Option<(usize, CompileError)>> = Mutex::new(None);
        let work = || {
            let mut worker = Worker::new(true);
            let mut mine = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let Some(defined) = order.get(next.fetch_add(1, Ordering::Relaxed)).copied() else { break };
                match worker.compile(self, module, wasm, defined) {
                    Ok(function) => mine.push((defined, function)),
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        let mut failed = lock(&failed);
                        if failed.as_ref().is_none_or(|(other, _)| defined < *other) {
                            *failed = Some((defined, error));
                        }
                    }
                }
            }
            let mut done = lock(&done);
            for (defined, function) in mine {
                if let Some(slot) = done.get_mut(defined) {
                    *slot = Some(function);
                }
            }
        };

        let total: usize = (0..count).map(|defined| module.body_len(defined)).sum();
        let threads = if total < WORTH_THREADS { 1 } else { self.config.threads.clamp(1, count.max(1)) };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                // If there is no thread to be had, those that there are do its work.
                let _ = std::thread::Builder::new().name("tombolo-compile".into()).spawn_scoped(scope, work);
            }
            work();
        });

        if let Some((defined, error)) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            return Err(self.first_error(module, wasm, defined).unwrap_or(error));
        }
        let done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        done.into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| CompileError::internal("a function was not compiled", 0))
    }

    /// The error of the first faulty function before `end`: which one the threads meet first is chance.
    fn first_error(&self, module: &ParsedModule, wasm: &[u8], end: usize) -> Option<CompileError> {
        let mut worker = Worker::new(true);
        (0..end).find_map(|defined| worker.translate(self, module, wasm, defined).err())
    }

    /// Turns the intermediate code of a function with up to so many values at once into machine code.
    fn finish(
        &self,
        context: &mut Context,
        values: usize,
        offset: u64,
    ) -> Result<UnlinkedFunction, CompileError> {
        arch::mark_returns(&mut context.func);
        let isa = if values > MANY_VALUES { &*self.plain_isa } else { &*self.isa };
        context.compile(isa, &mut ControlPlane::default()).map_err(|error| match error.inner {
            cranelift_codegen::CodegenError::ImplLimitExceeded
            | cranelift_codegen::CodegenError::CodeTooLarge => {
                CompileError::too_large("a function with too large a frame or too much code", offset)
            }
            error => CompileError::internal(format!("{error:?}"), offset),
        })?;
        let code = context.compiled_code().ok_or_else(|| CompileError::internal("no code", offset))?;
        let names = context.func.params.user_named_funcs();
        let mut calls = Vec::new();
        for reloc in code.buffer.relocs() {
            let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = reloc.target else {
                return Err(CompileError::internal("code that refers to a library", offset));
            };
            if reloc.kind != Reloc::X86CallPCRel4 || reloc.addend != -4 {
                return Err(CompileError::internal("an unknown relocation", offset));
            }
            let target = match names.get(name) {
                Some(name) if name.namespace == translate::call::FUNCTIONS => {
                    CallTarget::Function(name.index)
                }
                _ => CallTarget::InterruptShim,
            };
            calls.push((reloc.offset, target));
        }
        let traps = code
            .buffer
            .traps()
            .iter()
            .filter_map(|trap| Some((trap.offset, translate::trap_code(trap.code)?)))
            .collect::<Vec<_>>();
        let mut addresses = Vec::new();
        let mut bytes = code.code_buffer().to_vec();
        let mut end = 0;
        for range in code.buffer.get_srclocs_sorted() {
            if range.start > end {
                push_address(&mut addresses, end, NO_ADDRESS);
            }
            let wasm = match range.loc.bits() {
                arch::RETURN => {
                    arch::shorten_return(&mut bytes, range.end);
                    NO_ADDRESS
                }
                _ if range.loc.is_default() => NO_ADDRESS,
                place => place,
            };
            push_address(&mut addresses, range.start, wasm);
            end = range.end;
        }
        push_address(&mut addresses, end, NO_ADDRESS);
        let mut handlers = Vec::new();
        for site in code.buffer.call_sites() {
            for handler in site.exception_handlers {
                let (FinalizedMachExceptionHandler::Default(landing), Some(frame_size)) =
                    (handler, site.frame_offset)
                else {
                    return Err(CompileError::internal("an unknown exception handler", offset));
                };
                handlers.push(Handler { return_offset: site.ret_addr, landing: *landing, frame_size });
            }
        }
        handlers.sort_unstable_by_key(|handler| handler.return_offset);
        let exception_refs = code
            .buffer
            .user_stack_maps()
            .iter()
            .flat_map(|(at, frame, map)| map.entries().map(|(_, offset)| (*at, frame.saturating_sub(offset))))
            .collect();
        let mut function = CompiledFunction { code: bytes, traps, handlers, exception_refs, addresses };
        function.traps.sort_unstable_by_key(|(at, _)| *at);
        Ok(UnlinkedFunction { function, calls })
    }
}

/// What one thread reuses from function to function.
struct Worker {
    context: Context,
    scratch: Scratch,
    /// Whether it compiles all functions of a module, so that they can call each other directly.
    calls_directly: bool,
}

impl Worker {
    fn new(calls_directly: bool) -> Self {
        Worker { context: Context::new(), scratch: Scratch::default(), calls_directly }
    }

    fn compile(
        &mut self,
        compiler: &Compiler,
        module: &ParsedModule,
        wasm: &[u8],
        defined: usize,
    ) -> Result<UnlinkedFunction, CompileError> {
        let offset = u64::from(module.body_start(defined));
        // Cranelift asserts what it believes of itself. Should it be wrong, that is this module's trouble only.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let values = self.translate(compiler, module, wasm, defined)?;
            compiler.finish(&mut self.context, values, offset)
        }));
        outcome
            .unwrap_or_else(|_| {
                // What it left behind may be inconsistent.
                *self = Worker::new(self.calls_directly);
                Err(CompileError::internal("the code generator panicked", offset))
            })
            .map_err(|error| in_function(error, module, defined))
    }

    /// Validates a function and translates it into the context. Returns about how many values live at once in it.
    fn translate(
        &mut self,
        compiler: &Compiler,
        module: &ParsedModule,
        wasm: &[u8],
        defined: usize,
    ) -> Result<usize, CompileError> {
        self.context.clear();
        let env = Env {
            isa: &*compiler.isa,
            info: &module.info,
            layout: &module.layout,
            types: &module.types,
            function_types: &module.function_types,
            tag_types: &module.tag_types,
            exception_refs: module.exception_refs,
            calls_directly: self.calls_directly,
            fuel: compiler.config.fuel,
            interruptible: compiler.config.interruptible,
            fused_multiply_add: compiler.fused_multiply_add,
        };
        let (body, validation) =
            module.body(wasm, defined).ok_or_else(|| CompileError::internal("no such function", 0))?;
        translate::translate(env, &body, validation, &mut self.context.func, &mut self.scratch)
            .map_err(|error| in_function(error, module, defined))
    }
}

fn in_function(error: CompileError, module: &ParsedModule, defined: usize) -> CompileError {
    let index = module.info.imported_functions + defined as u32;
    error.in_function(index, module.info.function_names.get(&index))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
