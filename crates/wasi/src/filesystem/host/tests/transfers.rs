//! Reading and writing files, and listing directories.

use std::os::unix::ffi::OsStrExt;

use super::*;

#[test]
fn reads_and_writes_have_an_offset() {
    each(|tree| {
        let both = DescriptorFlags { write: true, ..READ };
        let file = tree.open("file", Keep, PLAIN, both).unwrap();
        let mut buffer = [0; 3];
        assert_eq!(file.read_at(&mut buffer, 1, ALLOW), Ok(3));
        assert_eq!(&buffer, b"ell");
        assert_eq!(file.read_at(&mut buffer, 5, ALLOW), Ok(0));
        assert_eq!(file.write_at(b"EL", Position::At(1), ALLOW), Ok(2));
        assert_eq!(file.write_at(b"!", Position::End, ALLOW), Ok(1));
        assert_eq!(contents(&*file), "hELlo!");
        file.set_size(2, ALLOW).unwrap();
        file.set_size(4, ALLOW).unwrap();
        assert_eq!(contents(&*file), "hE\0\0");
    });
}

#[test]
fn an_offset_that_is_none_is_refused() {
    let tree = Tree::new(None);
    let file = tree.open("file", Keep, PLAIN, DescriptorFlags { write: true, ..READ }).unwrap();
    // The kernel takes the last of these for the descriptor's own position.
    for offset in [1 << 63, u64::MAX] {
        assert_eq!(file.read_at(&mut [0], offset, ALLOW), Err(ErrorCode::Invalid));
        assert_eq!(file.write_at(&[0], Position::At(offset), ALLOW), Err(ErrorCode::FileTooLarge));
    }
    assert_eq!(file.read_at(&mut [0], i64::MAX as u64 - 1, ALLOW), Ok(0));
}

#[test]
fn what_a_file_is_not_open_for_fails() {
    let tree = Tree::new(None);
    let reader = tree.open("file", Keep, PLAIN, READ).unwrap();
    assert_eq!(reader.write_at(&[0], Position::At(0), ALLOW), Err(ErrorCode::BadDescriptor));
    let writer = tree.open("file", Keep, PLAIN, WRITE).unwrap();
    assert_eq!(writer.read_at(&mut [0], 0, ALLOW), Err(ErrorCode::BadDescriptor));
}

#[test]
fn reads_of_what_is_cached_do_not_block() {
    let tree = Tree::new(None);
    let file = tree.open("file", Keep, PLAIN, READ).unwrap();
    assert_eq!(contents(&*file), "hello");
    match file.read_at(&mut [0; 5], 0, Blocking::Avoid) {
        Ok(5) | Err(ErrorCode::WouldBlock) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_in_memory_never_blocks() {
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else { return };
    let directory = HostObject::open_ambient_directory(directory.path(), &DescriptorLimit::new(10)).unwrap();
    if directory.latency != Latency::Memory {
        return;
    }
    let avoid = Blocking::Avoid;
    let flags = DescriptorFlags { write: true, ..READ };
    let file = directory.open_at("file", Keep, CREATE, flags, avoid).unwrap();
    assert_eq!(file.write_at(b"abc", Position::At(0), avoid), Ok(3));
    assert_eq!(file.read_at(&mut [0; 5], 0, avoid), Ok(3));
    directory.unlink_file_at("file", avoid).unwrap();
}

#[test]
fn a_file_is_copied_in_the_kernel() {
    let tree = Tree::new(None);
    let source = tree.open("file", Keep, PLAIN, READ).unwrap();
    let target = tree.open("directory/nested", Keep, PLAIN, DescriptorFlags { write: true, ..READ }).unwrap();
    let copy =
        |to, offset, length, blocking| target.copy_from(Position::At(to), &*source, offset, length, blocking);
    assert_eq!(copy(4, 1, 3, Blocking::Avoid), Err(ErrorCode::WouldBlock));
    match copy(4, 1, 3, ALLOW) {
        Ok(3) => assert_eq!(contents(&*target), "nestell"),
        // Not every filesystem can.
        Err(ErrorCode::Unsupported | ErrorCode::CrossDevice) => return,
        other => panic!("{other:?}"),
    }
    assert_eq!(copy(0, 5, 10, ALLOW), Ok(0));
    assert_eq!(copy(0, 1 << 63, 10, ALLOW), Err(ErrorCode::Invalid));
    assert_eq!(copy(u64::MAX, 0, 10, ALLOW), Err(ErrorCode::Invalid));
    assert!(target.copy_from(Position::End, &*source, 0, 1, ALLOW).is_err());
    assert!(source.copy_from(Position::At(0), &*target, 0, 1, ALLOW).is_err());
    assert_eq!(contents(&*target), "nestell");
}

#[test]
fn a_pipe_in_the_tree_does_not_hold_up_its_opener() {
    let tree = Tree::new(None);
    rustix::fs::mkfifoat(CWD, tree.path("inside/pipe"), Mode::RWXU).unwrap();
    let pipe = tree.open("pipe", Keep, PLAIN, READ).unwrap();
    assert_eq!(pipe.read_at(&mut [0], 0, ALLOW), Err(ErrorCode::InvalidSeek));
    drop(pipe);
    assert_eq!(tree.open("pipe", Keep, PLAIN, WRITE).err(), Some(ErrorCode::NoSuchDevice));
}

fn names(object: &dyn Object) -> (Vec<String>, Result<()>) {
    let mut entries = object.entries(ALLOW).unwrap();
    let mut all = Vec::new();
    let result = loop {
        let before = all.len();
        match entries.next_batch(&mut all, ALLOW) {
            Ok(()) if all.len() == before => break Ok(()),
            Ok(()) => {}
            Err(error) => break Err(error),
        }
    };
    let mut names: Vec<_> = all.into_iter().map(|entry| entry.name).collect();
    names.sort();
    (names, result)
}

#[test]
fn directories_are_listed() {
    each(|tree| {
        let directory = tree.open("directory", Keep, DIRECTORY, READ).unwrap();
        assert_eq!(names(&*directory), (vec!["nested".into()], Ok(())));
        // Each listing begins at the beginning.
        assert_eq!(names(&*directory).0.len(), 1);
        let mut entries = Vec::new();
        tree.inside.entries(ALLOW).unwrap().next_batch(&mut entries, ALLOW).unwrap();
        let entry = entries.iter().find(|entry| entry.name == "escape").unwrap();
        assert_eq!(entry.kind, DescriptorType::SymbolicLink);
    });
}

#[test]
fn a_large_directory_is_listed_whole() {
    let tree = Tree::new(None);
    for i in 0..2000 {
        std::fs::write(tree.path(&format!("inside/directory/file-with-a-long-name-{i}")), "").unwrap();
    }
    let directory = tree.open("directory", Keep, DIRECTORY, READ).unwrap();
    assert_eq!(names(&*directory).0.len(), 2001);
}

#[test]
fn a_name_that_is_not_unicode_is_told_at_the_end() {
    let tree = Tree::new(None);
    let name = std::ffi::OsStr::from_bytes(b"\xff");
    if std::fs::write(tree.path("inside/directory").join(name), "").is_err() {
        return;
    }
    let directory = tree.open("directory", Keep, DIRECTORY, READ).unwrap();
    assert_eq!(names(&*directory), (vec!["nested".into()], Err(ErrorCode::IllegalByteSequence)));
}

#[test]
fn advice_is_taken() {
    let tree = Tree::new(None);
    let file = tree.open("file", Keep, PLAIN, READ).unwrap();
    for advice in [
        Advice::Normal,
        Advice::Sequential,
        Advice::Random,
        Advice::WillNeed,
        Advice::DontNeed,
        Advice::NoReuse,
    ] {
        file.advise(0, 0, advice, ALLOW).unwrap();
        file.advise(1, 3, advice, ALLOW).unwrap();
    }
    file.sync(true, ALLOW).unwrap();
    file.sync(false, ALLOW).unwrap();
}
