//! Everything that `inspect` has to say, ready to be written as text or as JSON.

use serde::Serialize;
use wasmparser::{Validator, WasmFeatures};
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::PackageId;

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

/// What a component imports and exports, or the definitions it holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wit {
    /// As WIT, without the interfaces it names.
    World(String),
    /// A package of interface definitions, as WIT.
    Package(String),
    /// Why it cannot be written as WIT: the binary format can say more.
    #[serde(rename = "no_wit")]
    Unwritable(String),
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

impl Wit {
    fn of(bytes: &[u8]) -> Wit {
        let decoded = match wit_component::decode(bytes) {
            Ok(decoded) => decoded,
            Err(error) => return Wit::Unwritable(format!("{error:#}")),
        };
        match (print(&decoded, &[]), decoded) {
            (Ok(wit), DecodedWasm::Component(..)) => Wit::World(wit),
            (Ok(wit), DecodedWasm::WitPackage(..)) => Wit::Package(wit),
            (Err(error), _) => Wit::Unwritable(format!("{error:#}")),
        }
    }
}

/// Writes every interface that a component imports or exports, and its world, as WIT.
pub(crate) fn whole_wit(source: &Source) -> Result<String, Failure> {
    let file = source.path.display().to_string();
    if let part @ Part::Module(_) = read(source)? {
        let role = Role::of(&part);
        return Err(
            Failure::new(format!("{file} is {}: it has no WIT", role.phrase())).hint(role.next_step(&file))
        );
    }
    let wit = wit_component::decode(&source.bytes).and_then(|decoded| {
        let packages = decoded.resolve().packages.iter().map(|(id, _)| id);
        let others: Vec<PackageId> = packages.filter(|id| *id != decoded.package()).collect();
        print(&decoded, &others)
    });
    wit.map_err(|error| {
        Failure::caused_by(format!("the interfaces of {file} cannot be written as WIT"), error)
            .hint("without --wit, inspect lists its imports and exports by name")
    })
}

/// Writes the main package, and behind it `others`.
fn print(decoded: &DecodedWasm, others: &[PackageId]) -> anyhow::Result<String> {
    let mut printer = WitPrinter::default();
    printer.print(decoded.resolve(), decoded.package(), others)?;
    Ok(printer.output.to_string())
}

/// Validates and decodes a file.
fn read(source: &Source) -> Result<Part, Failure> {
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(&source.bytes)
        .map_err(|error| source.malformed(&error))?;
    Part::read(&source.bytes).map_err(|error| source.malformed(&error))
}
