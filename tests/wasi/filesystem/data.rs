//! An open file's data.

use crate::guest::{expect_everywhere, expect_on_host};
use crate::tree::HostTree;

#[tokio::test]
async fn reads_begin_at_an_offset_and_end_with_the_file() {
    expect_everywhere(&[
        ("f = root open file read", "ok"),
        ("f read 0", "hello"),
        ("f read 3", "lo"),
        ("f read 5", "nothing"),
        ("f read 1000000000000", "nothing"),
        ("f read 9223372036854775807", "nothing"),
        // No file has such an offset; for the last one the kernel has another meaning.
        ("f read 9223372036854775808", "Invalid"),
        ("f read 18446744073709551615", "Invalid"),
    ])
    .await;
}

#[tokio::test]
async fn writes_overwrite_extend_and_append() {
    expect_everywhere(&[
        ("f = root open file read write", "ok"),
        ("f write 1 EL", "ok"),
        ("f read 0", "hELlo"),
        ("f append !", "ok"),
        ("f read 0", "hELlo!"),
        ("f write 8 far", "ok"),
        ("f read 0", "hELlo!\0\0far"),
        ("f append .", "ok"),
        ("f read 8", "far."),
        ("f write-nothing 100", "ok"),
        ("f stat", "RegularFile 12 bytes 1 links"),
        ("f write 9223372036854775807 x", "FileTooLarge"),
        ("f write 18446744073709551615 x", "FileTooLarge"),
        ("f write-much 0 300000", "300000 ok"),
        ("f stat", "RegularFile 300000 bytes 1 links"),
    ])
    .await;
}

#[tokio::test]
async fn set_size_cuts_and_extends() {
    expect_everywhere(&[
        ("f = root open file read write", "ok"),
        ("f set-size 2", "ok"),
        ("f read 0", "he"),
        ("f set-size 4", "ok"),
        ("f read 0", "he\0\0"),
        ("f set-size 0", "ok"),
        ("f read 0", "nothing"),
        ("f set-size 9223372036854775808", "FileTooLarge"),
        ("f set-size 18446744073709551615", "FileTooLarge"),
    ])
    .await;
}

#[tokio::test]
async fn streams_on_one_file_do_not_disturb_each_other() {
    expect_everywhere(&[
        ("f = root open file read write", "ok"),
        ("g = root open file write", "ok"),
        ("f append one", "ok"),
        ("g append two", "ok"),
        ("f append three", "ok"),
        ("f read 0", "helloonetwothree"),
        ("n = root open new create read write", "ok"),
        ("copy f n", "ok ok"),
        ("n read 0", "helloonetwothree"),
        ("copy n n", "ok ok"),
        ("n read 0", "helloonetwothree"),
    ])
    .await;
}

#[tokio::test]
async fn files_that_are_not_open_for_it_are_neither_read_nor_written() {
    expect_everywhere(&[
        ("r = root open file read", "ok"),
        ("w = root open file write", "ok"),
        ("p = root open file", "ok"),
        ("r write 0 x", "BadDescriptor"),
        ("r append x", "BadDescriptor"),
        ("r set-size 0", "BadDescriptor"),
        ("w read 0", "BadDescriptor"),
        ("p read 0", "BadDescriptor"),
        ("p write 0 x", "BadDescriptor"),
        ("p set-size 0", "BadDescriptor"),
        ("root read 0", "IsDirectory"),
        ("root write 0 x", "BadDescriptor"),
        ("root append x", "BadDescriptor"),
        ("root set-size 0", "BadDescriptor"),
        ("copy r r", "ok BadDescriptor"),
        ("copy w w", "BadDescriptor ok"),
        ("r read 0", "hello"),
    ])
    .await;
}

#[tokio::test]
async fn sync_and_advice_are_taken() {
    expect_everywhere(&[
        ("f = root open file read write", "ok"),
        ("f write 0 H", "ok"),
        ("f sync", "ok"),
        ("f sync-data", "ok"),
        ("r = root open file read", "ok"),
        ("r sync", "ok"),
        ("r sync-data", "ok"),
        ("p = root open file", "ok"),
        ("p sync", "ok"),
        ("root sync", "ok"),
        ("root sync-data", "ok"),
        ("s = root open file write file-sync", "ok"),
        ("s write 1 E", "ok"),
        ("s = root open file read write data-sync read-sync", "ok"),
        ("s append !", "ok"),
        ("s read 0", "HEllo!"),
        ("f advise 0 0 normal", "ok"),
        ("f advise 0 3 sequential", "ok"),
        ("f advise 1 3 random", "ok"),
        ("f advise 0 100 will-need", "ok"),
        ("f advise 100 100 dont-need", "ok"),
        ("f advise 0 3 no-reuse", "ok"),
        ("f advise 9223372036854775808 1 normal", "Invalid"),
        ("f advise 0 18446744073709551615 normal", "Invalid"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_written_is_in_the_file() {
    let tree = HostTree::new();
    let script = [("f = root open file write", "ok"), ("f write 0 HELLO", "ok"), ("f append !", "ok")];
    expect_on_host(&tree, &script).await;
    assert_eq!(tree.read("inside/file"), "HELLO!");
}
