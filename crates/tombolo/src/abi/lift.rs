//! Lifting values whose type is known only at run time (CanonicalABI.md, "Loading" and "Flat Lifting").

use tombolo_types::component::{Abi, Def, TypeRef};

use super::context::LiftContext;
use super::flat::FlatSource;
use super::layout::{Case, TypeList, char_of, element, is_spilled, wrong};
use super::memory::{Range, check_range, offset};
use super::string::load_string;
use crate::async_value::{FutureAny, StreamAny};
use crate::error::Result;
use crate::value::Val;

/// Lifts the parameters or the result of a function (`lift_flat_values`).
pub(crate) fn lift_values(
    cx: &mut LiftContext<'_>,
    list: TypeList,
    max_flat: usize,
    flat: &[u64],
) -> Result<Vec<Val>> {
    let Some((fields, abi)) = list.layout(cx.types(), cx.width()) else { return Ok(Vec::new()) };
    let mut src = FlatSource::new(flat);
    let base = spilled_source(cx, abi, max_flat, &mut src)?;
    cx.charge(fields.len(), size_of::<Val>())?;
    (0..fields.len())
        .map(|i| match base {
            Some(base) => fields.at(i, base).and_then(|(ty, ptr)| load(cx, ty, ptr)),
            None => lift_flat(cx, fields.ty(i)?, &mut src),
        })
        .collect()
}

/// Where values lie that were passed through memory; `None` if they are flat.
#[inline]
pub(super) fn spilled_source(
    cx: &LiftContext<'_>,
    abi: &Abi,
    max_flat: usize,
    src: &mut FlatSource<'_>,
) -> Result<Option<u64>> {
    if !is_spilled(abi, max_flat) {
        return Ok(None);
    }
    let ptr = src.next_ptr(cx.width())?;
    check_range(cx.memory().len(), ptr, abi.size, abi.align, Range::Value)?;
    Ok(Some(ptr))
}

/// Lifts a value from flat values.
pub(crate) fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Val> {
    let Some(def) = cx.types().get(ty) else {
        return Ok(match ty {
            TypeRef::Bool => Val::Bool(src.next_u32()? != 0),
            TypeRef::S8 => Val::S8(src.next_u32()? as i8),
            TypeRef::U8 => Val::U8(src.next_u32()? as u8),
            TypeRef::S16 => Val::S16(src.next_u32()? as i16),
            TypeRef::U16 => Val::U16(src.next_u32()? as u16),
            TypeRef::S32 => Val::S32(src.next_u32()? as i32),
            TypeRef::U32 => Val::U32(src.next_u32()?),
            TypeRef::S64 => Val::S64(src.next_u64()? as i64),
            TypeRef::U64 => Val::U64(src.next_u64()?),
            TypeRef::F32 => Val::F32(f32::from_bits(src.next_u32()?)),
            TypeRef::F64 => Val::F64(f64::from_bits(src.next_u64()?)),
            TypeRef::Char => Val::Char(char_of(src.next_u32()?)?),
            TypeRef::String => {
                let (ptr, length) = (src.next_ptr(cx.width())?, src.next_ptr(cx.width())?);
                Val::String(load_string(cx, ptr, length)?)
            }
            TypeRef::ErrorContext => Val::ErrorContext(cx.lift_error_context(src.next_u32()?)?),
            TypeRef::Def(_) => return Err(wrong(cx.types(), ty, "a primitive")),
        });
    };
    match def {
        Def::List { element, length: Some(length) } => {
            cx.charge(*length as usize, size_of::<Val>())?;
            let list = (0..*length).map(|_| lift_flat(cx, *element, src));
            list.collect::<Result<_>>().map(Val::List)
        }
        Def::List { .. } | Def::Map { .. } => {
            let (ptr, length) = (src.next_ptr(cx.width())?, src.next_ptr(cx.width())?);
            load_list(cx, ty, ptr, length)
        }
        Def::Record(_) | Def::Tuple(_) => fields(cx, ty, |cx, _, ty| lift_flat(cx, ty, src)),
        Def::Variant(_) | Def::Enum(_) | Def::Option(_) | Def::Result { .. } => {
            let case = cx.lift_case(ty, src)?;
            let payload = case.payload_type().map(|ty| lift_flat(cx, ty, src)).transpose()?;
            cx.finish_case(case, src);
            variant(cx, def, case, payload)
        }
        Def::Flags(names) => {
            let bits = cx.lift_flags(ty, src)?;
            flags(cx, names, bits)
        }
        Def::Own(_) | Def::Borrow(_) | Def::Stream(_) | Def::Future(_) => {
            let index = src.next_u32()?;
            handle(cx, ty, index)
        }
    }
}

/// Loads a value from memory. The caller has checked its range and alignment.
pub(crate) fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Val> {
    let Some(def) = cx.types().get(ty) else {
        return Ok(match ty {
            TypeRef::Bool => Val::Bool(cx.load(ptr)? != [0]),
            TypeRef::S8 => Val::S8(i8::from_le_bytes(cx.load(ptr)?)),
            TypeRef::U8 => Val::U8(u8::from_le_bytes(cx.load(ptr)?)),
            TypeRef::S16 => Val::S16(i16::from_le_bytes(cx.load(ptr)?)),
            TypeRef::U16 => Val::U16(u16::from_le_bytes(cx.load(ptr)?)),
            TypeRef::S32 => Val::S32(i32::from_le_bytes(cx.load(ptr)?)),
            TypeRef::U32 => Val::U32(u32::from_le_bytes(cx.load(ptr)?)),
            TypeRef::S64 => Val::S64(i64::from_le_bytes(cx.load(ptr)?)),
            TypeRef::U64 => Val::U64(u64::from_le_bytes(cx.load(ptr)?)),
            TypeRef::F32 => Val::F32(f32::from_le_bytes(cx.load(ptr)?)),
            TypeRef::F64 => Val::F64(f64::from_le_bytes(cx.load(ptr)?)),
            TypeRef::Char => Val::Char(char_of(u32::from_le_bytes(cx.load(ptr)?))?),
            TypeRef::String => {
                let (begin, length) = cx.load_pair(ptr)?;
                Val::String(load_string(cx, begin, length)?)
            }
            TypeRef::ErrorContext => {
                let index = u32::from_le_bytes(cx.load(ptr)?);
                Val::ErrorContext(cx.lift_error_context(index)?)
            }
            TypeRef::Def(_) => return Err(wrong(cx.types(), ty, "a primitive")),
        });
    };
    match def {
        Def::List { element, length: Some(length) } => {
            elements(cx, *element, ptr, *length as usize).map(Val::List)
        }
        Def::List { .. } | Def::Map { .. } => {
            let (begin, length) = cx.load_pair(ptr)?;
            load_list(cx, ty, begin, length)
        }
        Def::Record(_) | Def::Tuple(_) => {
            let layout = cx.fields(ty)?;
            fields(cx, ty, |cx, i, _| layout.at(i, ptr).and_then(|(ty, ptr)| load(cx, ty, ptr)))
        }
        Def::Variant(_) | Def::Enum(_) | Def::Option(_) | Def::Result { .. } => {
            let case = cx.load_case(ty, ptr)?;
            let payload = case.payload_type().map(|ty| load(cx, ty, case.ptr())).transpose()?;
            variant(cx, def, case, payload)
        }
        Def::Flags(names) => {
            let bits = cx.load_flags(ty, ptr)?;
            flags(cx, names, bits)
        }
        Def::Own(_) | Def::Borrow(_) | Def::Stream(_) | Def::Future(_) => {
            let index = u32::from_le_bytes(cx.load(ptr)?);
            handle(cx, ty, index)
        }
    }
}

/// `load_list_from_range`, for lists without a fixed length and maps.
fn load_list(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64, length: u64) -> Result<Val> {
    let (element, _) = element(cx.types(), ty)?;
    let count = cx.check_list(element, ptr, length)?;
    let list = elements(cx, element, ptr, count)?;
    Ok(match cx.types().get(ty) {
        Some(Def::Map { .. }) => Val::Map(list.into_iter().filter_map(entry).collect()),
        _ => Val::List(list),
    })
}

fn entry(value: Val) -> Option<(Val, Val)> {
    match value {
        Val::Tuple(parts) => parts.try_into().ok().map(|[key, value]: [Val; 2]| (key, value)),
        _ => None,
    }
}

/// `load_list_from_valid_range`.
fn elements(cx: &mut LiftContext<'_>, element: TypeRef, ptr: u64, count: usize) -> Result<Vec<Val>> {
    cx.charge(count, size_of::<Val>())?;
    let size = cx.abi(element).size;
    let mut list = Vec::with_capacity(count);
    for i in 0..count as u64 {
        cx.check_interrupt(i)?;
        list.push(load(cx, element, offset(ptr, i.saturating_mul(size)))?);
    }
    Ok(list)
}

fn fields(
    cx: &mut LiftContext<'_>,
    ty: TypeRef,
    mut each: impl FnMut(&mut LiftContext<'_>, usize, TypeRef) -> Result<Val>,
) -> Result<Val> {
    let layout = cx.fields(ty)?;
    cx.charge(layout.len(), size_of::<(String, Val)>())?;
    if let Some(Def::Record(_)) = cx.types().get(ty) {
        let mut record = Vec::with_capacity(layout.len());
        for i in 0..layout.len() {
            let name = label(cx, layout.name(i).unwrap_or_default())?;
            record.push((name, each(cx, i, layout.ty(i)?)?));
        }
        return Ok(Val::Record(record));
    }
    (0..layout.len()).map(|i| each(cx, i, layout.ty(i)?)).collect::<Result<_>>().map(Val::Tuple)
}

fn label(cx: &mut LiftContext<'_>, name: &str) -> Result<String> {
    cx.charge(name.len(), 1)?;
    Ok(name.to_owned())
}

fn variant(cx: &mut LiftContext<'_>, def: &Def, case: Case, payload: Option<Val>) -> Result<Val> {
    if payload.is_some() {
        cx.charge(1, size_of::<Val>())?;
    }
    let payload = payload.map(Box::new);
    let index = case.index() as usize;
    let value = match (def, index) {
        (Def::Variant(cases), _) => match cases.get(index) {
            Some(case) => Some(Val::Variant(label(cx, &case.name)?, payload)),
            None => None,
        },
        (Def::Enum(names), _) => match names.get(index) {
            Some(name) => Some(Val::Enum(label(cx, name)?)),
            None => None,
        },
        (Def::Option(_), _) => Some(Val::Option(payload)),
        (Def::Result { .. }, 0) => Some(Val::Result(Ok(payload))),
        (Def::Result { .. }, _) => Some(Val::Result(Err(payload))),
        _ => None,
    };
    value.ok_or_else(|| case.unknown())
}

fn flags(cx: &mut LiftContext<'_>, names: &[String], bits: u32) -> Result<Val> {
    cx.charge(bits.count_ones() as usize, size_of::<String>())?;
    let set = names.iter().enumerate().filter(|(i, _)| bits.checked_shr(*i as u32).unwrap_or(0) & 1 == 1);
    set.map(|(_, name)| label(cx, name)).collect::<Result<_>>().map(Val::Flags)
}

fn handle(cx: &mut LiftContext<'_>, ty: TypeRef, index: u32) -> Result<Val> {
    match cx.types().get(ty) {
        Some(Def::Stream(_)) => cx.lift_async_value(ty, index).map(|handle| Val::Stream(StreamAny(handle))),
        Some(Def::Future(_)) => cx.lift_async_value(ty, index).map(|handle| Val::Future(FutureAny(handle))),
        _ => cx.lift_resource(ty, index).map(Val::Resource),
    }
}

#[cfg(test)]
mod tests;
