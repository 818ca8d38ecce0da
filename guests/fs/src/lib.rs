//! Uses the first preopened directory in every way, in a folder of its own that it removes again, and checks what
//! comes back: prints `fs: ok`, or says on stderr what differs and fails. With the argument `all` it uses links,
//! times and advice as well.

mod directories;
mod extras;
mod files;
mod report;

use report::Report;
use wasip3::filesystem::preopens;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

/// The folder that it makes.
const FOLDER: &str = "fs-guest";

struct Fs;

impl wasip3::exports::cli::run::Guest for Fs {
    async fn run() -> Result<(), ()> {
        let all = support::args().first().is_some_and(|arg| arg == "all");
        let mut report = Report::default();
        let Some((preopen, _)) = preopens::get_directories().into_iter().next() else {
            support::eprint("fs: there is no preopened directory\n").await;
            return Err(());
        };
        if let Err(error) = check(&mut report, &preopen, all).await {
            report.fail(&format!("gave up: {error:?}"));
        }
        report.finish().await
    }
}

async fn check(report: &mut Report, preopen: &Descriptor, all: bool) -> Result<(), ErrorCode> {
    preopen.create_directory_at(FOLDER.to_owned()).await?;
    let folder = open(
        preopen,
        FOLDER,
        OpenFlags::DIRECTORY,
        DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
    )
    .await?;
    files::check(report, &folder).await?;
    directories::check(report, preopen, &folder).await?;
    if all {
        extras::check(report, &folder).await?;
    }
    drop(folder);
    preopen.remove_directory_at(FOLDER.to_owned()).await
}

async fn open(
    directory: &Descriptor,
    path: &str,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, ErrorCode> {
    directory.open_at(PathFlags::empty(), path.to_owned(), how, flags).await
}

/// Writes to a file from `offset` on.
async fn write(file: &Descriptor, offset: u64, bytes: &[u8]) -> Result<(), ErrorCode> {
    let (mut writer, reader) = wasip3::wit_stream::new();
    let done = file.write_via_stream(reader, offset);
    writer.write_all(bytes.to_vec()).await;
    drop(writer);
    done.await
}

async fn append(file: &Descriptor, bytes: &[u8]) -> Result<(), ErrorCode> {
    let (mut writer, reader) = wasip3::wit_stream::new();
    let done = file.append_via_stream(reader);
    writer.write_all(bytes.to_vec()).await;
    drop(writer);
    done.await
}

/// Reads a file from `offset` to its end.
async fn read(file: &Descriptor, offset: u64) -> Result<Vec<u8>, ErrorCode> {
    let (data, done) = file.read_via_stream(offset);
    let bytes = data.collect().await;
    done.await?;
    Ok(bytes)
}

/// Makes a file with that in it.
async fn create(directory: &Descriptor, path: &str, bytes: &[u8]) -> Result<Descriptor, ErrorCode> {
    let how = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let file = open(directory, path, how, DescriptorFlags::READ | DescriptorFlags::WRITE).await?;
    write(&file, 0, bytes).await?;
    Ok(file)
}

async fn remove(directory: &Descriptor, path: &str) -> Result<(), ErrorCode> {
    directory.unlink_file_at(path.to_owned()).await
}

wasip3::cli::command::export!(Fs);
