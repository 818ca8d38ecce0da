//! Decoding: one pass over a component's bytes that validates it and writes its plan.

use std::ops::Range;
use std::sync::Arc;

use tombolo_types::component::{PtrWidth, Types};
use tombolo_types::core::{FuncType, ValType};
use tombolo_types::{TypeId, TypeRegistry};
use tombolo_vm::Origin;
use wasmparser::component_types::{ComponentAnyTypeId, ComponentCoreTypeId};
use wasmparser::types::{CoreTypeId, TypesRef};
use wasmparser::{
    BinaryReaderError, CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExport as BinaryExport,
    ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Encoding as BinaryEncoding,
    ExternalKind, Instance, Parser, Payload, Validator, WasmFeatures,
};

use super::names::Names;
use super::plan::*;
use super::types::TypeTranslator;
use crate::abi::Encoding;
use crate::error::{Error, ErrorKind, Result};

/// A decoded file: the plan of its outermost component, its types, and where its core modules are.
pub(super) struct Decoded {
    pub plan: ComponentPlan,
    pub types: Types,
    pub modules: Vec<Range<usize>>,
    /// What the names of components say of each module.
    pub origins: Vec<Origin>,
    /// The component's own name.
    pub name: Option<Arc<str>>,
}

/// Validates and decodes a component.
pub(super) fn decode(bytes: &[u8], features: WasmFeatures, registry: &TypeRegistry) -> Result<Decoded> {
    if Parser::is_core_wasm(bytes) {
        return Err(Error::new(ErrorKind::NotAComponent));
    }
    let mut decoder = Decoder {
        bytes,
        registry,
        validator: Validator::new_with_features(features),
        translator: TypeTranslator::default(),
        modules: Vec::new(),
        enclosing: Vec::new(),
        plan: ComponentPlan::default(),
        names: Names::default(),
    };
    let mut module_depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        // The compiler validates modules again, with their function bodies, so bodies are left out here.
        decoder.validator.payload(&payload).map_err(malformed)?;
        match &payload {
            Payload::ModuleSection { unchecked_range, .. } => {
                decoder.module(unchecked_range.clone())?;
                module_depth += 1;
            }
            Payload::End(_) if module_depth > 0 => {
                module_depth -= 1;
                decoder.end_of_module()?;
            }
            _ if module_depth > 0 => {}
            _ => decoder.payload(payload)?,
        }
    }
    let name = decoder.names.own().map(Arc::from);
    let origins = decoder.names.finish(decoder.modules.len());
    let (plan, types) = (decoder.plan, decoder.translator.types);
    Ok(Decoded { plan, types, modules: decoder.modules, origins, name })
}

/// An error of the parser or validator as ours.
pub(crate) fn malformed(error: BinaryReaderError) -> Error {
    Error::new(ErrorKind::Malformed { message: error.message().to_owned(), offset: error.offset() as usize })
}

struct Decoder<'a> {
    bytes: &'a [u8],
    registry: &'a TypeRegistry,
    validator: Validator,
    translator: TypeTranslator,
    modules: Vec<Range<usize>>,
    /// Plans and names of the components around the one that is being decoded.
    enclosing: Vec<(ComponentPlan, Names)>,
    plan: ComponentPlan,
    names: Names,
}

/// The validator's view of the component being decoded, borrowed apart from the rest of the decoder.
macro_rules! types {
    ($self:ident) => {
        $self.validator.types(0).ok_or_else(|| Error::usage("the validator lost its types"))?
    };
}

impl Decoder<'_> {
    fn module(&mut self, range: Range<u64>) -> Result<()> {
        let range = range.start as usize..range.end as usize;
        if self.bytes.get(range.clone()).is_none() {
            let message = "unexpected end: a core module reaches past the end of the file".to_owned();
            return Err(Error::new(ErrorKind::Malformed { message, offset: self.bytes.len() }));
        }
        self.plan.steps.push(Step::Module(self.modules.len() as u32));
        self.modules.push(range);
        Ok(())
    }

    /// The validator has counted the module by now.
    fn end_of_module(&mut self) -> Result<()> {
        let index = types!(self).module_count().saturating_sub(1);
        if let Some(module) = self.modules.len().checked_sub(1) {
            self.names.module(module, index);
        }
        Ok(())
    }

    fn payload(&mut self, payload: Payload<'_>) -> Result<()> {
        match payload {
            Payload::Version { encoding: BinaryEncoding::Module, .. } => {
                return Err(Error::new(ErrorKind::NotAComponent));
            }
            Payload::ComponentSection { .. } => {
                self.enclosing.push((std::mem::take(&mut self.plan), std::mem::take(&mut self.names)));
            }
            Payload::End(_) => {
                if let Some((outer, names)) = self.enclosing.pop() {
                    // The validator has counted the nested component by now.
                    let index = types!(self).component_count().saturating_sub(1);
                    let nested = std::mem::replace(&mut self.names, names);
                    self.names.component(nested, index);
                    let nested = std::mem::replace(&mut self.plan, outer);
                    self.plan.captures |= nested.captures;
                    self.plan.steps.push(Step::Component(Arc::new(nested)));
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    let step = core_instance(instance.map_err(malformed)?);
                    self.plan.steps.push(step);
                }
            }
            Payload::ComponentInstanceSection(section) => self.instances(section)?,
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    self.alias(alias.map_err(malformed)?)?;
                }
            }
            Payload::ComponentTypeSection(section) => self.type_section(section)?,
            Payload::ComponentCanonicalSection(section) => self.canonical_section(section)?,
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let name = import.map_err(malformed)?.name;
                    let types = types!(self);
                    let item = types
                        .component_item_for_import(name.name)
                        .ok_or_else(|| Error::usage("the validator lost an import"))?;
                    let ty = self.translator.item(types, name.name, &item.ty)?;
                    self.plan.steps.push(Step::Import(self.plan.imports.len() as u32));
                    self.plan.imports.push(ComponentImport { name: name.full_name().into_owned(), ty });
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    self.export(export.map_err(malformed)?)?;
                }
            }
            Payload::CustomSection(section) => self.names.read(&section),
            Payload::ComponentStartSection { range, .. } => {
                return Err(Error::unsupported("a component start function", range.start as usize));
            }
            _ => {}
        }
        Ok(())
    }

    fn item(&mut self, kind: ComponentExternalKind, index: u32) -> Result<Item> {
        let types = types!(self);
        Ok(match kind {
            ComponentExternalKind::Func => Item::Func(index),
            ComponentExternalKind::Instance => Item::Instance(index),
            ComponentExternalKind::Component => Item::Component(index),
            ComponentExternalKind::Module => Item::Module(index),
            ComponentExternalKind::Type => {
                self.translator.resource_at(types, index).map_or(Item::OtherType, Item::Resource)
            }
            ComponentExternalKind::Value => return Err(Error::unsupported("component values", None)),
        })
    }

    fn instances(&mut self, section: wasmparser::ComponentInstanceSectionReader<'_>) -> Result<()> {
        let types = types!(self);
        let first = types.component_instance_count() - section.count();
        for (index, instance) in (first..).zip(section) {
            let step = match instance.map_err(malformed)? {
                ComponentInstance::Instantiate { component_index, args } => {
                    let args = args
                        .iter()
                        .map(|arg| Ok((arg.name.to_owned(), self.item(arg.kind, arg.index)?)))
                        .collect::<Result<_>>()?;
                    let types = types!(self);
                    let ty = self.translator.instance(types, types.component_instance_at(index))?;
                    Step::Instantiate { component: component_index, args, ty }
                }
                ComponentInstance::FromExports(exports) => Step::InstanceOf(
                    exports
                        .iter()
                        .map(|e| Ok((e.name.full_name().into_owned(), self.item(e.kind, e.index)?)))
                        .collect::<Result<_>>()?,
                ),
            };
            self.plan.steps.push(step);
        }
        Ok(())
    }

    fn alias(&mut self, alias: ComponentAlias<'_>) -> Result<()> {
        let step = match alias {
            ComponentAlias::CoreInstanceExport { instance_index, name, .. } => {
                Step::CoreAlias { instance: instance_index, name: name.to_owned() }
            }
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                let kind = match kind {
                    ComponentExternalKind::Func => Kind::Func,
                    ComponentExternalKind::Instance => Kind::Instance,
                    ComponentExternalKind::Component => Kind::Component,
                    ComponentExternalKind::Module => Kind::Module,
                    ComponentExternalKind::Type => Kind::Type,
                    ComponentExternalKind::Value => return Err(Error::unsupported("component values", None)),
                };
                let mut binding = None;
                if kind == Kind::Type {
                    let types = types!(self);
                    let instance =
                        self.translator.instance(types, types.component_instance_at(instance_index))?;
                    binding = instance.exports.iter().find(|(n, _)| n == name).and_then(|(_, ty)| match ty {
                        ItemType::Resource(id) => Some(*id),
                        _ => None,
                    });
                }
                Step::Alias { instance: instance_index, name: name.to_owned(), kind, binding }
            }
            ComponentAlias::Outer { kind, count, index } => {
                self.plan.captures |= count > 0;
                match kind {
                    ComponentOuterAliasKind::CoreModule => Step::OuterModule { count, index },
                    ComponentOuterAliasKind::Component => Step::OuterComponent { count, index },
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => return Ok(()),
                }
            }
        };
        self.plan.steps.push(step);
        Ok(())
    }

    fn type_section(&mut self, section: wasmparser::ComponentTypeSectionReader<'_>) -> Result<()> {
        let types = types!(self);
        let first = types.component_type_count() - section.count();
        for (index, ty) in (first..).zip(section) {
            if let wasmparser::ComponentType::Resource { dtor, .. } = ty.map_err(malformed)? {
                let types = types!(self);
                if let Some(id) = self.translator.resource_at(types, index) {
                    self.plan.steps.push(Step::Resource { id, dtor });
                }
            }
        }
        Ok(())
    }

    fn export(&mut self, export: BinaryExport<'_>) -> Result<()> {
        let item = self.item(export.kind, export.index)?;
        let types = types!(self);
        let entity = types
            .component_item_for_export(export.name.name)
            .ok_or_else(|| Error::usage("the validator lost an export"))?;
        let ty = self.translator.item(types, export.name.name, &entity.ty)?;
        let name = export.name.full_name().into_owned();
        self.plan.exports.push(ComponentExport { name: name.clone() });
        self.plan.steps.push(Step::Export { name, item, ty });
        Ok(())
    }

    fn canonical_section(&mut self, section: wasmparser::ComponentCanonicalSectionReader<'_>) -> Result<()> {
        let functions = section.into_iter_with_offsets().collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        let types = types!(self);
        let core = functions.iter().filter(|(_, f)| !matches!(f, CanonicalFunction::Lift { .. })).count();
        let mut core_index = types.function_count() - core as u32;
        for (offset, function) in functions {
            let offset = offset as usize;
            if let CanonicalFunction::Lift { core_func_index, type_index, options } = function {
                let types = types!(self);
                let ComponentAnyTypeId::Func(id) = types.component_any_type_at(type_index) else {
                    return Err(Error::usage("the validator lifted to something that is no function"));
                };
                let ty = self.translator.func(types, id)?;
                let options = canonical_options(types, &options, offset)?;
                self.plan.steps.push(Step::Lift { core: core_func_index, ty, options });
                continue;
            }
            let types = types!(self);
            let core_type = core_func_type(types, core_index, self.registry, offset)?;
            core_index += 1;
            let step = match function {
                CanonicalFunction::Lower { func_index, options } => {
                    let ty = self.translator.func(types, types.component_function_at(func_index))?;
                    let options = canonical_options(types, &options, offset)?;
                    self.plan.blocks |= !options.is_async && self.translator.types.func(ty).is_async;
                    Step::Lower { func: func_index, ty, options, core_type }
                }
                other => {
                    let builtin = builtin(&mut self.translator, types, self.registry, other, offset)?;
                    self.plan.blocks |= builtin.blocks();
                    Step::Builtin { builtin, core_type }
                }
            };
            self.plan.steps.push(step);
        }
        Ok(())
    }
}

fn core_instance(instance: Instance<'_>) -> Step {
    match instance {
        Instance::Instantiate { module_index, args } => Step::CoreInstantiate {
            module: module_index,
            args: args.iter().map(|arg| (arg.name.to_owned(), arg.index)).collect(),
        },
        Instance::FromExports(exports) => Step::CoreInstanceOf(
            exports
                .iter()
                .map(|export| {
                    let item = match export.kind {
                        ExternalKind::Func | ExternalKind::FuncExact => CoreItem::Func(export.index),
                        ExternalKind::Table => CoreItem::Table(export.index),
                        ExternalKind::Memory => CoreItem::Memory(export.index),
                        ExternalKind::Global => CoreItem::Global(export.index),
                        ExternalKind::Tag => CoreItem::Tag(export.index),
                    };
                    (export.name.to_owned(), item)
                })
                .collect(),
        ),
    }
}

fn canonical_options(types: TypesRef<'_>, list: &[CanonicalOption], offset: usize) -> Result<Options> {
    let mut options = Options {
        encoding: Encoding::Utf8,
        width: PtrWidth::Bits32,
        memory: None,
        realloc: None,
        post_return: None,
        callback: None,
        is_async: false,
    };
    for option in list {
        match *option {
            CanonicalOption::UTF8 => options.encoding = Encoding::Utf8,
            CanonicalOption::UTF16 => options.encoding = Encoding::Utf16,
            CanonicalOption::CompactUTF16 => options.encoding = Encoding::CompactUtf16,
            CanonicalOption::Memory(index) => {
                options.memory = Some(index);
                if types.memory_at(index).memory64 {
                    options.width = PtrWidth::Bits64;
                }
            }
            CanonicalOption::Realloc(index) => options.realloc = Some(index),
            CanonicalOption::PostReturn(index) => options.post_return = Some(index),
            CanonicalOption::Callback(index) => options.callback = Some(index),
            CanonicalOption::Async => options.is_async = true,
            CanonicalOption::CoreType(_) | CanonicalOption::Gc => {
                return Err(Error::unsupported("the garbage-collected Canonical ABI (`gc` option)", offset));
            }
        }
    }
    Ok(options)
}

/// The interned type of a core function.
fn core_func_type(types: TypesRef<'_>, index: u32, registry: &TypeRegistry, offset: usize) -> Result<TypeId> {
    intern_func(types, types.core_function_at(index), registry, offset)
}

fn intern_func(
    types: TypesRef<'_>,
    id: CoreTypeId,
    registry: &TypeRegistry,
    offset: usize,
) -> Result<TypeId> {
    let func = types[id].unwrap_func();
    let convert = |list: &[wasmparser::ValType]| {
        list.iter()
            .map(|ty| match ty {
                wasmparser::ValType::I32 => Ok(ValType::I32),
                wasmparser::ValType::I64 => Ok(ValType::I64),
                wasmparser::ValType::F32 => Ok(ValType::F32),
                wasmparser::ValType::F64 => Ok(ValType::F64),
                _ => Err(Error::unsupported("a reference or vector in a canonical function", offset)),
            })
            .collect::<Result<Box<[_]>>>()
    };
    Ok(registry.intern(FuncType::new(convert(func.params())?, convert(func.results())?)))
}

fn builtin(
    translator: &mut TypeTranslator,
    types: TypesRef<'_>,
    registry: &TypeRegistry,
    function: CanonicalFunction,
    offset: usize,
) -> Result<Builtin> {
    use CanonicalFunction as F;
    use Side::{Readable, Writable};
    let resource = |translator: &mut TypeTranslator, index| {
        translator
            .resource_at(types, index)
            .ok_or_else(|| Error::usage("the validator took a type for a resource"))
    };
    let options = |list: &[CanonicalOption]| canonical_options(types, list, offset);
    let memory = |index| options(&[CanonicalOption::Memory(index)]);
    Ok(match function {
        F::ResourceNew { resource: index } => Builtin::ResourceNew(resource(translator, index)?),
        F::ResourceRep { resource: index } => Builtin::ResourceRep(resource(translator, index)?),
        F::ResourceDrop { resource: index } => Builtin::ResourceDrop(resource(translator, index)?),
        F::BackpressureInc => Builtin::BackpressureInc,
        F::BackpressureDec => Builtin::BackpressureDec,
        F::TaskReturn { result, options: list } => Builtin::TaskReturn {
            result: translator.optional_binary(types, result)?,
            options: options(&list)?,
        },
        F::TaskCancel => Builtin::TaskCancel,
        F::ContextGet { slot, .. } => Builtin::ContextGet(slot),
        F::ContextSet { slot, .. } => Builtin::ContextSet(slot),
        F::ThreadYield => Builtin::ThreadYield,
        F::SubtaskDrop => Builtin::SubtaskDrop,
        F::SubtaskCancel { async_ } => Builtin::SubtaskCancel { is_async: async_ },
        F::StreamNew { ty } | F::FutureNew { ty } => Builtin::New(translator.async_value(types, ty)?),
        F::StreamRead { ty, options: list } | F::FutureRead { ty, options: list } => {
            Builtin::Copy { ty: translator.async_value(types, ty)?, side: Readable, options: options(&list)? }
        }
        F::StreamWrite { ty, options: list } | F::FutureWrite { ty, options: list } => {
            Builtin::Copy { ty: translator.async_value(types, ty)?, side: Writable, options: options(&list)? }
        }
        F::StreamCancelRead { ty, async_ } | F::FutureCancelRead { ty, async_ } => {
            Builtin::CancelCopy { ty: translator.async_value(types, ty)?, side: Readable, is_async: async_ }
        }
        F::StreamCancelWrite { ty, async_ } | F::FutureCancelWrite { ty, async_ } => {
            Builtin::CancelCopy { ty: translator.async_value(types, ty)?, side: Writable, is_async: async_ }
        }
        F::StreamDropReadable { ty } | F::FutureDropReadable { ty } => {
            Builtin::DropEnd { ty: translator.async_value(types, ty)?, side: Readable }
        }
        F::StreamDropWritable { ty } | F::FutureDropWritable { ty } => {
            Builtin::DropEnd { ty: translator.async_value(types, ty)?, side: Writable }
        }
        F::WaitableSetNew => Builtin::WaitableSetNew,
        F::WaitableSetWait { memory: index } => Builtin::WaitableSetWait { options: memory(index)? },
        F::WaitableSetPoll { memory: index } => Builtin::WaitableSetPoll { options: memory(index)? },
        F::WaitableSetDrop => Builtin::WaitableSetDrop,
        F::WaitableJoin => Builtin::WaitableJoin,
        F::StreamForward { ty } | F::FutureForward { ty } => {
            Builtin::Forward { ty: translator.async_value(types, ty)? }
        }
        F::ErrorContextNew { options: list } => Builtin::ErrorContextNew { options: options(&list)? },
        F::ErrorContextDebugMessage { options: list } => {
            Builtin::ErrorContextDebugMessage { options: options(&list)? }
        }
        F::ErrorContextDrop => Builtin::ErrorContextDrop,
        F::ThreadIndex => Builtin::ThreadIndex,
        F::ThreadNewIndirect { func_ty_index, table_index } => {
            let ComponentCoreTypeId::Sub(id) = types.core_type_at_in_component(func_ty_index) else {
                return Err(Error::usage("the validator took a module for a function"));
            };
            Builtin::ThreadNewIndirect { ty: intern_func(types, id, registry, offset)?, table: table_index }
        }
        F::ThreadResumeLater => Builtin::ThreadResumeLater,
        F::ThreadSuspend => Builtin::ThreadSuspend,
        F::ThreadSuspendThenResume => Builtin::ThreadSwitch(Switch::SuspendThenResume),
        F::ThreadYieldThenResume => Builtin::ThreadSwitch(Switch::YieldThenResume),
        F::ThreadSuspendThenPromote => Builtin::ThreadSwitch(Switch::SuspendThenPromote),
        F::ThreadYieldThenPromote => Builtin::ThreadSwitch(Switch::YieldThenPromote),
        other => {
            let name = format!("{other:?}");
            let name = name.split([' ', '{']).next().unwrap_or_default();
            return Err(Error::unsupported(format!("the canonical built-in {name}"), offset));
        }
    })
}
