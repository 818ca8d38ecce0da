//! `fields`.

use wasip3::http::types::{Fields, HeaderError};

pub fn perform(fields: &mut Fields, words: &[&str]) -> String {
    match *words {
        ["new"] => {
            *fields = Fields::new();
            "ok".to_owned()
        }
        ["clone"] => {
            *fields = fields.clone();
            "ok".to_owned()
        }
        ["from-list", ref entries @ ..] => {
            let entries: Vec<_> = entries
                .iter()
                .map(|entry| entry.split_once('=').unwrap_or((entry, "")))
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                .collect();
            outcome(Fields::from_list(&entries).map(|made| *fields = made))
        }
        ["append", name, value] => outcome(fields.append(name, value.as_bytes())),
        // A value of so many bytes.
        ["append-large", name, count] => outcome(fields.append(name, &vec![b'x'; count.parse().unwrap()])),
        ["append-bytes", name] => outcome(fields.append(name, b"a\nb")),
        ["set", name, ref values @ ..] => {
            let values: Vec<_> = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            outcome(fields.set(name, &values))
        }
        ["delete", name] => outcome(fields.delete(name)),
        ["take", name] => match fields.get_and_delete(name) {
            Ok(values) => list(&values),
            Err(error) => outcome(Err(error)),
        },
        ["get", name] => list(&fields.get(name)),
        ["has", name] => fields.has(name).to_string(),
        ["all"] => {
            let all = fields.copy_all();
            let all: Vec<_> = all
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                .collect();
            all.join(" ")
        }
        // Copies until there are so many, to be dropped together.
        ["copies", count] => {
            let count: usize = count.parse().unwrap();
            let copies: Vec<_> = (0..count).map(|_| fields.clone()).collect();
            copies.len().to_string()
        }
        _ => format!("unknown: {}", words.join(" ")),
    }
}

fn list(values: &[Vec<u8>]) -> String {
    let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
    format!("[{}]", values.join(" "))
}

fn outcome(result: Result<(), HeaderError>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(HeaderError::InvalidSyntax) => "invalid-syntax".to_owned(),
        Err(HeaderError::Forbidden) => "forbidden".to_owned(),
        Err(HeaderError::Immutable) => "immutable".to_owned(),
        Err(HeaderError::SizeExceeded) => "size-exceeded".to_owned(),
        Err(HeaderError::Other(_)) => "other".to_owned(),
    }
}
