//! Everything that `inspect` has to say, ready to be written as text or as JSON.

use std::path::Path;

use serde::Serialize;
use wasmparser::{Validator, WasmFeatures};
use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::PackageId;

use crate::contents::{Part, Producer};
use crate::diagnostics::Failure;
use crate::load;
use crate::provided::{self, Grant, Provision};
use crate::role::{self, Role};

/// Everything that `inspect` has to say of a file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) file: String,
    #[serde(flatten)]
    pub(crate) role: Role,
    /// The component's world; none for a core module.
    #[serde(flatten)]
    pub(crate) world: Option<World>,
    pub(crate) needs: Needs,
    pub(crate) contents: Part,
    /// The tools that made the file and the parts in it.
    pub(crate) made_by: Vec<Producer>,
}

/// A component's world.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum World {
    /// As WIT, without the interfaces it names.
    World(String),
    /// Why it cannot be written as WIT: the binary format can say more.
    NoWorld(String),
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
    /// Inspects `bytes`, the contents of the file at `path`.
    pub(crate) fn of(path: &Path, bytes: &[u8]) -> Result<Report, Failure> {
        let contents = read(path, bytes)?;
        let role = Role::of(&contents);
        let (world, needs) = match &contents {
            Part::Component(_) => (Some(world(bytes)), Needs::of(&contents)),
            Part::Module(_) => (None, Needs::default()),
        };
        let made_by = role::producers(&contents);
        Ok(Report { file: path.display().to_string(), role, world, needs, contents, made_by })
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

/// Writes every interface that the component at `path` imports or exports, and its world, as WIT.
pub(crate) fn whole_wit(path: &Path, bytes: &[u8]) -> Result<String, Failure> {
    if let part @ Part::Module(_) = read(path, bytes)? {
        let role = Role::of(&part);
        let file = path.display().to_string();
        return Err(Failure::new(format!("{file} is {}: it has no WIT", role.phrase())).hint(role.next_step(&file)));
    }
    decode(bytes, Packages::All).map_err(|error| {
        Failure::caused_by(format!("the interfaces of {} cannot be written as WIT", path.display()), error)
            .hint("without --wit, inspect lists its imports and exports by name")
    })
}

/// Validates and decodes a file.
fn read(path: &Path, bytes: &[u8]) -> Result<Part, Failure> {
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(bytes)
        .map_err(|error| load::malformed(path, bytes, &error))?;
    Part::read(bytes).map_err(|error| load::malformed(path, bytes, &error))
}

fn world(bytes: &[u8]) -> World {
    match decode(bytes, Packages::Main) {
        Ok(wit) => World::World(wit),
        Err(error) => World::NoWorld(format!("{error:#}")),
    }
}

/// Which packages to write.
#[derive(PartialEq)]
enum Packages {
    /// The one with the world.
    Main,
    /// That one, and all that it names.
    All,
}

fn decode(bytes: &[u8], packages: Packages) -> anyhow::Result<String> {
    let decoded = wit_component::decode(bytes)?;
    let (resolve, main) = match &decoded {
        DecodedWasm::WitPackage(resolve, package) => (resolve, *package),
        DecodedWasm::Component(resolve, _) => (resolve, decoded.package()),
    };
    let others: Vec<PackageId> = match packages {
        Packages::Main => Vec::new(),
        Packages::All => resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != main).collect(),
    };
    let mut printer = WitPrinter::default();
    printer.print(resolve, main, &others)?;
    Ok(printer.output.to_string())
}
