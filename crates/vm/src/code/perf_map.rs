//! The map by which `perf` finds the names of functions that are compiled at run time: a text file in a place that it
//! knows, with a line `START SIZE NAME` for each.
//!
//! The file is the process's, so there is one for all engines. Code that is gone stays in it; if other code takes its
//! place, `perf` may show either.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::CodeObject;

static MAP: Mutex<Option<BufWriter<File>>> = Mutex::new(None);

/// From now on notes the functions of all code that is published, in this process, in the file where `perf` looks for
/// it: [`perf_map_path`]. Does nothing the second time.
///
/// # Errors
/// When the file cannot be made.
pub fn write_perf_map() -> io::Result<()> {
    let mut map = MAP.lock().unwrap_or_else(PoisonError::into_inner);
    if map.is_some() {
        return Ok(());
    }
    let path = perf_map_path();
    // What lies there is of an earlier process with the same number, or a trap laid by another user, whose links are not
    // followed and whose file cannot be removed.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    *map = Some(BufWriter::new(file));
    Ok(())
}

/// Where `perf` looks for this process's map. It knows no other folder, whatever the environment says.
pub fn perf_map_path() -> PathBuf {
    PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()))
}

/// Notes the functions of a piece of code, if they are asked for.
pub(super) fn note(code: &CodeObject) {
    let mut map = MAP.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(map) = map.as_mut() else { return };
    let lines = code.for_each_function(|start, len, name| {
        // A name is the rest of the line, whatever it has but line breaks.
        let name = name.replace(|character: char| character.is_control(), " ");
        writeln!(map, "{start:x} {len:x} {name}")
    });
    // A profile that lacks names is no reason to stop the program.
    let _ = lines.and_then(|()| map.flush());
}
