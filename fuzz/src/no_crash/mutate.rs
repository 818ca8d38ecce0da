//! From an input to the bytes that are tried.

use std::panic::catch_unwind;

use arbitrary::Unstructured;
use wasm_mutate::WasmMutate;

use super::corpus::Corpus;
use crate::Bits;

/// The bytes, and what kind they are.
pub(super) fn bytes(input: &[u8], corpus: &Corpus) -> (&'static str, Vec<u8>) {
    let Some((how, rest)) = input.split_first() else { return ("nothing", Vec::new()) };
    let mut bits = Bits::of(rest);
    match how % 16 {
        0 => ("any bytes", rest.to_vec()),
        1 => ("any bytes in a module", [b"\0asm\x01\0\0\0", rest].concat()),
        2 => ("any bytes in a component", [b"\0asm\x0d\0\x01\0", rest].concat()),
        3 => ("a generated module", generated_module(rest).unwrap_or_default()),
        4 => ("a changed generated module", {
            changed(generated_module(rest).unwrap_or_default(), &[], &mut bits)
        }),
        5 => ("a generated component", generated_component(rest).unwrap_or_default()),
        6 => ("a changed generated component", {
            changed(generated_component(rest).unwrap_or_default(), &[], &mut bits)
        }),
        7 => ("a mutant of a module", mutant(pick(&corpus.modules, &mut bits), &mut bits)),
        8 if bits.below(32) == 0 => ("a changed large file", {
            changed(pick(&corpus.large, &mut bits).to_vec(), pick(&corpus.large, &mut bits), &mut bits)
        }),
        9 => ("a changed invalid file", {
            changed(pick(&corpus.invalid, &mut bits).to_vec(), pick(&corpus.invalid, &mut bits), &mut bits)
        }),
        how => {
            let (kind, seeds) = if how < 13 {
                ("a changed module", &corpus.modules)
            } else {
                ("a changed component", &corpus.components)
            };
            let first = pick(seeds, &mut bits).to_vec();
            (kind, changed(first, pick(seeds, &mut bits), &mut bits))
        }
    }
}

fn pick<'a>(from: &'a [Vec<u8>], bits: &mut Bits) -> &'a [u8] {
    from.get(bits.below(from.len())).map_or(&[], Vec::as_slice)
}

/// With everything that a module can have, whether it is supported or not.
fn generated_module(rest: &[u8]) -> Option<Vec<u8>> {
    let mut u = Unstructured::new(rest);
    let mut config: wasm_smith::Config = u.arbitrary().ok()?;
    config.custom_page_sizes_enabled = u.arbitrary().ok()?;
    config.wide_arithmetic_enabled = u.arbitrary().ok()?;
    config.shared_everything_threads_enabled = u.ratio(1, 16).ok()?;
    config.generate_custom_sections = u.ratio(1, 4).ok()?;
    config.allow_invalid_funcs = u.ratio(1, 8).ok()?;
    Some(wasm_smith::Module::new(config, &mut u).ok()?.to_bytes())
}

fn generated_component(rest: &[u8]) -> Option<Vec<u8>> {
    let mut u = Unstructured::new(rest);
    let config: wasm_smith::Config = u.arbitrary().ok()?;
    let config = wasm_smith::Config {
        max_components: 2,
        max_modules: 2,
        max_instances: 4,
        max_values: 0,
        max_aliases: 20,
        max_types: 20,
        max_imports: 10,
        max_exports: 10,
        max_nesting_depth: 3,
        ..config
    };
    Some(wasm_smith::Component::new(config, &mut u).ok()?.to_bytes())
}

/// A module that is valid if the first was, or almost.
fn mutant(module: &[u8], bits: &mut Bits) -> Vec<u8> {
    let seed = bits.word();
    // Not all that is in the reference tests is known to the mutator, and then it panics.
    let mutant = catch_unwind(|| {
        let mut mutate = WasmMutate::default();
        mutate.seed(seed).fuel(200).preserve_semantics(false);
        mutate.run(module).ok()?.find_map(Result::ok)
    });
    mutant.ok().flatten().unwrap_or_else(|| module.to_vec())
}

/// Changes a few bytes, or more than a few.
fn changed(mut bytes: Vec<u8>, other: &[u8], bits: &mut Bits) -> Vec<u8> {
    let changes = if bits.below(2) == 0 { 1 } else { 1 + bits.below(4) };
    for _ in 0..changes {
        // Mostly behind the header: without one the rest is not looked at.
        let head = if bits.below(64) == 0 { 0 } else { bytes.len().min(8) };
        let at = head + bits.below(bytes.len() - head);
        let end = (at + 1 + bits.below(16)).min(bytes.len());
        match bits.below(8) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bits.below(8);
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = bits.word() as u8;
                }
            }
            3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add(if bits.below(2) == 0 { 1 } else { 0xff });
                }
            }
            // A number larger than anything: most are in LEB128.
            4 => drop(bytes.splice(at..at, *b"\xff\xff\xff\xff\x0f")),
            5 => drop(bytes.drain(at..end)),
            6 => {
                let piece = bytes.get(at..end).unwrap_or_default().to_vec();
                let to = head + bits.below(bytes.len() - head);
                drop(bytes.splice(to..to, piece));
            }
            _ => {
                let from = bits.below(other.len());
                let piece = other.get(from..(from + 1 + bits.below(64)).min(other.len())).unwrap_or_default();
                let (start, end) = if bits.below(2) == 0 { (at, at) } else { (at, end) };
                drop(bytes.splice(start..end, piece.iter().copied()));
            }
        }
    }
    bytes
}
