//! From the validator's types to ours.

use std::collections::HashMap;
use std::sync::Arc;

use tombolo_types::component::{Case, Def, DefId, Field, FuncType, FuncTypeId, ResourceIdx, TypeRef, Types};
use wasmparser::PrimitiveValType;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType,
    ComponentFuncTypeId, ComponentInstanceTypeId, ComponentValType, ResourceId,
};
use wasmparser::types::TypesRef;

use super::plan::{InstanceType, ItemType};
use crate::error::{Error, Result};

/// Translates types, each once.
#[derive(Default)]
pub(super) struct TypeTranslator {
    pub types: Types,
    defined: HashMap<ComponentDefinedTypeId, TypeRef>,
    resources: HashMap<ResourceId, ResourceIdx>,
    instances: HashMap<ComponentInstanceTypeId, Arc<InstanceType>>,
}

impl TypeTranslator {
    pub fn value(&mut self, types: TypesRef<'_>, ty: ComponentValType) -> Result<TypeRef> {
        match ty {
            ComponentValType::Primitive(primitive) => Ok(primitive_type(primitive)),
            ComponentValType::Type(id) => self.defined(types, id),
        }
    }

    pub fn optional(&mut self, types: TypesRef<'_>, ty: Option<ComponentValType>) -> Result<Option<TypeRef>> {
        ty.map(|ty| self.value(types, ty)).transpose()
    }

    /// A type as a binary writes it, by index.
    pub fn optional_binary(
        &mut self,
        types: TypesRef<'_>,
        ty: Option<wasmparser::ComponentValType>,
    ) -> Result<Option<TypeRef>> {
        use wasmparser::ComponentValType::{Primitive, Type};
        match ty {
            None => Ok(None),
            Some(Primitive(primitive)) => Ok(Some(primitive_type(primitive))),
            Some(Type(index)) => match types.component_any_type_at(index) {
                ComponentAnyTypeId::Defined(id) => self.defined(types, id).map(Some),
                _ => Err(Error::usage("the validator took something else for a value type")),
            },
        }
    }

    pub fn defined(&mut self, types: TypesRef<'_>, id: ComponentDefinedTypeId) -> Result<TypeRef> {
        if let Some(ty) = self.defined.get(&id) {
            return Ok(*ty);
        }
        let names = |names: &mut dyn Iterator<Item = String>| names.collect::<Box<[String]>>();
        let def = match &types[id] {
            ComponentDefinedType::Primitive(primitive) => return Ok(primitive_type(*primitive)),
            ComponentDefinedType::Record(record) => Def::Record(
                (record.fields.iter())
                    .map(|(name, ty)| Ok(Field { name: name.to_string(), ty: self.value(types, *ty)? }))
                    .collect::<Result<_>>()?,
            ),
            ComponentDefinedType::Variant(variant) => Def::Variant(
                (variant.cases.iter())
                    .map(|(name, case)| {
                        Ok(Case { name: name.to_string(), ty: self.optional(types, case.ty)? })
                    })
                    .collect::<Result<_>>()?,
            ),
            ComponentDefinedType::List { element, .. } => {
                Def::List { element: self.value(types, *element)?, length: None }
            }
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                Def::List { element: self.value(types, *element)?, length: Some(*length) }
            }
            ComponentDefinedType::Map { key, value, .. } => {
                Def::Map { key: self.value(types, *key)?, value: self.value(types, *value)? }
            }
            ComponentDefinedType::Tuple(tuple) => {
                Def::Tuple(tuple.types.iter().map(|ty| self.value(types, *ty)).collect::<Result<_>>()?)
            }
            ComponentDefinedType::Flags(flags) => Def::Flags(names(&mut flags.iter().map(|n| n.to_string()))),
            ComponentDefinedType::Enum(cases) => Def::Enum(names(&mut cases.iter().map(|n| n.to_string()))),
            ComponentDefinedType::Option { ty, .. } => Def::Option(self.value(types, *ty)?),
            ComponentDefinedType::Result { ok, err, .. } => {
                Def::Result { ok: self.optional(types, *ok)?, err: self.optional(types, *err)? }
            }
            ComponentDefinedType::Own(id) => Def::Own(self.resource(id.resource())),
            ComponentDefinedType::Borrow(id) => Def::Borrow(self.resource(id.resource())),
            ComponentDefinedType::Stream { ty, .. } => Def::Stream(self.optional(types, *ty)?),
            ComponentDefinedType::Future { ty, .. } => Def::Future(self.optional(types, *ty)?),
        };
        let ty = self.types.intern(def);
        self.defined.insert(id, ty);
        Ok(ty)
    }

    /// The definition of a stream or future type.
    pub fn async_value(&mut self, types: TypesRef<'_>, index: u32) -> Result<DefId> {
        match types.component_any_type_at(index) {
            ComponentAnyTypeId::Defined(id) => match self.defined(types, id)? {
                TypeRef::Def(id) => Ok(id),
                _ => Err(Error::usage("the validator took a primitive for a stream")),
            },
            _ => Err(Error::usage("the validator took something else for a stream")),
        }
    }

    pub fn resource(&mut self, id: ResourceId) -> ResourceIdx {
        let types = &mut self.types;
        *self.resources.entry(id).or_insert_with(|| types.add_resource("resource"))
    }

    /// The resource that a type index names, if it names one.
    pub fn resource_at(&mut self, types: TypesRef<'_>, index: u32) -> Option<ResourceIdx> {
        match types.component_any_type_at(index) {
            ComponentAnyTypeId::Resource(id) => Some(self.resource(id.resource())),
            _ => None,
        }
    }

    pub fn func(&mut self, types: TypesRef<'_>, id: ComponentFuncTypeId) -> Result<FuncTypeId> {
        let func = &types[id];
        let params = (func.params.iter())
            .map(|(name, ty)| Ok(Field { name: name.to_string(), ty: self.value(types, *ty)? }))
            .collect::<Result<_>>()?;
        let result = self.optional(types, func.result)?;
        Ok(self.types.intern_func(FuncType { params, result, is_async: func.async_ }))
    }

    pub fn instance(
        &mut self,
        types: TypesRef<'_>,
        id: ComponentInstanceTypeId,
    ) -> Result<Arc<InstanceType>> {
        if let Some(ty) = self.instances.get(&id) {
            return Ok(ty.clone());
        }
        let exports = (types[id].exports.iter())
            .map(|(name, item)| Ok((item.full_name(name).into_owned(), self.item(types, name, &item.ty)?)))
            .collect::<Result<_>>()?;
        let ty = Arc::new(InstanceType { exports });
        self.instances.insert(id, ty.clone());
        Ok(ty)
    }

    /// The type of an import or export called `name`.
    pub fn item(&mut self, types: TypesRef<'_>, name: &str, ty: &ComponentEntityType) -> Result<ItemType> {
        Ok(match ty {
            ComponentEntityType::Func(id) => ItemType::Func(self.func(types, *id)?),
            ComponentEntityType::Instance(id) => ItemType::Instance(self.instance(types, *id)?),
            ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(id), .. } => {
                let resource = self.resource(id.resource());
                self.types.describe_resource(resource, name);
                ItemType::Resource(resource)
            }
            ComponentEntityType::Type { .. } => ItemType::OtherType,
            ComponentEntityType::Module(_) => ItemType::Module,
            ComponentEntityType::Component(_) => ItemType::Component,
            ComponentEntityType::Value(_) => {
                return Err(Error::unsupported("value imports and exports", None));
            }
        })
    }
}

fn primitive_type(ty: PrimitiveValType) -> TypeRef {
    match ty {
        PrimitiveValType::Bool => TypeRef::Bool,
        PrimitiveValType::S8 => TypeRef::S8,
        PrimitiveValType::U8 => TypeRef::U8,
        PrimitiveValType::S16 => TypeRef::S16,
        PrimitiveValType::U16 => TypeRef::U16,
        PrimitiveValType::S32 => TypeRef::S32,
        PrimitiveValType::U32 => TypeRef::U32,
        PrimitiveValType::S64 => TypeRef::S64,
        PrimitiveValType::U64 => TypeRef::U64,
        PrimitiveValType::F32 => TypeRef::F32,
        PrimitiveValType::F64 => TypeRef::F64,
        PrimitiveValType::Char => TypeRef::Char,
        PrimitiveValType::String => TypeRef::String,
        PrimitiveValType::ErrorContext => TypeRef::ErrorContext,
    }
}
