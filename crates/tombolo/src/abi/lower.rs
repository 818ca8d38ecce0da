//! Lowering values whose type is known only at run time (CanonicalABI.md, "Storing" and "Flat Lowering").

use tombolo_types::component::{Abi, Def, TypeRef};

use super::context::LowerContext;
use super::flat::FlatSink;
use super::layout::{TypeList, element, flags_mask, is_spilled};
use super::memory::{Range, check_range, offset};
use super::string::store_string;
use crate::error::{Error, Result};
use crate::value::Val;

/// Lowers the parameters or the result of a function (`lower_flat_values`).
///
/// `out_param` is the room that the caller of an import provides for a result that does not fit `max_flat` values.
pub(crate) fn lower_values(
    cx: &mut LowerContext<'_>,
    list: TypeList,
    values: &[Val],
    max_flat: usize,
    out_param: Option<u64>,
) -> Result<FlatSink> {
    let mut dst = FlatSink::new();
    let layout = list.layout(cx.types(), cx.width());
    let count = layout.as_ref().map_or(0, |(fields, _)| fields.len());
    if values.len() != count {
        return Err(Error::mismatch("values", format!("expected {count} values, found {}", values.len())));
    }
    let Some((fields, abi)) = layout else { return Ok(dst) };
    let base = spilled_target(cx, abi, max_flat, out_param, &mut dst)?;
    for (i, value) in values.iter().enumerate() {
        match base {
            Some(base) => {
                let (ty, ptr) = fields.at(i, base)?;
                store(cx, ty, value, ptr)?;
            }
            None => lower_flat(cx, fields.ty(i)?, value, &mut dst)?,
        }
    }
    Ok(dst)
}

/// Where values go that are passed through memory; `None` if they are flat.
#[inline]
pub(super) fn spilled_target(
    cx: &mut LowerContext<'_>,
    abi: &Abi,
    max_flat: usize,
    out_param: Option<u64>,
    dst: &mut FlatSink,
) -> Result<Option<u64>> {
    if !is_spilled(abi, max_flat) {
        return Ok(None);
    }
    let Some(ptr) = out_param else {
        let ptr = cx.allocate(abi.align, abi.size)?;
        dst.push_u64(ptr)?;
        return Ok(Some(ptr));
    };
    check_range(cx.memory().len(), ptr, abi.size, abi.align, Range::Value)?;
    Ok(Some(ptr))
}

/// Lowers a value to flat values.
pub(crate) fn lower_flat(
    cx: &mut LowerContext<'_>,
    ty: TypeRef,
    value: &Val,
    dst: &mut FlatSink,
) -> Result<()> {
    match (cx.types().get(ty), value) {
        (None, Val::String(text)) if ty == TypeRef::String => {
            let pair = store_string(cx, text)?;
            cx.push_pair(dst, pair)
        }
        (None, Val::ErrorContext(value)) if ty == TypeRef::ErrorContext => {
            dst.push_u32(cx.lower_error_context(value)?)
        }
        (None, _) => dst.push_u64(scalar(cx, ty, value)?.1),
        (Some(Def::List { element, length: Some(length) }), Val::List(list)) => {
            check_length(list, *length)?;
            list.iter().try_for_each(|value| lower_flat(cx, *element, value, dst))
        }
        (Some(Def::List { .. }), Val::List(list)) => {
            let pair = store_list(cx, ty, list)?;
            cx.push_pair(dst, pair)
        }
        (Some(Def::Map { .. }), Val::Map(entries)) => {
            let pair = store_map(cx, ty, entries)?;
            cx.push_pair(dst, pair)
        }
        (Some(Def::Record(_) | Def::Tuple(_)), _) => {
            let fields = cx.fields(ty)?;
            parts(cx, ty, value)?
                .enumerate()
                .try_for_each(|(i, value)| lower_flat(cx, fields.ty(i)?, value, dst))
        }
        (Some(Def::Variant(_) | Def::Enum(_) | Def::Option(_) | Def::Result { .. }), _) => {
            let (index, payload) = find_case(cx, ty, value)?;
            let case = cx.lower_case(ty, index, dst)?;
            match (case.payload_type(), payload) {
                (Some(ty), Some(value)) => lower_flat(cx, ty, value, dst)?,
                (None, None) => {}
                _ => return Err(mismatch(cx, ty, value)),
            }
            cx.finish_case(case, dst)
        }
        (Some(Def::Flags(_)), Val::Flags(names)) => dst.push_u32(flag_bits(cx, ty, names)?),
        _ => dst.push_u32(handle(cx, ty, value)?),
    }
}

/// Stores a value in memory. The caller has checked its range and alignment.
pub(crate) fn store(cx: &mut LowerContext<'_>, ty: TypeRef, value: &Val, ptr: u64) -> Result<()> {
    match (cx.types().get(ty), value) {
        (None, Val::String(text)) if ty == TypeRef::String => {
            let pair = store_string(cx, text)?;
            cx.store_pair(ptr, pair)
        }
        (None, Val::ErrorContext(value)) if ty == TypeRef::ErrorContext => {
            let index = cx.lower_error_context(value)?;
            cx.store(ptr, index.to_le_bytes())
        }
        (None, _) => match scalar(cx, ty, value)? {
            (1, bits) => cx.store(ptr, (bits as u8).to_le_bytes()),
            (2, bits) => cx.store(ptr, (bits as u16).to_le_bytes()),
            (4, bits) => cx.store(ptr, (bits as u32).to_le_bytes()),
            (_, bits) => cx.store(ptr, bits.to_le_bytes()),
        },
        (Some(Def::List { element, length: Some(length) }), Val::List(list)) => {
            check_length(list, *length)?;
            store_elements(cx, *element, list, ptr)
        }
        (Some(Def::List { .. }), Val::List(list)) => {
            let pair = store_list(cx, ty, list)?;
            cx.store_pair(ptr, pair)
        }
        (Some(Def::Map { .. }), Val::Map(entries)) => {
            let pair = store_map(cx, ty, entries)?;
            cx.store_pair(ptr, pair)
        }
        (Some(Def::Record(_) | Def::Tuple(_)), _) => {
            let fields = cx.fields(ty)?;
            parts(cx, ty, value)?.enumerate().try_for_each(|(i, value)| {
                let (ty, ptr) = fields.at(i, ptr)?;
                store(cx, ty, value, ptr)
            })
        }
        (Some(Def::Variant(_) | Def::Enum(_) | Def::Option(_) | Def::Result { .. }), _) => {
            let (index, payload) = find_case(cx, ty, value)?;
            let case = cx.store_case(ty, index, ptr)?;
            match (case.payload_type(), payload) {
                (Some(ty), Some(value)) => store(cx, ty, value, case.ptr()),
                (None, None) => Ok(()),
                _ => Err(mismatch(cx, ty, value)),
            }
        }
        (Some(Def::Flags(_)), Val::Flags(names)) => {
            let bits = flag_bits(cx, ty, names)?;
            cx.store_flags(ty, bits, ptr)
        }
        _ => {
            let index = handle(cx, ty, value)?;
            cx.store(ptr, index.to_le_bytes())
        }
    }
}

/// Size and bits of a number, `bool` or `char`; those of less than 32 bits are extended to 32 by their sign.
fn scalar(cx: &LowerContext<'_>, ty: TypeRef, value: &Val) -> Result<(u32, u64)> {
    let signed = |value: i32| u64::from(value as u32);
    Ok(match (ty, value) {
        (TypeRef::Bool, Val::Bool(v)) => (1, u64::from(*v)),
        (TypeRef::S8, Val::S8(v)) => (1, signed((*v).into())),
        (TypeRef::U8, Val::U8(v)) => (1, (*v).into()),
        (TypeRef::S16, Val::S16(v)) => (2, signed((*v).into())),
        (TypeRef::U16, Val::U16(v)) => (2, (*v).into()),
        (TypeRef::S32, Val::S32(v)) => (4, signed(*v)),
        (TypeRef::U32, Val::U32(v)) => (4, (*v).into()),
        (TypeRef::S64, Val::S64(v)) => (8, *v as u64),
        (TypeRef::U64, Val::U64(v)) => (8, *v),
        (TypeRef::F32, Val::F32(v)) => (4, v.to_bits().into()),
        (TypeRef::F64, Val::F64(v)) => (8, v.to_bits()),
        (TypeRef::Char, Val::Char(v)) => (4, u32::from(*v).into()),
        _ => return Err(mismatch(cx, ty, value)),
    })
}

fn check_length(list: &[Val], length: u32) -> Result<()> {
    if list.len() == length as usize {
        return Ok(());
    }
    Err(Error::mismatch("value", format!("expected a list of length {length}, found {}", list.len())))
}

/// `store_list_into_range`.
fn store_list(cx: &mut LowerContext<'_>, ty: TypeRef, list: &[Val]) -> Result<(u64, u64)> {
    let (element, _) = element(cx.types(), ty)?;
    let ptr = cx.allocate_list(element, list.len())?;
    store_elements(cx, element, list, ptr)?;
    Ok((ptr, list.len() as u64))
}

/// `store_list_into_valid_range`.
fn store_elements(cx: &mut LowerContext<'_>, element: TypeRef, list: &[Val], ptr: u64) -> Result<()> {
    let size = cx.abi(element).size;
    (0..).zip(list).try_for_each(|(i, value)| {
        cx.check_interrupt(i)?;
        store(cx, element, value, offset(ptr, size.saturating_mul(i)))
    })
}

fn store_map(cx: &mut LowerContext<'_>, ty: TypeRef, entries: &[(Val, Val)]) -> Result<(u64, u64)> {
    let (element, _) = element(cx.types(), ty)?;
    let fields = cx.fields(element)?;
    let size = cx.abi(element).size;
    let base = cx.allocate_list(element, entries.len())?;
    for (i, (key, value)) in (0..).zip(entries) {
        cx.check_interrupt(i)?;
        let base = offset(base, size.saturating_mul(i));
        let (ty, ptr) = fields.at(0, base)?;
        store(cx, ty, key, ptr)?;
        let (ty, ptr) = fields.at(1, base)?;
        store(cx, ty, value, ptr)?;
    }
    Ok((base, entries.len() as u64))
}

/// The fields of a record, whose labels have to be the type's in its order, or of a tuple.
fn parts<'v>(
    cx: &LowerContext<'_>,
    ty: TypeRef,
    value: &'v Val,
) -> Result<impl Iterator<Item = &'v Val> + use<'v>> {
    let fields = cx.fields(ty)?;
    let (record, tuple): (&[(String, Val)], &[Val]) = match (cx.types().get(ty), value) {
        (Some(Def::Record(_)), Val::Record(record)) => (record, &[]),
        (Some(Def::Tuple(_)), Val::Tuple(tuple)) => (&[], tuple),
        _ => return Err(mismatch(cx, ty, value)),
    };
    let named = record.iter().enumerate().all(|(i, (name, _))| fields.name(i) == Some(name));
    if record.len() + tuple.len() != fields.len() || !named {
        return Err(mismatch(cx, ty, value));
    }
    Ok(record.iter().map(|(_, value)| value).chain(tuple))
}

/// `match_case`: a case's position and payload.
fn find_case<'v>(cx: &LowerContext<'_>, ty: TypeRef, value: &'v Val) -> Result<(u32, Option<&'v Val>)> {
    let found = match (cx.types().get(ty), value) {
        (Some(Def::Variant(cases)), Val::Variant(name, payload)) => {
            cases.iter().position(|case| case.name == *name).map(|i| (i, payload.as_deref()))
        }
        (Some(Def::Enum(names)), Val::Enum(name)) => names.iter().position(|n| n == name).map(|i| (i, None)),
        (Some(Def::Option(_)), Val::Option(payload)) => Some((payload.is_some().into(), payload.as_deref())),
        (Some(Def::Result { .. }), Val::Result(Ok(payload))) => Some((0, payload.as_deref())),
        (Some(Def::Result { .. }), Val::Result(Err(payload))) => Some((1, payload.as_deref())),
        _ => None,
    };
    let (index, payload) = found.ok_or_else(|| mismatch(cx, ty, value))?;
    Ok((index as u32, payload))
}

/// `pack_flags_into_int`.
fn flag_bits(cx: &LowerContext<'_>, ty: TypeRef, set: &[String]) -> Result<u32> {
    let Some(Def::Flags(names)) = cx.types().get(ty) else {
        return flags_mask(cx.types(), ty);
    };
    set.iter().try_fold(0, |bits, name| {
        let bit = names.iter().position(|n| n == name).and_then(|i| 1_u32.checked_shl(i as u32));
        bit.map(|bit| bits | bit).ok_or_else(|| {
            Error::mismatch("value", format!("`{name}` is not a flag of {}", cx.types().display(ty)))
        })
    })
}

fn handle(cx: &mut LowerContext<'_>, ty: TypeRef, value: &Val) -> Result<u32> {
    match (cx.types().get(ty), value) {
        (Some(Def::Own(_) | Def::Borrow(_)), Val::Resource(resource)) => cx.lower_resource(ty, resource),
        (Some(Def::Stream(_)), Val::Stream(stream)) => cx.lower_async_value(ty, stream.0),
        (Some(Def::Future(_)), Val::Future(future)) => cx.lower_async_value(ty, future.0),
        _ => Err(mismatch(cx, ty, value)),
    }
}

/// What is reported for a value of another type than the guest expects.
fn mismatch(cx: &LowerContext<'_>, ty: TypeRef, value: &Val) -> Error {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(60) {
        text.truncate(end);
        text.push('…');
    }
    Error::mismatch("value", format!("expected {}, found {text}", cx.types().display(ty)))
}

#[cfg(test)]
mod tests;
