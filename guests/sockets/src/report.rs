use std::fmt::Debug;

/// What differed.
#[derive(Default)]
pub struct Report {
    differences: Vec<String>,
}

impl Report {
    pub fn check<T: Debug, U: Debug>(&mut self, what: &str, got: T, expected: U) {
        // Many of the types that are compared have no equality of their own.
        let (got, expected) = (format!("{got:?}"), format!("{expected:?}"));
        if got != expected {
            self.fail(&format!("{what}: expected {expected}, got {got}"));
        }
    }

    pub fn fail(&mut self, what: &str) {
        self.differences.push(what.to_owned());
    }

    pub async fn finish(self, case: &str) -> Result<(), ()> {
        if self.differences.is_empty() {
            return support::print("ok\n").await.map_err(drop);
        }
        for difference in self.differences {
            support::eprint(&format!("{case}: {difference}\n")).await;
        }
        Err(())
    }
}
