//! The debug sections. They are kept as they are: only a trap makes somebody look into them.

use wasmparser::CustomSectionReader;

use crate::module::DebugSections;

/// Keeps a custom section if it says what an instruction's source is.
pub(super) fn read(section: &CustomSectionReader<'_>, debug: &mut DebugSections) {
    let place = match section.name() {
        ".debug_abbrev" => &mut debug.abbrev,
        ".debug_addr" => &mut debug.addr,
        ".debug_info" => &mut debug.info,
        ".debug_line" => &mut debug.line,
        ".debug_line_str" => &mut debug.line_str,
        ".debug_ranges" => &mut debug.ranges,
        ".debug_rnglists" => &mut debug.rnglists,
        ".debug_str" => &mut debug.str,
        ".debug_str_offsets" => &mut debug.str_offsets,
        _ => return,
    };
    *place = section.data().into();
}
