//! The types of `wasi:filesystem/types`, in its names and order, and what they are in the core.

use tombolo::{ComponentType, Lift, Lower, flags};

use crate::filesystem as core;
use crate::p3::clocks::Instant;

/// What kind of object a descriptor or a directory entry refers to.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum DescriptorType {
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    SymbolicLink,
    RegularFile,
    Socket,
    Other(Option<String>),
}

impl From<core::DescriptorType> for DescriptorType {
    fn from(kind: core::DescriptorType) -> Self {
        match kind {
            core::DescriptorType::BlockDevice => DescriptorType::BlockDevice,
            core::DescriptorType::CharacterDevice => DescriptorType::CharacterDevice,
            core::DescriptorType::Directory => DescriptorType::Directory,
            core::DescriptorType::Fifo => DescriptorType::Fifo,
            core::DescriptorType::SymbolicLink => DescriptorType::SymbolicLink,
            core::DescriptorType::RegularFile => DescriptorType::RegularFile,
            core::DescriptorType::Socket => DescriptorType::Socket,
            core::DescriptorType::Unknown => DescriptorType::Other(None),
        }
    }
}

flags! {
    /// What may be done through a descriptor.
    pub DescriptorFlags {
        const READ;
        const WRITE;
        const FILE_INTEGRITY_SYNC;
        const DATA_INTEGRITY_SYNC;
        const REQUESTED_WRITE_SYNC;
        const MUTATE_DIRECTORY;
    }
}

impl From<DescriptorFlags> for core::DescriptorFlags {
    fn from(flags: DescriptorFlags) -> Self {
        core::DescriptorFlags {
            read: flags.contains(DescriptorFlags::READ),
            write: flags.contains(DescriptorFlags::WRITE),
            file_integrity_sync: flags.contains(DescriptorFlags::FILE_INTEGRITY_SYNC),
            data_integrity_sync: flags.contains(DescriptorFlags::DATA_INTEGRITY_SYNC),
            requested_write_sync: flags.contains(DescriptorFlags::REQUESTED_WRITE_SYNC),
            mutate_directory: flags.contains(DescriptorFlags::MUTATE_DIRECTORY),
        }
    }
}

impl From<core::DescriptorFlags> for DescriptorFlags {
    fn from(flags: core::DescriptorFlags) -> Self {
        [
            (flags.read, DescriptorFlags::READ),
            (flags.write, DescriptorFlags::WRITE),
            (flags.file_integrity_sync, DescriptorFlags::FILE_INTEGRITY_SYNC),
            (flags.data_integrity_sync, DescriptorFlags::DATA_INTEGRITY_SYNC),
            (flags.requested_write_sync, DescriptorFlags::REQUESTED_WRITE_SYNC),
            (flags.mutate_directory, DescriptorFlags::MUTATE_DIRECTORY),
        ]
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(DescriptorFlags::empty(), |flags, (_, flag)| flags | flag)
    }
}

flags! {
    /// How a path is followed.
    pub PathFlags {
        const SYMLINK_FOLLOW;
    }
}

impl From<PathFlags> for core::SymlinkFollow {
    fn from(flags: PathFlags) -> Self {
        match flags.contains(PathFlags::SYMLINK_FOLLOW) {
            true => core::SymlinkFollow::Follow,
            false => core::SymlinkFollow::Keep,
        }
    }
}

flags! {
    /// How a file is opened.
    pub OpenFlags {
        const CREATE;
        const DIRECTORY;
        const EXCLUSIVE;
        const TRUNCATE;
    }
}

impl From<OpenFlags> for core::OpenFlags {
    fn from(flags: OpenFlags) -> Self {
        core::OpenFlags {
            create: flags.contains(OpenFlags::CREATE),
            directory: flags.contains(OpenFlags::DIRECTORY),
            exclusive: flags.contains(OpenFlags::EXCLUSIVE),
            truncate: flags.contains(OpenFlags::TRUNCATE),
        }
    }
}

/// What is known of an object.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub struct DescriptorStat {
    pub r#type: DescriptorType,
    pub link_count: u64,
    pub size: u64,
    pub data_access_timestamp: Option<Instant>,
    pub data_modification_timestamp: Option<Instant>,
    pub status_change_timestamp: Option<Instant>,
}

impl From<core::Stat> for DescriptorStat {
    fn from(stat: core::Stat) -> Self {
        DescriptorStat {
            r#type: stat.kind.into(),
            link_count: stat.link_count,
            size: stat.size,
            data_access_timestamp: stat.data_access.map(Into::into),
            data_modification_timestamp: stat.data_modification.map(Into::into),
            status_change_timestamp: stat.status_change.map(Into::into),
        }
    }
}

/// What to set a timestamp to.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum NewTimestamp {
    NoChange,
    Now,
    Timestamp(Instant),
}

impl From<NewTimestamp> for core::NewTimestamp {
    fn from(time: NewTimestamp) -> Self {
        match time {
            NewTimestamp::NoChange => core::NewTimestamp::NoChange,
            NewTimestamp::Now => core::NewTimestamp::Now,
            NewTimestamp::Timestamp(instant) => core::NewTimestamp::At(instant.into()),
        }
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub struct DirectoryEntry {
    pub r#type: DescriptorType,
    pub name: String,
}

impl From<core::DirectoryEntry> for DirectoryEntry {
    fn from(entry: core::DirectoryEntry) -> Self {
        DirectoryEntry { r#type: entry.kind.into(), name: entry.name }
    }
}

/// How a part of a file is about to be used.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Advice {
    Normal,
    Sequential,
    Random,
    WillNeed,
    DontNeed,
    NoReuse,
}

impl From<Advice> for core::Advice {
    fn from(advice: Advice) -> Self {
        match advice {
            Advice::Normal => core::Advice::Normal,
            Advice::Sequential => core::Advice::Sequential,
            Advice::Random => core::Advice::Random,
            Advice::WillNeed => core::Advice::WillNeed,
            Advice::DontNeed => core::Advice::DontNeed,
            Advice::NoReuse => core::Advice::NoReuse,
        }
    }
}

/// A fingerprint of an object.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub struct MetadataHashValue {
    pub lower: u64,
    pub upper: u64,
}

impl From<core::MetadataHash> for MetadataHashValue {
    fn from(hash: core::MetadataHash) -> Self {
        MetadataHashValue { lower: hash.lower, upper: hash.upper }
    }
}

/// Writes `error-code` down once: its cases, in order, are those of the core under the same names.
macro_rules! error_code {
    ($($case:ident)*) => {
        /// Why an operation failed.
        #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
        #[component(variant)]
        #[expect(missing_docs, reason = "the names are the standard's")]
        pub enum ErrorCode {
            $($case,)*
            Other(Option<String>),
        }

        impl From<core::ErrorCode> for ErrorCode {
            fn from(error: core::ErrorCode) -> Self {
                match error {
                    $(core::ErrorCode::$case => ErrorCode::$case,)*
                    other => ErrorCode::Other(Some(other.to_string())),
                }
            }
        }
    };
}

error_code! {
    Access Already BadDescriptor Busy Deadlock Quota Exist FileTooLarge IllegalByteSequence InProgress Interrupted
    Invalid Io IsDirectory Loop TooManyLinks MessageSize NameTooLong NoDevice NoEntry NoLock InsufficientMemory
    InsufficientSpace NotDirectory NotEmpty NotRecoverable Unsupported NoTty NoSuchDevice Overflow NotPermitted Pipe
    ReadOnly InvalidSeek TextFileBusy CrossDevice
}
