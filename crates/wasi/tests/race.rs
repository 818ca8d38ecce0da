//! Lookups against a host process that swaps directories and symbolic links under them.
#![expect(clippy::panic, clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tombolo_wasi::filesystem::{
    Blocking, Descriptor, DescriptorFlags, DescriptorLimit, ErrorCode, HostObject, OpenFlags, Permissions,
    SymlinkFollow,
};

/// How long it goes on; `TOMBOLO_RACE_SECONDS` makes it longer.
fn duration() -> Duration {
    let seconds = std::env::var("TOMBOLO_RACE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(Duration::from_millis(300), Duration::from_secs)
}

#[test]
fn filesystem_symlinks_swapped_between_check_and_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["outside", "inside", "inside/a", "inside/a/b"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    std::fs::write(path("outside/file"), "secret").unwrap();
    std::fs::write(path("inside/a/file"), "public").unwrap();
    std::fs::write(path("inside/a/b/file"), "public").unwrap();
    std::os::unix::fs::symlink("../outside", path("inside/other")).unwrap();
    let object = HostObject::open_ambient_directory(&path("inside"), &DescriptorLimit::default()).unwrap();
    let base = Descriptor::preopen(object, Permissions::READ_WRITE);

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // The directory and the link that leads out change places, and a directory moves out and back.
                swap(&path("inside/a"), &path("inside/other"));
                swap(&path("inside/a"), &path("inside/other"));
                let _ = std::fs::rename(path("inside/a/b"), path("outside/b"));
                let _ = std::fs::rename(path("outside/b"), path("inside/a/b"));
            }
        });
        let end = Instant::now() + duration();
        let mut outcomes = [0_u64; 2];
        while Instant::now() < end {
            for path in ["a/file", "a/b/file", "a/b/../file", "a/b/../../a/file", "other/file"] {
                for follow in [SymlinkFollow::Follow, SymlinkFollow::Keep] {
                    outcomes[usize::from(attempt(&base, path, follow))] += 1;
                }
            }
            let _ = base.create_directory_at("a/made", Blocking::Allow);
            let _ = base.remove_directory_at("a/made", Blocking::Allow);
            let _ = base.rename_at("a/file", &base, "a/moved", Blocking::Allow);
            let _ = base.rename_at("a/moved", &base, "a/file", Blocking::Allow);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
    });
    let outside: Vec<_> =
        std::fs::read_dir(path("outside")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(outside.iter().all(|name| name == "file" || name == "b"), "{outside:?}");
    assert_eq!(std::fs::read(path("outside/file")).unwrap(), b"secret");
}

fn swap(one: &Path, two: &Path) {
    let _ = renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE);
}

/// Reads a file by a path, and says whether there was one to read.
fn attempt(base: &Descriptor, path: &str, follow: SymlinkFollow) -> bool {
    let flags = DescriptorFlags { read: true, ..DescriptorFlags::default() };
    match base.open_at(path, follow, OpenFlags::default(), flags, Blocking::Allow) {
        Ok(file) => {
            let mut buffer = [0; 6];
            file.readable().unwrap().read_at(&mut buffer, 0, Blocking::Allow).unwrap();
            assert_eq!(&buffer, b"public", "{path} led out");
            true
        }
        Err(ErrorCode::NotPermitted | ErrorCode::NoEntry | ErrorCode::NotDirectory | ErrorCode::Loop) => {
            false
        }
        Err(error) => panic!("{path}: {error}"),
    }
}
