//! The host's files, through each way of following paths.

mod changes;
mod lookups;
mod transfers;

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A directory with something in it and something beside it:
///
/// ```text
/// outside/secret
/// inside/file                "hello"
/// inside/directory/nested    "nested"
/// inside/to-file             -> file
/// inside/to-directory        -> directory
/// inside/up                  -> directory/../file
/// inside/escape              -> ../outside/secret
/// inside/escape-directory    -> ../outside
/// inside/absolute            -> (absolute path of outside/secret)
/// inside/dangling            -> nothing
/// inside/loop                -> loop
/// ```
struct Tree {
    root: TempDir,
    inside: Arc<HostObject>,
}

impl Tree {
    fn new(resolver: Option<Resolver>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::create_dir(path("outside")).unwrap();
        std::fs::write(path("outside/secret"), "secret").unwrap();
        std::fs::create_dir_all(path("inside/directory")).unwrap();
        std::fs::write(path("inside/file"), "hello").unwrap();
        std::fs::write(path("inside/directory/nested"), "nested").unwrap();
        symlink("file", path("inside/to-file")).unwrap();
        symlink("directory", path("inside/to-directory")).unwrap();
        symlink("directory/../file", path("inside/up")).unwrap();
        symlink("../outside/secret", path("inside/escape")).unwrap();
        symlink("../outside", path("inside/escape-directory")).unwrap();
        symlink(path("outside/secret"), path("inside/absolute")).unwrap();
        symlink("nothing", path("inside/dangling")).unwrap();
        symlink("loop", path("inside/loop")).unwrap();

        let limit = DescriptorLimit::new(100);
        let mut inside = HostObject::open_ambient_directory(&path("inside"), &limit).unwrap();
        if let Some(resolver) = resolver {
            Arc::get_mut(&mut inside).unwrap().resolver = resolver;
        }
        Tree { root, inside }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }
}

/// Runs a test with what the kernel can do, and with each way of doing without.
fn each(test: impl Fn(&Tree)) {
    for resolver in [None, Some(Resolver::Kernel), Some(Resolver::Walk)] {
        test(&Tree::new(resolver));
    }
}

const READ: DescriptorFlags = DescriptorFlags {
    read: true,
    write: false,
    file_integrity_sync: false,
    data_integrity_sync: false,
    requested_write_sync: false,
    mutate_directory: false,
};
const WRITE: DescriptorFlags = DescriptorFlags { read: false, write: true, ..READ };
const NEITHER: DescriptorFlags = DescriptorFlags { read: false, ..READ };
const PLAIN: OpenFlags = OpenFlags { create: false, directory: false, exclusive: false, truncate: false };
const CREATE: OpenFlags = OpenFlags { create: true, ..PLAIN };
const DIRECTORY: OpenFlags = OpenFlags { directory: true, ..PLAIN };
const ALLOW: Blocking = Blocking::Allow;

use SymlinkFollow::{Follow, Keep};

impl Tree {
    fn open(
        &self,
        path: &str,
        follow: SymlinkFollow,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Result<Arc<dyn Object>> {
        self.inside.open_at(path, follow, open, flags, ALLOW)
    }

    fn kind(&self, path: &str, follow: SymlinkFollow) -> Result<DescriptorType> {
        self.inside.stat_at(path, follow, ALLOW).map(|stat| stat.kind)
    }
}

fn contents(object: &dyn Object) -> String {
    let mut buffer = [0; 100];
    let length = object.read_at(&mut buffer, 0, ALLOW).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn the_resolver_is_found() {
    let tree = Tree::new(None);
    assert!(matches!(tree.inside.resolver, Resolver::KernelCached | Resolver::Kernel | Resolver::Walk));
}

#[test]
fn descriptors_are_counted_and_given_back() {
    let tree = Tree::new(None);
    let open = || tree.open("file", Keep, PLAIN, READ);
    let held: Vec<_> = std::iter::repeat_with(open).map_while(Result::ok).collect();
    assert_eq!(held.len(), 99);
    assert_eq!(open().err(), Some(ErrorCode::TOO_MANY_OPEN));
    assert_eq!(tree.inside.entries(ALLOW).err(), Some(ErrorCode::TOO_MANY_OPEN));
    drop(held);
    open().unwrap();
    assert_eq!(tree.inside.limit.open(), 1);
}
