//! Listing a directory of the host.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};

use crate::blocking::Blocking;

use super::latency::Latency;
use super::{DescriptorLimit, DirectoryEntry, Entries, ErrorCode, Permit, Result, convert_type};

/// A directory being listed, through a descriptor and with a position of its own.
pub(super) struct HostEntries {
    directory: OwnedFd,
    latency: Latency,
    buffer: Vec<u8>,
    /// There was a name that is not Unicode, which is told at the end.
    unspeakable: bool,
    _permit: Permit,
}

/// How much of a directory is read at once: some hundred entries.
const BUFFER_LENGTH: usize = 16 << 10;

impl HostEntries {
    pub(super) fn open(directory: impl AsFd, latency: Latency, limit: &DescriptorLimit) -> Result<Self> {
        let permit = limit.acquire()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
        let buffer = Vec::with_capacity(BUFFER_LENGTH);
        Ok(HostEntries { directory, latency, buffer, unspeakable: false, _permit: permit })
    }
}

impl Entries for HostEntries {
    fn next_batch(&mut self, entries: &mut Vec<DirectoryEntry>, blocking: Blocking) -> Result<()> {
        if blocking == Blocking::Avoid && self.latency != Latency::Memory {
            return Err(ErrorCode::WouldBlock);
        }
        let before = entries.len();
        let mut listing = RawDir::new(&self.directory, self.buffer.spare_capacity_mut());
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name();
            if let Ok(name) = name.to_str() {
                if name != "." && name != ".." {
                    let kind = match entry.file_type() {
                        FileType::Unknown => ask_type(&self.directory, name),
                        kind => kind,
                    };
                    entries.push(DirectoryEntry { kind: convert_type(kind), name: name.to_owned() });
                }
            } else {
                self.unspeakable = true;
            }
            if listing.is_buffer_empty() && entries.len() > before {
                return Ok(());
            }
        }
        match entries.len() == before && self.unspeakable {
            true => Err(ErrorCode::IllegalByteSequence),
            false => Ok(()),
        }
    }
}

/// Not every filesystem keeps the type beside the name.
fn ask_type(directory: impl AsFd, name: &str) -> FileType {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
        Err(_) => FileType::Unknown,
    }
}
