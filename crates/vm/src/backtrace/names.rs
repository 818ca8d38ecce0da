//! Names as people read them.

use std::fmt::{self, Write};

/// The longest name that is shown whole, in characters; instances of Rust's generics know no bounds.
const LONGEST: usize = 160;

/// Shows a name demangled, without what a compiler added to make it unique, and cut off where it is too long: names
/// come from the guest.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bounded = Bounded { f, left: LONGEST, cut: false };
        // An alternate form is the one without the hash.
        match write!(bounded, "{:#}", rustc_demangle::demangle(self.0)) {
            // The formatting stopped because there is no more room, which is no error.
            Err(_) if bounded.cut => Ok(()),
            other => other,
        }
    }
}

/// Passes on so many characters.
struct Bounded<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    left: usize,
    cut: bool,
}

impl Write for Bounded<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match text.char_indices().nth(self.left) {
            None => {
                self.left -= text.chars().count();
                self.f.write_str(text)
            }
            Some((end, _)) => {
                self.f.write_str(text.get(..end).unwrap_or_default())?;
                self.f.write_char('…')?;
                self.cut = true;
                Err(fmt::Error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_demangled_and_bounded() {
        assert_eq!(Shown("_ZN4trap3one17h0123456789abcdefE").to_string(), "trap::one");
        assert_eq!(Shown("$plain").to_string(), "$plain");
        assert_eq!(Shown(&"ä".repeat(160)).to_string().chars().count(), 160);
        let long = Shown(&"ä".repeat(100_000)).to_string();
        assert_eq!(long.chars().count(), 161);
        assert!(long.ends_with('…'));
        // Each reference back doubles what came before.
        let bomb = format!("_RM{}{}", "TB2_B2_".repeat(2000), "E".repeat(2000));
        assert!(Shown(&bomb).to_string().chars().count() <= 161);
    }
}
