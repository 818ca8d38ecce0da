use wasip3::filesystem::types::{Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags};

use crate::report::Report;
use crate::{append, create, open, read, remove, write};

pub async fn check(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    reading_and_writing(report, folder).await?;
    opening(report, folder).await?;
    large(report, folder).await
}

async fn reading_and_writing(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    let file = create(folder, "text", b"hello, file\n").await?;
    let stat = file.stat().await?;
    report.check("size after write", stat.size, 12);
    report.check("type", matches!(stat.type_, DescriptorType::RegularFile), true);
    report.check("links", stat.link_count, 1);
    report.check("modified", stat.data_modification_timestamp.is_some_and(|time| time.seconds > 0), true);

    append(&file, b"more\n").await?;
    report.check("after append", read(&file, 0).await?, b"hello, file\nmore\n");
    report.check("from an offset", read(&file, 7).await?, b"file\nmore\n");
    report.check("from the end", read(&file, 17).await?, b"");
    report.check("from behind the end", read(&file, 1000).await?, b"");

    write(&file, 0, b"HELLO").await?;
    report.check("after overwriting", read(&file, 0).await?, b"HELLO, file\nmore\n");
    write(&file, 20, b"far").await?;
    report.check("after writing behind the end", read(&file, 12).await?, b"more\n\0\0\0far");

    file.set_size(5).await?;
    report.check("after set-size to less", read(&file, 0).await?, b"HELLO");
    file.set_size(8).await?;
    report.check("after set-size to more", read(&file, 0).await?, b"HELLO\0\0\0");
    report.check("get-type", matches!(file.get_type().await?, DescriptorType::RegularFile), true);
    let flags = file.get_flags().await?;
    report.check("get-flags", flags.contains(DescriptorFlags::READ | DescriptorFlags::WRITE), true);

    // A reader that wants only the beginning.
    let (mut data, done) = file.read_via_stream(0);
    report.check("first byte", data.next().await, Some(b'H'));
    drop(data);
    // It has an end, whichever.
    let _ = done.await;
    drop(file);
    remove(folder, "text").await
}

async fn opening(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    let (none, read_only) = (OpenFlags::empty(), DescriptorFlags::READ);
    let missing = open(folder, "text", none, read_only).await;
    report.check("open what is not there", is(&missing, |error| matches!(error, ErrorCode::NoEntry)), true);

    drop(create(folder, "text", b"twelve bytes").await?);
    let again = create(folder, "text", b"").await;
    report.check("create what is there", is(&again, |error| matches!(error, ErrorCode::Exist)), true);
    let directory = open(folder, "text", OpenFlags::DIRECTORY, read_only).await;
    report.check(
        "open a file as a directory",
        is(&directory, |e| matches!(e, ErrorCode::NotDirectory)),
        true,
    );

    let file = open(folder, "text", none, read_only).await?;
    report.check("read", read(&file, 0).await?, b"twelve bytes");
    report.check("write through a read-only descriptor", write(&file, 0, b"no").await.is_err(), true);
    report.check("unharmed", read(&file, 0).await?, b"twelve bytes");

    let file = open(folder, "text", OpenFlags::TRUNCATE, DescriptorFlags::WRITE).await?;
    report.check("truncated", file.stat().await?.size, 0);
    write(&file, 0, b"new").await?;
    report.check("read through a write-only descriptor", read(&file, 0).await.is_err(), true);
    drop(file);

    // The name is gone, the file is there until it is closed.
    let file = open(folder, "text", none, read_only).await?;
    remove(folder, "text").await?;
    report.check("read a removed file", read(&file, 0).await?, b"new");
    Ok(())
}

async fn large(report: &mut Report, folder: &Descriptor) -> Result<(), ErrorCode> {
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();
    let file = create(folder, "large", &[]).await?;
    let (mut writer, reader) = wasip3::wit_stream::new();
    let done = file.write_via_stream(reader, 0);
    for chunk in bytes.chunks(7919) {
        writer.write_all(chunk.to_vec()).await;
    }
    drop(writer);
    done.await?;
    report.check("size of a large file", file.stat().await?.size, bytes.len() as u64);
    report.check("bytes of a large file", read(&file, 0).await? == bytes, true);

    // From one file to the other without a look at the bytes.
    let copy = create(folder, "copy", &[]).await?;
    let (data, done) = file.read_via_stream(0);
    copy.write_via_stream(data, 0).await?;
    done.await?;
    report.check("bytes of the copy", read(&copy, 0).await? == bytes, true);
    remove(folder, "large").await?;
    remove(folder, "copy").await
}

fn is<T>(result: &Result<T, ErrorCode>, expected: impl Fn(&ErrorCode) -> bool) -> bool {
    result.as_ref().err().is_some_and(expected)
}
