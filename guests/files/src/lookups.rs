//! What looks at objects and paths.

use wasip3::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue, OpenFlags,
    PathFlags,
};

use crate::words::{
    descriptor_flags, number, open_flags, path_flags, show, show_flags, show_time, show_type, text,
};
use crate::{Open, Outcome, find};

pub async fn perform(open: &Open, this: &Descriptor, method: &str, arguments: &[&str]) -> Option<Outcome> {
    Some(match (method, arguments) {
        ("flags", []) => this.get_flags().await.map(show_flags),
        ("type", []) => this.get_type().await.map(|kind| show_type(&kind)),
        ("stat", []) => this.stat().await.map(show_stat),
        ("stat-at", &[path, ref flags @ ..]) => {
            this.stat_at(path_flags(flags), text(path)).await.map(show_stat)
        }
        ("times", []) => this.stat().await.map(show_times),
        ("times-at", &[path, ref flags @ ..]) => {
            this.stat_at(path_flags(flags), text(path)).await.map(show_times)
        }
        ("hash", []) => this.metadata_hash().await.map(show_hash),
        ("hash-at", &[path, ref flags @ ..]) => {
            this.metadata_hash_at(path_flags(flags), text(path)).await.map(show_hash)
        }
        ("readlink", &[path]) => this.readlink_at(text(path)).await,
        ("same", &[other]) => same(this, find(open, other)).await,
        ("list", []) => list(this, u64::MAX).await,
        ("list-some", &[count]) => list_some(this, count).await,
        _ => return None,
    })
}

pub async fn open(directory: &Descriptor, path: &str, flags: &[&str]) -> Result<Descriptor, ErrorCode> {
    directory.open_at(path_flags(flags), text(path), open_flags(flags), descriptor_flags(flags)).await
}

/// Opens a file again and again until that is refused, and says how often it was not.
pub async fn hoard(directory: &Descriptor, path: &str) -> Outcome {
    let mut hoard = Vec::new();
    loop {
        let opened = directory
            .open_at(PathFlags::empty(), text(path), OpenFlags::empty(), DescriptorFlags::READ)
            .await;
        match opened {
            Ok(file) => hoard.push(file),
            Err(error) => return Ok(format!("{}, then {}", hoard.len(), show(Err(error)))),
        }
    }
}

async fn same(this: &Descriptor, other: Result<&Descriptor, ErrorCode>) -> Outcome {
    Ok(this.is_same_object(other?).await.to_string())
}

/// The names of a directory's entries, with a mark for those that are no regular files, and what the future said at
/// the end of them.
async fn list(directory: &Descriptor, count: u64) -> Outcome {
    let (mut entries, outcome) = directory.read_directory();
    let mut names = Vec::new();
    while (names.len() as u64) < count
        && let Some(entry) = entries.next().await
    {
        let mark = match entry.type_ {
            DescriptorType::RegularFile => "",
            DescriptorType::Directory => "/",
            DescriptorType::SymbolicLink => "@",
            DescriptorType::Fifo => "|",
            _ => "?",
        };
        names.push(entry.name + mark);
    }
    drop(entries);
    names.sort();
    let mut names = if names.is_empty() { "nothing".to_owned() } else { names.join(" ") };
    if let Err(error) = outcome.await {
        names = match names.as_str() {
            "nothing" => return Err(error),
            names => format!("{names}, then {}", show(Err(error))),
        };
    }
    Ok(names)
}

/// So many entries; then the stream is dropped.
async fn list_some(directory: &Descriptor, count: &str) -> Outcome {
    let names = list(directory, number(count)?).await?;
    Ok(names.split(' ').count().to_string())
}

/// What is known of an object. The size and the links of a directory are its filesystem's own affair.
fn show_stat(stat: DescriptorStat) -> String {
    let kind = show_type(&stat.type_);
    match stat.type_ {
        DescriptorType::Directory => kind,
        _ => format!("{kind} {} bytes {} links", stat.size, stat.link_count),
    }
}

fn show_times(stat: DescriptorStat) -> String {
    format!("{} {}", show_time(stat.data_access_timestamp), show_time(stat.data_modification_timestamp))
}

fn show_hash(hash: MetadataHashValue) -> String {
    format!("{:016x}{:016x}", hash.upper, hash.lower)
}
