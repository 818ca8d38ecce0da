//! What a component instance's types mean: the file's type table and the resource types its names are bound to.

use std::sync::{Arc, OnceLock};

use tombolo_types::component::{Def, FuncTypeId, ResourceIdx, TypeRef, Types};

use crate::error::{Error, Result};
use crate::resource::ResourceType;

/// Bindings of one component instance. Filled while it is instantiated; a name is bound before anything uses it.
#[derive(Debug)]
pub(crate) struct Env {
    pub types: Arc<Types>,
    resources: Box<[OnceLock<ResourceType>]>,
}

impl Env {
    pub fn new(types: Arc<Types>) -> Self {
        let resources = (0..types.resource_count()).map(|_| OnceLock::new()).collect();
        Env { types, resources }
    }

    /// Binds a name. A name that is met again keeps its first meaning: validation proved them equal.
    pub fn bind(&self, id: ResourceIdx, ty: ResourceType) {
        if let Some(cell) = self.resources.get(id.0 as usize) {
            let _ = cell.set(ty);
        }
    }

    /// What a name is bound to, if it is.
    #[inline]
    pub fn bound(&self, id: ResourceIdx) -> Option<ResourceType> {
        self.resources.get(id.0 as usize)?.get().copied()
    }

    /// What a name is bound to.
    #[inline]
    pub fn resource(&self, id: ResourceIdx) -> Result<ResourceType> {
        self.bound(id).ok_or_else(|| self.unbound(id))
    }

    #[cold]
    fn unbound(&self, id: ResourceIdx) -> Error {
        Error::usage(format!("resource type `{}` is not bound yet", self.types.resource_name(id)))
    }
}

/// The element type of a stream or future.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    /// `None` for a stream that the host made and has not yet passed to a guest.
    pub env: Option<Arc<Env>>,
    pub ty: Option<TypeRef>,
}

/// An element type to be compared with: that of a stream or future type, where it is defined.
#[derive(Clone, Copy)]
pub(crate) struct ElementOf<'a> {
    env: &'a Arc<Env>,
    ty: Option<TypeRef>,
}

impl<'a> ElementOf<'a> {
    /// The element of a stream or future type.
    #[inline]
    pub fn new(env: &'a Arc<Env>, def: &Def) -> Self {
        let ty = match def {
            Def::Stream(ty) | Def::Future(ty) => *ty,
            _ => None,
        };
        ElementOf { env, ty }
    }
}

impl From<ElementOf<'_>> for Element {
    fn from(element: ElementOf<'_>) -> Self {
        Element { env: Some(element.env.clone()), ty: element.ty }
    }
}

impl PartialEq<ElementOf<'_>> for Element {
    #[inline]
    fn eq(&self, other: &ElementOf<'_>) -> bool {
        self.env.as_ref().is_none_or(|env| same_optional(env, self.ty, other.env, other.ty))
    }
}

impl Element {
    /// The element of a stream or future type.
    #[inline]
    pub fn of(env: &Arc<Env>, def: &Def) -> Self {
        ElementOf::new(env, def).into()
    }

    /// An element type that the first guest to receive the stream decides.
    pub fn open() -> Self {
        Element { env: None, ty: None }
    }
}

impl tombolo_tasks::Element for Element {
    fn is_none_or_number(&self) -> bool {
        self.ty.is_none_or(TypeRef::is_number)
    }
}

impl PartialEq for Element {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.env, &other.env) {
            (Some(a), Some(b)) => same_optional(a, self.ty, b, other.ty),
            _ => true,
        }
    }
}

/// Whether two function types of possibly different files are equal.
pub(crate) fn same_func(a: &Env, a_id: FuncTypeId, b: &Env, b_id: FuncTypeId) -> bool {
    let (x, y) = (a.types.func(a_id), b.types.func(b_id));
    x.is_async == y.is_async
        && x.params.len() == y.params.len()
        && x.params.iter().zip(&y.params).all(|(x, y)| x.name == y.name && same_type(a, x.ty, b, y.ty))
        && same_optional(a, x.result, b, y.result)
}

#[inline]
fn same_optional(a: &Env, a_ty: Option<TypeRef>, b: &Env, b_ty: Option<TypeRef>) -> bool {
    match (a_ty, b_ty) {
        (None, None) => true,
        (Some(a_ty), Some(b_ty)) => same_type(a, a_ty, b, b_ty),
        _ => false,
    }
}

/// Whether two types of possibly different files are equal, resource types included.
#[inline]
pub(crate) fn same_type(a: &Env, a_ty: TypeRef, b: &Env, b_ty: TypeRef) -> bool {
    // Mostly the ends of a stream are looked at by who made it; a variant has many names to compare.
    a_ty == b_ty && std::ptr::eq(a, b) || same_structure(a, a_ty, b, b_ty)
}

fn same_structure(a: &Env, a_ty: TypeRef, b: &Env, b_ty: TypeRef) -> bool {
    let (Some(a_def), Some(b_def)) = (a.types.get(a_ty), b.types.get(b_ty)) else { return a_ty == b_ty };
    let same = |x: TypeRef, y: TypeRef| same_type(a, x, b, y);
    match (a_def, b_def) {
        (Def::List { element: x, length: n }, Def::List { element: y, length: m }) => n == m && same(*x, *y),
        (Def::Map { key: k, value: v }, Def::Map { key: l, value: w }) => same(*k, *l) && same(*v, *w),
        (Def::Record(x), Def::Record(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.name == y.name && same(x.ty, y.ty))
        }
        (Def::Tuple(x), Def::Tuple(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(*x, *y)),
        (Def::Variant(x), Def::Variant(y)) => {
            x.len() == y.len()
                && x.iter().zip(y).all(|(x, y)| x.name == y.name && same_optional(a, x.ty, b, y.ty))
        }
        (Def::Enum(x), Def::Enum(y)) | (Def::Flags(x), Def::Flags(y)) => x == y,
        (Def::Option(x), Def::Option(y)) => same(*x, *y),
        (Def::Result { ok, err }, Def::Result { ok: ok2, err: err2 }) => {
            same_optional(a, *ok, b, *ok2) && same_optional(a, *err, b, *err2)
        }
        (Def::Stream(x), Def::Stream(y)) | (Def::Future(x), Def::Future(y)) => same_optional(a, *x, b, *y),
        (Def::Own(x), Def::Own(y)) | (Def::Borrow(x), Def::Borrow(y)) => {
            matches!((a.resource(*x), b.resource(*y)), (Ok(x), Ok(y)) if x == y)
        }
        _ => false,
    }
}
