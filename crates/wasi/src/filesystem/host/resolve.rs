//! Following a path below a directory and never out of it.

use std::fs::File;
use std::path::Path;

use cap_primitives::fs::{FollowSymlinks, OpenOptions, OpenOptionsExt};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::blocking::Blocking;

use super::{ErrorCode, Result};

/// The way in which paths are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolver {
    /// The kernel does it, and can say whether it would have to wait.
    KernelCached,
    /// The kernel does it (5.6 and later).
    Kernel,
    /// `cap-primitives` does it, component by component.
    Walk,
}

/// How often a lookup through `..` is tried again that something was renamed under.
const ATTEMPTS: usize = 32;

impl Resolver {
    /// Finds out what the kernel can do. A seccomp filter may have its own view of that.
    pub(super) fn probe(directory: impl AsFd) -> Self {
        let open = |resolve| {
            rustix::fs::openat2(&directory, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
        };
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match open(beneath | ResolveFlags::CACHED) {
            Ok(_) | Err(Errno::AGAIN) => Resolver::KernelCached,
            Err(_) if open(beneath).is_ok() => Resolver::Kernel,
            Err(_) => Resolver::Walk,
        }
    }

    /// Opens what `path` leads to from `directory`. `O_NOFOLLOW` among the flags means the last component alone.
    pub(super) fn open(
        self,
        directory: &File,
        path: &str,
        flags: OFlags,
        blocking: Blocking,
    ) -> Result<OwnedFd> {
        let changes = OFlags::CREATE | OFlags::TRUNC;
        match (blocking, self) {
            (Blocking::Avoid, Resolver::KernelCached) if !flags.intersects(changes) => {
                kernel(directory, path, flags, ResolveFlags::CACHED).map_err(escape)
            }
            (Blocking::Avoid, _) => Err(ErrorCode::WouldBlock),
            (Blocking::Allow, Resolver::Walk) => walk(directory, path, flags),
            (Blocking::Allow, _) => {
                for _ in 0..ATTEMPTS {
                    match kernel(directory, path, flags, ResolveFlags::empty()) {
                        Err(Errno::AGAIN | Errno::INTR) => {}
                        opened => return opened.map_err(escape),
                    }
                }
                walk(directory, path, flags)
            }
        }
    }
}

fn kernel(directory: &File, path: &str, flags: OFlags, how: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let mode = if flags.contains(OFlags::CREATE) { CREATE_MODE } else { Mode::empty() };
    let how = how | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(directory, path, flags | OFlags::CLOEXEC, mode, how)
}

/// What a new file may be to whom, before the process's umask.
const CREATE_MODE: Mode = Mode::from_raw_mode(0o666);

/// The kernel's word for a path that leads out.
fn escape(errno: Errno) -> ErrorCode {
    match errno {
        Errno::XDEV => ErrorCode::NotPermitted,
        errno => errno.into(),
    }
}

/// Does without `openat2`, or with one that renames keep from finishing.
fn walk(directory: &File, path: &str, flags: OFlags) -> Result<OwnedFd> {
    let mut options = OpenOptions::new();
    let access = flags & OFlags::RWMODE;
    options.read(access == OFlags::RDONLY || access == OFlags::RDWR);
    options.write(access == OFlags::WRONLY || access == OFlags::RDWR);
    // The library treats a directory that is asked for by flag as one to open by `O_PATH`, so it is checked here.
    let others = flags - (OFlags::RWMODE | OFlags::NOFOLLOW | OFlags::DIRECTORY);
    options.custom_flags(others.bits() as i32).mode(CREATE_MODE.as_raw_mode());
    if flags.contains(OFlags::NOFOLLOW) {
        options._cap_fs_ext_follow(FollowSymlinks::No);
    }
    let file = cap_primitives::fs::open(directory, Path::new(path), &options)?;
    let directory_required = flags.contains(OFlags::DIRECTORY) || path.ends_with('/');
    if directory_required && kind(&file)? != FileType::Directory {
        return Err(ErrorCode::NotDirectory);
    }
    Ok(file.into())
}

/// What an open descriptor refers to.
pub(super) fn kind(object: impl AsFd) -> Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(object)?.st_mode))
}
