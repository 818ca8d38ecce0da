//! Disks that fill up under a program: it gets the documented error, and everything that was taken from it is there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a shell does around the command, which it finds in `$@`: its arguments and `$DIR` are given.
fn run(wrapper: &str, directory: &Path, operations: &[&str]) -> Output {
    Command::new("sh")
        .args(["-c", wrapper, "sh", env!("CARGO_BIN_EXE_tombolo"), "run", "--dir"])
        .arg(format!("{}::root", directory.display()))
        .arg(guest())
        .args(operations)
        .env("DIR", directory)
        .output()
        .unwrap()
}

fn guest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/files/files.wasm")
}

/// Whether this machine lets a test mount something where nobody else sees it.
fn may_mount() -> bool {
    Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"])
        .output()
        .is_ok_and(|output| output.status.success())
}

const WRITE: [&str; 4] = [
    "f = root open file create read write",
    "f write-much 0 1000000",
    "f stat",
    "g = root open other create write",
];

#[test]
fn the_disk_fills() {
    if !may_mount() {
        eprintln!("nothing may be mounted here: only the limit on the size of a file is tested");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wrapper =
        "exec unshare --mount sh -c 'mount -t tmpfs -o size=64k none \"$DIR\" && exec \"$@\"' sh \"$@\"";
    let output = run(wrapper, folder.path(), &WRITE);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    let taken = lines.get(1).and_then(|line| line.strip_suffix(" InsufficientSpace"));
    let taken: u64 = taken.unwrap_or_else(|| panic!("{text}{errors}")).parse().unwrap();
    assert!((1..=65_536).contains(&taken), "{text}");
    // Nothing that was taken is lost, and nothing else is there.
    assert_eq!(lines[2], format!("RegularFile {taken} bytes 1 links"));
    assert!(output.status.success(), "{errors}");
}

#[test]
fn a_limit_on_the_size_of_a_file_is_an_error_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    // In units of 512 or 1024 bytes, as the shell has it.
    let output = run("ulimit -f 64 && exec \"$@\"", folder.path(), &WRITE);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{:?} {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    let size = std::fs::metadata(folder.path().join("file")).unwrap().len();
    assert!(size == 32_768 || size == 65_536, "{size}");
    let expected = format!("ok\n{size} FileTooLarge\nRegularFile {size} bytes 1 links\nok\n");
    assert_eq!(text, expected);
}
