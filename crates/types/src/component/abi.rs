//! Alignment, size and flattening of component types.

use super::{Def, TypeRef, Types};
use crate::core::ValType;

/// More flat parameters than this are passed through memory.
pub const MAX_FLAT_PARAMS: usize = 16;
/// Likewise for the parameters of an async-lowered import.
pub const MAX_FLAT_ASYNC_PARAMS: usize = 4;
/// Likewise for results.
pub const MAX_FLAT_RESULTS: usize = 1;

/// The width of pointers in a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PtrWidth {
    /// A 32-bit memory.
    Bits32 = 0,
    /// A 64-bit memory.
    Bits64 = 1,
}

impl PtrWidth {
    /// Bytes of a pointer.
    pub const fn bytes(self) -> u32 {
        match self {
            PtrWidth::Bits32 => 4,
            PtrWidth::Bits64 => 8,
        }
    }

    /// The core type of a pointer.
    pub const fn flat(self) -> FlatType {
        match self {
            PtrWidth::Bits32 => FlatType::I32,
            PtrWidth::Bits64 => FlatType::I64,
        }
    }
}

/// A core type that values flatten to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the specification's names")]
pub enum FlatType {
    I32,
    I64,
    F32,
    F64,
}

impl FlatType {
    /// The core type that carries both (`join` of the reference definitions).
    pub fn join(self, other: FlatType) -> FlatType {
        use FlatType::*;
        match (self, other) {
            (a, b) if a == b => a,
            (I32, F32) | (F32, I32) => I32,
            _ => I64,
        }
    }
}

impl From<FlatType> for ValType {
    fn from(flat: FlatType) -> ValType {
        match flat {
            FlatType::I32 => ValType::I32,
            FlatType::I64 => ValType::I64,
            FlatType::F32 => ValType::F32,
            FlatType::F64 => ValType::F64,
        }
    }
}

/// Size in bytes; saturates, so that a type too big for any memory stays too big.
pub type Size = u64;

/// What the Canonical ABI derives from a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abi {
    /// Bytes in memory.
    pub size: Size,
    /// Alignment in bytes: 1, 2, 4 or 8.
    pub align: u32,
    /// Core types; `None` when there are more than [`MAX_FLAT_PARAMS`].
    pub flat: Option<Box<[FlatType]>>,
    /// Offset of each field of a record or tuple; of the payload for variants (one entry). Else empty.
    pub offsets: Box<[Size]>,
    /// Bytes of a variant's discriminant or of the whole of flags; 0 for other types.
    pub discriminant: u32,
    /// Whether every bit pattern is a value and every byte is part of it (no padding), so that the bytes can be
    /// copied as they are. The same for both pointer widths.
    pub plain: bool,
}

/// `offset` rounded up to a multiple of `align`.
fn align_to(offset: Size, align: u32) -> Size {
    offset.checked_next_multiple_of(Size::from(align.max(1))).unwrap_or(Size::MAX)
}

/// Flattens types one after another; `None` when there are more than [`MAX_FLAT_PARAMS`].
pub fn flatten_all(
    types: &Types,
    list: impl Iterator<Item = TypeRef>,
    ptr: PtrWidth,
) -> Option<Box<[FlatType]>> {
    let mut flat = Vec::new();
    for ty in list {
        flat.extend_from_slice(types.abi(ty, ptr).flat.as_deref()?);
        if flat.len() > MAX_FLAT_PARAMS {
            return None;
        }
    }
    Some(flat.into())
}

impl Abi {
    fn scalar(size: u32, flat: FlatType) -> Abi {
        Abi {
            size: size.into(),
            align: size,
            flat: Some(Box::new([flat])),
            offsets: Box::default(),
            discriminant: 0,
            plain: false,
        }
    }

    fn number(size: u32, flat: FlatType) -> Abi {
        Abi { plain: true, ..Abi::scalar(size, flat) }
    }

    fn pair(ptr: PtrWidth) -> Abi {
        Abi { size: Size::from(2 * ptr.bytes()), align: ptr.bytes(), ..Abi::scalar(4, ptr.flat()) }
            .with_flat(Some(Box::new([ptr.flat(), ptr.flat()])))
    }

    fn with_flat(self, flat: Option<Box<[FlatType]>>) -> Abi {
        Abi { flat, ..self }
    }

    /// The layout of values of `list` one after another.
    pub fn of_fields(types: &Types, list: impl Iterator<Item = TypeRef> + Clone, ptr: PtrWidth) -> Abi {
        let (mut size, mut align, mut offsets) = (0, 1, Vec::new());
        let (mut plain, mut used) = (true, 0);
        for ty in list.clone() {
            let abi = types.abi(ty, ptr);
            size = align_to(size, abi.align);
            offsets.push(size);
            size = size.saturating_add(abi.size);
            align = align.max(abi.align);
            plain &= abi.plain;
            used = abi.size.saturating_add(used);
        }
        let size = align_to(size, align);
        Abi {
            size,
            align,
            flat: flatten_all(types, list, ptr),
            offsets: offsets.into(),
            discriminant: 0,
            plain: plain && used == size,
        }
    }

    fn of_cases(types: &Types, cases: &[Option<TypeRef>], ptr: PtrWidth) -> Abi {
        let discriminant = match cases.len() {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 4,
        };
        let payloads = || cases.iter().flatten().map(|ty| types.abi(*ty, ptr));
        let payload_align = payloads().map(|abi| abi.align).max().unwrap_or(1);
        let align = payload_align.max(discriminant);
        let offset = align_to(discriminant.into(), payload_align);
        let size = payloads().map(|abi| abi.size).max().unwrap_or(0);
        let mut flat = Some(vec![FlatType::I32]);
        for abi in payloads() {
            let (Some(all), Some(case)) = (&mut flat, &abi.flat) else {
                flat = None;
                break;
            };
            for (i, ty) in case.iter().enumerate() {
                match all.get_mut(i + 1) {
                    Some(slot) => *slot = slot.join(*ty),
                    None => all.push(*ty),
                }
            }
        }
        Abi {
            size: align_to(offset.saturating_add(size), align),
            align,
            flat: flat.filter(|flat| flat.len() <= MAX_FLAT_PARAMS).map(Into::into),
            offsets: Box::new([offset]),
            discriminant,
            plain: false,
        }
    }

    pub(super) fn of_primitive(ty: TypeRef, ptr: PtrWidth) -> &'static Abi {
        use std::sync::LazyLock;
        static SCALARS: LazyLock<[Abi; 10]> = LazyLock::new(|| {
            [
                Abi::scalar(1, FlatType::I32),
                Abi::scalar(4, FlatType::I32),
                Abi::number(1, FlatType::I32),
                Abi::number(2, FlatType::I32),
                Abi::number(4, FlatType::I32),
                Abi::number(8, FlatType::I64),
                Abi::number(4, FlatType::F32),
                Abi::number(8, FlatType::F64),
                Abi::pair(PtrWidth::Bits32),
                Abi::pair(PtrWidth::Bits64),
            ]
        });
        use TypeRef::*;
        let [bool, handle, one, two, four, eight, f32, f64, pair32, pair64] = &*SCALARS;
        match ty {
            Bool => bool,
            S8 | U8 => one,
            S16 | U16 => two,
            S64 | U64 => eight,
            F32 => f32,
            F64 => f64,
            String if ptr == PtrWidth::Bits64 => pair64,
            String => pair32,
            S32 | U32 => four,
            Char | ErrorContext | Def(_) => handle,
        }
    }

    pub(super) fn of_def(types: &Types, def: &Def, ptr: PtrWidth) -> Abi {
        match def {
            Def::List { length: None, .. } | Def::Map { .. } => Abi::pair(ptr),
            Def::List { element, length: Some(length) } => {
                let abi = types.abi(*element, ptr);
                let count = *length as usize;
                let flat =
                    abi.flat.as_ref().filter(|flat| flat.len().saturating_mul(count) <= MAX_FLAT_PARAMS);
                Abi {
                    size: abi.size.saturating_mul(Size::from(*length)),
                    align: abi.align,
                    flat: flat.map(|flat| flat.repeat(count).into()),
                    offsets: Box::default(),
                    discriminant: 0,
                    plain: abi.plain,
                }
            }
            Def::Record(fields) => Abi::of_fields(types, fields.iter().map(|f| f.ty), ptr),
            Def::Tuple(list) => Abi::of_fields(types, list.iter().copied(), ptr),
            Def::Variant(cases) => Abi::of_cases(types, &cases.iter().map(|c| c.ty).collect::<Vec<_>>(), ptr),
            Def::Enum(names) => Abi::of_cases(types, &vec![None; names.len()], ptr),
            Def::Option(ty) => Abi::of_cases(types, &[None, Some(*ty)], ptr),
            Def::Result { ok, err } => Abi::of_cases(types, &[*ok, *err], ptr),
            Def::Flags(names) => {
                let size = match names.len() {
                    0..=8 => 1,
                    9..=16 => 2,
                    _ => 4,
                };
                Abi { discriminant: size, ..Abi::scalar(size, FlatType::I32) }
            }
            Def::Own(_) | Def::Borrow(_) | Def::Stream(_) | Def::Future(_) => Abi::scalar(4, FlatType::I32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::{Case, Field};

    fn field(name: &str, ty: TypeRef) -> Field {
        Field { name: name.into(), ty }
    }

    #[test]
    fn records_align_their_fields() {
        let mut types = Types::new();
        let ty = types.intern(Def::Record(
            [field("a", TypeRef::U8), field("b", TypeRef::U64), field("c", TypeRef::String)].into(),
        ));
        let abi = types.abi(ty, PtrWidth::Bits32);
        assert_eq!((abi.size, abi.align, &*abi.offsets), (24, 8, &[0, 8, 16][..]));
        let abi = types.abi(ty, PtrWidth::Bits64);
        assert_eq!((abi.size, abi.align, &*abi.offsets), (32, 8, &[0, 8, 16][..]));
    }

    #[test]
    fn plain_types_have_no_padding() {
        let mut types = Types::new();
        let mut tuple = |list: &[TypeRef]| types.intern(Def::Tuple(list.into()));
        let tight = tuple(&[TypeRef::U32, TypeRef::F32]);
        let loose = tuple(&[TypeRef::U8, TypeRef::U16]);
        let tail = tuple(&[TypeRef::U16, TypeRef::U8]);
        let chars = tuple(&[TypeRef::Char]);
        let list = types.intern(Def::List { element: tight, length: Some(3) });
        let plain = |ty| types.abi(ty, PtrWidth::Bits32).plain;
        assert!(plain(tight) && plain(list));
        assert!(!plain(loose) && !plain(tail) && !plain(chars) && !plain(TypeRef::Bool));
    }

    #[test]
    fn a_map_knows_its_entry() {
        let mut types = Types::new();
        let map = types.intern(Def::Map { key: TypeRef::U8, value: TypeRef::U16 });
        let entry = types.map_entry(map).unwrap();
        assert_eq!(types.get(entry), Some(&Def::Tuple([TypeRef::U8, TypeRef::U16].into())));
        assert_eq!(types.abi(entry, PtrWidth::Bits32).size, 4);
    }

    #[test]
    fn parameters_are_a_tuple() {
        let mut types = Types::new();
        let func = types.intern_func(crate::component::FuncType {
            params: [field("a", TypeRef::U8), field("b", TypeRef::String)].into(),
            result: None,
            is_async: false,
        });
        let abi = types.params_abi(func, PtrWidth::Bits32);
        assert_eq!((abi.size, abi.align, &*abi.offsets), (12, 4, &[0, 4][..]));
    }

    #[test]
    fn variants_join_their_cases() {
        let mut types = Types::new();
        let case = |name: &str, ty| Case { name: name.into(), ty: Some(ty) };
        let ty = types.intern(Def::Variant(
            [case("a", TypeRef::F32), case("b", TypeRef::U32), case("c", TypeRef::String)].into(),
        ));
        let abi = types.abi(ty, PtrWidth::Bits32);
        assert_eq!(abi.flat.as_deref(), Some(&[FlatType::I32, FlatType::I32, FlatType::I32][..]));
        assert_eq!((abi.size, abi.align, abi.offsets[0]), (12, 4, 4));
        let ty = types.intern(Def::Variant([case("a", TypeRef::F32), case("b", TypeRef::F64)].into()));
        assert_eq!(
            types.abi(ty, PtrWidth::Bits32).flat.as_deref(),
            Some(&[FlatType::I32, FlatType::I64][..])
        );
    }

    #[test]
    fn enums_choose_their_discriminant() {
        let mut types = Types::new();
        for (count, size) in [(1, 1), (256, 1), (257, 2), (65536, 2), (65537, 4)] {
            let ty = types.intern(Def::Enum((0..count).map(|i| format!("e{i}")).collect()));
            assert_eq!(types.abi(ty, PtrWidth::Bits32).size, size, "{count} cases");
        }
    }

    #[test]
    fn sizes_saturate() {
        let mut types = Types::new();
        let mut ty = TypeRef::U64;
        for _ in 0..4 {
            ty = types.intern(Def::List { element: ty, length: Some(u32::MAX) });
        }
        assert_eq!(types.abi(ty, PtrWidth::Bits32).size, Size::MAX);
        assert_eq!(types.abi(ty, PtrWidth::Bits32).flat, None);
    }
}
