//! Operations on paths below a directory.

use std::fs::File;
use std::ops::Deref;
use std::sync::Arc;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::blocking::Blocking;

use super::path::{Last, SplitPath};
use super::resolve::kind;
use super::{
    DescriptorFlags, ErrorCode, HostObject, NewTimestamp, OpenFlags, Result, Stat, SymlinkFollow, Transfers,
    convert_stat, file,
};

impl HostObject {
    pub(super) fn open_object(
        &self,
        path: &str,
        follow: SymlinkFollow,
        open: OpenFlags,
        flags: DescriptorFlags,
        blocking: Blocking,
    ) -> Result<Arc<HostObject>> {
        self.lookup(blocking)?;
        let permit = self.limit.acquire()?;
        let (mut oflags, path_only) = open_flags(open, flags);
        if follow == SymlinkFollow::Keep {
            oflags |= OFlags::NOFOLLOW;
        }
        let fd = self.resolver.open(&self.file, path, oflags, self.following(blocking))?;
        // With `O_PATH` the link itself would be opened.
        if path_only && follow == SymlinkFollow::Keep && kind(&fd)? == FileType::Symlink {
            return Err(ErrorCode::Loop);
        }
        Ok(Arc::new(HostObject {
            file: fd.into(),
            path_only,
            latency: self.latency,
            resolver: self.resolver,
            transfers: Transfers::new(flags),
            limit: self.limit.clone(),
            _permit: permit,
        }))
    }

    pub(super) fn stat_path(&self, path: &str, follow: SymlinkFollow, blocking: Blocking) -> Result<Stat> {
        self.lookup(blocking)?;
        if let Some(name) = SplitPath::new(path).only_name() {
            let stat = rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            if follow == SymlinkFollow::Keep || !is_link {
                return Ok(convert_stat(&stat));
            }
        }
        let object = self.reach(path, follow, blocking)?;
        Ok(convert_stat(&rustix::fs::fstat(object)?))
    }

    pub(super) fn set_path_times(
        &self,
        path: &str,
        follow: SymlinkFollow,
        access: NewTimestamp,
        modification: NewTimestamp,
        blocking: Blocking,
    ) -> Result<()> {
        self.change(blocking)?;
        let object = self.reach(path, follow, blocking)?;
        Ok(file::set_times(object, access, modification, true)?)
    }

    pub(super) fn readlink(&self, path: &str, blocking: Blocking) -> Result<String> {
        self.lookup(blocking)?;
        let target = match SplitPath::new(path).only_name() {
            Some(name) => rustix::fs::readlinkat(&self.file, name, Vec::new())?,
            None => {
                let object = self.reach(path, SymlinkFollow::Keep, blocking)?;
                match rustix::fs::readlinkat(object, "", Vec::new()) {
                    // What is there but not a link.
                    Err(Errno::NOENT) => return Err(ErrorCode::Invalid),
                    target => target?,
                }
            }
        };
        target.into_string().map_err(|_| ErrorCode::IllegalByteSequence)
    }

    pub(super) fn create_directory(&self, path: &str, blocking: Blocking) -> Result<()> {
        self.change(blocking)?;
        let (parent, name) = self.parent(path, blocking)?;
        Ok(rustix::fs::mkdirat(&*parent, name, Mode::from_raw_mode(0o777))?)
    }

    pub(super) fn remove_directory(&self, path: &str, blocking: Blocking) -> Result<()> {
        self.change(blocking)?;
        let (parent, name) = self.parent(path, blocking)?;
        Ok(rustix::fs::unlinkat(&*parent, name, AtFlags::REMOVEDIR)?)
    }

    pub(super) fn unlink_file(&self, path: &str, blocking: Blocking) -> Result<()> {
        self.change(blocking)?;
        let (parent, name) = self.parent(path, blocking)?;
        Ok(rustix::fs::unlinkat(&*parent, name, AtFlags::empty())?)
    }

    pub(super) fn rename(
        &self,
        path: &str,
        directory: &HostObject,
        new_path: &str,
        blocking: Blocking,
    ) -> Result<()> {
        self.change(blocking)?;
        let (parent, name) = self.parent(path, blocking)?;
        let (new_parent, new_name) = directory.parent(new_path, blocking)?;
        Ok(rustix::fs::renameat(&*parent, name, &*new_parent, new_name)?)
    }

    pub(super) fn symlink(&self, target: &str, path: &str, blocking: Blocking) -> Result<()> {
        self.change(blocking)?;
        let (parent, name) = self.parent(path, blocking)?;
        Ok(rustix::fs::symlinkat(target, &*parent, name)?)
    }

    pub(super) fn link(
        &self,
        path: &str,
        follow: SymlinkFollow,
        directory: &HostObject,
        new_path: &str,
        blocking: Blocking,
    ) -> Result<()> {
        self.change(blocking)?;
        if SplitPath::new(path).last != Last::Name {
            // Only a directory answers to such a path, and a directory has one name.
            self.reach(path, follow, blocking)?;
            return Err(ErrorCode::NotPermitted);
        }
        let (parent, name) = self.parent(path, blocking)?;
        let (new_parent, new_name) = directory.parent(new_path, blocking)?;
        if follow == SymlinkFollow::Follow {
            let stat = rustix::fs::statat(&*parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                let object = self.reach(path, follow, blocking)?;
                // `AT_EMPTY_PATH` would need a privilege; this way of naming a descriptor does not.
                let by_number = format!("/proc/self/fd/{}", object.as_raw_fd());
                let flags = AtFlags::SYMLINK_FOLLOW;
                return Ok(rustix::fs::linkat(CWD, by_number, &*new_parent, new_name, flags)?);
            }
        }
        Ok(rustix::fs::linkat(&*parent, name, &*new_parent, new_name, AtFlags::empty())?)
    }

    /// Gets hold of what `path` leads to, be it a symbolic link.
    fn reach(&self, path: &str, follow: SymlinkFollow, blocking: Blocking) -> Result<OwnedFd> {
        let flags = match follow {
            SymlinkFollow::Follow => OFlags::PATH,
            SymlinkFollow::Keep => OFlags::PATH | OFlags::NOFOLLOW,
        };
        self.resolver.open(&self.file, path, flags, self.following(blocking))
    }

    /// Gets hold of the directory that `path`'s last component is in. That component is left for a call that does
    /// not follow it: it may be `.` or `..`, and may have slashes at its end.
    fn parent<'a>(&self, path: &'a str, blocking: Blocking) -> Result<(Parent<'_>, &'a str)> {
        let split = SplitPath::new(path);
        if split.last == Last::DotDot {
            // Such a call fails in any case; what it fails with must not tell what is outside.
            self.reach(path, SymlinkFollow::Keep, blocking)?;
        }
        let parent = match split.parent {
            None => Parent::This(&self.file),
            Some(parent) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                Parent::Other(self.resolver.open(&self.file, parent, flags, self.following(blocking))?.into())
            }
        };
        Ok((parent, split.name))
    }
}

/// The directory that a name is in.
enum Parent<'a> {
    This(&'a File),
    Other(File),
}

impl Deref for Parent<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Parent::This(file) => file,
            Parent::Other(file) => file,
        }
    }
}

/// Translates the flags of an open, and says whether they come down to `O_PATH`.
fn open_flags(open: OpenFlags, flags: DescriptorFlags) -> (OFlags, bool) {
    let mut oflags = match open.directory {
        true => OFlags::DIRECTORY,
        false => OFlags::empty(),
    };
    let data = flags.read || flags.write || flags.mutate_directory || open.create || open.truncate;
    if !data {
        return (oflags | OFlags::PATH, true);
    }
    oflags |= match (flags.read, flags.write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    // A pipe without a peer must not hold up its opener, nor a terminal become the host's.
    oflags |= OFlags::NONBLOCK | OFlags::NOCTTY;
    for (wanted, flag) in [
        (open.create, OFlags::CREATE),
        (open.exclusive, OFlags::EXCL),
        (open.truncate, OFlags::TRUNC),
        (flags.file_integrity_sync, OFlags::SYNC),
        (flags.data_integrity_sync, OFlags::DSYNC),
        (flags.requested_write_sync, OFlags::RSYNC),
    ] {
        if wanted {
            oflags |= flag;
        }
    }
    (oflags, false)
}
