//! From an input to a module and what to do with it.

use std::fmt;

use anyhow::{Context, ensure};
use arbitrary::Unstructured;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{ExportKind, ExportSection, RawSection, SectionId};
use wasm_smith::{Config, MemoryOffsetChoices};
use wasmparser::{Operator, Parser, Payload};

use crate::Bits;

/// What both sides do.
pub(super) struct Plan {
    pub(super) wasm: Vec<u8>,
    /// How Tombolo compiles it.
    pub(super) setting: Setting,
    /// What is called, in order: the export, and the seed of the arguments.
    pub(super) calls: Vec<(String, u64)>,
    /// From which imports are made, and what they return.
    pub(super) seed: u64,
    /// How much each call gets of [`FUEL`].
    pub(super) fuel_per_call: i32,
    /// How much of its own fuel Tombolo gets for all calls, if it is to run the module twice more, with and without
    /// optimisation, which must end at the same place.
    pub(super) little_fuel: Option<i64>,
}

/// How Tombolo compiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) optimize: bool,
    pub(super) fuel: bool,
    pub(super) interruptible: bool,
    /// Whether the oracle optimises.
    pub(super) oracle_optimizes: bool,
}

/// The mutable global, `i32`, of which functions and loops take one each; at zero they trap.
pub(super) const FUEL: &str = "the fuel that is left";

/// Bytes of a memory at most.
pub(super) const LARGEST_MEMORY: u64 = 40 << 16;

impl Plan {
    pub(super) fn new(u: &mut Unstructured<'_>) -> anyhow::Result<Plan> {
        let seed: u64 = u.arbitrary()?;
        let bits: u8 = u.arbitrary()?;
        let setting = Setting {
            optimize: bits & 1 != 0,
            fuel: bits & 2 != 0,
            interruptible: bits & 4 != 0,
            // It takes the oracle longest.
            oracle_optimizes: bits >> 3 & 3 == 0,
        };
        // One in 16 is also compared with itself.
        let little_fuel = (bits >> 5 == 0 && setting.fuel).then(|| 1 << (seed % 12));
        // Operations on many bytes or elements take as much of it as there are.
        let fuel_per_call = if bits >> 5 == 7 { 20_000 } else { 200 };
        let mut module = wasm_smith::Module::new(config(u)?, u)?;
        let fuel = module.ensure_termination(fuel_per_call as u32)?;
        let wasm = module.to_bytes();
        ensure!(!waits_in_shared_memory(&wasm)?, "it could wait forever");
        let (wasm, functions) = export_fuel(&wasm, fuel)?;
        let mut random = Bits::new(seed);
        let calls = (functions.iter().cycle().take((functions.len() + 1).min(8)))
            .map(|name| (name.clone(), random.word()))
            .collect();
        Ok(Plan { wasm, setting, calls, seed, fuel_per_call, little_fuel })
    }
}

/// What modules look like: all that Tombolo supports, and small.
fn config(u: &mut Unstructured<'_>) -> anyhow::Result<Config> {
    let floats = u.ratio(1, 2)?;
    let memory = if u.ratio(1, 8)? { LARGEST_MEMORY } else { 4 << 16 };
    let config = Config {
        min_types: 2,
        max_types: 8,
        max_type_size: 60,
        max_imports: u.int_in_range(0..=4)?,
        min_funcs: 1,
        max_funcs: u.int_in_range(1..=4)?,
        max_instructions: *u.choose(&[10, 20, 40, 100])?,
        max_globals: u.int_in_range(0..=5)?,
        max_memories: u.int_in_range(0..=3)?,
        max_tables: u.int_in_range(0..=3)?,
        max_tags: u.int_in_range(0..=3)?,
        max_data_segments: 4,
        max_element_segments: 4,
        max_elements: 10,
        export_everything: true,
        // Growing must not be a matter of luck.
        memory_max_size_required: true,
        max_memory32_bytes: memory,
        max_memory64_bytes: memory.into(),
        memory_offset_choices: MemoryOffsetChoices(90, 9, 1),
        table_max_size_required: true,
        max_table_elements: 100,
        disallow_traps: u.ratio(1, 2)?,
        allow_floats: floats,
        canonicalize_nans: floats,
        // Types of the GC proposal beyond function references are refused, so most such modules say little.
        gc_enabled: u.ratio(1, 60)?,
        simd_enabled: u.ratio(1, 2)?,
        relaxed_simd_enabled: false,
        threads_enabled: u.ratio(1, 3)?,
        exceptions_enabled: u.ratio(1, 2)?,
        memory64_enabled: u.ratio(1, 2)?,
        custom_page_sizes_enabled: u.ratio(1, 4)?,
        wide_arithmetic_enabled: u.ratio(1, 2)?,
        compact_imports_enabled: false,
        ..Config::default()
    };
    Ok(config)
}

/// Whether a module has a shared memory and an instruction that waits.
fn waits_in_shared_memory(wasm: &[u8]) -> anyhow::Result<bool> {
    let (mut shared, mut waits) = (false, false);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::MemorySection(memories) => {
                for memory in memories {
                    shared |= memory?.shared;
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    shared |= matches!(import?.ty, wasmparser::TypeRef::Memory(memory) if memory.shared);
                }
            }
            Payload::CodeSectionEntry(body) if shared => {
                for operator in body.get_operators_reader()? {
                    waits |= matches!(
                        operator?,
                        Operator::MemoryAtomicWait32 { .. } | Operator::MemoryAtomicWait64 { .. }
                    );
                }
            }
            _ => {}
        }
    }
    Ok(shared && waits)
}

/// Exports a module's global as [`FUEL`], and finds the names of its exported functions.
fn export_fuel(wasm: &[u8], fuel: u32) -> anyhow::Result<(Vec<u8>, Vec<String>)> {
    let mut module = wasm_encoder::Module::new();
    let mut functions = Vec::new();
    let mut exports = Some(ExportSection::new());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let Payload::ExportSection(section) = payload {
            let exports = exports.as_mut().context("a second export section")?;
            for export in section {
                let export = export?;
                if export.kind == wasmparser::ExternalKind::Func {
                    functions.push(export.name.to_owned());
                }
                RoundtripReencoder.parse_export(exports, export)?;
            }
            continue;
        }
        let Some((id, range)) = payload.as_section() else { continue };
        // Those that come after the exports.
        let later =
            [SectionId::Start, SectionId::Element, SectionId::Code, SectionId::Data, SectionId::DataCount];
        if later.iter().any(|later| *later as u8 == id)
            && let Some(mut exports) = exports.take()
        {
            exports.export(FUEL, ExportKind::Global, fuel);
            module.section(&exports);
        }
        let data =
            wasm.get(range.start as usize..range.end as usize).context("a section outside of the module")?;
        module.section(&RawSection { id, data });
    }
    ensure!(exports.is_none(), "no code");
    ensure!(!functions.is_empty(), "no exported functions");
    Ok((module.finish(), functions))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, ";; {}", self.setting)?;
        for (name, seed) in &self.calls {
            writeln!(f, ";; call {name:?} with {seed:#x}")?;
        }
        match wasmprinter::print_bytes(&self.wasm) {
            Ok(text) => f.write_str(&text),
            Err(error) => writeln!(f, ";; not printable: {error}"),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { optimize, fuel, interruptible, oracle_optimizes } = self;
        write!(
            f,
            "optimize: {optimize}, fuel: {fuel}, interruptible: {interruptible}; oracle optimizes: {oracle_optimizes}"
        )
    }
}
