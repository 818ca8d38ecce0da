//! Names in WIT's spelling: kebab-case.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Error, Result};

/// The WIT name of a field or flag: `link_count` and `LINK_COUNT` are `link-count`.
pub(crate) fn of_snake(ident: &Ident) -> Result<String> {
    checked(ident, ident.unraw().to_string().to_lowercase().replace('_', "-"))
}

/// The WIT name of a case: `NotFound` is `not-found`, `HTTPError` is `http-error`.
pub(crate) fn of_camel(ident: &Ident) -> Result<String> {
    checked(ident, kebab(&ident.unraw().to_string()))
}

fn kebab(camel: &str) -> String {
    let chars: Vec<char> = camel.chars().collect();
    let mut name = String::new();
    for (i, c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|i| chars.get(i));
        let after = chars.get(i + 1);
        let starts_word = c.is_uppercase()
            && before.is_some_and(|before| {
                !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase())
            });
        if starts_word && !name.ends_with('-') {
            name.push('-');
        }
        match c {
            '_' => name.push('-'),
            c => name.extend(c.to_lowercase()),
        }
    }
    name
}

fn checked(ident: &Ident, name: String) -> Result<String> {
    check(&name).map_err(|message| {
        Error::new(ident.span(), format!("{message}; say `#[component(name = \"…\")]`"))
    })?;
    Ok(name)
}

/// Whether WIT allows the name: words or acronyms, separated by `-`, the first of which starts with a letter.
pub(crate) fn check(name: &str) -> std::result::Result<(), String> {
    let word = |word: &str| {
        let lower = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let upper = word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        !word.is_empty() && (lower || upper)
    };
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.split('-').all(word) {
        return Ok(());
    }
    Err(format!("`{name}` is not a name in WIT: it takes words like `a-b2-c`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_spelled_as_wit_does() {
        for (camel, expected) in [
            ("NotFound", "not-found"),
            ("Io", "io"),
            ("HTTPError", "http-error"),
            ("Http2Error", "http2-error"),
            ("A", "a"),
            ("DNSTimeout", "dns-timeout"),
            ("Already_There", "already-there"),
            ("lower", "lower"),
        ] {
            assert_eq!(kebab(camel), expected);
        }
    }

    #[test]
    fn fields_and_flags_are_spelled_as_wit_does() {
        let name = |ident: &str| of_snake(&Ident::new_raw(ident, proc_macro2::Span::call_site())).unwrap();
        assert_eq!((name("type").as_str(), name("link_count").as_str()), ("type", "link-count"));
        assert_eq!(name("SYMLINK_FOLLOW"), "symlink-follow");
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for name in ["", "-", "a-", "-a", "a--b", "a_b", "aB", "1a", "ä"] {
            assert!(check(name).is_err(), "{name}");
        }
        for name in ["a", "a-b", "a1", "a-1", "URL", "a-URL-b"] {
            assert!(check(name).is_ok(), "{name}");
        }
    }
}
