//! Maps.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

use tombolo_types::component::{Def, TypeRef, Types};

use super::{ComponentType, Lift, Lower, Mismatch};
use crate::abi::context::{LiftContext, LowerContext};
use crate::abi::flat::{FlatSink, FlatSource};
use crate::abi::layout::element;
use crate::abi::memory::offset;
use crate::error::Result;

fn check<K: ComponentType, V: ComponentType>(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
    match types.get(ty) {
        Some(Def::Map { key, value }) => {
            K::check(types, *key).map_err(|error| error.within("key"))?;
            V::check(types, *value).map_err(|error| error.within("value"))
        }
        _ => Err(Mismatch::expected("map", types, ty)),
    }
}

fn load_entries<K: Lift, V: Lift>(
    cx: &mut LiftContext<'_>,
    ty: TypeRef,
    ptr: u64,
    length: u64,
) -> Result<Vec<(K, V)>> {
    let (element, _) = element(cx.types(), ty)?;
    let count = cx.check_list(element, ptr, length)?;
    <(K, V)>::load_list(cx, element, ptr, count)
}

/// Makes a map, which takes its time if there are many entries.
fn collect<K, V, M: Default + Extend<(K, V)>>(cx: &LiftContext<'_>, entries: Vec<(K, V)>) -> Result<M> {
    let mut map = M::default();
    for (i, entry) in (0..).zip(entries) {
        cx.check_interrupt(i)?;
        map.extend([entry]);
    }
    Ok(map)
}

fn store_entries<'m, K: Lower + 'm, V: Lower + 'm>(
    entries: impl ExactSizeIterator<Item = (&'m K, &'m V)>,
    cx: &mut LowerContext<'_>,
    ty: TypeRef,
) -> Result<(u64, u64)> {
    let (element, _) = element(cx.types(), ty)?;
    let (size, count) = (cx.abi(element).size, entries.len());
    let ptr = cx.allocate_list(element, count)?;
    for (i, entry) in (0..).zip(entries) {
        cx.check_interrupt(i)?;
        entry.store(cx, element, offset(ptr, size.saturating_mul(i)))?;
    }
    Ok((ptr, count as u64))
}

macro_rules! map {
    ([$($generics:tt)*] $ty:ty, $key:ident, $value:ident, $($hasher:ident)?) => {
        impl<$($generics)*> ComponentType for $ty
        where
            $key: ComponentType,
            $value: ComponentType,
        {
            fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
                check::<$key, $value>(types, ty)
            }
        }

        impl<$($generics)*> Lift for $ty
        where
            $key: Lift + Ord + Hash,
            $value: Lift,
            $($hasher: BuildHasher + Default,)?
        {
            fn lift_flat(cx: &mut LiftContext<'_>, ty: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
                let (ptr, length) = (src.next_ptr(cx.width())?, src.next_ptr(cx.width())?);
                let entries = load_entries(cx, ty, ptr, length)?;
                collect(cx, entries)
            }

            fn load(cx: &mut LiftContext<'_>, ty: TypeRef, ptr: u64) -> Result<Self> {
                let (begin, length) = cx.load_pair(ptr)?;
                let entries = load_entries(cx, ty, begin, length)?;
                collect(cx, entries)
            }
        }

        impl<$($generics)*> Lower for $ty
        where
            $key: Lower,
            $value: Lower,
        {
            fn lower_flat(&self, cx: &mut LowerContext<'_>, ty: TypeRef, dst: &mut FlatSink) -> Result<()> {
                let pair = store_entries(self.iter(), cx, ty)?;
                cx.push_pair(dst, pair)
            }

            fn store(&self, cx: &mut LowerContext<'_>, ty: TypeRef, ptr: u64) -> Result<()> {
                let pair = store_entries(self.iter(), cx, ty)?;
                cx.store_pair(ptr, pair)
            }
        }
    };
}

map!([K, V] BTreeMap<K, V>, K, V,);
map!([K, V, S] HashMap<K, V, S>, K, V, S);
