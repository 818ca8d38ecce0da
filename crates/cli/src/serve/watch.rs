//! Whether files have changed: `--watch`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Files that are looked at again and again. That works with every filesystem, and however the files are replaced.
pub(super) struct Watch {
    files: Vec<PathBuf>,
    /// How they were just before they were loaded.
    loaded: Vec<Stamp>,
}

/// What changes when a file does; `None` if there is none.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Watch {
    pub(super) fn new<'a>(files: impl Iterator<Item = &'a Path>) -> Self {
        let files: Vec<PathBuf> = files.map(Path::to_owned).collect();
        let loaded = stamps(&files);
        Watch { files, loaded }
    }

    /// Waits until a file is another one than before, all are there, and nobody is writing to them.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub(super) async fn changed(&mut self) {
        let mut before = stamps(&self.files);
        loop {
            sleep(INTERVAL).await;
            let now = stamps(&self.files);
            if now == before && now != self.loaded && now.iter().all(Option::is_some) {
                self.loaded = now;
                return;
            }
            before = now;
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
