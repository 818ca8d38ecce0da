//! Numbers, `bool` and `char`.

use tombolo_types::component::{TypeRef, Types};

use super::{ComponentType, Lift, Lower, Mismatch};
use crate::abi::context::{LiftContext, LowerContext};
use crate::abi::flat::{FlatSink, FlatSource};
use crate::abi::layout::char_of;
use crate::abi::memory::{self, PIECE, offset};
use crate::error::Result;

macro_rules! check_is {
    ($ty:ty, $case:ident, $name:literal) => {
        impl ComponentType for $ty {
            fn check(types: &Types, ty: TypeRef) -> Result<(), Mismatch> {
                if ty == TypeRef::$case { Ok(()) } else { Err(Mismatch::expected($name, types, ty)) }
            }
        }
    };
}

/// A number as it lies in memory.
trait Stored: Sized {
    /// Adds the numbers that lie in these bytes to a list.
    fn append(list: &mut Vec<Self>, bytes: &[u8]);
}

impl Stored for u8 {
    #[inline]
    fn append(list: &mut Vec<Self>, bytes: &[u8]) {
        list.extend_from_slice(bytes);
    }
}

macro_rules! stored {
    ($($ty:ty),*) => {
        $(
            impl Stored for $ty {
                #[inline]
                fn append(list: &mut Vec<Self>, bytes: &[u8]) {
                    let (elements, _) = bytes.as_chunks();
                    list.extend(elements.iter().map(|element| <$ty>::from_le_bytes(*element)));
                }
            }
        )*
    };
}

stored!(i8, i16, u16, i32, u32, i64, u64, f32, f64);

macro_rules! number {
    ($($ty:ty, $case:ident, $name:literal: |$bits:ident| $lift:expr, |$value:ident, $dst:ident| $lower:expr;)*) => {
        $(
            check_is!($ty, $case, $name);

            impl Lift for $ty {
                fn lift_flat(_: &mut LiftContext<'_>, _: TypeRef, $bits: &mut FlatSource<'_>) -> Result<Self> {
                    Ok($lift)
                }

                fn load(cx: &mut LiftContext<'_>, _: TypeRef, ptr: u64) -> Result<Self> {
                    cx.load(ptr).map(<$ty>::from_le_bytes)
                }

                // One copy where the machine is little-endian.
                fn load_list(cx: &mut LiftContext<'_>, _: TypeRef, ptr: u64, count: usize) -> Result<Vec<Self>> {
                    const SIZE: usize = size_of::<$ty>();
                    cx.charge(count, SIZE)?;
                    let mut list = Vec::with_capacity(count);
                    while list.len() < count {
                        if !list.is_empty() {
                            cx.side().check_interrupt()?;
                        }
                        let length = (count - list.len()).min(PIECE / SIZE);
                        let at = offset(ptr, (list.len() * SIZE) as u64);
                        let bytes = memory::bytes(cx.memory(), at, (length * SIZE) as u64)?;
                        <$ty>::append(&mut list, bytes);
                    }
                    Ok(list)
                }
            }

            impl Lower for $ty {
                fn lower_flat(&self, _: &mut LowerContext<'_>, _: TypeRef, $dst: &mut FlatSink) -> Result<()> {
                    let $value = *self;
                    $lower
                }

                fn store(&self, cx: &mut LowerContext<'_>, _: TypeRef, ptr: u64) -> Result<()> {
                    cx.store(ptr, self.to_le_bytes())
                }

                fn store_list(list: &[Self], cx: &mut LowerContext<'_>, _: TypeRef, ptr: u64) -> Result<()> {
                    const SIZE: usize = size_of::<$ty>();
                    let mut at = ptr;
                    for piece in list.chunks(PIECE / SIZE) {
                        if at > ptr {
                            cx.side().check_interrupt()?;
                        }
                        let size = (piece.len() * SIZE) as u64;
                        let (elements, _) = memory::bytes_mut(cx.memory(), at, size)?.as_chunks_mut::<SIZE>();
                        for (place, value) in elements.iter_mut().zip(piece) {
                            *place = value.to_le_bytes();
                        }
                        at = offset(at, size);
                    }
                    Ok(())
                }
            }
        )*
    };
}

number! {
    i8, S8, "s8": |src| src.next_u32()? as i8, |v, dst| dst.push_u32(i32::from(v) as u32);
    u8, U8, "u8": |src| src.next_u32()? as u8, |v, dst| dst.push_u32(v.into());
    i16, S16, "s16": |src| src.next_u32()? as i16, |v, dst| dst.push_u32(i32::from(v) as u32);
    u16, U16, "u16": |src| src.next_u32()? as u16, |v, dst| dst.push_u32(v.into());
    i32, S32, "s32": |src| src.next_u32()? as i32, |v, dst| dst.push_u32(v as u32);
    u32, U32, "u32": |src| src.next_u32()?, |v, dst| dst.push_u32(v);
    i64, S64, "s64": |src| src.next_u64()? as i64, |v, dst| dst.push_u64(v as u64);
    u64, U64, "u64": |src| src.next_u64()?, |v, dst| dst.push_u64(v);
    f32, F32, "f32": |src| f32::from_bits(src.next_u32()?), |v, dst| dst.push_u32(v.to_bits());
    f64, F64, "f64": |src| f64::from_bits(src.next_u64()?), |v, dst| dst.push_u64(v.to_bits());
}

check_is!(bool, Bool, "bool");

impl Lift for bool {
    fn lift_flat(_: &mut LiftContext<'_>, _: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
        Ok(src.next_u32()? != 0)
    }

    fn load(cx: &mut LiftContext<'_>, _: TypeRef, ptr: u64) -> Result<Self> {
        Ok(cx.load(ptr)? != [0])
    }
}

impl Lower for bool {
    fn lower_flat(&self, _: &mut LowerContext<'_>, _: TypeRef, dst: &mut FlatSink) -> Result<()> {
        dst.push_u32((*self).into())
    }

    fn store(&self, cx: &mut LowerContext<'_>, _: TypeRef, ptr: u64) -> Result<()> {
        cx.store(ptr, [u8::from(*self)])
    }
}

check_is!(char, Char, "char");

impl Lift for char {
    fn lift_flat(_: &mut LiftContext<'_>, _: TypeRef, src: &mut FlatSource<'_>) -> Result<Self> {
        char_of(src.next_u32()?)
    }

    fn load(cx: &mut LiftContext<'_>, _: TypeRef, ptr: u64) -> Result<Self> {
        char_of(u32::from_le_bytes(cx.load(ptr)?))
    }
}

impl Lower for char {
    fn lower_flat(&self, _: &mut LowerContext<'_>, _: TypeRef, dst: &mut FlatSink) -> Result<()> {
        dst.push_u32((*self).into())
    }

    fn store(&self, cx: &mut LowerContext<'_>, _: TypeRef, ptr: u64) -> Result<()> {
        cx.store(ptr, u32::from(*self).to_le_bytes())
    }
}
