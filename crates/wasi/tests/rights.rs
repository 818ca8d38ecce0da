//! What a descriptor allows, and what can be reached from it.
#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::sync::Arc;

use tempfile::TempDir;
use tombolo_wasi::Workers;
use tombolo_wasi::filesystem::{
    Blocking, Descriptor, DescriptorFlags, DescriptorLimit, DescriptorType, ErrorCode, FileWriter,
    HostObject, NewTimestamp, Object, OpenFlags, Permissions, Position, Result, Stat, SymlinkFollow,
};

const ALLOW: Blocking = Blocking::Allow;
const KEEP: SymlinkFollow = SymlinkFollow::Keep;
const FOLLOW: SymlinkFollow = SymlinkFollow::Follow;

fn directory(permissions: Permissions) -> (TempDir, Descriptor) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "hello").unwrap();
    std::fs::create_dir(folder.path().join("directory")).unwrap();
    let object = HostObject::open_ambient_directory(folder.path(), &DescriptorLimit::default()).unwrap();
    (folder, Descriptor::preopen(object, permissions))
}

fn flags(words: &str) -> DescriptorFlags {
    DescriptorFlags {
        read: words.contains('r'),
        write: words.contains('w'),
        mutate_directory: words.contains('m'),
        ..DescriptorFlags::default()
    }
}

fn open_flags(words: &str) -> OpenFlags {
    OpenFlags {
        create: words.contains('c'),
        directory: words.contains('d'),
        exclusive: words.contains('e'),
        truncate: words.contains('t'),
    }
}

fn open(base: &Descriptor, path: &str, open: &str, wanted: &str) -> Result<Descriptor> {
    base.open_at(path, FOLLOW, open_flags(open), flags(wanted), ALLOW)
}

/// Tries everything that changes something through a directory.
fn changes(base: &Descriptor, target: &Descriptor) -> Vec<(&'static str, Result<()>)> {
    let now = NewTimestamp::Now;
    vec![
        ("write", open(base, "file", "", "w").map(drop)),
        ("read and write", open(base, "file", "", "rw").map(drop)),
        ("create", open(base, "new", "c", "r").map(drop)),
        ("create what is there", open(base, "file", "c", "r").map(drop)),
        ("truncate", open(base, "file", "t", "w").map(drop)),
        ("mutate", open(base, "directory", "d", "rm").map(drop)),
        ("set-times-at", base.set_times_at("file", KEEP, now, now, ALLOW)),
        ("set-times", base.set_times(now, now, ALLOW)),
        ("create-directory-at", base.create_directory_at("new-directory", ALLOW)),
        ("symlink-at", base.symlink_at("file", "link", ALLOW)),
        ("link-at", base.link_at("file", KEEP, target, "hard", ALLOW)),
        ("rename-at", base.rename_at("file", target, "renamed", ALLOW)),
        ("unlink-file-at", base.unlink_file_at("renamed", ALLOW)),
        ("remove-directory-at", base.remove_directory_at("directory", ALLOW)),
    ]
}

#[test]
fn below_a_writable_directory_everything_changes() {
    let (_folder, base) = directory(Permissions::READ_WRITE);
    for (what, result) in changes(&base, &base) {
        assert_eq!(result, Ok(()), "{what}");
    }
}

#[test]
fn filesystem_below_a_read_only_directory_nothing_changes() {
    let (folder, base) = directory(Permissions::READ_ONLY);
    for (what, result) in changes(&base, &base) {
        assert_eq!(result, Err(ErrorCode::ReadOnly), "{what}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"hello");
    open(&base, "file", "", "r").unwrap();
}

#[test]
fn rights_that_were_given_up_do_not_come_back() {
    let (_folder, base) = directory(Permissions::READ_WRITE);
    let given_up = open(&base, "directory", "d", "r").unwrap();
    assert!(!given_up.flags().mutate_directory);
    assert_eq!(given_up.create_directory_at("x", ALLOW), Err(ErrorCode::ReadOnly));
    assert_eq!(open(&given_up, ".", "d", "rm").err(), Some(ErrorCode::ReadOnly));
    assert_eq!(open(&given_up, "x", "c", "w").err(), Some(ErrorCode::ReadOnly));
    let kept = open(&base, "directory", "d", "rm").unwrap();
    kept.create_directory_at("x", ALLOW).unwrap();
    let deeper = open(&given_up, "x", "d", "r").unwrap();
    for directory in [given_up, deeper] {
        let refused = directory.set_times(NewTimestamp::Now, NewTimestamp::Now, ALLOW);
        assert_eq!(refused, Err(ErrorCode::ReadOnly));
    }
    let file = open(&base, "file", "", "r").unwrap();
    file.set_times(NewTimestamp::Now, NewTimestamp::Now, ALLOW).unwrap();
}

#[test]
fn filesystem_rename_and_link_between_directories_with_different_rights() {
    let (_folder, read_only) = directory(Permissions::READ_ONLY);
    let (_other, writable) = directory(Permissions::READ_WRITE);
    let (_third, write_only) = directory(Permissions { read: false, write: true });
    for (from, to, error) in [
        (&read_only, &writable, ErrorCode::ReadOnly),
        (&writable, &read_only, ErrorCode::ReadOnly),
        // It could be read there, which it could not be before.
        (&write_only, &writable, ErrorCode::NotPermitted),
    ] {
        assert_eq!(from.rename_at("file", to, "moved", ALLOW), Err(error.clone()));
        assert_eq!(from.link_at("file", KEEP, to, "linked", ALLOW), Err(error));
    }
    writable.rename_at("file", &write_only, "moved", ALLOW).unwrap();
}

#[test]
fn filesystem_truncating_through_a_read_only_descriptor() {
    let (folder, base) = directory(Permissions::READ_WRITE);
    let reader = open(&base, "file", "", "r").unwrap();
    assert_eq!(reader.set_size(0, ALLOW), Err(ErrorCode::BadDescriptor));
    assert_eq!(open(&base, "file", "t", "r").err(), Some(ErrorCode::Invalid));
    assert_eq!(open(&base, "file", "t", "").err(), Some(ErrorCode::Invalid));
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"hello");
}

#[test]
fn what_may_not_be_read_is_not() {
    let (_folder, base) = directory(Permissions { read: false, write: true });
    assert_eq!(open(&base, "file", "", "r").err(), Some(ErrorCode::NotPermitted));
    assert_eq!(base.entries(ALLOW).err(), Some(ErrorCode::BadDescriptor));
    open(&base, "file", "", "w").unwrap();
}

#[test]
fn filesystem_absolute_and_empty_paths() {
    let (_folder, base) = directory(Permissions::READ_WRITE);
    let now = NewTimestamp::Now;
    for (path, error) in [
        ("/", ErrorCode::NotPermitted),
        ("/etc/passwd", ErrorCode::NotPermitted),
        ("//file", ErrorCode::NotPermitted),
        ("", ErrorCode::NoEntry),
        ("file\0", ErrorCode::Invalid),
    ] {
        let results = [
            open(&base, path, "", "r").map(drop),
            base.stat_at(path, KEEP, ALLOW).map(drop),
            base.readlink_at(path, ALLOW).map(drop),
            base.set_times_at(path, KEEP, now, now, ALLOW),
            base.create_directory_at(path, ALLOW),
            base.remove_directory_at(path, ALLOW),
            base.unlink_file_at(path, ALLOW),
            base.rename_at(path, &base, "x", ALLOW),
            base.rename_at("file", &base, path, ALLOW),
            base.link_at(path, KEEP, &base, "x", ALLOW),
            base.link_at("file", KEEP, &base, path, ALLOW),
            base.symlink_at("file", path, ALLOW),
            base.symlink_at(path, "x", ALLOW),
        ];
        for (i, result) in results.into_iter().enumerate() {
            assert_eq!(result, Err(error.clone()), "{path:?} {i}");
        }
    }
}

#[test]
fn a_link_to_an_absolute_path_is_not_told() {
    let (folder, base) = directory(Permissions::READ_WRITE);
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    assert_eq!(base.readlink_at("link", ALLOW), Err(ErrorCode::NotPermitted));
}

#[test]
fn flags_are_told_as_they_were_given() {
    let (_folder, base) = directory(Permissions::READ_WRITE);
    assert_eq!(base.flags(), flags("rm"));
    assert_eq!(open(&base, "file", "", "rw").unwrap().flags(), flags("rw"));
    assert_eq!(open(&base, "directory", "", "rm").unwrap().flags(), flags("rm"));
    // Only directories have this one.
    assert_eq!(open(&base, "file", "", "rm").unwrap().flags(), flags("r"));
}

#[test]
fn sync_without_anything_written_is_nothing() {
    let (_folder, base) = directory(Permissions::READ_WRITE);
    for wanted in ["", "r", "rw"] {
        let file = open(&base, "file", "", wanted).unwrap();
        file.sync(true, ALLOW).unwrap();
        file.sync(false, ALLOW).unwrap();
    }
    base.sync(true, ALLOW).unwrap();
}

#[test]
fn timestamps_are_checked() {
    let (_folder, base) = directory(Permissions::READ_WRITE);
    // Two of these mean something else to the kernel.
    for nanoseconds in [1_000_000_000, 0x3fff_ffff, 0x3fff_fffe, u32::MAX] {
        let time = NewTimestamp::At(tombolo_wasi::clocks::Instant { seconds: 0, nanoseconds });
        assert_eq!(base.set_times(time, NewTimestamp::NoChange, ALLOW), Err(ErrorCode::Invalid));
        assert_eq!(base.set_times_at("file", KEEP, NewTimestamp::Now, time, ALLOW), Err(ErrorCode::Invalid));
    }
}

#[test]
fn hashes_tell_objects_and_changes_apart() {
    let (folder, base) = directory(Permissions::READ_WRITE);
    let key = tombolo_wasi::filesystem::MetadataHashKey::default();
    let hash = || base.metadata_hash_at("file", KEEP, &key, ALLOW).unwrap();
    let file = open(&base, "file", "", "r").unwrap();
    let before = hash();
    assert_eq!(before, hash());
    assert_eq!(before, file.metadata_hash(&key, ALLOW).unwrap());
    assert_ne!(before.lower, before.upper);
    assert_ne!(before, base.metadata_hash(&key, ALLOW).unwrap());
    std::fs::write(folder.path().join("file"), "longer than before").unwrap();
    assert_ne!(before, hash());
    let other_key = tombolo_wasi::filesystem::MetadataHashKey::default();
    assert_ne!(hash(), base.metadata_hash_at("file", KEEP, &other_key, ALLOW).unwrap());
}

/// A filesystem of an embedder: one endless file.
struct Zeros;

impl Object for Zeros {
    fn stat(&self, _: Blocking) -> Result<Stat> {
        Ok(Stat {
            kind: DescriptorType::RegularFile,
            link_count: 1,
            size: u64::MAX,
            data_access: None,
            data_modification: None,
            status_change: None,
            device: 0,
            inode: 0,
        })
    }

    fn read_at(&self, buffer: &mut [u8], _: u64, _: Blocking) -> Result<usize> {
        buffer.fill(0);
        Ok(buffer.len())
    }

    fn open_at(
        &self,
        _: &str,
        _: SymlinkFollow,
        _: OpenFlags,
        _: DescriptorFlags,
        _: Blocking,
    ) -> Result<Arc<dyn Object>> {
        Ok(Arc::new(Zeros))
    }
}

#[test]
fn an_embedder_brings_a_filesystem() {
    let base = Descriptor::preopen(Arc::new(Zeros), Permissions::READ_ONLY);
    let file = open(&base, "anything", "", "r").unwrap();
    assert_eq!(file.readable().unwrap().read_at(&mut [1; 8], 0, ALLOW), Ok(8));
    assert_eq!(base.is_same_object(&base.clone(), ALLOW), Ok(true));
    assert_eq!(base.is_same_object(&file, ALLOW), Ok(false));
    assert_eq!(open(&base, "anything", "", "w").err(), Some(ErrorCode::ReadOnly));
    assert!(matches!(
        FileWriter::new(&file, Position::End, &Workers::default()),
        Err(ErrorCode::BadDescriptor)
    ));

    let (_folder, host) = directory(Permissions::READ_WRITE);
    let zeros = Descriptor::preopen(Arc::new(Zeros), Permissions::READ_WRITE);
    assert_eq!(host.rename_at("file", &zeros, "x", ALLOW), Err(ErrorCode::CrossDevice));
    assert_eq!(host.is_same_object(&zeros, ALLOW), Ok(false));
}
