use std::fmt::Debug;

/// What was checked, and what differed.
#[derive(Default)]
pub struct Report {
    checks: u32,
    differences: String,
}

impl Report {
    pub fn check<T: PartialEq + Debug>(&mut self, what: &str, got: T, expected: T) {
        self.checks += 1;
        if got != expected {
            self.differences += &format!("pair: {what}: expected {expected:?}, got {got:?}\n");
        }
    }

    /// Prints the outcome; fails when anything differed, or when nothing was checked.
    pub async fn finish(self) -> Result<(), ()> {
        if self.checks == 0 {
            support::eprint("pair: nothing checked; the argument is values, counters or flow\n").await;
            return Err(());
        }
        if !self.differences.is_empty() {
            support::eprint(&self.differences).await;
            return Err(());
        }
        support::print("pair: ok\n").await.map_err(drop)
    }
}

/// Checks that a call gives what is expected, and names the call when it does not.
macro_rules! check {
    ($report:expr, $call:expr, $expected:expr $(,)?) => {
        $report.check(stringify!($call), $call, $expected)
    };
}
pub(crate) use check;
