//! What happened, and how often: whether inputs did anything at all.

use std::collections::BTreeMap;
use std::fmt;

/// How often each thing happened; of what begins with `most`, how much it was at most.
#[derive(Clone, Debug, Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Counts something.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Counts something several times, or notes how much it was if its name begins with `most`.
    pub fn add(&mut self, what: &str, times: u64) {
        match self.0.get_mut(what) {
            Some(count) if what.starts_with("most ") => *count = times.max(*count),
            Some(count) => *count += times,
            None => drop(self.0.insert(what.to_owned(), times)),
        }
    }

    /// Adds what was counted elsewhere.
    pub fn merge(&mut self, other: &Counts) {
        for (what, times) in &other.0 {
            self.add(what, *times);
        }
    }

    /// A line for each; [`Counts::parse`] reads them.
    pub fn parse(text: &str) -> Counts {
        let mut counts = Counts::default();
        for line in text.lines() {
            if let Some((times, what)) = line.trim().split_once(' ')
                && let Ok(times) = times.parse()
            {
                counts.add(what.trim(), times);
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, times)| writeln!(f, "{times:>12} {what}"))
    }
}
