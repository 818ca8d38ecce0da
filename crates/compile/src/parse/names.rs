//! The name section. It is for people only: what is wrong in it is left out, never an error.

use wasmparser::{CustomSectionReader, KnownCustom, Name};

use crate::module::ModuleInfo;

/// Takes the module's name and its functions' from a custom section, if it is the name section.
pub(super) fn read(section: &CustomSectionReader<'_>, info: &mut ModuleInfo) {
    let KnownCustom::Name(names) = section.as_known() else { return };
    for name in names {
        match name {
            Ok(Name::Module { name, .. }) => info.name = Some(name.to_owned()),
            Ok(Name::Function(functions)) => {
                for naming in functions {
                    let Ok(naming) = naming else { break };
                    info.function_names.insert(naming.index, naming.name.to_owned());
                }
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
}
