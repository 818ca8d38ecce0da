//! Work between this component and the host.

use std::hint::black_box;

use wasip3::cli::environment;
use wasip3::clocks::monotonic_clock;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use wasip3::random::random;

/// The file that `stat` and `open` use.
const FILE: &str = "bench-file";

pub async fn yields(n: u64) {
    for _ in 0..n {
        wit_bindgen::yield_async().await;
    }
}

pub fn clock(n: u64) {
    for _ in 0..n {
        black_box(monotonic_clock::now());
    }
}

pub fn random(n: u64) {
    for _ in 0..n {
        black_box(random::get_random_u64());
    }
}

pub fn arguments(n: u64) {
    for _ in 0..n {
        black_box(environment::get_arguments());
    }
}

pub async fn wait(n: u64) {
    for _ in 0..n {
        monotonic_clock::wait_for(0).await;
    }
}

pub async fn stat(n: u64) {
    let Ok(directory) = directory().await else { return };
    for _ in 0..n {
        let _ = black_box(directory.stat_at(PathFlags::empty(), FILE.to_owned()).await);
    }
}

pub async fn open(n: u64) {
    let Ok(directory) = directory().await else { return };
    for _ in 0..n {
        let _ = black_box(open_file(&directory, OpenFlags::empty(), DescriptorFlags::READ).await);
    }
}

/// The first preopened directory, with the file in it.
pub async fn directory() -> Result<Descriptor, String> {
    let (directory, _) =
        preopens::get_directories().into_iter().next().ok_or("there is no preopened directory")?;
    match open_file(&directory, OpenFlags::CREATE, DescriptorFlags::READ | DescriptorFlags::WRITE).await {
        Ok(_) => Ok(directory),
        Err(error) => Err(format!("cannot make {FILE} in the preopened directory: {error:?}")),
    }
}

async fn open_file(
    directory: &Descriptor,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, ErrorCode> {
    directory.open_at(PathFlags::empty(), FILE.to_owned(), how, flags).await
}
