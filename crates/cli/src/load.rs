//! Reads the file that a subcommand was given: WebAssembly in binary or in text form.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use wat::Detect;

use crate::diagnostics::Failure;

/// Reads `path` and returns WebAssembly in binary form; text is assembled. `-` is the standard input.
///
/// # Errors
///
/// The file cannot be read, or is not WebAssembly: the failure says what it is instead.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = read_bytes(path).map_err(|error| unreadable(path, error))?;
    match Detect::from_bytes(&bytes) {
        Detect::WasmBinary => Ok(bytes),
        Detect::WasmText => assemble(path, &bytes),
        Detect::Unknown if has_extension(path, "wat") && !bytes.is_empty() => assemble(path, &bytes),
        Detect::Unknown => Err(not_wasm(path, &bytes)),
    }
}

/// Says that `bytes`, read from `path`, do not decode or are not valid.
pub(crate) fn malformed(path: &Path, bytes: &[u8], error: &wasmparser::Error) -> Failure {
    let (path, size, offset) = (path.display(), bytes.len(), error.offset());
    if error.message().contains("unexpected end") {
        let message = format!(
            "{path} is cut short: more should follow at byte {offset} (0x{offset:x}), and the file has {size} bytes"
        );
        return Failure::new(message).hint("copy or build the file again");
    }
    let message = format!("{path} is not valid at byte {offset} (0x{offset:x}): {}", error.message());
    Failure::new(message)
        .hint("build the file again with current tools; `wasm-tools validate --features all` checks it too")
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    fs::read(path)
}

fn assemble(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let assembled = wat::Parser::new().parse_bytes(Some(path), bytes);
    assembled.map(std::borrow::Cow::into_owned).map_err(|error| {
        Failure::caused_by(format!("cannot assemble {}", path.display()), error)
            .hint("the position above is where the text stops making sense")
    })
}

/// Says why `path` cannot be read, and which file may have been meant.
fn unreadable(path: &Path, error: io::Error) -> Failure {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            let failure = Failure::new(format!("{shown} is a folder, not a component"));
            match some_programs(path) {
                Some(names) => failure.hint(format!("it holds {names}")),
                None => failure.hint("name a .wasm or .wat file"),
            }
        }
        io::ErrorKind::NotFound => {
            let failure = Failure::new(format!("{shown} does not exist"));
            match like_names(path) {
                Some(hint) => failure.hint(hint),
                None => failure.hint("name a .wasm or .wat file"),
            }
        }
        _ => Failure::caused_by(format!("cannot read {shown}"), error),
    }
}

/// Which file or folder may have been meant by `path`, which does not exist.
fn like_names(path: &Path) -> Option<String> {
    let with_extension = ["wasm", "wat"].map(|extension| path.with_extension(extension));
    if let Some(found) = with_extension.iter().find(|candidate| candidate.is_file()) {
        return Some(format!("there is {}", found.display()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Some(format!("the folder {} does not exist either", folder.display()));
    }
    some_programs(folder).map(|names| format!("the folder has {names}"))
}

/// Names up to three of the programs in a folder.
fn some_programs(folder: &Path) -> Option<String> {
    let mut programs: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| (has_extension(path, "wasm") || has_extension(path, "wat")) && path.is_file())
        .collect();
    programs.sort();
    let more = if programs.len() > 3 { ", …" } else { "" };
    let names: Vec<String> = programs
        .iter()
        .take(3)
        .map(|path| path.strip_prefix(".").unwrap_or(path).display().to_string())
        .collect();
    (!names.is_empty()).then(|| names.join(", ") + more)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// What a file begins with that is often mistaken for WebAssembly, and what to do instead.
const OTHERS: &[(&[u8], &str, &str)] = &[
    (
        b"\x7fELF",
        "it is a native program, or code that another runtime has compiled ahead of time",
        "name the .wasm file it was made from",
    ),
    (b"MZ", "it is a Windows program", "build it for WebAssembly"),
    (b"#!", "it is a script", "run it as it is, or name the .wasm file it starts"),
    (b"\x1f\x8b", "it is compressed with gzip", "unpack it first: gunzip"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", "unpack it first: unzstd"),
    (b"PK\x03\x04", "it is a zip archive", "unpack it first: unzip"),
    (b"!<arch>", "it is a static library", "link it into a program first"),
    (b"BC\xc0\xde", "it is LLVM bitcode", "link it with lld to get a .wasm file"),
    (b"<", "it is a web page or XML", "look at it: a download may have failed"),
    (b"package ", "it is an interface definition (WIT)", "name the component that implements it"),
];

/// Says what a file is that is not WebAssembly.
fn not_wasm(path: &Path, bytes: &[u8]) -> Failure {
    let shown = path.display();
    if bytes.is_empty() {
        return Failure::new(format!("{shown} is empty")).hint("did the build that should fill it fail?");
    }
    if let Some((_, what, hint)) = OTHERS.iter().find(|(start, ..)| bytes.starts_with(start)) {
        return Failure::new(format!("{shown} is not WebAssembly: {what}")).hint(*hint);
    }
    if b"\0asm".starts_with(bytes) {
        return Failure::new(format!("{shown} is cut short: it ends at byte {}, inside its first word", bytes.len()))
            .hint("copy or build the file again");
    }
    let start = bytes.get(..16).unwrap_or(bytes).escape_ascii();
    Failure::new(format!("{shown} is not WebAssembly: it begins with \"{start}\""))
        .hint("a component's file begins with \"\\0asm\", its text with \"(component\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(bytes: &[u8]) -> String {
        format!("{:?}", not_wasm(Path::new("x"), bytes))
    }

    #[test]
    fn what_is_not_wasm_is_named() {
        assert!(complaint(b"").contains("is empty"));
        assert!(complaint(b"\x7fELF\x02").contains("native program"));
        assert!(complaint(b"\0as").contains("cut short"));
        assert!(complaint(b"fn main() {}").contains("begins with"));
    }
}
