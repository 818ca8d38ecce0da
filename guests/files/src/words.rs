//! The words of operations and outcomes.

use wasip3::clocks::system_clock::Instant;
use wasip3::filesystem::types::{
    Advice, DescriptorFlags, DescriptorType, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};

use crate::Outcome;

pub fn show(outcome: Outcome) -> String {
    match outcome {
        Ok(text) => text,
        Err(ErrorCode::Other(Some(text))) => format!("Other: {text}"),
        Err(error) => format!("{error:?}").trim_start_matches("ErrorCode::").to_owned(),
    }
}

pub fn done(result: Result<(), ErrorCode>) -> Outcome {
    result.map(|()| "ok".to_owned())
}

pub fn unknown(word: &str) -> ErrorCode {
    ErrorCode::Other(Some(format!("what is {word}?")))
}

/// A path, or anything else that may hold any byte.
pub fn text(word: &str) -> String {
    if word == "''" {
        return String::new();
    }
    let mut parts = word.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .split_at_checked(2)
            .and_then(|(code, rest)| Some((u8::from_str_radix(code, 16).ok()?, rest)))
        {
            Some((code, rest)) => {
                text.push(char::from(code));
                text += rest;
            }
            None => {
                text.push('%');
                text += part;
            }
        }
    }
    text
}

pub fn path_flags(words: &[&str]) -> PathFlags {
    if words.contains(&"follow") { PathFlags::SYMLINK_FOLLOW } else { PathFlags::empty() }
}

pub fn open_flags(words: &[&str]) -> OpenFlags {
    [
        ("create", OpenFlags::CREATE),
        ("directory", OpenFlags::DIRECTORY),
        ("exclusive", OpenFlags::EXCLUSIVE),
        ("truncate", OpenFlags::TRUNCATE),
    ]
    .into_iter()
    .filter(|(word, _)| words.contains(word))
    .fold(OpenFlags::empty(), |flags, (_, flag)| flags | flag)
}

const DESCRIPTOR_FLAGS: [(&str, DescriptorFlags); 6] = [
    ("read", DescriptorFlags::READ),
    ("write", DescriptorFlags::WRITE),
    ("file-sync", DescriptorFlags::FILE_INTEGRITY_SYNC),
    ("data-sync", DescriptorFlags::DATA_INTEGRITY_SYNC),
    ("read-sync", DescriptorFlags::REQUESTED_WRITE_SYNC),
    ("mutate", DescriptorFlags::MUTATE_DIRECTORY),
];

pub fn descriptor_flags(words: &[&str]) -> DescriptorFlags {
    DESCRIPTOR_FLAGS
        .into_iter()
        .filter(|(word, _)| words.contains(word))
        .fold(DescriptorFlags::empty(), |flags, (_, flag)| flags | flag)
}

pub fn show_flags(flags: DescriptorFlags) -> String {
    let words: Vec<&str> = DESCRIPTOR_FLAGS
        .into_iter()
        .filter(|(_, flag)| flags.contains(*flag))
        .map(|(word, _)| word)
        .collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

/// `now`, `keep`, or `SECONDS:NANOSECONDS`.
pub fn time(word: &str) -> Result<NewTimestamp, ErrorCode> {
    match word {
        "now" => Ok(NewTimestamp::Now),
        "keep" => Ok(NewTimestamp::NoChange),
        instant => {
            let parsed = instant.split_once(':').and_then(|(seconds, nanoseconds)| {
                Some(Instant { seconds: seconds.parse().ok()?, nanoseconds: nanoseconds.parse().ok()? })
            });
            parsed.map(NewTimestamp::Timestamp).ok_or_else(|| unknown(instant))
        }
    }
}

pub fn show_time(time: Option<Instant>) -> String {
    time.map_or("none".to_owned(), |time| format!("{}:{}", time.seconds, time.nanoseconds))
}

pub fn advice(word: &str) -> Result<Advice, ErrorCode> {
    Ok(match word {
        "normal" => Advice::Normal,
        "sequential" => Advice::Sequential,
        "random" => Advice::Random,
        "will-need" => Advice::WillNeed,
        "dont-need" => Advice::DontNeed,
        "no-reuse" => Advice::NoReuse,
        word => return Err(unknown(word)),
    })
}

pub fn show_type(kind: &DescriptorType) -> String {
    format!("{kind:?}").trim_start_matches("DescriptorType::").to_owned()
}

pub fn number(word: &str) -> Result<u64, ErrorCode> {
    word.parse().map_err(|_| unknown(word))
}
