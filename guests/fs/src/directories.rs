use wasip3::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags,
};

use crate::report::Report;
use crate::{create, open, read, remove};

pub async fn check(report: &mut Report, preopen: &Descriptor, folder: &Descriptor) -> Result<(), ErrorCode> {
    listing(report, folder).await?;
    renaming(report, folder).await?;
    escaping(report, preopen, folder).await
}

async fn listing(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    report.check("an empty folder", list(folder).await?.is_empty(), true);
    for i in 0..300 {
        create(folder, &format!("file {i:03}"), b"").await?;
    }
    folder.create_directory_at("below".to_owned()).await?;
    let again = folder.create_directory_at("below".to_owned()).await;
    report.check("a folder that is there", matches!(again, Err(ErrorCode::Exist)), true);

    let entries = list(folder).await?;
    let mut expected = vec!["below/".to_owned()];
    expected.extend((0..300).map(|i| format!("file {i:03}")));
    report.check("entries", entries, expected);

    let stat = folder.stat_at(PathFlags::empty(), "below".to_owned()).await?;
    report.check("stat-at a folder", matches!(stat.type_, DescriptorType::Directory), true);
    let missing = folder.stat_at(PathFlags::empty(), "above".to_owned()).await;
    report.check("stat-at nothing", matches!(missing, Err(ErrorCode::NoEntry)), true);

    drop(create(folder, "below/deep", b"deep").await?);
    let file = open(folder, "below/../below/./deep", OpenFlags::empty(), DescriptorFlags::READ).await?;
    report.check("a path with dots", read(&file, 0).await?, b"deep");

    let full = folder.remove_directory_at("below".to_owned()).await;
    report.check("remove a folder with a file in it", matches!(full, Err(ErrorCode::NotEmpty)), true);
    report.check("unlink a folder", remove(folder, "below").await.is_err(), true);
    remove(folder, "below/deep").await?;
    folder.remove_directory_at("below".to_owned()).await?;
    for i in 0..300 {
        remove(folder, &format!("file {i:03}")).await?;
    }
    let missing = remove(folder, "file 000").await;
    report.check("remove what is not there", matches!(missing, Err(ErrorCode::NoEntry)), true);
    report.check("an emptied folder", list(folder).await?.is_empty(), true);
    Ok(())
}

async fn renaming(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    drop(create(folder, "old", b"moved").await?);
    drop(create(folder, "other", b"replaced").await?);
    folder.rename_at("old".to_owned(), folder, "new".to_owned()).await?;
    folder.rename_at("new".to_owned(), folder, "other".to_owned()).await?;
    report.check("after renaming", list(folder).await?, ["other"]);
    let file = open(folder, "other", OpenFlags::empty(), DescriptorFlags::READ).await?;
    report.check("renamed", read(&file, 0).await?, b"moved");

    folder.create_directory_at("below".to_owned()).await?;
    let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
    let below = open(folder, "below", OpenFlags::DIRECTORY, flags).await?;
    folder.rename_at("other".to_owned(), &below, "there".to_owned()).await?;
    report.check("left behind", list(folder).await?, ["below/"]);
    report.check("moved into", list(&below).await?, ["there"]);
    remove(&below, "there").await?;
    folder.remove_directory_at("below".to_owned()).await
}

/// What lies outside the preopened directory cannot be named.
async fn escaping(report: &mut Report, preopen: &Descriptor, folder: &Descriptor) -> Result<(), ErrorCode> {
    for path in ["..", "../..", "../fs-guest", "a/../../..", "/", "/etc/passwd", ""] {
        let opened = open(folder, path, OpenFlags::empty(), DescriptorFlags::READ).await;
        report.check(&format!("open {path:?} from the folder"), opened.is_err(), true);
        let stat = preopen.stat_at(PathFlags::SYMLINK_FOLLOW, format!("fs-guest/../../{path}")).await;
        report.check(&format!("stat {path:?} from above"), stat.is_err(), true);
    }
    let created = open(preopen, "../fs-guest-escaped", OpenFlags::CREATE, DescriptorFlags::WRITE).await;
    report.check("create outside", created.is_err(), true);
    Ok(())
}

/// The names in a directory, sorted, those of directories with a slash behind.
async fn list(directory: &Descriptor) -> Result<Vec<String>, ErrorCode> {
    let (entries, done) = directory.read_directory();
    let entries = entries.collect().await;
    done.await?;
    let mut names: Vec<String> = entries
        .into_iter()
        .map(|entry| match entry.type_ {
            DescriptorType::Directory => entry.name + "/",
            _ => entry.name,
        })
        .collect();
    names.sort();
    Ok(names)
}
