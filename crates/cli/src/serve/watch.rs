//! Whether files have changed: `--watch`.
//!
//! The kernel says when something in their folders is written or moved, and then they are looked at. Now and then they are
//! looked at anyway: it does not say what others do to a network's filesystem, nor what becomes of the folders.

use std::fs;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

/// How often the files are looked at if the kernel says nothing.
const INTERVAL: Duration = Duration::from_millis(100);
/// How often they are looked at otherwise.
const LONG_INTERVAL: Duration = Duration::from_secs(1);

/// How long a file has to stay as it is when its change was found by looking: somebody may be writing to it.
const SETTLING: Duration = Duration::from_millis(100);
/// The same if whoever wrote to it said that he was done.
const SHORT_SETTLING: Duration = Duration::from_millis(10);

/// Files of which it is known how they were just before they were loaded.
pub(super) struct Watch {
    files: Vec<PathBuf>,
    loaded: Vec<Stamp>,
    /// `None` where the kernel says nothing.
    notices: Option<Notices>,
    interval: Duration,
}

/// What changes when a file does; `None` if there is none.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Watch {
    /// Must be called in a runtime.
    pub(super) fn new<'a>(files: impl Iterator<Item = &'a Path>) -> Self {
        let files: Vec<PathBuf> = files.map(Path::to_owned).collect();
        let notices = Notices::new(&files).ok();
        let interval = if notices.is_some() { LONG_INTERVAL } else { INTERVAL };
        let loaded = stamps(&files);
        Watch { files, loaded, notices, interval }
    }

    /// Waits until a file is another one than before, all are there, and nobody is writing to them.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(super) async fn changed(&mut self) {
        let mut settling = SETTLING;
        loop {
            let now = stamps(&self.files);
            if now != self.loaded && now.iter().all(Option::is_some) {
                sleep(settling).await;
                if stamps(&self.files) == now {
                    self.loaded = now;
                    if let Some(notices) = &self.notices {
                        // The folders may be others now. Without notices of them the files are looked at all the same.
                        let _ = notices.follow(&self.files);
                    }
                    return;
                }
            }
            let notice = async {
                match &self.notices {
                    Some(notices) => notices.next().await,
                    None => pending().await,
                }
            };
            settling = match timeout(self.interval, notice).await {
                Ok(()) => SHORT_SETTLING,
                Err(_) => SETTLING,
            };
        }
    }

    /// The files are loaded now, as they are.
    pub(super) fn reset(&mut self) {
        self.loaded = stamps(&self.files);
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let data = fs::metadata(file).ok()?;
        Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    files.iter().map(stamp).collect()
}

/// What the kernel says of folders.
struct Notices(AsyncFd<OwnedFd>);

impl Notices {
    /// Has it speak of the folders of `files`.
    ///
    /// # Errors
    ///
    /// It does not.
    #[expect(
        deprecated,
        reason = "its successor is unsafe on behalf of types whose descriptor changes, unlike this one"
    )]
    fn new(files: &[PathBuf]) -> io::Result<Notices> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let notices = Notices(AsyncFd::with_interest(inotify, Interest::READABLE)?);
        notices.follow(files)?;
        Ok(notices)
    }

    /// The folder is what counts: a file that takes another's place by its name is not the one that was there.
    fn follow(&self, files: &[PathBuf]) -> io::Result<()> {
        for file in files {
            let target = fs::canonicalize(file)?;
            for path in [file, &target] {
                let folder = match path.parent() {
                    Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
                    Some(folder) => folder,
                    None => path,
                };
                inotify::add_watch(&self.0, folder, WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO)?;
            }
        }
        Ok(())
    }

    /// Waits until it says something, whatever that is.
    async fn next(&self) {
        let Ok(mut ready) = self.0.readable().await else { return pending().await };
        let mut said = [0; 4096];
        while rustix::io::read(&self.0, &mut said).is_ok_and(|length| length > 0) {}
        ready.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_secs(1 << 20);
    const TIME_LIMIT: Duration = Duration::from_secs(30);

    async fn sees(watch: &mut Watch) -> bool {
        timeout(TIME_LIMIT, watch.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn changes_are_noticed_without_looking() {
        let folder = tempfile::tempdir().unwrap();
        let (file, beside) = (folder.path().join("app"), folder.path().join("beside"));
        let link = folder.path().join("link");
        fs::write(&file, "one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for watched in [&file, &link] {
            let mut watch = Watch::new([watched.as_path()].into_iter());
            assert!(watch.notices.is_some());
            watch.interval = NEVER;
            for round in 0..3 {
                fs::write(&beside, format!("moved here {round}")).unwrap();
                fs::rename(&beside, &file).unwrap();
                assert!(sees(&mut watch).await);
                fs::write(&file, format!("written {round}")).unwrap();
                assert!(sees(&mut watch).await);
            }
            assert!(timeout(SETTLING * 3, watch.changed()).await.is_err(), "it has been seen");
        }
    }

    #[tokio::test]
    async fn changes_are_seen_where_the_kernel_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app");
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::new([file.as_path()].into_iter());
        (watch.notices, watch.interval) = (None, INTERVAL);
        fs::write(&file, "another").unwrap();
        assert!(sees(&mut watch).await);
        fs::remove_file(&file).unwrap();
        assert!(timeout(SETTLING * 3, watch.changed()).await.is_err(), "there is nothing to be loaded");
        fs::write(&file, "it is back").unwrap();
        assert!(sees(&mut watch).await);
    }
}
