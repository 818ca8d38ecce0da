//! Operations on an open file.

use std::io::{IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, copy_file_range};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2, retry_on_intr};

use crate::blocking::{Blocking, TRANSFER_LIMIT};

use super::latency::Latency;
use super::resolve::kind;
use super::{Advice, DescriptorFlags, ErrorCode, NewTimestamp, Position, Result};

/// Reading and writing an open file, and what was learnt on the way about doing it without waiting.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    reads: Way,
    writes: Way,
    /// A write waits for the device, whatever else is true.
    synchronous: bool,
}

/// How to find out whether a transfer would wait.
#[derive(Debug, Default)]
struct Way(AtomicU8);

impl Way {
    /// Ask the kernel.
    const ASK: u8 = 0;
    /// It never would.
    const NEVER: u8 = 1;
    /// It always might.
    const ALWAYS: u8 = 2;

    /// What remains for a file whose filesystem does not take the question.
    fn cannot_ask(&self, file: impl AsFd) -> u8 {
        let in_memory = Latency::of(&file) == Latency::Memory && kind(&file) == Ok(FileType::RegularFile);
        let way = if in_memory { Way::NEVER } else { Way::ALWAYS };
        self.0.store(way, Ordering::Relaxed);
        way
    }

    /// Makes a transfer, which is given the flags for the kernel.
    fn transfer(
        &self,
        file: impl AsFd,
        blocking: Blocking,
        mut transfer: impl FnMut(ReadWriteFlags) -> rustix::io::Result<usize>,
    ) -> Result<usize> {
        let mut way = self.0.load(Ordering::Relaxed);
        if blocking == Blocking::Avoid && way == Way::ASK {
            match retry_on_intr(|| transfer(ReadWriteFlags::NOWAIT)) {
                Err(Errno::OPNOTSUPP) => way = self.cannot_ask(file),
                moved => return Ok(moved?),
            }
        }
        match blocking == Blocking::Avoid && way == Way::ALWAYS {
            true => Err(ErrorCode::WouldBlock),
            false => Ok(retry_on_intr(|| transfer(ReadWriteFlags::empty()))?),
        }
    }
}

impl Transfers {
    pub(super) fn new(flags: DescriptorFlags) -> Self {
        let synchronous = flags.file_integrity_sync || flags.data_integrity_sync;
        Transfers { synchronous, ..Transfers::default() }
    }

    pub(super) fn read_at(
        &self,
        file: impl AsFd,
        buffer: &mut [u8],
        offset: u64,
        blocking: Blocking,
    ) -> Result<usize> {
        let length = buffer.len().min(room_behind(offset).ok_or(ErrorCode::Invalid)?);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        let file = file.as_fd();
        self.reads.transfer(file, blocking, |flags| {
            preadv2(file, &mut [IoSliceMut::new(&mut *buffer)], offset, flags)
        })
    }

    pub(super) fn write_at(
        &self,
        file: impl AsFd,
        bytes: &[u8],
        position: Position,
        blocking: Blocking,
    ) -> Result<usize> {
        let (offset, append) = match position {
            Position::At(offset) => (offset, ReadWriteFlags::empty()),
            Position::End => (0, ReadWriteFlags::APPEND),
        };
        let length = match room_behind(offset) {
            None | Some(0) => return Err(ErrorCode::FileTooLarge),
            Some(room) => bytes.len().min(room),
        };
        if self.synchronous && blocking == Blocking::Avoid {
            return Err(ErrorCode::WouldBlock);
        }
        let bytes = bytes.get(..length).unwrap_or_default();
        let file = file.as_fd();
        let write = |flags| pwritev2(file, &[IoSlice::new(bytes)], offset, flags);
        match self.writes.transfer(file, blocking, |flags| write(flags | append)) {
            // A device has no end to append to.
            Err(ErrorCode::Unsupported) if kind(file)? == FileType::CharacterDevice => {
                Ok(retry_on_intr(|| write(ReadWriteFlags::empty()))?)
            }
            written => written,
        }
    }

    /// Copies from one file to another in the kernel. It always may have to wait.
    pub(super) fn copy(
        &self,
        file: impl AsFd,
        position: Position,
        source: impl AsFd,
        offset: u64,
        length: usize,
        blocking: Blocking,
    ) -> Result<usize> {
        // The kernel refuses files that are appended to, and does not promise to wait for the device.
        let Position::At(mut to) = position else { return Err(ErrorCode::Unsupported) };
        if self.synchronous {
            return Err(ErrorCode::Unsupported);
        }
        if blocking == Blocking::Avoid {
            return Err(ErrorCode::WouldBlock);
        }
        let mut from = offset;
        let room = |offset| room_behind(offset).ok_or(ErrorCode::Invalid);
        let length = length.min(room(from)?).min(room(to)?);
        Ok(copy_file_range(source, Some(&mut from), file, Some(&mut to), length)?)
    }
}

/// How many bytes a transfer at an offset may be of: the kernel counts to `i64::MAX`. `None` if there is no such offset;
/// the kernel would take `u64::MAX` for the descriptor's own position.
fn room_behind(offset: u64) -> Option<usize> {
    let room = (i64::MAX as u64).checked_sub(offset)?;
    Some(usize::try_from(room).unwrap_or(usize::MAX).min(TRANSFER_LIMIT))
}

pub(super) fn advise(file: impl AsFd, offset: u64, length: u64, advice: Advice) -> Result<()> {
    let advice = match advice {
        Advice::Normal => rustix::fs::Advice::Normal,
        Advice::Sequential => rustix::fs::Advice::Sequential,
        Advice::Random => rustix::fs::Advice::Random,
        Advice::WillNeed => rustix::fs::Advice::WillNeed,
        Advice::DontNeed => rustix::fs::Advice::DontNeed,
        Advice::NoReuse => rustix::fs::Advice::NoReuse,
    };
    Ok(rustix::fs::fadvise(file, offset, NonZeroU64::new(length), advice)?)
}

/// Sets the times of what `object` refers to, which may be a symbolic link when it is only a path.
pub(super) fn set_times(
    object: impl AsFd,
    access: NewTimestamp,
    modification: NewTimestamp,
    path_only: bool,
) -> rustix::io::Result<()> {
    let times = Timestamps { last_access: timespec(access), last_modification: timespec(modification) };
    match path_only {
        true => rustix::fs::utimensat(object, "", &times, AtFlags::EMPTY_PATH),
        false => rustix::fs::futimens(object, &times),
    }
}

fn timespec(time: NewTimestamp) -> Timespec {
    match time {
        NewTimestamp::NoChange => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        NewTimestamp::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        NewTimestamp::At(instant) => {
            Timespec { tv_sec: instant.seconds, tv_nsec: instant.nanoseconds.into() }
        }
    }
}
