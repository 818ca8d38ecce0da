//! What a binary holds: modules, components and custom sections, with their sizes.

use serde::Serialize;
use wasmparser::{
    ComponentExternName, Encoding, KnownCustom, Name, NameSectionReader, Parser, Payload,
    ProducersSectionReader, Result,
};

/// A module or component.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Part {
    /// A core module.
    Module(Module),
    /// A component.
    Component(Component),
}

/// A core module.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Module {
    #[serde(flatten)]
    pub(crate) common: Common,
    /// How many functions it defines; imported ones are not counted.
    pub(crate) functions: u32,
    /// How many bytes their bodies have.
    pub(crate) code_bytes: u64,
    /// How many bytes its data segments have.
    pub(crate) data_bytes: u64,
}

/// A component.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Component {
    #[serde(flatten)]
    pub(crate) common: Common,
    /// The modules and components inside, in order.
    pub(crate) parts: Vec<Part>,
}

/// What modules and components have in common.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Common {
    /// The name its producer gave it for people to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    pub(crate) imports: Vec<Item>,
    pub(crate) exports: Vec<Item>,
    pub(crate) custom_sections: Vec<CustomSection>,
    /// The tools that made it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) producers: Vec<Producer>,
}

/// An import or an export.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Item {
    /// Its name; a core import's is `module.name`.
    pub(crate) name: String,
    /// Its kind, as the text format writes it.
    pub(crate) kind: &'static str,
}

/// A custom section.
#[derive(Debug, Serialize)]
pub(crate) struct CustomSection {
    pub(crate) name: String,
    /// Its size in bytes, without its name.
    pub(crate) bytes: u64,
}

/// An entry of a producers section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Producer {
    /// `language`, `processed-by` or `sdk`.
    pub(crate) field: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) version: String,
}

impl Part {
    /// Reads what `bytes` hold.
    ///
    /// # Errors
    ///
    /// The bytes do not decode; the error has the offset.
    pub(crate) fn read(bytes: &[u8]) -> Result<Part> {
        // The innermost part that is being read comes last.
        let mut open: Vec<Part> = Vec::new();
        // The parser ends with an error or with the end of the outermost part, which is then here.
        let mut outermost = Part::new(Encoding::Module, 0);
        let mut inner_size = bytes.len() as u64;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            match payload {
                Payload::Version { encoding, .. } => open.push(Part::new(encoding, inner_size)),
                Payload::ModuleSection { ref unchecked_range, .. }
                | Payload::ComponentSection { ref unchecked_range, .. } => {
                    inner_size = unchecked_range.end.saturating_sub(unchecked_range.start);
                }
                Payload::End(_) => {
                    if let Some(done) = open.pop() {
                        match open.last_mut() {
                            Some(Part::Component(outer)) => outer.parts.push(done),
                            _ => outermost = done,
                        }
                    }
                }
                payload => {
                    if let Some(part) = open.last_mut() {
                        part.add(payload)?;
                    }
                }
            }
        }
        Ok(outermost)
    }

    fn new(encoding: Encoding, bytes: u64) -> Part {
        let common = Common { bytes, ..Common::default() };
        match encoding {
            Encoding::Module => Part::Module(Module { common, ..Module::default() }),
            Encoding::Component => Part::Component(Component { common, ..Component::default() }),
        }
    }

    /// What modules and components have in common.
    pub(crate) fn common(&self) -> &Common {
        match self {
            Part::Module(module) => &module.common,
            Part::Component(component) => &component.common,
        }
    }

    /// The parts inside.
    pub(crate) fn parts(&self) -> &[Part] {
        match self {
            Part::Module(_) => &[],
            Part::Component(component) => &component.parts,
        }
    }

    /// Calls `visit` with this part and every part inside, outer ones first, with their depth.
    pub(crate) fn visit<'a>(&'a self, depth: usize, visit: &mut impl FnMut(&'a Part, usize)) {
        visit(self, depth);
        for part in self.parts() {
            part.visit(depth + 1, visit);
        }
    }

    /// Takes note of a section.
    fn add(&mut self, payload: Payload<'_>) -> Result<()> {
        let common = match self {
            Part::Module(module) => &mut module.common,
            Part::Component(component) => &mut component.common,
        };
        match payload {
            Payload::CustomSection(section) => {
                let bytes = section.data().len() as u64;
                common.custom_sections.push(CustomSection { name: section.name().to_owned(), bytes });
                // Custom sections are for people: what does not decode in one is left out.
                match section.as_known() {
                    KnownCustom::Name(names) => common.name = module_name(names),
                    KnownCustom::ComponentName(names) => {
                        for name in names {
                            if let Ok(wasmparser::ComponentName::Component { name, .. }) = name {
                                common.name = Some(name.to_owned());
                            }
                        }
                    }
                    KnownCustom::Producers(section) => {
                        common.producers = producers(section).unwrap_or_default()
                    }
                    _ => {}
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    common.imports.push(Item { name: full_name(import.name), kind: import.ty.kind().desc() });
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    common.exports.push(Item { name: full_name(export.name), kind: export.kind.desc() });
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let name = format!("{}.{}", import.module, import.name);
                    common.imports.push(Item { name, kind: core_import_kind(import.ty) });
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let kind = core_export_kind(export.kind);
                    common.exports.push(Item { name: export.name.to_owned(), kind });
                }
            }
            payload => {
                if let Part::Module(module) = self {
                    module.measure(payload)?;
                }
            }
        }
        Ok(())
    }
}

impl Module {
    fn measure(&mut self, payload: Payload<'_>) -> Result<()> {
        match payload {
            Payload::FunctionSection(section) => self.functions = section.count(),
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                self.code_bytes += range.end.saturating_sub(range.start);
            }
            Payload::DataSection(section) => {
                for segment in section {
                    self.data_bytes += segment?.data.len() as u64;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The name of an import or export with its whole version, even if that is stored in two halves.
fn full_name(name: ComponentExternName<'_>) -> String {
    name.full_name().into_owned()
}

fn module_name(names: NameSectionReader<'_>) -> Option<String> {
    names.into_iter().find_map(|name| match name {
        Ok(Name::Module { name, .. }) => Some(name.to_owned()),
        _ => None,
    })
}

fn producers(section: ProducersSectionReader<'_>) -> Result<Vec<Producer>> {
    let mut producers = Vec::new();
    for field in section {
        let field = field?;
        for value in field.values {
            let value = value?;
            producers.push(Producer {
                field: field.name.to_owned(),
                name: value.name.to_owned(),
                version: value.version.to_owned(),
            });
        }
    }
    Ok(producers)
}

fn core_import_kind(ty: wasmparser::TypeRef) -> &'static str {
    match ty {
        wasmparser::TypeRef::Func(_) | wasmparser::TypeRef::FuncExact(_) => "func",
        wasmparser::TypeRef::Table(_) => "table",
        wasmparser::TypeRef::Memory(_) => "memory",
        wasmparser::TypeRef::Global(_) => "global",
        wasmparser::TypeRef::Tag(_) => "tag",
    }
}

fn core_export_kind(kind: wasmparser::ExternalKind) -> &'static str {
    match kind {
        wasmparser::ExternalKind::Func | wasmparser::ExternalKind::FuncExact => "func",
        wasmparser::ExternalKind::Table => "table",
        wasmparser::ExternalKind::Memory => "memory",
        wasmparser::ExternalKind::Global => "global",
        wasmparser::ExternalKind::Tag => "tag",
    }
}
