//! What the tests have to work on: a directory that the guest is given, and something beside it.
//!
//! ```text
//! outside/secret             "secret!"
//! inside/file                "hello"
//! inside/directory/nested    "nested"
//! inside/to-file             -> file
//! inside/to-directory        -> directory
//! inside/up                  -> directory/../file
//! inside/escape              -> ../outside/secret
//! inside/escape-directory    -> ../outside
//! inside/absolute            -> /outside/secret
//! inside/dangling            -> nothing
//! inside/loop                -> loop
//! ```

use std::any::Any;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;
use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::{Permissions, WasiCtx, WasiCtxBuilder};

use crate::memory::Memory;

pub(crate) const LINKS: [(&str, &str); 8] = [
    ("to-file", "file"),
    ("to-directory", "directory"),
    ("up", "directory/../file"),
    ("escape", "../outside/secret"),
    ("escape-directory", "../outside"),
    ("absolute", "/outside/secret"),
    ("dangling", "nothing"),
    ("loop", "loop"),
];

/// The tree on the machine's own files.
pub(crate) struct HostTree {
    root: TempDir,
    /// Which the guest may have open at once.
    pub(crate) limit: DescriptorLimit,
}

impl HostTree {
    pub(crate) fn new() -> Self {
        HostTree::below(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn below(root: TempDir) -> Self {
        let tree = HostTree { root, limit: DescriptorLimit::new(100) };
        std::fs::create_dir_all(tree.path("inside/directory")).unwrap();
        std::fs::create_dir(tree.path("outside")).unwrap();
        std::fs::write(tree.path("outside/secret"), "secret!").unwrap();
        std::fs::write(tree.path("inside/file"), "hello").unwrap();
        std::fs::write(tree.path("inside/directory/nested"), "nested").unwrap();
        for (name, target) in LINKS {
            symlink(target, tree.path("inside").join(name)).unwrap();
        }
        tree
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Gives a guest what is inside, as `root`.
    pub(crate) fn wasi(&self) -> WasiCtxBuilder {
        self.wasi_with(Permissions::READ_WRITE)
    }

    pub(crate) fn wasi_with(&self, permissions: Permissions) -> WasiCtxBuilder {
        let wasi = WasiCtx::builder().descriptor_limit(self.limit.clone());
        wasi.preopened_dir(self.path("inside"), "root", permissions).unwrap()
    }
}

/// Every kind of filesystem, with a guest's context and what keeps the tree alive.
pub(crate) fn everywhere() -> Vec<(&'static str, WasiCtxBuilder, Box<dyn Any>)> {
    let (apart, in_place) = (HostTree::new(), HostTree::new());
    let mut all: Vec<(&str, WasiCtxBuilder, Box<dyn Any>)> = vec![
        ("host", apart.wasi(), Box::new(apart)),
        ("host, in place", in_place.wasi().allow_blocking(true), Box::new(in_place)),
        ("memory", Memory::tree().wasi(), Box::new(())),
    ];
    // A filesystem without a disk, where nothing blocks.
    if let Ok(folder) = tempfile::tempdir_in("/dev/shm") {
        let tree = HostTree::below(folder);
        all.push(("tmpfs", tree.wasi(), Box::new(tree)));
    }
    all
}
