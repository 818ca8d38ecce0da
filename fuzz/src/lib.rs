//! What Tombolo is fuzzed with. README.md says how to run it.
//!
//! A [`Target`] takes an input, arbitrary bytes, and says whether Tombolo did with it what it should. The same targets
//! stand behind the fuzzer (`fuzz_targets/`) and behind the driver of this package, which needs none.

pub mod component;
pub mod differential;
pub mod no_crash;

mod bits;
mod counts;
mod memory;

pub use bits::Bits;
pub use counts::Counts;

/// One thing to fuzz, with what it keeps from input to input.
pub trait Target {
    /// Its name on the command line.
    const NAME: &'static str;

    /// The longest input that is worth trying.
    const LONGEST: usize;

    /// Makes one.
    ///
    /// # Errors
    /// When something is missing on this machine.
    fn new() -> anyhow::Result<Self>
    where
        Self: Sized;

    /// Tries an input, and counts what happened.
    ///
    /// # Errors
    /// What Tombolo did wrong.
    fn run(&mut self, input: &[u8], counts: &mut Counts) -> Result<(), Finding>;

    /// Describes an input for people: the module or component that it stands for, as text.
    fn show(&mut self, input: &[u8]) -> String;
}

/// What Tombolo did wrong, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Finding(pub String);

impl Finding {
    /// A finding that happened while something was done.
    pub fn while_doing(what: &str, error: impl std::fmt::Debug) -> Finding {
        Finding(format!("{what}: {error:?}"))
    }
}

/// Makes a target the fuzzer's.
#[cfg(feature = "libfuzzer")]
#[macro_export]
macro_rules! fuzz {
    ($target:ty) => {
        std::thread_local! {
            static TARGET: std::cell::RefCell<$target> =
                std::cell::RefCell::new(<$target as $crate::Target>::new().expect("the target can be made"));
        }

        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| {
            let mut counts = $crate::Counts::default();
            let found = TARGET.with_borrow_mut(|target| $crate::Target::run(target, input, &mut counts));
            if let Err(finding) = found {
                panic!("{finding}");
            }
        });
    };
}

#[cfg(feature = "libfuzzer")]
pub use libfuzzer_sys;
