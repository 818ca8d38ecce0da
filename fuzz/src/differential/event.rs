//! What can be seen of a module that runs.

use std::fmt;

use crate::Counts;

/// Something that happened, or that was there at the end.
#[derive(Clone, PartialEq)]
pub(super) enum Event {
    /// The module was instantiated, or not.
    Instantiated(Outcome),
    /// An export was called.
    Called(String, Outcome),
    /// The guest called an import.
    Host(usize, Vec<Value>),
    /// A memory at the end.
    Memory(String, Vec<u8>),
    /// A global at the end.
    Global(String, Value),
    /// A table at the end: which elements are null.
    Table(String, Vec<bool>),
}

/// How something ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// With these values.
    Returned(Vec<Value>),
    /// With a trap of this kind, as the specification's tests word it, more or less.
    Trapped(&'static str),
    /// With an exception that nobody caught.
    Thrown,
    /// The stack was used up.
    Exhausted,
    /// It was not called: an argument has no value, such as a non-null reference to nothing.
    NotCalled,
}

/// A value as far as both sides can tell.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// The bits of a number or vector.
    Bits(u128),
    /// A null reference.
    Null,
    /// A reference to something of the guest's.
    Reference,
    /// A reference to something of the host's.
    Host(u64),
}

impl Event {
    pub(super) fn is(&self, outcome: &Outcome) -> bool {
        matches!(self, Event::Instantiated(found) | Event::Called(_, found) if found == outcome)
    }

    /// Whether both sides may be right.
    pub(super) fn agrees_with(&self, other: &Event) -> bool {
        use Outcome::Trapped;
        const BOTH: [&str; 2] = ["unaligned atomic", "memory out of bounds"];
        match (self, other) {
            (Event::Instantiated(Trapped(mine)), Event::Instantiated(Trapped(theirs)))
            | (Event::Called(_, Trapped(mine)), Event::Called(_, Trapped(theirs)))
                if BOTH.contains(mine) && BOTH.contains(theirs) =>
            {
                true
            }
            _ => self == other,
        }
    }

    pub(super) fn count(&self, counts: &mut Counts) {
        match self {
            Event::Instantiated(outcome) => counts.count(&format!("instantiations that {}", outcome.verb())),
            Event::Called(_, outcome) => counts.count(&format!("calls that {}", outcome.verb())),
            Event::Host(..) => counts.count("calls of imports"),
            Event::Memory(_, bytes) => {
                let touched = bytes.iter().any(|byte| *byte != 0);
                counts.count(if touched { "memories with content" } else { "memories without content" });
            }
            Event::Global(..) => counts.count("globals"),
            Event::Table(..) => counts.count("tables"),
        }
    }

    /// Shows the event where it differs from another.
    pub(super) fn beside(&self, other: &Event) -> String {
        match (self, other) {
            (Event::Memory(name, mine), Event::Memory(_, theirs)) => {
                let at = mine.iter().zip(theirs).position(|(mine, theirs)| mine != theirs);
                let at = at.unwrap_or_else(|| mine.len().min(theirs.len()));
                let there = mine.get(at..mine.len().min(at + 16)).unwrap_or_default();
                format!("memory {name} of {} bytes, from {at:#x}: {there:02x?}", mine.len())
            }
            _ => format!("{self:?}"),
        }
    }
}

impl Outcome {
    fn verb(&self) -> String {
        match self {
            Outcome::Returned(_) => "returned".into(),
            Outcome::Trapped(kind) => format!("trapped: {kind}"),
            Outcome::Thrown => "threw".into(),
            Outcome::Exhausted => "ran out of stack".into(),
            Outcome::NotCalled => "were not made".into(),
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Instantiated(outcome) => write!(f, "instantiation: {outcome:?}"),
            Event::Called(name, outcome) => write!(f, "call of {name:?}: {outcome:?}"),
            Event::Host(import, values) => write!(f, "import {import} called with {values:?}"),
            Event::Memory(name, bytes) => write!(f, "memory {name:?} of {} bytes", bytes.len()),
            Event::Global(name, value) => write!(f, "global {name:?}: {value:?}"),
            Event::Table(name, elements) => write!(f, "table {name:?}, nulls: {elements:?}"),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bits(bits) => write!(f, "{bits:#x}"),
            Value::Null => f.write_str("null"),
            Value::Reference => f.write_str("reference"),
            Value::Host(word) => write!(f, "host({word})"),
        }
    }
}
