//! Lookups in the debug sections of a real guest, then in what chance and malice make of them.

use std::time::{Duration, Instant};

use tombolo_compile::{Compiler, Config};
use tombolo_types::TypeRegistry;

use super::*;

/// The debug sections of the guest `tower`, and how long its code section is.
fn tower() -> (DebugSections, u64) {
    let component = include_bytes!("../../../../guests/tower/tower.wasm");
    let start = component.windows(8).rposition(|bytes| bytes == b"\0asm\x01\0\0\0").unwrap();
    let length = section_length(&component[start - 4..start]);
    let module = &component[start..start + length];
    let compiler = Compiler::new(&Config::default()).unwrap();
    let compiled = compiler.compile_module(module, &TypeRegistry::default()).unwrap();
    let debug = compiled.info.debug.as_deref().unwrap().clone();
    let last = compiled.functions.iter().map(|function| function.wasm_start).max().unwrap();
    (debug, u64::from(last) + 40)
}

/// The number that ends at the end of some bytes: the size of a section.
fn section_length(bytes: &[u8]) -> usize {
    let first = bytes.iter().rposition(|byte| *byte < 0x80).unwrap();
    let start = bytes[..first].iter().rposition(|byte| *byte < 0x80).map_or(0, |before| before + 1);
    bytes[start..=first].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f))
}

fn every_address(end: u64) -> Vec<u64> {
    (0..end).collect()
}

#[test]
fn functions_lines_and_what_is_inlined() {
    let (debug, end) = tower();
    let found = resolve(&debug, &every_address(end));
    let lines: std::collections::BTreeSet<String> = found
        .iter()
        .map(|frames| {
            frames.iter().map(|frame| format!("{} {frame}", frame.function.as_deref().unwrap_or("?")))
        })
        .map(|frames| frames.collect::<Vec<_>>().join(" < "))
        .collect();
    let division = "step guests/tower/tower.c:11:18 < floors guests/tower/tower.c:16:12";
    assert!(lines.contains(division), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("next guests/tower/tower.c:2")), "{lines:#?}");
    assert!(found[0].is_empty(), "{lines:#?}");
}

/// The sections, to be spoilt one at a time.
fn parts(debug: &mut DebugSections) -> [&mut Box<[u8]>; 6] {
    let DebugSections { abbrev, info, line, ranges, str, rnglists, .. } = debug;
    [abbrev, info, line, ranges, str, rnglists]
}

#[test]
fn spoilt_sections_do_no_harm() {
    let (debug, end) = tower();
    let addresses = every_address(end);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let begin = Instant::now();
    for _ in 0..1500 {
        let mut spoilt = debug.clone();
        for _ in 0..1 + random(4) {
            let part = random(6);
            let part = parts(&mut spoilt).into_iter().nth(part).unwrap();
            match (random(8), part.len()) {
                (_, 0) => {}
                (0, length) => *part = part[..random(length)].into(),
                (1, length) => part[random(length)] = 0xff,
                (2, length) => part[random(length)] = 0,
                (_, length) => part[random(length)] ^= 1 << random(8),
            }
        }
        // A small part of what is allowed, so that those that would go on for ever stop soon.
        let meter = Meter::new(STEPS >> 8);
        let found = resolve_metered(&spoilt, &addresses, &meter);
        assert_eq!(found.len(), addresses.len());
        for frame in found.iter().flatten() {
            assert!(frame.file.as_ref().is_none_or(|file| file.len() <= 3 * LONGEST_TEXT + 2));
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(120));
}

/// The header of a unit of DWARF 4, whose entries follow.
fn unit(abbreviations: u32, entries: &[u8]) -> Vec<u8> {
    let mut unit = (entries.len() as u32 + 7).to_le_bytes().to_vec();
    unit.extend([4, 0]);
    unit.extend(abbreviations.to_le_bytes());
    unit.push(4);
    unit.extend(entries);
    unit
}

/// An unsigned number as DWARF has it.
fn leb(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Looks up some addresses with a small part of what is allowed. Says whether it was used up.
fn resolve_within_limits(debug: &DebugSections) -> (Vec<Vec<SourceFrame>>, bool) {
    let meter = Meter::new(STEPS >> 6);
    let found = resolve_metered(debug, &[5, 5, 70], &meter);
    (found, meter.charge(1).is_err())
}

#[test]
fn attributes_without_bytes_are_counted() {
    // One kind of entry, with very many flags that take no bytes; and very many such entries.
    let mut abbrev = vec![1, 0x11, 0];
    for _ in 0..100_000 {
        abbrev.extend([0x3f, 0x19]);
    }
    abbrev.extend([0, 0, 0]);
    let info = unit(0, &[1; 1_000_000]);
    let debug = DebugSections { abbrev: abbrev.into(), info: info.into(), ..Default::default() };
    assert!(resolve_within_limits(&debug).1);
}

#[test]
fn units_that_share_a_long_list_are_counted() {
    // Each unit's ranges are the same list, which is long.
    let abbrev = [1, 0x11, 0, 0x55, 0x17, 0, 0, 0];
    let units = unit(0, &[1, 0, 0, 0, 0]).repeat(100_000);
    let ranges: Vec<u8> =
        (1..200_000_u32).flat_map(|n| [n << 8, (n << 8) + 1]).flat_map(u32::to_le_bytes).collect();
    let (abbrev, info, ranges) = (abbrev.into(), units.into(), ranges.into());
    assert!(resolve_within_limits(&DebugSections { abbrev, info, ranges, ..Default::default() }).1);
}

#[test]
fn functions_inlined_without_end_are_cut_off() {
    // A function of all addresses, in which one of all addresses is inlined, and so on.
    let kind = |code: u8, tag: u8| [code, tag, 1, 0x11, 0x01, 0x12, 0x06, 0, 0].to_vec();
    let abbrev = [kind(1, 0x11), kind(2, 0x2e), kind(3, 0x1d), vec![0]].concat();
    let entry = |code: u8| [code, 1, 0, 0, 0, 0xff, 0xff, 0, 0].to_vec();
    let entries = [entry(1), entry(2), entry(3).repeat(50_000)].concat();
    let debug = DebugSections { abbrev: abbrev.into(), info: unit(0, &entries).into(), ..Default::default() };
    let (found, used_up) = resolve_within_limits(&debug);
    assert!(!used_up);
    assert!(found.iter().all(|frames| frames.len() == DEEPEST_INLINING));
}

#[test]
fn a_line_program_that_promises_files_gets_no_memory_for_them() {
    // Version 5, with a header of 64 MiB that says it has as many files.
    let mut header = vec![1, 1, 1, 0xfb, 14, 1];
    header.extend([1, 1, 0x08]); // Folders: their path, as text.
    header.extend(leb(1 << 26));
    let mut line = (64_u32 << 20).to_le_bytes().to_vec();
    line.extend([5, 0, 4, 0]);
    line.extend(((64_u32 << 20) - 8).to_le_bytes());
    line.extend(header);
    line.resize((64 << 20) + 4, b'a');
    let abbrev = [1, 0x11, 0, 0x10, 0x17, 0, 0, 0];
    let (abbrev, info, line) = (abbrev.into(), unit(0, &[1, 0, 0, 0, 0]).into(), line.into());
    let begin = Instant::now();
    let (found, used_up) = resolve_within_limits(&DebugSections { abbrev, info, line, ..Default::default() });
    assert!(!used_up && found.iter().all(Vec::is_empty));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
