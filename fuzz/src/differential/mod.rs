//! Runs generated modules in Tombolo and in an oracle, and compares all that can be seen of them.
//!
//! What may differ, and is kept out:
//!
//! - **The bits of NaNs** (core specification, 4.3.3): modules with floats make every NaN that they compute the canonical
//!   one, by instructions of their own.
//! - **Relaxed vector instructions**: the oracle is told to behave as the specification's deterministic profile says, and
//!   so they are not generated; the reference tests have them.
//! - **Resources**: what is generated has small maxima, so that growing succeeds on both sides or on neither. How deep the
//!   stack goes is nobody's promise: when either side runs out of it, what follows is not compared.
//! - **Which trap it is** when an atomic access is both unaligned and out of bounds: the specification only says that it
//!   traps.
//! - **Waiting** in a shared memory, which would block the oracle's thread.

mod event;
mod generate;
mod oracle;
mod subject;

use arbitrary::Unstructured;

use crate::{Counts, Finding, Target};
use event::{Event, Outcome};
use generate::Plan;
use oracle::Oracle;
use subject::{Subject, Unsuitable};

/// The target.
pub struct Differential {
    subject: Subject,
    oracle: Oracle,
}

impl Target for Differential {
    const NAME: &'static str = "differential";
    const LONGEST: usize = 1024;

    fn new() -> anyhow::Result<Self> {
        Ok(Differential { subject: Subject::new()?, oracle: Oracle::new()? })
    }

    fn run(&mut self, input: &[u8], counts: &mut Counts) -> Result<(), Finding> {
        let plan = match Plan::new(&mut Unstructured::new(input)) {
            Ok(plan) => plan,
            Err(error) => {
                counts.count(&format!("inputs without a module: {error}"));
                return Ok(());
            }
        };
        let mine = match self.subject.run(&plan) {
            Ok(events) => events,
            Err(Unsuitable::Unsupported(what)) => {
                counts.count(&format!("modules refused, as they should be: {what}"));
                return Ok(());
            }
            Err(Unsuitable::Wrong(finding)) => return Err(finding),
        };
        let theirs = self.oracle.run(&plan)?;
        compare(&plan, &mine, &theirs, counts)
    }

    fn show(&mut self, input: &[u8]) -> String {
        match Plan::new(&mut Unstructured::new(input)) {
            Ok(plan) => plan.to_string(),
            Err(error) => format!(";; no module: {error}\n"),
        }
    }
}

/// Compares the events of both sides.
fn compare(plan: &Plan, mine: &[Event], theirs: &[Event], counts: &mut Counts) -> Result<(), Finding> {
    for (index, (mine, theirs)) in mine.iter().zip(theirs).enumerate() {
        if mine.is(&Outcome::Exhausted) || theirs.is(&Outcome::Exhausted) {
            counts.count("modules that ran out of stack");
            return Ok(());
        }
        if !mine.agrees_with(theirs) {
            return Err(Finding(format!(
                "event {index} differs ({})\ntombolo: {}\noracle:  {}",
                plan.setting,
                mine.beside(theirs),
                theirs.beside(mine)
            )));
        }
        mine.count(counts);
    }
    if mine.len() != theirs.len() {
        let (mine, theirs) = (mine.len(), theirs.len());
        return Err(Finding(format!("{mine} events of tombolo, {theirs} of the oracle ({})", plan.setting)));
    }
    Ok(())
}
