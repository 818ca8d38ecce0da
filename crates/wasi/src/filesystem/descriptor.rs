//! Descriptors: an open object and what may be done with it.
//!
//! Every operation of a guest passes through here, so this is where rights are enforced, in one place for every
//! kind of filesystem:
//!
//! - `flags` is what the guest asked for and got: `read` and `write` of data, `mutate_directory` below it.
//! - `allowed` is what it could have got. It only ever shrinks on the way down: a descriptor opened through one
//!   without `mutate_directory` never changes anything, and neither does what is opened through it.
//!
//! An object can be moved or linked only where the new place allows no more than the old one did. Otherwise a
//! read-only file could be linked into a writable directory and written there.

use std::sync::Arc;

use crate::blocking::Blocking;

use super::metadata_hash::MetadataHashKey;
use super::refusal::OnReadOnly;
use super::{
    Advice, DescriptorFlags, DescriptorType, Entries, ErrorCode, MetadataHash, NewTimestamp, Object,
    OpenFlags, Permissions, Position, Result, Stat, SymlinkFollow,
};

/// A reference to an open object with the rights that come with it. Clones refer to the same open object.
#[derive(Clone)]
pub struct Descriptor {
    object: Arc<dyn Object>,
    flags: DescriptorFlags,
    allowed: Permissions,
    /// Who wants to know of attempts to change what the embedder granted for reading alone.
    on_read_only: Option<OnReadOnly>,
}

impl Descriptor {
    /// Makes a descriptor for a directory that a guest is given at its start.
    pub fn preopen(directory: Arc<dyn Object>, allowed: Permissions) -> Self {
        let flags = DescriptorFlags {
            read: allowed.read,
            mutate_directory: allowed.write,
            ..DescriptorFlags::default()
        };
        Descriptor { object: directory, flags, allowed, on_read_only: None }
    }

    /// Calls `on_read_only` whenever something is refused because the directory was granted for reading alone.
    #[must_use]
    pub(crate) fn with_on_read_only(self, on_read_only: Option<OnReadOnly>) -> Self {
        let on_read_only = on_read_only.filter(|_| !self.allowed.write);
        Descriptor { on_read_only, ..self }
    }

    /// Tells what may be done through the descriptor.
    pub fn flags(&self) -> DescriptorFlags {
        self.flags
    }

    /// Tells what the object is.
    ///
    /// # Errors
    ///
    /// As [`Object::stat`].
    pub fn kind(&self, blocking: Blocking) -> Result<DescriptorType> {
        Ok(self.object.stat(blocking)?.kind)
    }

    /// Tells what is known of the object.
    ///
    /// # Errors
    ///
    /// As [`Object::stat`].
    pub fn stat(&self, blocking: Blocking) -> Result<Stat> {
        self.object.stat(blocking)
    }

    /// Gives a fingerprint of the object.
    ///
    /// # Errors
    ///
    /// As [`Object::stat`].
    pub fn metadata_hash(&self, key: &MetadataHashKey, blocking: Blocking) -> Result<MetadataHash> {
        Ok(key.hash(&self.object.stat(blocking)?))
    }

    /// Gives a fingerprint of what a path leads to.
    ///
    /// # Errors
    ///
    /// As [`Descriptor::stat_at`].
    pub fn metadata_hash_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        key: &MetadataHashKey,
        blocking: Blocking,
    ) -> Result<MetadataHash> {
        Ok(key.hash(&self.stat_at(path, follow, blocking)?))
    }

    /// Says whether two descriptors refer to the same object.
    ///
    /// # Errors
    ///
    /// As [`Object::is_same_object`].
    pub fn is_same_object(&self, other: &Descriptor, blocking: Blocking) -> Result<bool> {
        self.object.is_same_object(&*other.object, blocking)
    }

    /// Sets the object's times.
    ///
    /// # Errors
    ///
    /// As [`Object::set_times`]; [`ErrorCode::Invalid`] for a second with too many nanoseconds.
    pub fn set_times(
        &self,
        access: NewTimestamp,
        modification: NewTimestamp,
        blocking: Blocking,
    ) -> Result<()> {
        access.validate()?;
        modification.validate()?;
        let is_directory = || self.kind(blocking).map(|kind| kind == DescriptorType::Directory);
        // A file's times go with the right to change files here, a directory's with the right to change this one.
        if !self.allowed.write || (!self.flags.write && !self.flags.mutate_directory && is_directory()?) {
            return Err(self.read_only());
        }
        self.object.set_times(access, modification, blocking)
    }

    /// Waits until the object's data, and with `metadata` everything else too, is stored. Does nothing through a
    /// descriptor that cannot have changed anything.
    ///
    /// # Errors
    ///
    /// As [`Object::sync`].
    pub fn sync(&self, metadata: bool, blocking: Blocking) -> Result<()> {
        match self.flags.write || self.flags.mutate_directory {
            true => self.object.sync(metadata, blocking),
            false => Ok(()),
        }
    }

    /// Gives the object for reading.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::BadDescriptor`] if it is not open for that.
    pub fn readable(&self) -> Result<Arc<dyn Object>> {
        match self.flags.read {
            true => Ok(self.object.clone()),
            false => Err(ErrorCode::BadDescriptor),
        }
    }

    /// Gives the object for writing at a position.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::BadDescriptor`] if it is not open for that.
    pub fn writable(&self, position: Position) -> Result<Arc<dyn Object>> {
        match position {
            _ if !self.flags.write => Err(ErrorCode::BadDescriptor),
            Position::At(offset) if i64::try_from(offset).is_err() => Err(ErrorCode::FileTooLarge),
            _ => Ok(self.object.clone()),
        }
    }

    /// Cuts a file, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// As [`Object::set_size`]; [`ErrorCode::BadDescriptor`] if it is not open for writing.
    pub fn set_size(&self, size: u64, blocking: Blocking) -> Result<()> {
        match self.flags.write {
            true if i64::try_from(size).is_err() => Err(ErrorCode::FileTooLarge),
            true => self.object.set_size(size, blocking),
            false => Err(ErrorCode::BadDescriptor),
        }
    }

    /// Takes note of how a part of a file is about to be used.
    ///
    /// # Errors
    ///
    /// As [`Object::advise`].
    pub fn advise(&self, offset: u64, length: u64, advice: Advice, blocking: Blocking) -> Result<()> {
        if i64::try_from(offset).is_err() || i64::try_from(length).is_err() {
            return Err(ErrorCode::Invalid);
        }
        self.object.advise(offset, length, advice, blocking)
    }

    /// Begins to list the directory.
    ///
    /// # Errors
    ///
    /// As [`Object::entries`]; [`ErrorCode::BadDescriptor`] if it is not open for reading.
    pub fn entries(&self, blocking: Blocking) -> Result<Box<dyn Entries>> {
        match self.flags.read {
            true => self.object.entries(blocking),
            false => Err(ErrorCode::BadDescriptor),
        }
    }

    /// Opens what a path leads to.
    ///
    /// # Errors
    ///
    /// As [`Object::open_at`]; [`ErrorCode::ReadOnly`] if the flags ask for more than this directory allows.
    pub fn open_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        open: OpenFlags,
        mut flags: DescriptorFlags,
        blocking: Blocking,
    ) -> Result<Descriptor> {
        check_path(path)?;
        let changes = flags.write || flags.mutate_directory || open.truncate || open.create;
        if changes && !self.flags.mutate_directory {
            return Err(self.read_only());
        }
        if flags.read && !self.allowed.read {
            return Err(ErrorCode::NotPermitted);
        }
        // POSIX leaves both open; neither can be meant.
        if (open.truncate && !flags.write) || (open.create && open.directory) {
            return Err(ErrorCode::Invalid);
        }
        let object = self.object.open_at(path, follow, open, flags, blocking)?;
        if flags.mutate_directory && !open.directory {
            flags.mutate_directory = object.stat(Blocking::Allow)?.kind == DescriptorType::Directory;
        }
        let allowed =
            Permissions { read: self.allowed.read, write: self.allowed.write && self.flags.mutate_directory };
        Ok(Descriptor { object, flags, allowed, on_read_only: self.on_read_only.clone() })
    }

    /// Tells what is known of what a path leads to.
    ///
    /// # Errors
    ///
    /// As [`Object::stat_at`].
    pub fn stat_at(&self, path: &str, follow: SymlinkFollow, blocking: Blocking) -> Result<Stat> {
        check_path(path)?;
        self.object.stat_at(path, follow, blocking)
    }

    /// Sets the times of what a path leads to.
    ///
    /// # Errors
    ///
    /// As [`Object::set_times_at`]; [`ErrorCode::ReadOnly`] below a directory that may not be changed.
    pub fn set_times_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        access: NewTimestamp,
        modification: NewTimestamp,
        blocking: Blocking,
    ) -> Result<()> {
        check_path(path)?;
        access.validate()?;
        modification.validate()?;
        self.mutable()?.set_times_at(path, follow, access, modification, blocking)
    }

    /// Makes a directory.
    ///
    /// # Errors
    ///
    /// As [`Object::create_directory_at`]; [`ErrorCode::ReadOnly`] below a directory that may not be changed.
    pub fn create_directory_at(&self, path: &str, blocking: Blocking) -> Result<()> {
        check_path(path)?;
        self.mutable()?.create_directory_at(path, blocking)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// As [`Object::remove_directory_at`]; [`ErrorCode::ReadOnly`] below a directory that may not be changed.
    pub fn remove_directory_at(&self, path: &str, blocking: Blocking) -> Result<()> {
        check_path(path)?;
        self.mutable()?.remove_directory_at(path, blocking)
    }

    /// Removes a name of anything but a directory.
    ///
    /// # Errors
    ///
    /// As [`Object::unlink_file_at`]; [`ErrorCode::ReadOnly`] below a directory that may not be changed.
    pub fn unlink_file_at(&self, path: &str, blocking: Blocking) -> Result<()> {
        check_path(path)?;
        self.mutable()?.unlink_file_at(path, blocking)
    }

    /// Gives a file a second name.
    ///
    /// # Errors
    ///
    /// As [`Object::link_at`]; [`ErrorCode::ReadOnly`] if either directory may not be changed, and
    /// [`ErrorCode::NotPermitted`] if the new one allows more than the old one.
    pub fn link_at(
        &self,
        path: &str,
        follow: SymlinkFollow,
        directory: &Descriptor,
        new_path: &str,
        blocking: Blocking,
    ) -> Result<()> {
        check_path(path)?;
        check_path(new_path)?;
        let new_directory = self.destination(directory)?;
        self.mutable()?.link_at(path, follow, new_directory, new_path, blocking)
    }

    /// Moves something to another name.
    ///
    /// # Errors
    ///
    /// As [`Object::rename_at`]; [`ErrorCode::ReadOnly`] if either directory may not be changed, and
    /// [`ErrorCode::NotPermitted`] if the new one allows more than the old one.
    pub fn rename_at(
        &self,
        path: &str,
        directory: &Descriptor,
        new_path: &str,
        blocking: Blocking,
    ) -> Result<()> {
        check_path(path)?;
        check_path(new_path)?;
        let new_directory = self.destination(directory)?;
        self.mutable()?.rename_at(path, new_directory, new_path, blocking)
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    ///
    /// As [`Object::symlink_at`]; [`ErrorCode::NotPermitted`] if `target` is absolute, and
    /// [`ErrorCode::ReadOnly`] below a directory that may not be changed.
    pub fn symlink_at(&self, target: &str, path: &str, blocking: Blocking) -> Result<()> {
        check_path(target)?;
        check_path(path)?;
        self.mutable()?.symlink_at(target, path, blocking)
    }

    /// Tells what a symbolic link contains.
    ///
    /// # Errors
    ///
    /// As [`Object::readlink_at`]; [`ErrorCode::NotPermitted`] if it contains an absolute path.
    pub fn readlink_at(&self, path: &str, blocking: Blocking) -> Result<String> {
        check_path(path)?;
        let target = self.object.readlink_at(path, blocking)?;
        match target.starts_with('/') {
            true => Err(ErrorCode::NotPermitted),
            false => Ok(target),
        }
    }

    /// The directory, if what lies below it may be changed.
    fn mutable(&self) -> Result<&dyn Object> {
        match self.flags.mutate_directory {
            true => Ok(&*self.object),
            false => Err(self.read_only()),
        }
    }

    /// The error of an attempt to change what may not be changed.
    fn read_only(&self) -> ErrorCode {
        if let Some(on_read_only) = &self.on_read_only {
            on_read_only.call();
        }
        ErrorCode::ReadOnly
    }

    /// The directory that something from here is given a name in.
    fn destination<'a>(&self, directory: &'a Descriptor) -> Result<&'a dyn Object> {
        let new_directory = directory.mutable()?;
        self.mutable()?;
        match directory.allowed.within(&self.allowed) {
            true => Ok(new_directory),
            false => Err(ErrorCode::NotPermitted),
        }
    }
}

/// Refuses what is a path nowhere.
fn check_path(path: &str) -> Result<()> {
    match path.as_bytes() {
        [] => Err(ErrorCode::NoEntry),
        [b'/', ..] => Err(ErrorCode::NotPermitted),
        bytes if bytes.contains(&0) => Err(ErrorCode::Invalid),
        _ => Ok(()),
    }
}
