//! What a filesystem is to this crate: the trait that the host's files and an embedder's own implement.

use std::any::Any;
use std::sync::Arc;

use crate::blocking::Blocking;

use super::{
    Advice, DescriptorFlags, DirectoryEntry, ErrorCode, NewTimestamp, OpenFlags, Position, Result, Stat,
    SymlinkFollow,
};

/// An open object of a filesystem: a file, a directory or something else.
///
/// **What an implementation answers for.** A path never leads out of the directory that it starts from: not by
/// `..`, not through symbolic links, not while somebody moves directories about; an attempt ends with
/// [`ErrorCode::NotPermitted`]. Paths arrive as the guest gave them, but never empty, absolute, or with a NUL in
/// them. Rights are not its business: [`Descriptor`](super::Descriptor), through which alone guests reach
/// objects, has checked them.
///
/// **Blocking.** Under [`Blocking::Avoid`] a call that would have to wait for a device, a network or another
/// process fails with [`ErrorCode::WouldBlock`] and has no effect. It is then made again under
/// [`Blocking::Allow`] on a thread that may wait. An implementation that never waits ignores the argument.
///
/// Every method has a default that fails as it should for an object that lacks the operation.
pub trait Object: Any + Send + Sync {
    /// Tells what is known of the object.
    ///
    /// # Errors
    ///
    /// As `fstat` in POSIX.
    fn stat(&self, blocking: Blocking) -> Result<Stat>;

    /// Says whether two objects are one, opened twice.
    fn is_same_object(&self, other: &dyn Object, blocking: Blocking) -> Result<bool> {
        let _ = blocking;
        Ok(std::ptr::addr_eq(std::ptr::from_ref(self), std::ptr::from_ref(other)))
    }

    /// Sets the time of last access and of last modification.
    ///
    /// # Errors
    ///
    /// As `futimens` in POSIX.
    fn set_times(&self, _access: NewTimestamp, _modification: NewTimestamp, _: Blocking) -> Result<()> {
        Err(ErrorCode::Unsupported)
    }

    /// Waits until the data, and with `metadata` everything else about the object too, is stored.
    ///
    /// # Errors
    ///
    /// As `fsync` and `fdatasync` in POSIX.
    fn sync(&self, _metadata: bool, _: Blocking) -> Result<()> {
        Ok(())
    }

    /// Reads from a file at an offset, 0 bytes at its end.
    ///
    /// # Errors
    ///
    /// As `pread` in POSIX.
    fn read_at(&self, _buffer: &mut [u8], _offset: u64, _: Blocking) -> Result<usize> {
        Err(ErrorCode::IsDirectory)
    }

    /// Writes to a file, at least a byte.
    ///
    /// # Errors
    ///
    /// As `pwrite`, or `write` with `O_APPEND`, in POSIX.
    fn write_at(&self, _bytes: &[u8], _position: Position, _: Blocking) -> Result<usize> {
        Err(ErrorCode::BadDescriptor)
    }

    /// Writes to a file what is at an offset of another one, up to `length` bytes: 0 at the end of that one, or where
    /// that is how it says that it knows no better.
    ///
    /// # Errors
    ///
    /// As `copy_file_range` in Linux; after any of them the bytes are read and written instead.
    fn copy_from(
        &self,
        _position: Position,
        _source: &dyn Object,
        _offset: u64,
        _length: usize,
        _: Blocking,
    ) -> Result<usize> {
        Err(ErrorCode::Unsupported)
    }

    /// Cuts a file, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// As `ftruncate` in POSIX.
    fn set_size(&self, _size: u64, _: Blocking) -> Result<()> {
        Err(ErrorCode::BadDescriptor)
    }

    /// Takes note of how a part of a file is about to be used. A length of 0 reaches to the end.
    ///
    /// # Errors
    ///
    /// As `posix_fadvise` in POSIX.
    fn advise(&self, _offset: u64, _length: u64, _advice: Advice, _: Blocking) -> Result<()> {
        Ok(())
    }

    /// Begins to list a directory, without `.` and `..`.
    ///
    /// # Errors
    ///
    /// As `opendir` in POSIX.
    fn entries(&self, _: Blocking) -> Result<Box<dyn Entries>> {
        Err(ErrorCode::NotDirectory)
    }

    /// Opens what a path leads to.
    ///
    /// # Errors
    ///
    /// As `openat` in POSIX.
    fn open_at(
        &self,
        _path: &str,
        _follow: SymlinkFollow,
        _open: OpenFlags,
        _flags: DescriptorFlags,
        _: Blocking,
    ) -> Result<Arc<dyn Object>> {
        Err(ErrorCode::NotDirectory)
    }

    /// Tells what is known of what a path leads to.
    ///
    /// # Errors
    ///
    /// As `fstatat` in POSIX.
    fn stat_at(&self, _path: &str, _follow: SymlinkFollow, _: Blocking) -> Result<Stat> {
        Err(ErrorCode::NotDirectory)
    }

    /// Sets the times of what a path leads to.
    ///
    /// # Errors
    ///
    /// As `utimensat` in POSIX.
    fn set_times_at(
        &self,
        _path: &str,
        _follow: SymlinkFollow,
        _access: NewTimestamp,
        _modification: NewTimestamp,
        _: Blocking,
    ) -> Result<()> {
        Err(ErrorCode::NotDirectory)
    }

    /// Makes a directory.
    ///
    /// # Errors
    ///
    /// As `mkdirat` in POSIX.
    fn create_directory_at(&self, _path: &str, _: Blocking) -> Result<()> {
        Err(ErrorCode::NotDirectory)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// As `unlinkat` with `AT_REMOVEDIR` in POSIX.
    fn remove_directory_at(&self, _path: &str, _: Blocking) -> Result<()> {
        Err(ErrorCode::NotDirectory)
    }

    /// Removes a name of anything but a directory.
    ///
    /// # Errors
    ///
    /// As `unlinkat` in POSIX.
    fn unlink_file_at(&self, _path: &str, _: Blocking) -> Result<()> {
        Err(ErrorCode::NotDirectory)
    }

    /// Gives a file a second name, below another directory.
    ///
    /// # Errors
    ///
    /// As `linkat` in POSIX; [`ErrorCode::CrossDevice`] when `directory` is of another filesystem.
    fn link_at(
        &self,
        _path: &str,
        _follow: SymlinkFollow,
        _directory: &dyn Object,
        _new_path: &str,
        _: Blocking,
    ) -> Result<()> {
        Err(ErrorCode::NotDirectory)
    }

    /// Moves something to a name below another directory.
    ///
    /// # Errors
    ///
    /// As `renameat` in POSIX; [`ErrorCode::CrossDevice`] when `directory` is of another filesystem.
    fn rename_at(&self, _path: &str, _directory: &dyn Object, _new_path: &str, _: Blocking) -> Result<()> {
        Err(ErrorCode::NotDirectory)
    }

    /// Makes a symbolic link that contains `target`.
    ///
    /// # Errors
    ///
    /// As `symlinkat` in POSIX.
    fn symlink_at(&self, _target: &str, _path: &str, _: Blocking) -> Result<()> {
        Err(ErrorCode::NotDirectory)
    }

    /// Tells what a symbolic link contains.
    ///
    /// # Errors
    ///
    /// As `readlinkat` in POSIX; [`ErrorCode::IllegalByteSequence`] when it is not Unicode.
    fn readlink_at(&self, _path: &str, _: Blocking) -> Result<String> {
        Err(ErrorCode::NotDirectory)
    }
}

/// A directory being listed.
pub trait Entries: Send {
    /// Adds the next few entries to `entries`, none at the end.
    ///
    /// # Errors
    ///
    /// As `readdir` in POSIX. The listing is over then.
    fn next_batch(&mut self, entries: &mut Vec<DirectoryEntry>, blocking: Blocking) -> Result<()>;
}
