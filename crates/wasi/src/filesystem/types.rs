//! The words in which filesystems are spoken of.

use crate::clocks::{Instant, NANOSECONDS_PER_SECOND};

use super::{ErrorCode, Result};

/// What kind of object a descriptor or a directory entry refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorType {
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A symbolic link.
    SymbolicLink,
    /// A regular file.
    RegularFile,
    /// A socket.
    Socket,
    /// Something else, or nobody knows.
    Unknown,
}

/// What may be done through a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescriptorFlags {
    /// Data, or a directory's entries, can be read.
    pub read: bool,
    /// Data can be written.
    pub write: bool,
    /// A write is complete when data and metadata are stored.
    pub file_integrity_sync: bool,
    /// A write is complete when the data is stored.
    pub data_integrity_sync: bool,
    /// Reads are as complete as writes.
    pub requested_write_sync: bool,
    /// What lies below the directory can be changed.
    pub mutate_directory: bool,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenFlags {
    /// Make the file if it is not there.
    pub create: bool,
    /// Fail if it is not a directory.
    pub directory: bool,
    /// Fail if it is there.
    pub exclusive: bool,
    /// Cut the file to nothing.
    pub truncate: bool,
}

/// What to do about a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymlinkFollow {
    /// Go where it points.
    Follow,
    /// Mean the link itself.
    Keep,
}

/// What is known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: DescriptorType,
    /// How many names it has.
    pub link_count: u64,
    /// Its length in bytes; of a symbolic link, the length of its contents.
    pub size: u64,
    /// When it was last read.
    pub data_access: Option<Instant>,
    /// When it was last written.
    pub data_modification: Option<Instant>,
    /// When what is known of it last changed.
    pub status_change: Option<Instant>,
    /// Which filesystem it is on. Guests see it only hashed.
    pub device: u64,
    /// Which object of that filesystem it is. Guests see it only hashed.
    pub inode: u64,
}

/// What to set a timestamp to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTimestamp {
    /// What it is already.
    NoChange,
    /// The filesystem's present.
    Now,
    /// This.
    At(Instant),
}

impl NewTimestamp {
    pub(crate) fn validate(&self) -> Result<()> {
        match self {
            NewTimestamp::At(instant) if instant.nanoseconds >= NANOSECONDS_PER_SECOND => {
                Err(ErrorCode::Invalid)
            }
            _ => Ok(()),
        }
    }
}

/// How a part of a file is about to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing special.
    Normal,
    /// From front to back.
    Sequential,
    /// Here and there.
    Random,
    /// Soon.
    WillNeed,
    /// Not soon.
    DontNeed,
    /// Once.
    NoReuse,
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// To this offset.
    At(u64),
    /// To the end, wherever it is by then.
    End,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// What it is.
    pub kind: DescriptorType,
    /// Its name in that directory.
    pub name: String,
}

/// A fingerprint of an object that changes when the object is changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataHash {
    /// One half.
    pub lower: u64,
    /// The other half.
    pub upper: u64,
}

/// What an embedder allows below a preopened directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Files may be read and directories listed.
    pub read: bool,
    /// Anything may be created, changed and removed.
    pub write: bool,
}

impl Permissions {
    /// Reading and changing.
    pub const READ_WRITE: Permissions = Permissions { read: true, write: true };
    /// Reading alone.
    pub const READ_ONLY: Permissions = Permissions { read: true, write: false };

    /// Whether everything that `self` allows is allowed by `other` too.
    pub(crate) fn within(&self, other: &Permissions) -> bool {
        (!self.read || other.read) && (!self.write || other.write)
    }
}
