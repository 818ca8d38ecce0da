//! What an embedder can choose about compilation, and the machine that is compiled for.

use std::num::NonZeroUsize;

use cranelift_codegen::isa::{OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use wasmparser::WasmFeatures;

use crate::CompileError;

/// How much work goes into the speed of the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OptLevel {
    /// Compiles fast; the code is slower.
    None,
    /// Compiles slower; the code is fast.
    #[default]
    Speed,
}

/// How modules are compiled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How much work goes into the speed of the code.
    pub opt_level: OptLevel,
    /// Checks the compiler's intermediate code for consistency. On by default in debug builds only: it is slow.
    pub verify: bool,
    /// Counts the instructions that are executed, in their instance's fuel counter.
    pub fuel: bool,
    /// Checks at loop headers and function entries whether the store asked for an interrupt.
    pub interruptible: bool,
    /// What modules may use: at most [`SUPPORTED_FEATURES`].
    pub features: WasmFeatures,
    /// Keeps what modules bring along for debuggers, so that traps can name source files and lines. It costs as much
    /// memory as the sections are long, and no time before a trap.
    pub debug_info: bool,
    /// How many threads compile the functions of a module.
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            opt_level: OptLevel::default(),
            verify: cfg!(debug_assertions),
            fuel: false,
            interruptible: false,
            features: SUPPORTED_FEATURES,
            debug_info: true,
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }
}

/// Everything that can be compiled.
///
/// The GC proposal is here for what the validator files under it besides its types (constant expressions that read any
/// earlier global, for one); its types and instructions are refused as unsupported.
pub const SUPPORTED_FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::COMPACT_IMPORTS)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::EXCEPTIONS);

/// How registers are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registers {
    /// Well. Takes time that grows with the square of how many values live at once.
    Backtracking,
    /// In time that grows with the function only; the code is half as fast.
    SinglePass,
}

/// The target: the machine this runs on, with the settings that the runtime relies on.
pub(crate) fn target(config: &Config, registers: Registers) -> Result<OwnedTargetIsa, CompileError> {
    let host = |error: &dyn std::fmt::Display| CompileError::Host(error.to_string());
    let mut flags = settings::builder();
    let opt_level = match config.opt_level {
        OptLevel::None => "none",
        OptLevel::Speed => "speed",
    };
    let registers = match registers {
        Registers::Backtracking => "backtracking",
        Registers::SinglePass => "single_pass",
    };
    for (name, value) in [
        ("opt_level", opt_level),
        ("regalloc_algorithm", registers),
        ("enable_verifier", if config.verify { "true" } else { "false" }),
        ("is_pic", "false"),
        // Backtraces follow the frame pointers.
        ("unwind_info", "false"),
        ("preserve_frame_pointers", "true"),
        // Results that do not fit the registers.
        ("enable_multi_ret_implicit_sret", "true"),
        // Every function compares the stack pointer with its store's limit instead.
        ("enable_probestack", "false"),
    ] {
        flags.set(name, value).map_err(|error| host(&error))?;
    }
    let builder = cranelift_native::builder().map_err(|error| host(&error))?;
    let isa = builder.finish(settings::Flags::new(flags)).map_err(|error| host(&error))?;
    // Without these, rounding and shuffling would be calls into a library that the runtime does not bring.
    if cfg!(target_arch = "x86_64") {
        for needed in ["has_ssse3", "has_sse41"] {
            if !has_isa_flag(&*isa, needed) {
                return Err(CompileError::Host(format!("the processor lacks {}", &needed[4..])));
            }
        }
    }
    Ok(isa)
}

/// Whether the machine has something that Cranelift can use.
pub(crate) fn has_isa_flag(isa: &dyn TargetIsa, name: &str) -> bool {
    isa.isa_flags().iter().any(|flag| flag.name == name && flag.as_bool() == Some(true))
}
