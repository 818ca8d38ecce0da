//! How times and sizes are written on the command line.

use std::str::FromStr;
use std::time::Duration;

/// How long something may take; `none` for as long as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience(pub(crate) Option<Duration>);

impl FromStr for Patience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Patience(None));
        }
        match parse_duration(text)? {
            Duration::ZERO => Err("no time is enough for nothing: write `none` for no limit".to_owned()),
            time => Ok(Patience(Some(time))),
        }
    }
}

/// Reads a time: a number with its unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];
    let (number, unit) = number_and_unit(text, &units).ok_or("write a time such as 500ms, 10s, 2m or 1h")?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| "write a time that is not so long".to_owned())
}

/// Reads a number of bytes, with a unit of 1024 of the next.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let mut units = Vec::new();
    for (letter, unit) in [("K", 1_u64 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)] {
        units.extend(
            [letter.to_owned(), format!("{letter}B"), format!("{letter}iB")].map(|name| (name, unit as f64)),
        );
    }
    units.extend([("B".to_owned(), 1.0), (String::new(), 1.0)]);
    let units: Vec<(&str, f64)> = units.iter().map(|(name, unit)| (name.as_str(), *unit)).collect();
    let (number, unit) =
        number_and_unit(text, &units).ok_or("write a size such as 64M, 1G or a number of bytes")?;
    Ok((number * unit) as u64)
}

/// Reads a size of stacks, which are not as large as memories.
pub(crate) fn parse_stack_size(text: &str) -> Result<usize, String> {
    match parse_size(text)? {
        size @ 0x4000..=0x4000_0000 => Ok(size as usize),
        _ => Err("a stack has from 16K to 1G".to_owned()),
    }
}

/// Splits `1.5G` into a number and what its unit is worth. Letters may be small.
fn number_and_unit(text: &str, units: &[(&str, f64)]) -> Option<(f64, f64)> {
    let (number, name) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let (_, unit) = units.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name.trim()))?;
    Some((number.parse().ok()?, *unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_patience_is_not_endless_patience() {
        assert_eq!("none".parse(), Ok(Patience(None)));
        assert_eq!("1s".parse(), Ok(Patience(Some(Duration::from_secs(1)))));
        for text in ["0", "0s", "0.0ms", ""] {
            assert!(text.parse::<Patience>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_and_sizes_have_units() {
        let millis = |text: &str| parse_duration(text).map(|time| time.as_millis());
        for (text, expected) in
            [("500ms", 500), ("1.5s", 1500), ("2", 2000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(millis(text), Ok(expected));
        }
        for (text, expected) in
            [("64M", 64 << 20), ("1.5k", 1536), ("1GiB", 1 << 30), ("2mb", 2 << 20), ("100", 100), ("7 B", 7)]
        {
            assert_eq!(parse_size(text), Ok(expected));
        }
        for text in ["", "s", "10 x", "-1s", "1..2s", "1e99s", "99999999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
            assert!(text == "s" || parse_size(text).is_err(), "{text}");
        }
        assert!(parse_stack_size("1K").is_err() && parse_stack_size("1T").is_err());
        assert_eq!(parse_stack_size("1m"), Ok(1 << 20));
    }
}
