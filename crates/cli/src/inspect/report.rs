//! Everything that `inspect` has to say, ready to be written as text or as JSON.

use serde::Serialize;

use super::wit::Wit;
use crate::contents::{Part, Producer};
use crate::diagnostics::Failure;
use crate::load::Source;
use crate::provided::Needs;
use crate::role::{self, Role};

/// Everything that `inspect` has to say of a file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) file: String,
    #[serde(flatten)]
    pub(crate) role: Role,
    /// What it imports and exports, as WIT; none for a core module.
    #[serde(flatten)]
    pub(crate) wit: Option<Wit>,
    pub(crate) needs: Needs,
    pub(crate) contents: Part,
    /// The tools that made the file and the parts in it.
    pub(crate) made_by: Vec<Producer>,
}

impl Report {
    /// Inspects a file.
    pub(crate) fn of(source: &Source) -> Result<Report, Failure> {
        let contents = source.check()?;
        let (role, wit, needs) = match &contents {
            Part::Component(_) => {
                let wit = Wit::of(&source.bytes);
                let role = if let Wit::Package(_) = wit { Role::WitPackage } else { Role::of(&contents) };
                (role, Some(wit), Needs::of(&contents))
            }
            Part::Module(_) => (Role::of(&contents), None, Needs::default()),
        };
        let made_by = role::producers(&contents);
        Ok(Report { file: source.path.display().to_string(), role, wit, needs, contents, made_by })
    }
}
