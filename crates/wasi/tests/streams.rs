//! Files, directories and standard streams as guests stream them: without blocking, and without losing anything.
#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::task::Poll;
use std::time::Duration;

use tombolo_wasi::bytes::{Input, Output};
use tombolo_wasi::filesystem::{
    Descriptor, DescriptorFlags, DescriptorLimit, DirectoryReader, ErrorCode, FileReader, FileWriter,
    HostObject, OpenFlags, Permissions, Position, SymlinkFollow,
};
use tombolo_wasi::stdio::{HostInput, HostOutput, InputSource, OutputTarget};
use tombolo_wasi::{Blocking, Workers};

/// Off the thread that drives the guest, and on it.
fn both() -> [Workers; 2] {
    [Workers::new(4), Workers::default().in_place()]
}

fn apart() -> Workers {
    Workers::default()
}

async fn read_all<I: Input>(input: &mut I) -> Result<Vec<u8>, I::Error> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 1000];
    loop {
        match poll_fn(|cx| input.poll_read(cx, &mut buffer)).await? {
            0 => return Ok(all),
            length => all.extend_from_slice(&buffer[..length]),
        }
    }
}

async fn write_all<O: Output>(output: &mut O, mut bytes: &[u8]) -> Result<(), O::Error> {
    while !bytes.is_empty() {
        let length = poll_fn(|cx| output.poll_write(cx, bytes)).await?;
        bytes = &bytes[length..];
    }
    poll_fn(|cx| output.poll_finish(cx)).await
}

/// Polls once. The waker is the task's own, so a test that goes on waiting is woken.
async fn once<R>(mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<R>) -> Poll<R> {
    poll_fn(|cx| Poll::Ready(poll(cx))).await
}

fn directory(folder: &std::path::Path) -> Descriptor {
    let object = HostObject::open_ambient_directory(folder, &DescriptorLimit::default()).unwrap();
    Descriptor::preopen(object, Permissions::READ_WRITE)
}

fn create(base: &Descriptor, path: &str) -> Descriptor {
    let open = OpenFlags { create: true, ..OpenFlags::default() };
    let flags = DescriptorFlags { read: true, write: true, ..DescriptorFlags::default() };
    base.open_at(path, SymlinkFollow::Keep, open, flags, Blocking::Allow).unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 7 / 3) as u8).collect()
}

#[tokio::test]
async fn files_are_written_and_read_from_an_offset() {
    let bytes = pattern(600_000);
    // A directory on the disk, and one in memory.
    for folder in [tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")), tempfile::tempdir_in("/dev/shm")] {
        let Ok(folder) = folder else { continue };
        for workers in both() {
            let file = create(&directory(folder.path()), &format!("{:?}", workers.blocking()));
            let mut writer = FileWriter::new(&file, Position::At(10), &workers).unwrap();
            write_all(&mut writer, &bytes).await.unwrap();
            let mut appender = FileWriter::new(&file, Position::End, &workers).unwrap();
            write_all(&mut appender, b"the end").await.unwrap();
            let mut reader = FileReader::new(&file, 10, &workers).unwrap();
            let read = read_all(&mut reader).await.unwrap();
            assert!(read == [&bytes, &b"the end"[..]].concat());
            let mut reader = FileReader::new(&file, u64::MAX, &workers).unwrap();
            assert_eq!(read_all(&mut reader).await, Err(ErrorCode::Invalid));
        }
    }
}

#[tokio::test]
async fn a_write_that_was_cancelled_and_made_again_is_made_once() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = create(&directory(folder.path()), "file");
    let mut writer = FileWriter::new(&file, Position::End, &apart()).unwrap();
    // Whether the first attempt gets anywhere before it is cancelled is up to the machine.
    let first = once(|cx| writer.poll_write(cx, b"hello ")).await;
    if first.is_pending() {
        write_all(&mut writer, b"hello ").await.unwrap();
    }
    write_all(&mut writer, b"world").await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"hello world");
}

#[tokio::test]
async fn a_full_disk_is_told() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    for workers in both() {
        let output = HostOutput::new(full.try_clone().unwrap().into(), &workers);
        let error = write_all(&mut output.open(), b"hello").await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
    let devices = directory("/dev".as_ref());
    let flags = DescriptorFlags { write: true, ..DescriptorFlags::default() };
    let full =
        devices.open_at("full", SymlinkFollow::Keep, OpenFlags::default(), flags, Blocking::Allow).unwrap();
    let mut writer = FileWriter::new(&full, Position::At(0), &apart()).unwrap();
    assert_eq!(write_all(&mut writer, b"hello").await, Err(ErrorCode::InsufficientSpace));
}

#[tokio::test]
async fn directories_are_listed_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..1000 {
        std::fs::write(folder.path().join(format!("file-{i}")), "").unwrap();
    }
    for workers in both() {
        let mut reader = DirectoryReader::new(directory(folder.path()), &workers);
        let mut count = 0;
        loop {
            match poll_fn(|cx| reader.poll_batch(cx)).await.unwrap() {
                batch if batch.is_empty() => break,
                batch => count += batch.len(),
            }
        }
        assert_eq!(count, 1000);
        let mut reader = DirectoryReader::new(create(&directory(folder.path()), "file-0"), &workers);
        assert_eq!(poll_fn(|cx| reader.poll_batch(cx)).await, Err(ErrorCode::NotDirectory));
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into(), writer.into())
}

#[tokio::test]
async fn a_pipe_carries_everything_and_ends() {
    let (reader, writer) = pipe();
    let bytes = pattern(3_000_000);
    let mut input = HostInput::new(reader, &apart()).open();
    let mut output = HostOutput::new(writer, &apart()).open();
    let sending = async {
        let sent = write_all(&mut output, &bytes).await;
        drop(output);
        sent
    };
    let (sent, received) = tokio::join!(sending, read_all(&mut input));
    sent.unwrap();
    let received = received.unwrap();
    assert!(received == bytes);
}

#[tokio::test]
async fn an_empty_pipe_does_not_block() {
    let (reader, writer) = pipe();
    let source = HostInput::new(reader, &apart());
    let mut input = source.open();
    let mut buffer = [0; 10];
    assert!(once(|cx| input.poll_ready(cx)).await.is_pending());
    assert!(once(|cx| input.poll_read(cx, &mut buffer)).await.is_pending());
    let mut writer = std::fs::File::from(writer);
    let late = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(20));
        writer.write_all(b"late").unwrap();
        writer
    });
    poll_fn(|cx| input.poll_ready(cx)).await.unwrap();
    // To be told that there is something does not take it.
    assert_eq!(poll_fn(|cx| source.open().poll_read(cx, &mut buffer)).await.unwrap(), 4);
    drop(late.await.unwrap());
    assert_eq!(poll_fn(|cx| input.poll_read(cx, &mut buffer)).await.unwrap(), 0);
}

#[tokio::test]
async fn two_readers_that_wait_for_a_pipe_are_both_woken() {
    let (reader, writer) = pipe();
    let source = HostInput::new(reader, &apart());
    let read = |mut input: Box<dyn Input<Error = std::io::Error>>| {
        tokio::spawn(async move {
            let mut buffer = [0; 1];
            poll_fn(|cx| input.poll_read(cx, &mut buffer)).await.unwrap()
        })
    };
    let (one, two) = (read(source.open()), read(source.open()));
    tokio::time::sleep(Duration::from_millis(10)).await;
    let mut writer = std::fs::File::from(writer);
    writer.write_all(b"x").unwrap();
    drop(writer);
    // One byte for one of them, the end for the other.
    assert_eq!(one.await.unwrap() + two.await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_pipe_does_not_block_and_goes_on() {
    let (reader, writer) = pipe();
    let target = HostOutput::new(writer, &apart());
    let mut output = target.open();
    let chunk = [7; 100_000];
    let mut written = 0;
    while let Poll::Ready(length) = once(|cx| output.poll_write(cx, &chunk)).await {
        written += length.unwrap();
        assert!(written < 10_000_000);
    }
    assert!(once(|cx| output.poll_ready(cx)).await.is_pending());
    let mut reader = std::fs::File::from(reader);
    reader.read_exact(&mut vec![0; written]).unwrap();
    poll_fn(|cx| output.poll_ready(cx)).await.unwrap();
    poll_fn(|cx| output.poll_write(cx, b"more")).await.unwrap();
    drop((output, target));
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"more");
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_is_broken() {
    let (reader, writer) = pipe();
    drop(reader);
    let error = write_all(&mut HostOutput::new(writer, &apart()).open(), b"x").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn standard_streams_that_are_files_keep_their_position() {
    let bytes = pattern(500_000);
    for workers in both() {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "before ").unwrap();
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(b"BEFORE ").unwrap();
        let target = HostOutput::new(file.into(), &workers);
        write_all(&mut target.open(), &bytes[..300_000]).await.unwrap();
        write_all(&mut target.open(), &bytes[300_000..]).await.unwrap();

        let mut file = std::fs::File::open(&path).unwrap();
        file.read_exact(&mut [0; 7]).unwrap();
        let source = HostInput::new(file.into(), &workers);
        let mut beginning = vec![0; 1000];
        let length = poll_fn(|cx| source.open().poll_read(cx, &mut beginning)).await.unwrap();
        beginning.truncate(length);
        // Another stream goes on where the first one stopped.
        let rest = read_all(&mut source.open()).await.unwrap();
        assert!([beginning, rest].concat() == bytes);
    }
}

#[tokio::test]
async fn terminals_are_known_and_read() {
    let controller = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY);
    let Ok(controller) = controller else { return };
    rustix::pty::grantpt(&controller).unwrap();
    rustix::pty::unlockpt(&controller).unwrap();
    let name = rustix::pty::ptsname(&controller, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();

    let source = HostInput::new(terminal.try_clone().unwrap(), &apart());
    let target = HostOutput::new(terminal, &apart());
    assert!(source.is_terminal() && target.is_terminal());
    let mut input = source.open();
    let mut buffer = [0; 100];
    assert!(once(|cx| input.poll_read(cx, &mut buffer)).await.is_pending());
    rustix::io::write(&controller, b"typed\n").unwrap();
    assert_eq!(poll_fn(|cx| input.poll_read(cx, &mut buffer)).await.unwrap(), 6);
    assert_eq!(&buffer[..6], b"typed\n");
    write_all(&mut target.open(), b"shown").await.unwrap();
    // The echo of what was typed comes first, in the same read or in one before.
    let mut shown = String::new();
    while !shown.contains("shown") {
        let length = rustix::io::read(&controller, &mut buffer).unwrap();
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

#[test]
fn without_a_runtime_a_pipe_that_is_ready_works_and_one_that_is_not_says_so() {
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    let (reader, writer) = pipe();
    let mut input = HostInput::new(reader, &apart()).open();
    std::fs::File::from(writer.try_clone().unwrap()).write_all(b"x").unwrap();
    assert!(matches!(input.poll_read(cx, &mut [0; 4]), Poll::Ready(Ok(1))));
    assert!(matches!(input.poll_read(cx, &mut [0; 4]), Poll::Ready(Err(_))));
}
