//! The names that a component gives itself and its parts, for backtraces. What is wrong in them is left out.

use std::collections::HashMap;

use tombolo_vm::Origin;
use wasmparser::{ComponentName, CustomSectionReader, KnownCustom, NameMap};

/// The names in a component, and the modules to be named by them when it has been read to its end: the names come last.
#[derive(Default)]
pub(super) struct Names {
    own: Option<String>,
    components: HashMap<u32, String>,
    modules: HashMap<u32, String>,
    parts: Vec<Part>,
}

/// A module in a component.
struct Part {
    /// Its number in the file.
    module: usize,
    place: Place,
    /// What the component that it lies in said of it.
    origin: Origin,
}

/// Where a module lies.
enum Place {
    /// In the component itself, with this index.
    Here(u32),
    /// In the nested component of this index, which has this name of its own.
    Nested(u32, Option<String>),
}

impl Names {
    /// The component's own name.
    pub(super) fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// Takes the names from a custom section, if it is that of names.
    pub(super) fn read(&mut self, section: &CustomSectionReader<'_>) {
        let KnownCustom::ComponentName(names) = section.as_known() else { return };
        for name in names {
            match name {
                Ok(ComponentName::Component { name, .. }) => self.own = Some(name.to_owned()),
                Ok(ComponentName::Components(names)) => collect(names, &mut self.components),
                Ok(ComponentName::CoreModules(names)) => collect(names, &mut self.modules),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }

    /// Notes a module of the component: its number in the file, and its index here.
    pub(super) fn module(&mut self, module: usize, index: u32) {
        self.parts.push(Part { module, place: Place::Here(index), origin: Origin::default() });
    }

    /// Takes over the modules of a nested component, which has been read to its end and has this index here.
    pub(super) fn component(&mut self, nested: Names, index: u32) {
        let own = nested.own.clone();
        let parts = nested.origins().map(|(module, origin)| Part {
            module,
            place: Place::Nested(index, own.clone()),
            origin,
        });
        self.parts.extend(parts);
    }

    /// Names the modules of the outermost component.
    pub(super) fn finish(self, modules: usize) -> Vec<Origin> {
        let own: Option<std::sync::Arc<str>> = self.own.as_deref().map(Into::into);
        let mut named = vec![Origin::default(); modules];
        for (module, mut origin) in self.origins() {
            origin.component = origin.component.or_else(|| own.clone());
            if let Some(slot) = named.get_mut(module) {
                *slot = origin;
            }
        }
        named
    }

    /// The modules by their numbers, with the names of the nested components that they lie in.
    fn origins(self) -> impl Iterator<Item = (usize, Origin)> {
        let Names { components, modules, parts, .. } = self;
        parts.into_iter().map(move |Part { module, place, mut origin }| {
            match place {
                Place::Here(index) => {
                    origin.module = modules.get(&index).map(|name| name.as_str().into());
                }
                Place::Nested(index, own) => {
                    let name = own.or_else(|| components.get(&index).cloned());
                    let name = name.unwrap_or_else(|| format!("component {index}"));
                    origin.component = Some(match origin.component {
                        Some(inside) => format!("{name}/{inside}").into(),
                        None => name.into(),
                    });
                }
            }
            (module, origin)
        })
    }
}

fn collect(names: NameMap<'_>, into: &mut HashMap<u32, String>) {
    for naming in names {
        let Ok(naming) = naming else { break };
        into.insert(naming.index, naming.name.to_owned());
    }
}
