//! A component's world, and the interfaces in it, as WIT.

use std::panic::{self, AssertUnwindSafe};

use anyhow::anyhow;
use serde::Serialize;
use wit_component::{DecodedWasm, WitPrinter};

use crate::contents::Part;
use crate::diagnostics::Failure;
use crate::load::Source;
use crate::role::Role;

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

impl Wit {
    /// Writes the world of a component, or the package that it holds.
    pub(super) fn of(bytes: &[u8]) -> Wit {
        match decode_and_print(bytes, Packages::Main) {
            Ok((wit, Kind::Component)) => Wit::World(wit),
            Ok((wit, Kind::Package)) => Wit::Package(wit),
            Err(error) => Wit::Unwritable(format!("{error:#}")),
        }
    }
}

/// Writes every interface that a component imports or exports, and its world.
pub(super) fn whole(source: &Source) -> Result<String, Failure> {
    let file = source.path.display().to_string();
    if let part @ Part::Module(_) = source.check()? {
        let role = Role::of(&part);
        let failure = Failure::new(format!("{file} is {}: it has no WIT", role.phrase()));
        return Err(failure.hint(role.next_step(&file)));
    }
    let (wit, _) = decode_and_print(&source.bytes, Packages::All).map_err(|error| {
        Failure::caused_by(format!("the interfaces of {file} cannot be written as WIT"), error)
            .hint("without --wit, inspect lists its imports and exports by name")
    })?;
    Ok(wit)
}

/// Which packages to write.
enum Packages {
    /// The one with the world.
    Main,
    /// That one, and all that it names.
    All,
}

enum Kind {
    Component,
    Package,
}

/// Decodes and prints, and turns a panic of the library into an error.
///
/// The library expects components that came from WIT. Handwritten ones that are valid, but that WIT could not
/// have led to, meet assertions in it.
fn decode_and_print(bytes: &[u8], packages: Packages) -> anyhow::Result<(String, Kind)> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let result = panic::catch_unwind(AssertUnwindSafe(|| try_decode_and_print(bytes, packages)));
    panic::set_hook(hook);
    result.unwrap_or_else(|_| Err(anyhow!("it has something that the WIT library does not know")))
}

fn try_decode_and_print(bytes: &[u8], packages: Packages) -> anyhow::Result<(String, Kind)> {
    let decoded = wit_component::decode(bytes)?;
    let (resolve, main) = (decoded.resolve(), decoded.package());
    let others: Vec<_> = match packages {
        Packages::Main => Vec::new(),
        Packages::All => resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != main).collect(),
    };
    let mut printer = WitPrinter::default();
    printer.print(resolve, main, &others)?;
    let kind = match decoded {
        DecodedWasm::Component(..) => Kind::Component,
        DecodedWasm::WitPackage(..) => Kind::Package,
    };
    Ok((printer.output.to_string(), kind))
}
