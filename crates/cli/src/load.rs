//! Reads the file that a subcommand was given: WebAssembly in binary or in text form.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use wasmparser::{BinaryReader, Validator, WasmFeatures};
use wat::Detect;

use crate::contents::Part;
use crate::diagnostics::Failure;

/// No component comes near this size; an endless device does.
const MAX_BYTES: u64 = 1 << 30;

/// A file's WebAssembly, in binary form.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// Whether the file holds text, and `bytes` were assembled from it.
    assembled: bool,
}

impl Source {
    /// Reads `path`; text is assembled. `-` is the standard input.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not WebAssembly: the failure says what it is instead.
    pub(crate) fn read(path: &Path) -> Result<Source, Failure> {
        let bytes = read_bytes(path).map_err(|error| unreadable(path, error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Failure::new(format!("{} is larger than {MAX_BYTES} bytes", path.display()))
                .hint("name a component's .wasm or .wat file"));
        }
        let assembled = match Detect::from_bytes(&bytes) {
            Detect::WasmBinary => false,
            Detect::WasmText => true,
            Detect::Unknown if has_extension(path, "wat") && !bytes.is_empty() => true,
            Detect::Unknown => return Err(not_wasm(path, &bytes)),
        };
        let bytes = if assembled { assemble(path, &bytes)? } else { bytes };
        Ok(Source { path: path.to_owned(), bytes, assembled })
    }

    /// Validates the bytes and lists what they hold.
    ///
    /// # Errors
    ///
    /// They do not decode or are not valid: the failure says at which byte.
    pub(crate) fn check(&self) -> Result<Part, Failure> {
        Validator::new_with_features(WasmFeatures::all())
            .validate_all(&self.bytes)
            .and_then(|_types| Part::read(&self.bytes))
            .map_err(|error| self.malformed(&error))
    }

    fn malformed(&self, error: &wasmparser::Error) -> Failure {
        let (path, offset) = (self.path.display(), error.offset());
        if self.assembled {
            let message =
                format!("{path} is not valid at byte {offset} of its binary form: {}", error.message());
            return Failure::new(message)
                .hint("correct the text; `wasm-tools dump` shows where that byte comes from");
        }
        if self.bytes.len() < HEADER {
            return cut_header(&self.path, &self.bytes);
        }
        if let Some(section) = cut_section(&self.bytes) {
            let message = format!(
                "{path} is cut short: it ends at byte {}, inside a section that begins at byte {} and ends at byte {}",
                self.bytes.len(),
                section.start,
                section.end
            );
            return Failure::new(message).hint("copy or build the file again");
        }
        let message = format!("{path} is not valid at byte {offset} (0x{offset:x}): {}", error.message());
        Failure::new(message).hint(
            "build the file again with current tools; `wasm-tools validate --features all` checks it too",
        )
    }
}

/// Every file begins with four bytes that never change and four that are its version.
const HEADER: usize = 8;

fn cut_header(path: &Path, bytes: &[u8]) -> Failure {
    let message =
        format!("{} is cut short: it ends at byte {}, inside its header", path.display(), bytes.len());
    Failure::new(message).hint("copy or build the file again")
}

/// The outermost section that should go on behind the end of `bytes`, if there is one.
fn cut_section(bytes: &[u8]) -> Option<Range<u64>> {
    let size = bytes.len() as u64;
    let mut start = HEADER as u64;
    while start < size {
        let mut reader = BinaryReader::new(bytes.get(usize::try_from(start).ok()?..)?, start);
        let length = reader.read_u8().and_then(|_section_id| reader.read_var_u32());
        let end = match length {
            Ok(length) => reader.original_position() + u64::from(length),
            Err(_) => reader.original_position() + 1,
        };
        if end > size {
            return Some(start..end);
        }
        start = end;
    }
    None
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn assemble(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let assembled = wat::Parser::new().parse_bytes(Some(path), bytes);
    assembled.map(Cow::into_owned).map_err(|error| {
        Failure::caused_by(format!("cannot assemble {}", path.display()), error)
            .hint("correct the text at the position above")
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
        return cut_header(path, bytes);
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
    fn a_cut_section_is_found() {
        let whole = b"\0asm\x01\0\0\0\x01\x01\0\x03\x01\0";
        assert_eq!(cut_section(whole), None);
        assert_eq!(cut_section(&whole[..8]), None);
        assert_eq!(cut_section(&whole[..9]), Some(8..10));
        assert_eq!(cut_section(&whole[..10]), Some(8..11));
        assert_eq!(cut_section(&whole[..13]), Some(11..14));
    }

    #[test]
    fn what_is_not_wasm_is_named() {
        assert!(complaint(b"").contains("is empty"));
        assert!(complaint(b"\x7fELF\x02").contains("native program"));
        assert!(complaint(b"\0as").contains("cut short"));
        assert!(complaint(b"fn main() {}").contains("begins with"));
    }
}
