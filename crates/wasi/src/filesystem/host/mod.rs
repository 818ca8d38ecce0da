//! The host's own files.
//!
//! **The sandbox.** Guests' paths reach the kernel in two ways only. A whole path goes to `openat2` with
//! `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS` ([`resolve`]), which refuses to leave the directory whatever anybody
//! does to the tree meanwhile. A single name goes to an `…at` call that does not follow symbolic links, on a
//! directory that was reached in the first way. Such a name has no slash in it, except at its end in calls that
//! only look at the directory the name is in (`mkdirat`, `unlinkat`, `renameat`…): a slash at the end would make
//! any other call follow a link. [`path`] tells names apart.
//!
//! **Blocking.** Lookups on a local filesystem are made in place, as are reads that find their data in memory
//! (`RWF_NOWAIT`). Changes go to a thread that may wait, except in a filesystem that is all memory. On a network
//! filesystem, everything does. A mount point below a preopened directory counts as what it is mounted on.
//!
//! Only Linux so far.

mod directory;
mod entries;
mod file;
mod latency;
mod path;
mod resolve;
#[cfg(test)]
mod tests;

#[cfg(not(target_os = "linux"))]
compile_error!("tombolo-wasi has no filesystem for this platform yet, only for Linux");

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::blocking::Blocking;
use crate::clocks::Instant;

use super::{
    Advice, DescriptorFlags, DescriptorLimit, DescriptorType, DirectoryEntry, Entries, ErrorCode,
    NewTimestamp, Object, OpenFlags, Position, Result, Stat, SymlinkFollow,
};
use crate::descriptor_limit::Permit;
use file::Transfers;
use latency::Latency;
use resolve::Resolver;

/// An open file or directory of the host.
#[derive(Debug)]
pub struct HostObject {
    file: File,
    /// Opened with `O_PATH`: good for looking at and from, not for data.
    path_only: bool,
    latency: Latency,
    resolver: Resolver,
    transfers: Transfers,
    limit: DescriptorLimit,
    _permit: Permit,
}

impl HostObject {
    /// Opens a directory by a path of the host, without any sandbox, to be preopened for a guest.
    ///
    /// # Errors
    ///
    /// It is not there, not a directory, not accessible, or one descriptor too many.
    pub fn open_ambient_directory(path: &Path, limit: &DescriptorLimit) -> io::Result<Arc<Self>> {
        let permit = limit.acquire().map_err(|error| io::Error::other(ErrorCode::from(error)))?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (fd, path_only) = match rustix::fs::openat(CWD, path, flags | OFlags::RDONLY, Mode::empty()) {
            Err(Errno::ACCESS) => (rustix::fs::openat(CWD, path, flags | OFlags::PATH, Mode::empty())?, true),
            opened => (opened?, false),
        };
        Ok(Arc::new(HostObject {
            latency: Latency::of(&fd),
            resolver: Resolver::probe(&fd),
            file: fd.into(),
            path_only,
            transfers: Transfers::default(),
            limit: limit.clone(),
            _permit: permit,
        }))
    }

    /// How a path is followed: in memory there is nothing to wait for.
    fn following(&self, blocking: Blocking) -> Blocking {
        if self.latency == Latency::Memory { Blocking::Allow } else { blocking }
    }

    /// May a lookup be made now?
    fn lookup(&self, blocking: Blocking) -> Result<()> {
        match (blocking, self.latency) {
            (Blocking::Avoid, Latency::Remote) => Err(ErrorCode::WouldBlock),
            _ => Ok(()),
        }
    }

    /// May a change be made now?
    fn change(&self, blocking: Blocking) -> Result<()> {
        match (blocking, self.latency) {
            (Blocking::Allow, _) | (_, Latency::Memory) => Ok(()),
            (Blocking::Avoid, _) => Err(ErrorCode::WouldBlock),
        }
    }
}

impl Object for HostObject {
    fn stat(&self, blocking: Blocking) -> Result<Stat> {
        self.lookup(blocking)?;
        Ok(convert_stat(&rustix::fs::fstat(&self.file)?))
    }

    fn is_same_object(&self, other: &dyn Object, blocking: Blocking) -> Result<bool> {
        let Some(other) = as_host(other) else { return Ok(false) };
        let (one, two) = (self.stat(blocking)?, other.stat(blocking)?);
        Ok((one.device, one.inode) == (two.device, two.inode))
    }

    fn set_times(&self, access: NewTimestamp, modification: NewTimestamp, blocking: Blocking) -> Result<()> {
        self.change(blocking)?;
        Ok(file::set_times(&self.file, access, modification, self.path_only)?)
    }

    fn sync(&self, metadata: bool, blocking: Blocking) -> Result<()> {
        self.change(blocking)?;
        match (self.path_only, metadata) {
            (true, _) => {}
            (false, true) => rustix::fs::fsync(&self.file)?,
            (false, false) => rustix::fs::fdatasync(&self.file)?,
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64, blocking: Blocking) -> Result<usize> {
        self.transfers.read_at(&self.file, buffer, offset, blocking)
    }

    fn copy_from(
        &self,
        position: Position,
        source: &dyn Object,
        offset: u64,
        length: usize,
        blocking: Blocking,
    ) -> Result<usize> {
        let source = as_host(source).ok_or(ErrorCode::Unsupported)?;
        self.transfers.copy(&self.file, position, &source.file, offset, length, blocking)
    }

    fn write_at(&self, bytes: &[u8], position: Position, blocking: Blocking) -> Result<usize> {
        self.transfers.write_at(&self.file, bytes, position, blocking)
    }

    fn set_size(&self, size: u64, blocking: Blocking) -> Result<()> {
        self.change(blocking)?;
        Ok(rustix::fs::ftruncate(&self.file, size)?)
    }

    fn advise(&self, offset: u64, length: u64, advice: Advice, blocking: Blocking) -> Result<()> {
        // This one reads ahead, and may wait for the device to take the order.
        if advice == Advice::WillNeed {
            self.change(blocking)?;
        }
        file::advise(&self.file, offset, length, advice)
    }

    fn entries(&self, blocking: Blocking) -> Result<Box<dyn Entries>> {
        self.change(blocking)?;
        Ok(Box::new(entries::HostEntries::open(&self.file, self.latency, &self.limit)?))
    }

    fn open_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        open: OpenFlags,
        flags: DescriptorFlags,
        blocking: Blocking,
    ) -> Result<Arc<dyn Object>> {
        Ok(self.open_object(path, follow, open, flags, blocking)?)
    }

    fn stat_at(&self, path: &str, follow: SymlinkFollow, blocking: Blocking) -> Result<Stat> {
        self.stat_path(path, follow, blocking)
    }

    fn set_times_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        access: NewTimestamp,
        modification: NewTimestamp,
        blocking: Blocking,
    ) -> Result<()> {
        self.set_path_times(path, follow, access, modification, blocking)
    }

    fn create_directory_at(&self, path: &str, blocking: Blocking) -> Result<()> {
        self.create_directory(path, blocking)
    }

    fn remove_directory_at(&self, path: &str, blocking: Blocking) -> Result<()> {
        self.remove_directory(path, blocking)
    }

    fn unlink_file_at(&self, path: &str, blocking: Blocking) -> Result<()> {
        self.unlink_file(path, blocking)
    }

    fn link_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        directory: &dyn Object,
        new_path: &str,
        blocking: Blocking,
    ) -> Result<()> {
        let directory = as_host(directory).ok_or(ErrorCode::CrossDevice)?;
        self.link(path, follow, directory, new_path, blocking)
    }

    fn rename_at(
        &self,
        path: &str,
        directory: &dyn Object,
        new_path: &str,
        blocking: Blocking,
    ) -> Result<()> {
        let directory = as_host(directory).ok_or(ErrorCode::CrossDevice)?;
        self.rename(path, directory, new_path, blocking)
    }

    fn symlink_at(&self, target: &str, path: &str, blocking: Blocking) -> Result<()> {
        self.symlink(target, path, blocking)
    }

    fn readlink_at(&self, path: &str, blocking: Blocking) -> Result<String> {
        self.readlink(path, blocking)
    }
}

fn as_host(object: &dyn Object) -> Option<&HostObject> {
    (object as &dyn std::any::Any).downcast_ref()
}

fn convert_stat(stat: &rustix::fs::Stat) -> Stat {
    let instant = |seconds, nanoseconds| {
        Some(Instant { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) })
    };
    Stat {
        kind: convert_type(FileType::from_raw_mode(stat.st_mode)),
        #[allow(clippy::unnecessary_cast, reason = "the width differs between platforms")]
        link_count: stat.st_nlink as u64,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        data_access: instant(stat.st_atime, stat.st_atime_nsec),
        data_modification: instant(stat.st_mtime, stat.st_mtime_nsec),
        status_change: instant(stat.st_ctime, stat.st_ctime_nsec),
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}

fn convert_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::Directory => DescriptorType::Directory,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Socket => DescriptorType::Socket,
        FileType::Unknown => DescriptorType::Unknown,
    }
}
