//! From instructions to the source, by the DWARF that a compiler left in the module.
//!
//! The sections come from the guest and are believed in nothing. What is done with them is metered
//! (see [`Metered`]), nothing recurses, and nothing is collected but what belongs to the addresses that are looked up:
//! entries and line programs are passed over once, for all addresses together. A unit that makes no sense
//! is left out; when the meter is used up, what was found until then is the answer.
//!
//! This is why it is not left to `addr2line`, which keeps tables of all that it passes over, for lookups to come, and
//! recurses where functions are inlined in one another.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use gimli::{
    Abbreviation, AttributeValue, DebugAbbrevOffset, DebugLineOffset, EntriesRaw, Reader, Section, Unit,
    UnitHeader, UnitOffset, UnitType, constants,
};
use tombolo_compile::module::DebugSections;

use super::meter::{Meter, Metered};
use super::names::Shown;

/// How much is done for one module at most: a fraction of a second's work, and a hundred times what the largest
/// programs need.
const STEPS: u64 = 1 << 26;

/// The longest header of a line program, with its tables of files and folders: they are kept while the program runs. A
/// program of ten thousand files stays below.
const LONGEST_LINE_HEADER: usize = 512 << 10;

/// The longest list of a unit's abbreviations, which are kept while the unit is read.
const LONGEST_ABBREVIATIONS: usize = 512 << 10;

/// How deep functions are inlined in one another at most; further in they are left out.
const DEEPEST_INLINING: usize = 64;

/// From a function to what it is an instance of, and so on: at most so often.
const LONGEST_ORIGIN: usize = 8;

/// The longest path or name that is kept.
const LONGEST_TEXT: usize = 4096;

/// A function in the source, at the place that was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFrame {
    /// The function's name, as a linker knows it where that can be demangled, else as the source has it.
    pub function: Option<String>,
    /// The file's path, as the debug information has it.
    pub file: Option<String>,
    /// The line, from 1 on.
    pub line: Option<u32>,
    /// The column, from 1 on.
    pub column: Option<u32>,
}

impl fmt::Display for SourceFrame {
    /// `file:line:column`, as far as they are known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(self.file.as_deref().unwrap_or("<unknown>")))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// The source of each of some addresses, which count from the contents of the code section: the functions that are
/// inlined there, innermost first, then the one that they are inlined in.
pub(super) fn resolve(debug: &DebugSections, addresses: &[u64]) -> Vec<Vec<SourceFrame>> {
    let meter = Meter::new(STEPS);
    resolve_metered(debug, addresses, &meter)
}

fn resolve_metered(debug: &DebugSections, addresses: &[u64], meter: &Meter) -> Vec<Vec<SourceFrame>> {
    let mut probes: Vec<Probe> = (addresses.iter().enumerate())
        .map(|(place, address)| Probe { address: *address, place, found: Vec::new() })
        .collect();
    probes.sort_by_key(|probe| probe.address);
    let lookup = Lookup { dwarf: sections(debug, meter), meter };
    let mut units = lookup.dwarf.units();
    while let Ok(Some(header)) = units.next() {
        // What is wrong with one unit is not wrong with the next.
        let _ = lookup.unit(header, &mut probes);
        if probes.iter().all(|probe| !probe.found.is_empty()) {
            break;
        }
    }
    let mut found = vec![Vec::new(); addresses.len()];
    for probe in probes {
        if let Some(place) = found.get_mut(probe.place) {
            *place = probe.found;
        }
    }
    found
}

type Dwarf<'a> = gimli::Dwarf<Metered<'a>>;
type Value<'a> = AttributeValue<Metered<'a>>;

fn sections<'a>(debug: &'a DebugSections, meter: &'a Meter) -> Dwarf<'a> {
    let section = |bytes| Metered::new(bytes, meter);
    gimli::Dwarf {
        debug_abbrev: section(&debug.abbrev).into(),
        debug_addr: section(&debug.addr).into(),
        debug_info: section(&debug.info).into(),
        debug_line: section(&debug.line).into(),
        debug_line_str: section(&debug.line_str).into(),
        debug_str: section(&debug.str).into(),
        debug_str_offsets: section(&debug.str_offsets).into(),
        ranges: gimli::RangeLists::new(section(&debug.ranges).into(), section(&debug.rnglists).into()),
        // None of these is needed here.
        debug_aranges: section(&[]).into(),
        debug_macinfo: section(&[]).into(),
        debug_macro: section(&[]).into(),
        debug_names: section(&[]).into(),
        debug_types: section(&[]).into(),
        locations: gimli::LocationLists::new(section(&[]).into(), section(&[]).into()),
        file_type: gimli::DwarfFileType::Main,
        sup: None,
        abbreviations_cache: gimli::AbbreviationsCache::new(),
    }
}

/// An address that is looked up, and what was found.
struct Probe {
    address: u64,
    place: usize,
    found: Vec<SourceFrame>,
}

/// A function that an address lies in, or that is inlined there.
struct Function<'a> {
    depth: isize,
    description: Description<'a>,
}

/// The attributes of an entry that are of use.
#[derive(Clone, Default)]
struct Description<'a> {
    low: Option<Value<'a>>,
    high: Option<Value<'a>>,
    ranges: Option<Value<'a>>,
    name: Option<Value<'a>>,
    linkage_name: Option<Value<'a>>,
    /// The entry that has the rest of it.
    origin: Option<Value<'a>>,
    call_file: Option<u64>,
    call_line: Option<u64>,
    call_column: Option<u64>,
}

/// Where an instruction comes from, as a line program says it.
#[derive(Clone, Copy, Default)]
struct Place {
    file: Option<u64>,
    line: Option<u64>,
    column: Option<u64>,
}

struct Lookup<'a> {
    dwarf: Dwarf<'a>,
    meter: &'a Meter,
}

impl<'a> Lookup<'a> {
    /// Looks for the addresses in a unit.
    fn unit(&self, header: UnitHeader<Metered<'a>>, probes: &mut [Probe]) -> gimli::Result<()> {
        if matches!(header.type_(), UnitType::Type { .. } | UnitType::SplitType { .. } | UnitType::Partial) {
            return Ok(());
        }
        let (unit, root, lines) = self.open(header)?;
        let mut ranges = 0;
        let mut hits = 0;
        self.ranges(&unit, &root, |begin, end| {
            ranges += 1;
            let hit = probes.get(within(probes, begin, end)).unwrap_or_default();
            hits += hit.iter().filter(|probe| probe.found.is_empty()).count();
        })?;
        if ranges > 0 && hits == 0 {
            return Ok(());
        }
        let mut chains: Vec<Vec<Function<'a>>> = probes.iter().map(|_| Vec::new()).collect();
        // Of a unit that breaks off, what came before is good.
        let _ = self.functions(&unit, probes, &mut chains);
        let mut places = vec![Place::default(); probes.len()];
        let program = lines.and_then(|offset| self.line_program(&unit, offset));
        let header = program.and_then(|program| self.rows(program, probes, &mut places));
        for ((probe, chain), place) in probes.iter_mut().zip(chains).zip(places) {
            if probe.found.is_empty() && (!chain.is_empty() || place.line.is_some()) {
                probe.found = self.assemble(&unit, header.as_ref(), chain, place);
            }
        }
        Ok(())
    }

    /// Reads the beginning of a unit: what its entries refer to, its own entry, and where its line program is.
    fn open(
        &self,
        header: UnitHeader<Metered<'a>>,
    ) -> gimli::Result<(Unit<Metered<'a>>, Description<'a>, Option<DebugLineOffset>)> {
        let mut abbreviations = self.dwarf.debug_abbrev.reader().clone();
        abbreviations.skip(header.debug_abbrev_offset().0)?;
        abbreviations.truncate(abbreviations.len().min(LONGEST_ABBREVIATIONS))?;
        let abbreviations = gimli::DebugAbbrev::from(abbreviations).abbreviations(DebugAbbrevOffset(0))?;
        let (encoding, kind) = (header.encoding(), gimli::DwarfFileType::Main);
        let mut unit = Unit {
            abbreviations: Arc::new(abbreviations),
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: gimli::DebugStrOffsetsBase::default_for_encoding_and_file(encoding, kind),
            addr_base: gimli::DebugAddrBase(0),
            loclists_base: gimli::DebugLocListsBase::default_for_encoding_and_file(encoding, kind),
            rnglists_base: gimli::DebugRngListsBase::default_for_encoding_and_file(encoding, kind),
            // It is read when it is needed.
            line_program: None,
            dwo_id: None,
            header,
        };
        let mut root = Description::default();
        let (mut lines, mut comp_dir) = (None, None);
        let abbreviations = unit.abbreviations.clone();
        let mut entries = unit.header.entries_raw(&abbreviations, None)?;
        let Some(abbreviation) = entries.read_abbreviation()? else {
            return Err(gimli::Error::MissingUnitDie);
        };
        self.attributes(&mut entries, abbreviation, |name, value| match (name, &value) {
            (constants::DW_AT_comp_dir, _) => comp_dir = Some(value),
            (constants::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) => lines = Some(*offset),
            (constants::DW_AT_str_offsets_base, AttributeValue::DebugStrOffsetsBase(base)) => {
                unit.str_offsets_base = *base;
            }
            (constants::DW_AT_addr_base, AttributeValue::DebugAddrBase(base)) => unit.addr_base = *base,
            (constants::DW_AT_rnglists_base, AttributeValue::DebugRngListsBase(base)) => {
                unit.rnglists_base = *base;
            }
            _ => root.take(name, value),
        })?;
        unit.comp_dir = comp_dir.and_then(|value| self.dwarf.attr_string(&unit, value).ok());
        if let Some(low) = root.low.clone() {
            unit.low_pc = self.dwarf.attr_address(&unit, low)?.unwrap_or_default();
        }
        Ok((unit, root, lines))
    }

    /// Reads the attributes of an entry.
    fn attributes(
        &self,
        entries: &mut EntriesRaw<'_, Metered<'a>>,
        abbreviation: &Abbreviation,
        mut each: impl FnMut(gimli::DwAt, Value<'a>),
    ) -> gimli::Result<()> {
        // Attributes may take no bytes.
        self.meter.charge(abbreviation.attributes().len())?;
        for specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            each(attribute.name(), attribute.value());
        }
        Ok(())
    }

    /// Passes over all entries of a unit and notes for each address which functions it lies in.
    fn functions(
        &self,
        unit: &Unit<Metered<'a>>,
        probes: &[Probe],
        chains: &mut [Vec<Function<'a>>],
    ) -> gimli::Result<()> {
        let mut entries = unit.entries_raw(None)?;
        while !entries.is_empty() {
            let depth = entries.next_depth();
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            let inlined = match abbreviation.tag() {
                constants::DW_TAG_subprogram => false,
                constants::DW_TAG_inlined_subroutine => true,
                _ => {
                    self.meter.charge(abbreviation.attributes().len())?;
                    entries.skip_attributes(abbreviation.attributes())?;
                    continue;
                }
            };
            let mut description = Description::default();
            self.attributes(&mut entries, abbreviation, |name, value| description.take(name, value))?;
            let mut holds = Vec::new();
            self.ranges(unit, &description, |begin, end| {
                holds.extend(within(probes, begin, end));
            })?;
            holds.sort_unstable();
            holds.dedup();
            for position in holds {
                let Some(chain) = chains.get_mut(position) else { continue };
                if !inlined {
                    chain.clear();
                }
                // What lies beside the last one, or around it, is not inlined in it.
                let nested = chain.last().is_some_and(|outer| outer.depth < depth);
                if !inlined || nested && chain.len() < DEEPEST_INLINING {
                    chain.push(Function { depth, description: description.clone() });
                }
            }
        }
        Ok(())
    }

    /// The addresses that an entry covers.
    fn ranges(
        &self,
        unit: &Unit<Metered<'a>>,
        entry: &Description<'a>,
        mut each: impl FnMut(u64, u64),
    ) -> gimli::Result<()> {
        // A linker lets functions that it leaves out begin at zero, where no function can be.
        let mut each = |begin: u64, end: u64| {
            if 0 < begin && begin < end {
                each(begin, end);
            }
        };
        if let Some(list) = entry.ranges.clone() {
            if let Some(offset) = self.dwarf.attr_ranges_offset(unit, list)? {
                let mut ranges = self.dwarf.ranges(unit, offset)?;
                while let Some(range) = ranges.next()? {
                    each(range.begin, range.end);
                }
            }
            return Ok(());
        }
        let (Some(low), Some(high)) = (entry.low.clone(), entry.high.clone()) else { return Ok(()) };
        let Some(begin) = self.dwarf.attr_address(unit, low)? else { return Ok(()) };
        let end = match high {
            AttributeValue::Udata(length) => begin.checked_add(length),
            high => self.dwarf.attr_address(unit, high)?,
        };
        if let Some(end) = end {
            each(begin, end);
        }
        Ok(())
    }

    /// Reads the header of a line program, unless it is so long that it cannot be a compiler's.
    fn line_program(&self, unit: &Unit<Metered<'a>>, offset: DebugLineOffset) -> Option<LineProgram<'a>> {
        let mut reader = self.dwarf.debug_line.reader().clone();
        reader.skip(offset.0).ok()?;
        let (_, format) = reader.read_initial_length().ok()?;
        let version = reader.read_u16().ok()?;
        reader.skip(if version >= 5 { 2 } else { 0 }).ok()?;
        let header_length = reader.read_length(format).ok()?;
        if header_length > LONGEST_LINE_HEADER {
            return None;
        }
        let size = unit.encoding().address_size;
        self.dwarf.debug_line.program(offset, size, unit.comp_dir.clone(), None).ok()
    }

    /// Runs a line program and notes the row of each address. Returns the header, which names the files.
    fn rows(
        &self,
        program: LineProgram<'a>,
        probes: &[Probe],
        places: &mut [Place],
    ) -> Option<LineHeader<'a>> {
        let header = program.header().clone();
        let mut rows = program.rows();
        let mut last: Option<(u64, Place)> = None;
        // As with functions, what comes before an error is good, and nothing begins at zero.
        while let Ok(Some((_, row))) = rows.next_row() {
            if let Some((begin, place)) = last.filter(|(begin, _)| *begin > 0)
                && let Some(places) = places.get_mut(within(probes, begin, row.address()))
            {
                places.fill(place);
            }
            let place = Place {
                file: Some(row.file_index()),
                line: row.line().map(|line| line.get()),
                column: match row.column() {
                    gimli::ColumnType::LeftEdge => None,
                    gimli::ColumnType::Column(column) => Some(column.get()),
                },
            };
            last = (!row.end_sequence()).then_some((row.address(), place));
        }
        Some(header)
    }

    /// Puts together what is known of an address.
    fn assemble(
        &self,
        unit: &Unit<Metered<'a>>,
        header: Option<&LineHeader<'a>>,
        chain: Vec<Function<'a>>,
        mut place: Place,
    ) -> Vec<SourceFrame> {
        let at = |place: Place| SourceFrame {
            function: None,
            file: header.zip(place.file).and_then(|(header, file)| self.path(unit, header, file)),
            line: place.line.and_then(|line| u32::try_from(line).ok()).filter(|line| *line > 0),
            column: place.column.and_then(|column| u32::try_from(column).ok()).filter(|column| *column > 0),
        };
        if chain.is_empty() {
            return vec![at(place)];
        }
        let mut frames = Vec::with_capacity(chain.len());
        for Function { description, .. } in chain.into_iter().rev() {
            let function = self.name(unit, &description);
            frames.push(SourceFrame { function, ..at(place) });
            let Description { call_file: file, call_line: line, call_column: column, .. } = description;
            place = Place { file, line, column };
        }
        frames
    }

    /// A function's name: its own, or that of what it is an instance of.
    fn name(&self, unit: &Unit<Metered<'a>>, description: &Description<'a>) -> Option<String> {
        let mut plain = None;
        let mut other = None;
        let mut description = description.clone();
        for _ in 0..LONGEST_ORIGIN {
            let unit = other.as_ref().unwrap_or(unit);
            if let Some(name) = description.linkage_name.take().and_then(|value| self.text(unit, value)) {
                if rustc_demangle::try_demangle(&name).is_ok() {
                    return Some(name);
                }
                plain.get_or_insert(name);
            }
            if let Some(name) = description.name.take().and_then(|value| self.text(unit, value)) {
                return Some(name);
            }
            let Some((next, entry)) = description.origin.take().and_then(|at| self.origin(unit, at)) else {
                break;
            };
            description = entry;
            other = next.or(other);
        }
        plain
    }

    /// An entry that another refers to, with its unit if that is another.
    fn origin(
        &self,
        unit: &Unit<Metered<'a>>,
        origin: Value<'a>,
    ) -> Option<(Option<Unit<Metered<'a>>>, Description<'a>)> {
        match origin {
            AttributeValue::UnitRef(offset) => Some((None, self.entry(unit, offset).ok()?)),
            AttributeValue::DebugInfoRef(offset) => {
                let mut units = self.dwarf.units();
                while let Some(header) = units.next().ok()? {
                    if let Some(offset) = offset.to_unit_offset(&header) {
                        let (unit, ..) = self.open(header).ok()?;
                        let entry = self.entry(&unit, offset).ok()?;
                        return Some((Some(unit), entry));
                    }
                }
                None
            }
            _ => None,
        }
    }

    fn entry(&self, unit: &Unit<Metered<'a>>, offset: UnitOffset) -> gimli::Result<Description<'a>> {
        let mut entries = unit.entries_raw(Some(offset))?;
        let mut description = Description::default();
        if let Some(abbreviation) = entries.read_abbreviation()? {
            self.attributes(&mut entries, abbreviation, |name, value| description.take(name, value))?;
        }
        Ok(description)
    }

    /// The path of a file that a line program names.
    fn path(&self, unit: &Unit<Metered<'a>>, header: &LineHeader<'a>, file: u64) -> Option<String> {
        let file = header.file(file)?;
        let name = self.text(unit, file.path_name())?;
        let folder = file.directory(header).and_then(|value| self.text(unit, value));
        let mut path = PathText::default();
        // A relative one, as a compiler writes that was asked to hide where it ran, leads nowhere.
        if let Some(comp_dir) = unit.comp_dir.as_ref().and_then(text).filter(|path| is_absolute(path)) {
            path.push(&comp_dir);
        }
        if let Some(folder) = folder {
            path.push(&folder);
        }
        path.push(&name);
        Some(path.0)
    }

    fn text(&self, unit: &Unit<Metered<'a>>, value: Value<'a>) -> Option<String> {
        self.dwarf.attr_string(unit, value).ok().as_ref().and_then(text)
    }
}

type LineProgram<'a> = gimli::IncompleteLineProgram<Metered<'a>>;
type LineHeader<'a> = gimli::LineProgramHeader<Metered<'a>>;

impl<'a> Description<'a> {
    fn take(&mut self, name: gimli::DwAt, value: Value<'a>) {
        match name {
            constants::DW_AT_low_pc => self.low = Some(value),
            constants::DW_AT_high_pc => self.high = Some(value),
            constants::DW_AT_ranges => self.ranges = Some(value),
            constants::DW_AT_name => self.name = Some(value),
            constants::DW_AT_linkage_name | constants::DW_AT_MIPS_linkage_name => {
                self.linkage_name = Some(value)
            }
            constants::DW_AT_abstract_origin | constants::DW_AT_specification => self.origin = Some(value),
            constants::DW_AT_call_file => {
                self.call_file = match value {
                    AttributeValue::FileIndex(file) => Some(file),
                    value => value.udata_value(),
                };
            }
            constants::DW_AT_call_line => self.call_line = value.udata_value(),
            constants::DW_AT_call_column => self.call_column = value.udata_value(),
            _ => {}
        }
    }
}

/// Which of the probes, which are sorted, are of addresses from `begin` to before `end`.
fn within(probes: &[Probe], begin: u64, end: u64) -> Range<usize> {
    let position = |address| probes.partition_point(|probe| probe.address < address);
    let first = position(begin);
    first..position(end).max(first)
}

/// Text of a section, unless it is longer than any compiler's.
fn text(bytes: &Metered<'_>) -> Option<String> {
    (bytes.len() <= LONGEST_TEXT).then(|| String::from_utf8_lossy(bytes.bytes()).into_owned())
}

/// A path that is put together; a part that is absolute replaces what was before it.
#[derive(Default)]
struct PathText(String);

impl PathText {
    fn push(&mut self, part: &str) {
        if is_absolute(part) {
            self.0.clear();
        } else if !self.0.is_empty() && !self.0.ends_with(['/', '\\']) {
            let windows = self.0.contains('\\') && !self.0.contains('/');
            self.0.push(if windows { '\\' } else { '/' });
        }
        self.0.push_str(part);
    }
}

/// Whether a path of any system names a file without help.
fn is_absolute(path: &str) -> bool {
    path.starts_with(['/', '\\']) || path.as_bytes().get(1) == Some(&b':')
}

#[cfg(test)]
#[path = "dwarf_tests.rs"]
mod tests;
