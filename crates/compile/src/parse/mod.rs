//! From a module's bytes to its declarations, validated, with its function bodies left for later.

mod const_expr;
mod debug;
mod names;
mod types;

pub(crate) use types::heap_type;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use tombolo_types::core::{ExternType, FuncType, GlobalType, ValType};
use tombolo_types::{TypeId, TypeRegistry};
use wasmparser::{
    BinaryReader, DataKind, ElementKind, Encoding, ExternalKind, FuncToValidate, FunctionBody, Parser,
    Payload, TableInit, TypeRef, Validator, ValidatorResources, WasmFeatures,
};

use crate::CompileError;
use crate::config::Config;
use crate::module::{
    ConstExpr, ConstOp, DataSegment, DebugSections, ElementItems, ElementSegment, Export, Import, Item,
    ModuleInfo, SegmentMode,
};
use crate::vmctx::Layout;

/// A module whose declarations have been read and validated, and whose functions can now be compiled, in any order
/// and at any time, together with the bytes it was read from.
pub struct ParsedModule {
    /// What the module declares.
    pub info: Arc<ModuleInfo>,
    /// Where things lie in the context of its instances.
    pub layout: Layout,
    /// The type section, by type index.
    pub(crate) types: Vec<Arc<FuncType>>,
    /// Type index of each function.
    pub(crate) function_types: Vec<u32>,
    /// Type index of each tag.
    pub(crate) tag_types: Vec<u32>,
    /// Whether a type of its declarations has references to exceptions in it.
    pub(crate) exception_refs: bool,
    bodies: Vec<Body>,
    validation: Option<ValidatorResources>,
    features: WasmFeatures,
    /// Where in the file the module's bytes begin.
    offset: u64,
}

/// Where the body of a function that the module defines lies, in the module's bytes.
struct Body {
    range: Range<usize>,
    type_index: u32,
}

impl ParsedModule {
    /// Reads a module whose bytes lie at `offset` of a file.
    pub(crate) fn new(
        wasm: &[u8],
        offset: u64,
        config: &Config,
        registry: &TypeRegistry,
    ) -> Result<ParsedModule, CompileError> {
        let len = wasm.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end >= u64::from(u32::MAX)) {
            return Err(CompileError::too_large("a file of 4 GiB or more", offset));
        }
        let features = config.features;
        let mut reader = Reader {
            debug: config.debug_info.then(Box::default),
            registry,
            offset,
            validator: Validator::new_with_features(features),
            info: ModuleInfo::default(),
            types: Vec::new(),
            function_types: Vec::new(),
            tag_types: Vec::new(),
            bodies: Vec::new(),
            validation: None,
            escaping: BTreeSet::new(),
            code_section: 0,
        };
        let mut parser = Parser::new(offset);
        parser.set_features(features);
        for payload in parser.parse_all(wasm) {
            reader.payload(payload?)?;
        }
        let Reader {
            mut info,
            types,
            function_types,
            tag_types,
            bodies,
            validation,
            escaping,
            code_section,
            debug,
            ..
        } = reader;
        info.debug = debug.filter(|debug| !debug.info.is_empty()).map(|mut debug| {
            debug.code_section = code_section;
            debug
        });
        info.escaping = escaping.into_iter().collect();
        let layout = Layout::new(&info)
            .ok_or_else(|| CompileError::too_large("an instance's context of more than 2 GiB", offset))?;
        let exception_refs =
            types.iter().any(|ty| ty.params.iter().chain(&ty.results).any(|ty| ty.is_exception()))
                || info.globals.iter().any(|global| global.value.is_exception())
                || info.tables.iter().any(|table| ValType::Ref(table.element).is_exception());
        let info = Arc::new(info);
        Ok(ParsedModule {
            info,
            layout,
            types,
            function_types,
            tag_types,
            exception_refs,
            bodies,
            validation,
            features,
            offset,
        })
    }

    /// How many functions the module defines.
    pub fn defined_functions(&self) -> usize {
        self.bodies.len()
    }

    /// How many bytes the body of a function is, by its position among those that the module defines.
    pub(crate) fn body_len(&self, defined: usize) -> usize {
        self.bodies.get(defined).map_or(0, |body| body.range.len())
    }

    /// Offset of a function's body in the file.
    pub(crate) fn body_start(&self, defined: usize) -> u32 {
        self.bodies.get(defined).map_or(0, |body| (self.offset + body.range.start as u64) as u32)
    }

    /// The body of a function, by its position among those that the module defines, and what validates it; `None` if
    /// there is no such function, or `wasm` is not what the module was read from.
    pub(crate) fn body<'a>(
        &self,
        wasm: &'a [u8],
        defined: usize,
    ) -> Option<(FunctionBody<'a>, FuncToValidate<ValidatorResources>)> {
        let body = self.bodies.get(defined)?;
        let bytes = wasm.get(body.range.clone())?;
        let reader = BinaryReader::new_features(bytes, self.offset + body.range.start as u64, self.features);
        let validation = FuncToValidate {
            resources: self.validation.clone()?,
            index: self.info.imported_functions.checked_add(u32::try_from(defined).ok()?)?,
            ty: body.type_index,
            features: self.features,
        };
        Some((FunctionBody::new(reader), validation))
    }
}

/// The state of reading a module.
struct Reader<'a> {
    debug: Option<Box<DebugSections>>,
    registry: &'a TypeRegistry,
    offset: u64,
    validator: Validator,
    info: ModuleInfo,
    types: Vec<Arc<FuncType>>,
    function_types: Vec<u32>,
    tag_types: Vec<u32>,
    bodies: Vec<Body>,
    validation: Option<ValidatorResources>,
    escaping: BTreeSet<u32>,
    code_section: u32,
}

impl Reader<'_> {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), CompileError> {
        if let Payload::CodeSectionEntry(body) = payload {
            return self.body(&body);
        }
        self.validator.payload(&payload)?;
        match payload {
            Payload::Version { encoding: Encoding::Component, range, .. } => {
                return Err(CompileError::Invalid {
                    message: "this is a component, not a core module".into(),
                    offset: range.start,
                    function: None,
                });
            }
            Payload::TypeSection(section) => {
                for group in section.into_iter_with_offsets() {
                    let (offset, group) = group?;
                    self.type_group(&group, offset)?;
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports_with_offsets() {
                    let (offset, import) = import?;
                    self.import(import, offset)?;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section.into_iter_with_offsets() {
                    let (offset, ty) = ty?;
                    self.function(ty, offset)?;
                }
            }
            Payload::TableSection(section) => {
                for table in section.into_iter_with_offsets() {
                    let (offset, table) = table?;
                    let ty = self.table_type(&table.ty, offset)?;
                    self.info.tables.push(ty);
                    let init = match &table.init {
                        TableInit::RefNull => None,
                        TableInit::Expr(init) => Some(self.const_expr(init)?),
                    };
                    self.info.table_inits.push(init);
                }
            }
            Payload::MemorySection(section) => {
                for ty in section.into_iter_with_offsets() {
                    let (offset, ty) = ty?;
                    let ty = types::memory(&ty, offset)?;
                    self.info.memories.push(ty);
                }
            }
            Payload::TagSection(section) => {
                for tag in section.into_iter_with_offsets() {
                    let (offset, tag) = tag?;
                    self.tag(tag.func_type_idx, offset)?;
                }
            }
            Payload::GlobalSection(section) => {
                for global in section.into_iter_with_offsets() {
                    let (offset, global) = global?;
                    let ty = self.global_type(&global.ty, offset)?;
                    self.info.globals.push(ty);
                    let init = self.const_expr(&global.init_expr)?;
                    self.info.global_inits.push(init);
                }
            }
            Payload::ExportSection(section) => {
                for export in section.into_iter_with_offsets() {
                    let (offset, export) = export?;
                    self.export(export, offset)?;
                }
            }
            Payload::StartSection { func, .. } => self.info.start = Some(func),
            Payload::ElementSection(section) => {
                for element in section.into_iter_with_offsets() {
                    let (offset, element) = element?;
                    self.element(element, offset)?;
                }
            }
            Payload::CodeSectionStart { unchecked_range, .. } => {
                self.code_section = unchecked_range.start as u32;
            }
            Payload::DataSection(section) => {
                for data in section {
                    self.data(&data?)?;
                }
            }
            Payload::CustomSection(section) => {
                names::read(&section, &mut self.info);
                if let Some(debug) = &mut self.debug {
                    debug::read(&section, debug);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'_>, offset: u64) -> Result<(), CompileError> {
        let info = &mut self.info;
        let ty = match import.ty {
            TypeRef::Func(ty) => {
                info.imported_functions += 1;
                ExternType::Func(self.function(ty, offset)?)
            }
            TypeRef::Table(ty) => {
                info.imported_tables += 1;
                let ty = self.table_type(&ty, offset)?;
                self.info.tables.push(ty);
                ExternType::Table(ty)
            }
            TypeRef::Memory(ty) => {
                info.imported_memories += 1;
                let ty = types::memory(&ty, offset)?;
                info.memories.push(ty);
                ExternType::Memory(ty)
            }
            TypeRef::Global(ty) => {
                info.imported_globals += 1;
                let ty = self.global_type(&ty, offset)?;
                self.info.globals.push(ty);
                ExternType::Global(ty)
            }
            TypeRef::Tag(tag) => {
                info.imported_tags += 1;
                ExternType::Tag(self.tag(tag.func_type_idx, offset)?)
            }
            TypeRef::FuncExact(_) => {
                return Err(CompileError::unsupported("imports of exact function types", offset));
            }
        };
        self.info.imports.push(Import { module: import.module.into(), name: import.name.into(), ty });
        Ok(())
    }

    fn function(&mut self, type_index: u32, offset: u64) -> Result<TypeId, CompileError> {
        let ty = self.type_id(type_index, offset)?;
        self.info.functions.push(ty);
        self.function_types.push(type_index);
        Ok(ty)
    }

    fn tag(&mut self, type_index: u32, offset: u64) -> Result<TypeId, CompileError> {
        let ty = self.type_id(type_index, offset)?;
        self.info.tags.push(ty);
        self.tag_types.push(type_index);
        Ok(ty)
    }

    fn export(&mut self, export: wasmparser::Export<'_>, offset: u64) -> Result<(), CompileError> {
        let item = match export.kind {
            ExternalKind::Func => {
                self.escaping.insert(export.index);
                Item::Func(export.index)
            }
            ExternalKind::Table => Item::Table(export.index),
            ExternalKind::Memory => Item::Memory(export.index),
            ExternalKind::Global => Item::Global(export.index),
            ExternalKind::Tag => Item::Tag(export.index),
            ExternalKind::FuncExact => {
                return Err(CompileError::unsupported("exports of exact function types", offset));
            }
        };
        self.info.export_index.insert(export.name.into(), self.info.exports.len());
        self.info.exports.push(Export { name: export.name.into(), item });
        Ok(())
    }

    fn element(&mut self, element: wasmparser::Element<'_>, offset: u64) -> Result<(), CompileError> {
        let mode = match &element.kind {
            ElementKind::Passive => SegmentMode::Passive,
            ElementKind::Declared => SegmentMode::Declared,
            ElementKind::Active { table_index, offset_expr } => {
                SegmentMode::Active { index: table_index.unwrap_or(0), offset: self.const_expr(offset_expr)? }
            }
        };
        let (ty, items) = match element.items {
            wasmparser::ElementItems::Functions(functions) => {
                let functions = functions.into_iter().collect::<Result<Box<[u32]>, _>>()?;
                self.escaping.extend(functions.iter().copied());
                (wasmparser::RefType::FUNC, ElementItems::Functions(functions))
            }
            wasmparser::ElementItems::Expressions(ty, expressions) => {
                let expressions = expressions
                    .into_iter()
                    .map(|expression| self.const_expr(&expression?))
                    .collect::<Result<Box<[ConstExpr]>, CompileError>>()?;
                (ty, ElementItems::Expressions(expressions))
            }
        };
        let ty = self.ref_type(ty, offset)?;
        self.info.elements.push(ElementSegment { mode, ty, items });
        Ok(())
    }

    fn data(&mut self, data: &wasmparser::Data<'_>) -> Result<(), CompileError> {
        let mode = match &data.kind {
            DataKind::Passive => SegmentMode::Passive,
            DataKind::Active { memory_index, offset_expr } => {
                SegmentMode::Active { index: *memory_index, offset: self.const_expr(offset_expr)? }
            }
        };
        // The range is that of the whole segment: its bytes are the last of it.
        let end = (data.range.end - self.offset) as usize;
        self.info.data.push(DataSegment { mode, range: end - data.data.len()..end });
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), CompileError> {
        let validation = self.validator.code_section_entry(body)?;
        let range = body.range();
        self.bodies.push(Body {
            range: (range.start - self.offset) as usize..(range.end - self.offset) as usize,
            type_index: validation.ty,
        });
        self.validation.get_or_insert(validation.resources);
        Ok(())
    }

    fn const_expr(&mut self, expression: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, CompileError> {
        let expression = const_expr::read(expression)?;
        self.escaping.extend(expression.iter().filter_map(|op| match op {
            ConstOp::RefFunc(function) => Some(*function),
            _ => None,
        }));
        Ok(expression)
    }

    fn global_type(&self, ty: &wasmparser::GlobalType, offset: u64) -> Result<GlobalType, CompileError> {
        if ty.shared {
            return Err(CompileError::unsupported("shared globals (shared-everything-threads)", offset));
        }
        Ok(GlobalType { value: self.value_type(ty.content_type, offset)?, mutable: ty.mutable })
    }
}
