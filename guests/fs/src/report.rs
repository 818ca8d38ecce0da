use std::fmt::Debug;

/// What differed.
#[derive(Default)]
pub struct Report {
    differences: String,
}

impl Report {
    pub fn check<T: Debug + PartialEq<U>, U: Debug>(&mut self, what: &str, got: T, expected: U) {
        if got != expected {
            self.fail(&format!("{what}: expected {expected:?}, got {got:?}"));
        }
    }

    pub fn fail(&mut self, what: &str) {
        self.differences += &format!("fs: {what}\n");
    }

    pub async fn finish(self) -> Result<(), ()> {
        if self.differences.is_empty() {
            support::print("fs: ok\n").await.map_err(drop)
        } else {
            support::eprint(&self.differences).await;
            Err(())
        }
    }
}
