//! Looks files up for a while, and changes what is there, while somebody else moves directories and links about.

use wasip3::clocks::monotonic_clock;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

use crate::Outcome;
use crate::words::number;

/// `MILLISECONDS PATH...`: reads what the paths lead to. Everything that may be found says `public`.
pub async fn run(directory: &Descriptor, arguments: &[&str]) -> Outcome {
    let Some((duration, paths)) = arguments.split_first() else { return Err(ErrorCode::Invalid) };
    let end = monotonic_clock::now() + number(duration)? * 1_000_000;
    let (mut found, mut refused) = (0_u64, 0_u64);
    while monotonic_clock::now() < end {
        for path in paths {
            for flags in [PathFlags::SYMLINK_FOLLOW, PathFlags::empty()] {
                match read(directory, path, flags).await {
                    Ok(text) if text == b"public" => found += 1,
                    Ok(text) => return Ok(format!("{path} led out: {}", String::from_utf8_lossy(&text))),
                    Err(_) => refused += 1,
                }
                if let Ok(stat) = directory.stat_at(flags, (*path).to_owned()).await
                    && stat.size == b"secret!".len() as u64
                {
                    return Ok(format!("stat-at {path} led out"));
                }
            }
        }
        change(directory).await;
    }
    Ok(match (found, refused) {
        (0, _) | (_, 0) => format!("found {found}, refused {refused}: that was no race"),
        _ => "public".to_owned(),
    })
}

async fn read(directory: &Descriptor, path: &str, flags: PathFlags) -> Result<Vec<u8>, ErrorCode> {
    let file = directory.open_at(flags, path.to_owned(), OpenFlags::empty(), DescriptorFlags::READ).await?;
    let (data, outcome) = file.read_via_stream(0);
    let bytes = data.collect().await;
    outcome.await?;
    Ok(bytes)
}

/// Tries to leave something outside. Most of it fails, at one moment or the next.
async fn change(directory: &Descriptor) {
    let path = |name: &str| format!("a/{name}");
    let _ = directory.create_directory_at(path("made")).await;
    let _ = directory.remove_directory_at(path("made")).await;
    let _ = directory.symlink_at("file".to_owned(), path("link")).await;
    let _ = directory.unlink_file_at(path("link")).await;
    let _ = directory.rename_at(path("file"), directory, path("moved")).await;
    let _ = directory.rename_at(path("moved"), directory, path("file")).await;
    let _ = directory.link_at(PathFlags::empty(), path("file"), directory, path("second")).await;
    let _ = directory.unlink_file_at(path("second")).await;
    let flags = DescriptorFlags::WRITE;
    let _ = directory.open_at(PathFlags::SYMLINK_FOLLOW, path("new"), OpenFlags::CREATE, flags).await;
    let _ = directory.unlink_file_at(path("new")).await;
}
