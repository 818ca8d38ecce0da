//! Types as an embedder sees them.

use std::fmt;
use std::sync::Arc;

use tombolo_types::component::{Def, TypeRef, Types};

/// A component value type.
///
/// `Display` writes it as WIT: `list<option<u32>>`.
#[derive(Clone)]
pub struct Type {
    types: Arc<Types>,
    ty: TypeRef,
}

/// What a [`Type`] consists of.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the specification's names")]
pub enum TypeKind {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
    Char,
    String,
    ErrorContext,
    /// The element, and the length if the type fixes it.
    List(Type, Option<u32>),
    /// Key and value.
    Map(Type, Type),
    /// Labels and types of the fields.
    Record(Vec<(String, Type)>),
    Tuple(Vec<Type>),
    /// Labels and payloads of the cases.
    Variant(Vec<(String, Option<Type>)>),
    Enum(Vec<String>),
    Option(Type),
    /// Payloads of `ok` and `err`.
    Result(Option<Type>, Option<Type>),
    Flags(Vec<String>),
    /// The resource's name.
    Own(String),
    /// The resource's name.
    Borrow(String),
    Stream(Option<Type>),
    Future(Option<Type>),
}

impl Type {
    pub(crate) fn new(types: Arc<Types>, ty: TypeRef) -> Self {
        Type { types, ty }
    }

    /// Takes the type apart by one level.
    pub fn kind(&self) -> TypeKind {
        let def = match self.ty {
            TypeRef::Bool => return TypeKind::Bool,
            TypeRef::S8 => return TypeKind::S8,
            TypeRef::U8 => return TypeKind::U8,
            TypeRef::S16 => return TypeKind::S16,
            TypeRef::U16 => return TypeKind::U16,
            TypeRef::S32 => return TypeKind::S32,
            TypeRef::U32 => return TypeKind::U32,
            TypeRef::S64 => return TypeKind::S64,
            TypeRef::U64 => return TypeKind::U64,
            TypeRef::F32 => return TypeKind::F32,
            TypeRef::F64 => return TypeKind::F64,
            TypeRef::Char => return TypeKind::Char,
            TypeRef::String => return TypeKind::String,
            TypeRef::ErrorContext => return TypeKind::ErrorContext,
            TypeRef::Def(id) => self.types.def(id),
        };
        let part = |ty: &TypeRef| Type::new(Arc::clone(&self.types), *ty);
        match def {
            Def::List { element, length } => TypeKind::List(part(element), *length),
            Def::Map { key, value } => TypeKind::Map(part(key), part(value)),
            Def::Record(fields) => {
                TypeKind::Record(fields.iter().map(|f| (f.name.clone(), part(&f.ty))).collect())
            }
            Def::Tuple(list) => TypeKind::Tuple(list.iter().map(part).collect()),
            Def::Variant(cases) => {
                TypeKind::Variant(cases.iter().map(|c| (c.name.clone(), c.ty.as_ref().map(part))).collect())
            }
            Def::Enum(names) => TypeKind::Enum(names.to_vec()),
            Def::Option(some) => TypeKind::Option(part(some)),
            Def::Result { ok, err } => TypeKind::Result(ok.as_ref().map(part), err.as_ref().map(part)),
            Def::Flags(names) => TypeKind::Flags(names.to_vec()),
            Def::Own(resource) => TypeKind::Own(self.types.resource_name(*resource).to_owned()),
            Def::Borrow(resource) => TypeKind::Borrow(self.types.resource_name(*resource).to_owned()),
            Def::Stream(ty) => TypeKind::Stream(ty.as_ref().map(part)),
            Def::Future(ty) => TypeKind::Future(ty.as_ref().map(part)),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.types.display(self.ty))
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Type({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_taken_apart() {
        let mut types = Types::new();
        let option = types.intern(Def::Option(TypeRef::U32));
        let list = types.intern(Def::List { element: option, length: None });
        let ty = Type::new(Arc::new(types), list);
        assert_eq!(ty.to_string(), "list<option<u32>>");
        let TypeKind::List(element, None) = ty.kind() else { panic!("{ty:?}") };
        let TypeKind::Option(some) = element.kind() else { panic!("{element:?}") };
        assert!(matches!(some.kind(), TypeKind::U32));
    }
}
