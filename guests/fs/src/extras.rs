use wasip3::clocks::system_clock::Instant;
use wasip3::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, DescriptorType, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

use crate::report::Report;
use crate::{create, open, read, remove};

pub async fn check(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    links(report, folder).await?;
    times(report, folder).await?;
    identity(report, folder).await
}

async fn links(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    drop(create(folder, "file", b"linked").await?);
    folder.link_at(PathFlags::empty(), "file".to_owned(), folder, "hard".to_owned()).await?;
    let stat = folder.stat_at(PathFlags::empty(), "hard".to_owned()).await?;
    report.check("links after link-at", stat.link_count, 2);

    folder.symlink_at("file".to_owned(), "soft".to_owned()).await?;
    report.check("readlink-at", folder.readlink_at("soft".to_owned()).await?, "file");
    let stat = folder.stat_at(PathFlags::empty(), "soft".to_owned()).await?;
    report.check("stat-at a link", matches!(stat.type_, DescriptorType::SymbolicLink), true);
    let stat = folder.stat_at(PathFlags::SYMLINK_FOLLOW, "soft".to_owned()).await?;
    report.check("stat-at behind a link", stat.size, 6);
    let unfollowed = open(folder, "soft", OpenFlags::empty(), DescriptorFlags::READ).await;
    report.check("open a link itself", matches!(unfollowed, Err(ErrorCode::Loop)), true);
    let followed = folder
        .open_at(PathFlags::SYMLINK_FOLLOW, "soft".to_owned(), OpenFlags::empty(), DescriptorFlags::READ)
        .await?;
    report.check("read behind a link", read(&followed, 0).await?, b"linked");

    // Links that lead outside lead nowhere; an absolute one may not even be made.
    folder.symlink_at("../../..".to_owned(), "out".to_owned()).await?;
    let outside = folder.stat_at(PathFlags::SYMLINK_FOLLOW, "out".to_owned()).await;
    report.check("stat-at behind a link to the outside", outside.is_err(), true);
    report.check(
        "an absolute link",
        folder.symlink_at("/etc".to_owned(), "etc".to_owned()).await.is_err(),
        true,
    );
    for name in ["file", "hard", "soft", "out"] {
        remove(folder, name).await?;
    }
    Ok(())
}

async fn times(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    let file = create(folder, "file", b"").await?;
    let (then, later) =
        (Instant { seconds: 1_000_000_000, nanoseconds: 7 }, Instant { seconds: -1, nanoseconds: 0 });
    file.set_times(NewTimestamp::Timestamp(then), NewTimestamp::Timestamp(later)).await?;
    let stat = file.stat().await?;
    report.check("access time", seconds(stat.data_access_timestamp), Some(1_000_000_000));
    report.check("modification time before 1970", seconds(stat.data_modification_timestamp), Some(-1));
    let keep = NewTimestamp::NoChange;
    folder.set_times_at(PathFlags::empty(), "file".to_owned(), keep, NewTimestamp::Now).await?;
    let stat = file.stat().await?;
    report.check("access time kept", seconds(stat.data_access_timestamp), Some(1_000_000_000));
    report.check("modified now", seconds(stat.data_modification_timestamp) > Some(1_000_000_000), true);
    drop(file);
    remove(folder, "file").await
}

async fn identity(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    let (one, two) = (create(folder, "one", b"1").await?, create(folder, "two", b"2").await?);
    let again = open(folder, "one", OpenFlags::empty(), DescriptorFlags::READ).await?;
    report.check("the same object", one.is_same_object(&again).await, true);
    report.check("not the same object", one.is_same_object(&two).await, false);
    let hash = one.metadata_hash().await?;
    let named = folder.metadata_hash_at(PathFlags::empty(), "one".to_owned()).await?;
    report.check("metadata hash", (hash.lower, hash.upper), (named.lower, named.upper));
    let other = two.metadata_hash().await?;
    report.check("another's metadata hash", (hash.lower, hash.upper) == (other.lower, other.upper), false);

    one.advise(0, 1, Advice::WillNeed).await?;
    one.sync_data().await?;
    one.sync().await?;
    drop((one, two, again));
    remove(folder, "one").await?;
    remove(folder, "two").await
}

fn seconds(time: Option<Instant>) -> Option<i64> {
    time.map(|time| time.seconds)
}
