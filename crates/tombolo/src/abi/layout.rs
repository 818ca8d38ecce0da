//! Fields and cases of types, seen alike whether the type is written in its general or a special form
//! (CanonicalABI.md, "Despecialization").

use tombolo_types::component::{Abi, Def, Field, FuncTypeId, PtrWidth, Size, TypeRef, Types};

use super::memory::offset;
use crate::error::{Error, Result};

/// The fields of a record or tuple.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    parts: Parts<'a>,
    offsets: &'a [Size],
}

#[derive(Clone, Copy)]
enum Parts<'a> {
    Record(&'a [Field]),
    Tuple(&'a [TypeRef]),
    One(TypeRef),
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn new(types: &'a Types, ty: TypeRef, width: PtrWidth) -> Result<Self> {
        let parts = match types.get(ty) {
            Some(Def::Record(fields)) => Parts::Record(fields),
            Some(Def::Tuple(list)) => Parts::Tuple(list),
            _ => return Err(wrong(types, ty, "record or tuple")),
        };
        Ok(Fields { parts, offsets: &types.abi(ty, width).offsets })
    }

    pub(crate) fn len(&self) -> usize {
        match self.parts {
            Parts::Record(fields) => fields.len(),
            Parts::Tuple(list) => list.len(),
            Parts::One(_) => 1,
        }
    }

    /// The label of a field; `None` in a tuple.
    pub(crate) fn name(&self, index: usize) -> Option<&'a str> {
        match self.parts {
            Parts::Record(fields) => fields.get(index).map(|field| field.name.as_str()),
            Parts::Tuple(_) | Parts::One(_) => None,
        }
    }

    /// The type of a field.
    #[doc(hidden)]
    #[inline]
    pub fn ty(&self, index: usize) -> Result<TypeRef> {
        let ty = match self.parts {
            Parts::Record(fields) => fields.get(index).map(|field| field.ty),
            Parts::Tuple(list) => list.get(index).copied(),
            Parts::One(ty) => Some(ty).filter(|_| index == 0),
        };
        ty.ok_or_else(|| no_field(index))
    }

    /// The type of a field and where it lies in a value that lies at `base`.
    #[doc(hidden)]
    #[inline]
    pub fn at(&self, index: usize, base: u64) -> Result<(TypeRef, u64)> {
        Ok((self.ty(index)?, field_at(self.offsets, index, base)))
    }
}

/// Where a field lies of a value that lies at `base`.
#[inline]
pub(super) fn field_at(offsets: &[Size], index: usize, base: u64) -> u64 {
    offset(base, offsets.get(index).copied().unwrap_or(0))
}

#[cold]
fn no_field(index: usize) -> Error {
    Error::mismatch("value", format!("the type has no field {index}"))
}

/// A list of types that are passed together: the parameters or the result of a function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TypeList {
    /// The parameters of a function.
    Params(FuncTypeId),
    /// A result, if there is one.
    Result(Option<TypeRef>),
}

impl TypeList {
    /// The values as the fields of a tuple, and its layout; `None` if there are none.
    #[inline]
    pub(crate) fn layout(self, types: &Types, width: PtrWidth) -> Option<(Fields<'_>, &Abi)> {
        match self {
            TypeList::Params(func) => {
                let (params, abi) = (&types.func(func).params, types.params_abi(func, width));
                let fields = Fields { parts: Parts::Record(params), offsets: &abi.offsets };
                if params.is_empty() { None } else { Some((fields, abi)) }
            }
            TypeList::Result(ty) => {
                ty.map(|ty| (Fields { parts: Parts::One(ty), offsets: &[0] }, types.abi(ty, width)))
            }
        }
    }
}

/// Whether values that flatten like this are passed through memory.
#[inline]
pub(super) fn is_spilled(abi: &Abi, max_flat: usize) -> bool {
    abi.flat.as_ref().is_none_or(|flat| flat.len() > max_flat)
}

/// The case that a variant, enum, option or result has.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    index: u32,
    payload: Option<TypeRef>,
    /// Where the payload lies in memory, or the number of the flat value after the variant.
    place: u64,
}

impl Case {
    /// Its position among the cases.
    #[doc(hidden)]
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The type of its payload; an error if it has none.
    #[doc(hidden)]
    #[inline]
    pub fn payload(&self) -> Result<TypeRef> {
        self.payload.ok_or_else(|| Error::mismatch("value", format!("case {} has no payload", self.index)))
    }

    /// Where the payload lies.
    #[doc(hidden)]
    #[inline]
    pub fn ptr(&self) -> u64 {
        self.place
    }

    /// What a type that lacks this case reports.
    #[doc(hidden)]
    pub fn unknown(&self) -> Error {
        Error::mismatch("value", format!("the host's type has no case {}", self.index))
    }

    #[inline]
    pub(crate) fn payload_type(&self) -> Option<TypeRef> {
        self.payload
    }

    /// The number of the flat value after the variant, for one that was made with [`Case::flat`].
    pub(crate) fn end(&self) -> usize {
        usize::try_from(self.place).unwrap_or(usize::MAX)
    }

    #[inline]
    fn new(types: &Types, ty: TypeRef, index: u32, place: u64) -> Result<Case> {
        let payload = payload(types, ty, index)?;
        Ok(Case { index, payload, place })
    }

    /// A case of a variant whose flat values start at number `at`.
    #[inline]
    pub(crate) fn flat(types: &Types, ty: TypeRef, width: PtrWidth, index: u32, at: usize) -> Result<Case> {
        let Some(flat) = &types.abi(ty, width).flat else {
            return Err(Error::usage("a variant with too many flat values"));
        };
        Case::new(types, ty, index, (at + flat.len()) as u64)
    }

    /// A case of a variant at `ptr` in memory.
    #[inline]
    pub(crate) fn stored(types: &Types, ty: TypeRef, width: PtrWidth, index: u32, ptr: u64) -> Result<Case> {
        let payload = types.abi(ty, width).offsets.first().copied().unwrap_or(0);
        Case::new(types, ty, index, offset(ptr, payload))
    }
}

/// How many cases a type has; `None` if it is not a variant of some form.
pub(super) fn case_count(types: &Types, ty: TypeRef) -> Option<usize> {
    match types.get(ty)? {
        Def::Variant(cases) => Some(cases.len()),
        Def::Enum(names) => Some(names.len()),
        Def::Option(_) | Def::Result { .. } => Some(2),
        _ => None,
    }
}

/// The payload type of a case.
#[inline]
fn payload(types: &Types, ty: TypeRef, index: u32) -> Result<Option<TypeRef>> {
    let payload = match types.get(ty) {
        Some(Def::Variant(cases)) => cases.get(index as usize).map(|case| case.ty),
        Some(Def::Enum(names)) => names.get(index as usize).map(|_| None),
        Some(Def::Option(some)) => of_two(index, None, Some(*some)),
        Some(Def::Result { ok, err }) => of_two(index, *ok, *err),
        _ => return Err(wrong(types, ty, "variant, enum, option or result")),
    };
    payload.ok_or_else(|| case_unknown(types, ty, index))
}

#[inline]
fn of_two<T>(index: u32, first: T, second: T) -> Option<T> {
    match index {
        0 => Some(first),
        1 => Some(second),
        _ => None,
    }
}

#[cold]
fn case_unknown(types: &Types, ty: TypeRef, index: u32) -> Error {
    unknown_case(index, case_count(types, ty).unwrap_or(0))
}

/// What is reported for a discriminant that no case has.
pub(super) fn unknown_case(index: u32, count: usize) -> Error {
    Error::abi(format!("invalid variant discriminant: {index} of {count} cases"))
}

/// The element type of a list or map, and its length if the type fixes it.
#[inline]
pub(super) fn element(types: &Types, ty: TypeRef) -> Result<(TypeRef, Option<u32>)> {
    match types.get(ty) {
        Some(Def::List { element, length }) => Ok((*element, *length)),
        Some(Def::Map { .. }) => {
            types.map_entry(ty).map(|entry| (entry, None)).ok_or_else(|| wrong(types, ty, "list"))
        }
        _ => Err(wrong(types, ty, "list")),
    }
}

/// The bits of flags that mean something.
pub(super) fn flags_mask(types: &Types, ty: TypeRef) -> Result<u32> {
    match types.get(ty) {
        Some(Def::Flags(names)) if names.len() < 32 => Ok((1 << names.len()) - 1),
        Some(Def::Flags(_)) => Ok(u32::MAX),
        _ => Err(wrong(types, ty, "flags")),
    }
}

/// The bit pattern of a `char`, checked.
pub(super) fn char_of(bits: u32) -> Result<char> {
    char::from_u32(bits).ok_or_else(|| Error::abi(format!("invalid `char` bit pattern: {bits:#x}")))
}

/// What is reported for a value of another type than it was bound to: the embedder's mistake, or ours.
#[cold]
pub(super) fn wrong(types: &Types, ty: TypeRef, expected: &str) -> Error {
    Error::mismatch("value", format!("expected {expected}, found {}", types.display(ty)))
}
