//! Everything that `inspect` has to say, ready to be written as text or as JSON.

use serde::Serialize;
use wasmparser::{Validator, WasmFeatures};

use super::wit::Wit;
use crate::contents::{Part, Producer};
use crate::diagnostics::Failure;
use crate::load::Source;
use crate::provided::{self, Grant, Provision};
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

/// A component's imports.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Needs {
    /// What `tombolo run` provides.
    pub(crate) provided: Vec<Provided>,
    /// What nothing provides.
    pub(crate) missing: Vec<Missing>,
}

/// An import that `tombolo run` provides.
#[derive(Debug, Serialize)]
pub(crate) struct Provided {
    pub(crate) name: String,
    /// The flag that grants what is behind it, where one is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<Grant>,
}

/// An import that nothing provides.
#[derive(Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) name: String,
    /// Why, and what to do.
    pub(crate) why: String,
}

impl Report {
    /// Inspects a file.
    pub(crate) fn of(source: &Source) -> Result<Report, Failure> {
        let contents = read(source)?;
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

impl Needs {
    fn of(component: &Part) -> Needs {
        let mut needs = Needs::default();
        for import in &component.common().imports {
            // Types are imported along with what uses them.
            if import.kind == "type" {
                continue;
            }
            let name = import.name.clone();
            match provided::look_up(&name) {
                Provision::Provided(grant) => needs.provided.push(Provided { name, grant }),
                Provision::Missing(why) => needs.missing.push(Missing { name, why }),
            }
        }
        needs
    }
}

/// Validates and decodes a file.
pub(super) fn read(source: &Source) -> Result<Part, Failure> {
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(&source.bytes)
        .map_err(|error| source.malformed(&error))?;
    Part::read(&source.bytes).map_err(|error| source.malformed(&error))
}
