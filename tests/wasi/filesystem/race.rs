//! A guest's lookups against a thread of the host's that swaps directories and symbolic links under them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tombolo_wasi::{Permissions, WasiCtx};

use crate::guest::expect;

#[tokio::test]
async fn filesystem_symlinks_swapped_between_check_and_use() {
    race(Duration::from_secs(2)).await;
}

/// `cargo test -p tombolo-tests --test filesystem -- --ignored`
#[tokio::test]
#[ignore = "takes a minute"]
async fn filesystem_symlinks_swapped_between_check_and_use_for_a_minute() {
    race(Duration::from_secs(60)).await;
}

async fn race(duration: Duration) {
    for in_place in [false, true] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("inside/a/b")).unwrap();
        std::fs::create_dir(path("outside")).unwrap();
        std::fs::write(path("outside/file"), "secret!").unwrap();
        std::fs::write(path("inside/a/file"), "public").unwrap();
        std::fs::write(path("inside/a/b/file"), "public").unwrap();
        std::os::unix::fs::symlink("../outside", path("inside/other")).unwrap();

        let swapper = Swapper::begin(folder.path());
        let wasi = WasiCtx::builder()
            .allow_blocking(in_place)
            .preopened_dir(path("inside"), "root", Permissions::READ_WRITE)
            .unwrap();
        let paths = "a/file a/b/file a/b/../file a/b/../../a/file other/file";
        let operation = format!("root race {} {paths}", duration.as_millis() / 2);
        expect("race", wasi, &[(&operation, "public")]).await;
        drop(swapper);

        let outside = std::fs::read_dir(path("outside")).unwrap().map(|entry| entry.unwrap().file_name());
        let outside: Vec<_> = outside.filter(|name| name != "file" && name != "b").collect();
        assert!(outside.is_empty(), "left outside: {outside:?}");
        assert_eq!(std::fs::read(path("outside/file")).unwrap(), b"secret!");
    }
}

/// Has a directory and the link that leads out change places, and a directory move out and back, until it is dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Swapper {
    fn begin(folder: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (folder, stopped) = (folder.to_owned(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                swap(&folder);
            }
        });
        Swapper { stop, thread: Some(thread) }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn swap(folder: &Path) {
    let path = |name: &str| -> PathBuf { folder.join(name) };
    for _ in 0..2 {
        let _ = renameat_with(CWD, path("inside/a"), CWD, path("inside/other"), RenameFlags::EXCHANGE);
    }
    let _ = std::fs::rename(path("inside/a/b"), path("outside/b"));
    let _ = std::fs::rename(path("outside/b"), path("inside/a/b"));
}
