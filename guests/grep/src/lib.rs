//! `grep PATTERN`: prints `PATH:NUMBER:LINE` for each line with the text PATTERN in it, in all regular files
//! below the preopened directories. Fails when there is none, as its model does.

use support::Output;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, DirectoryEntry, ErrorCode, OpenFlags, PathFlags,
};
use wasip3::wit_bindgen::StreamResult;

const CHUNK: usize = 64 * 1024;

struct Command;

impl wasip3::exports::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let args = support::args();
        let [pattern] = args.as_slice() else {
            support::eprint("usage: grep PATTERN\n").await;
            return Err(());
        };
        let directories = preopens::get_directories();
        if directories.is_empty() {
            support::eprint("grep: there is no preopened directory to search\n").await;
            return Err(());
        }
        let mut grep =
            Grep { pattern: pattern.as_bytes(), output: Output::stdout(), found: false, failed: false };
        for (directory, path) in &directories {
            grep.directory(directory, path).await;
        }
        let written = grep.output.finish().await;
        if grep.failed || !grep.found || written.is_err() { Err(()) } else { Ok(()) }
    }
}

struct Grep<'a> {
    pattern: &'a [u8],
    output: Output,
    found: bool,
    failed: bool,
}

impl Grep<'_> {
    async fn directory(&mut self, directory: &Descriptor, path: &str) {
        let entries = match list(directory).await {
            Ok(entries) => entries,
            Err(error) => return self.complain(path, &error).await,
        };
        for entry in entries {
            let path = if path.ends_with('/') {
                format!("{path}{}", entry.name)
            } else {
                format!("{path}/{}", entry.name)
            };
            let result = match entry.type_ {
                DescriptorType::Directory => match open(directory, &entry.name, OpenFlags::DIRECTORY).await {
                    Ok(below) => {
                        Box::pin(self.directory(&below, &path)).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                DescriptorType::RegularFile => match open(directory, &entry.name, OpenFlags::empty()).await {
                    Ok(file) => self.file(&file, &path).await,
                    Err(error) => Err(error),
                },
                _ => Ok(()),
            };
            if let Err(error) = result {
                self.complain(&path, &error).await;
            }
        }
    }

    async fn file(&mut self, file: &Descriptor, path: &str) -> Result<(), ErrorCode> {
        let (mut data, read) = file.read_via_stream(0);
        let mut buffer = Vec::with_capacity(CHUNK);
        let mut number = 1;
        loop {
            if buffer.len() == buffer.capacity() {
                // One line is longer than the buffer.
                buffer.reserve(buffer.capacity());
            }
            let result;
            (result, buffer) = data.read(buffer).await;
            let last = result == StreamResult::Dropped;
            let whole = match buffer.iter().rposition(|byte| *byte == b'\n') {
                _ if last => buffer.len(),
                Some(end) => end + 1,
                None => 0,
            };
            for line in buffer[..whole].split_inclusive(|byte| *byte == b'\n') {
                self.line(path, number, line.strip_suffix(b"\n").unwrap_or(line)).await;
                number += 1;
            }
            buffer.drain(..whole);
            if last {
                break;
            }
        }
        drop(data);
        read.await
    }

    async fn line(&mut self, path: &str, number: u64, line: &[u8]) {
        let n = self.pattern.len();
        if n == 0 || line.windows(n).any(|window| window == self.pattern) {
            self.found = true;
            let mut text = format!("{path}:{number}:").into_bytes();
            text.extend_from_slice(line);
            text.push(b'\n');
            // A closed stdout is noticed at the end.
            let _ = self.output.write(&text).await;
        }
    }

    async fn complain(&mut self, path: &str, error: &ErrorCode) {
        self.failed = true;
        support::eprint(&format!("grep: {path}: {error:?}\n")).await;
    }
}

async fn list(directory: &Descriptor) -> Result<Vec<DirectoryEntry>, ErrorCode> {
    let (entries, read) = directory.read_directory();
    let mut entries = entries.collect().await;
    read.await?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

async fn open(directory: &Descriptor, name: &str, flags: OpenFlags) -> Result<Descriptor, ErrorCode> {
    directory.open_at(PathFlags::empty(), name.to_owned(), flags, DescriptorFlags::READ).await
}

wasip3::cli::command::export!(Command);
