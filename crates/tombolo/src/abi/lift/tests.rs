//! Lifting of flat values and of memory; each lifted value is lowered and lifted once more.

use tombolo_types::component::{Case as VariantCase, Field, PtrWidth, Types};

use super::*;
use crate::abi::lower::{lower_flat, store};
use crate::abi::test_side::{Guest, assert_traps};
use crate::abi::{Encoding, FlatSink};

fn tuple(types: &mut Types, list: &[TypeRef]) -> TypeRef {
    types.intern(Def::Tuple(list.into()))
}

fn list(types: &mut Types, element: TypeRef) -> TypeRef {
    types.intern(Def::List { element, length: None })
}

fn fixed(types: &mut Types, element: TypeRef, length: u32) -> TypeRef {
    types.intern(Def::List { element, length: Some(length) })
}

fn case(name: &str, ty: Option<TypeRef>) -> VariantCase {
    VariantCase { name: name.into(), ty }
}

fn flags(types: &mut Types, count: usize) -> TypeRef {
    types.intern(Def::Flags((0..count).map(|i| format!("f{i}")).collect()))
}

fn set(indices: impl IntoIterator<Item = usize>) -> Val {
    Val::Flags(indices.into_iter().map(|i| format!("f{i}")).collect())
}

fn some(value: impl Into<Val>) -> Option<Box<Val>> {
    Some(Box::new(value.into()))
}

fn vals<T: Into<Val>>(values: impl IntoIterator<Item = T>) -> Vec<Val> {
    values.into_iter().map(Into::into).collect()
}

fn lift(types: &Types, ty: TypeRef, flat: &[u64], guest: &mut Guest) -> Result<Val> {
    let mut src = FlatSource::new(flat);
    let value = lift_flat(&mut guest.lift(types), ty, &mut src)?;
    assert_eq!(src.taken(), flat.len(), "all values are taken");
    Ok(value)
}

/// Lifts from flat values and from memory, and what that gives survives lowering.
#[track_caller]
fn lifts(types: &Types, ty: TypeRef, flat: &[u64], memory: &[u8], expected: &Val) {
    let guest = &mut Guest::with_memory(memory);
    let value = lift(types, ty, flat, guest).unwrap();
    assert_eq!(value, *expected);
    for width in [PtrWidth::Bits32, PtrWidth::Bits64] {
        let mut guest = Guest::new(width, Encoding::Utf8);
        let mut dst = FlatSink::new();
        lower_flat(&mut guest.lower(types), ty, &value, &mut dst).unwrap();
        assert_eq!(lift(types, ty, dst.values(), &mut guest).unwrap(), value);
        let abi = types.abi(ty, width);
        let ptr = guest.lower(types).allocate(abi.align, abi.size).unwrap();
        store(&mut guest.lower(types), ty, &value, ptr).unwrap();
        assert_eq!(load(&mut guest.lift(types), ty, ptr).unwrap(), value);
    }
}

#[track_caller]
fn lifts_flat(types: &Types, ty: TypeRef, flat: &[u64], expected: impl Into<Val>) {
    lifts(types, ty, flat, &[], &expected.into());
}

#[track_caller]
fn traps(types: &Types, ty: TypeRef, flat: &[u64], memory: &[u8], message: &str) {
    assert_traps(lift(types, ty, flat, &mut Guest::with_memory(memory)), message);
}

#[test]
fn numbers_ignore_high_bits() {
    let types = &Types::new();
    for (bits, value) in [(0, false), (1, true), (2, true), (256, true), (0xffff_ffff, true)] {
        lifts_flat(types, TypeRef::Bool, &[bits], value);
    }
    // Above an `i32` there may be anything.
    lifts_flat(types, TypeRef::Bool, &[1 << 32], false);
    for (bits, value) in [(127, 127), (255, 255), (256, 0), (0xffff_ffff, 255), (0xffff_ff7f, 127)] {
        lifts_flat(types, TypeRef::U8, &[bits], value as u8);
        lifts_flat(types, TypeRef::S8, &[bits], value as u8 as i8);
    }
    for (bits, value) in [(0x7fff, 0x7fff), (0x8000, 0x8000), (0x1_0000, 0), (0xffff_7fff, 0x7fff)] {
        lifts_flat(types, TypeRef::U16, &[bits], value as u16);
        lifts_flat(types, TypeRef::S16, &[bits], value as u16 as i16);
    }
    for bits in [0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
        lifts_flat(types, TypeRef::U32, &[bits | 0xabcd_0000_0000_0000], bits as u32);
        lifts_flat(types, TypeRef::S32, &[bits], bits as i32);
        lifts_flat(types, TypeRef::F32, &[bits], f32::from_bits(bits as u32));
    }
    for bits in [0, 1 << 63, u64::MAX, 0x7ff8_0000_0000_0001] {
        lifts_flat(types, TypeRef::U64, &[bits], bits);
        lifts_flat(types, TypeRef::S64, &[bits], bits as i64);
        lifts_flat(types, TypeRef::F64, &[bits], f64::from_bits(bits));
    }
}

#[test]
fn char_outside_of_unicode_traps() {
    let mut types = Types::new();
    for c in ['\0', 'A', '\u{d7ff}', '\u{e000}', '\u{10ffff}'] {
        lifts_flat(&types, TypeRef::Char, &[u32::from(c).into()], c);
    }
    let list = list(&mut types, TypeRef::Char);
    for bits in [0xd800_u32, 0xdfff, 0x11_0000, u32::MAX] {
        traps(&types, TypeRef::Char, &[bits.into()], &[], "invalid `char` bit pattern");
        traps(&types, list, &[0, 1], &bits.to_le_bytes(), "invalid `char` bit pattern");
    }
}

#[test]
fn variants_coerce_what_was_joined() {
    let mut types = Types::new();
    let x = [case("x", Some(TypeRef::U8)), case("y", Some(TypeRef::F32)), case("z", None)];
    let variant = types.intern(Def::Variant(x.into()));
    let v = |name: &str, payload| Val::Variant(name.into(), payload);
    lifts_flat(&types, variant, &[0, 42], v("x", some(42_u8)));
    lifts_flat(&types, variant, &[0, 256], v("x", some(0_u8)));
    lifts_flat(&types, variant, &[1, 0x4020_0000], v("y", some(2.5_f32)));
    lifts_flat(&types, variant, &[2, 0xffff_ffff], v("z", None));
    traps(&types, variant, &[3, 0], &[], "invalid variant discriminant");

    // i32, f32, f64, i64 and a string all share their slots.
    let pair = tuple(&mut types, &[TypeRef::F64, TypeRef::F32, TypeRef::S32]);
    let cases = [
        case("a", Some(TypeRef::S32)),
        case("b", Some(TypeRef::F32)),
        case("c", Some(pair)),
        case("d", Some(TypeRef::String)),
        case("e", Some(TypeRef::U64)),
    ];
    let variant = types.intern(Def::Variant(cases.into()));
    let high = 0xdead_beef_0000_0000;
    lifts_flat(&types, variant, &[0, high | 0xffff_ffff, 7, 7], v("a", some(-1)));
    lifts_flat(&types, variant, &[1, high | u64::from(1.5_f32.to_bits()), 0, 0], v("b", some(1.5_f32)));
    let inner = Val::Tuple(vec![(-2.5_f64).into(), 1.5_f32.into(), (-3).into()]);
    let flat = [2, (-2.5_f64).to_bits(), high | u64::from(1.5_f32.to_bits()), 0xffff_fffd];
    lifts_flat(&types, variant, &flat, v("c", some(inner)));
    lifts(&types, variant, &[3, high, high | 2, 9], b"hi", &v("d", some("hi")));
    lifts_flat(&types, variant, &[4, u64::MAX, 0, 0], v("e", some(u64::MAX)));
    let option = types.intern(Def::Option(variant));
    let wrapped = Val::Option(some(v("a", some(-1))));
    lifts_flat(&types, option, &[1, 0, 0xffff_ffff, 0, 0], wrapped);
    lifts_flat(&types, option, &[0, 9, 9, 9, 9], Val::Option(None));
}

#[test]
fn lowered_variants_are_extended_with_zeros() {
    let mut types = Types::new();
    let cases = [case("a", Some(TypeRef::S32)), case("b", Some(TypeRef::F32)), case("c", Some(TypeRef::F64))];
    let variant = types.intern(Def::Variant(cases.into()));
    let lower = |name: &str, value: Val| {
        let mut guest = Guest::with_memory(&[]);
        let mut dst = FlatSink::new();
        let value = Val::Variant(name.into(), some(value));
        lower_flat(&mut guest.lower(&types), variant, &value, &mut dst).unwrap();
        dst.values().to_vec()
    };
    assert_eq!(lower("a", Val::S32(-1)), [0, 0xffff_ffff]);
    assert_eq!(lower("b", Val::F32(-1.0)), [1, u64::from((-1.0_f32).to_bits())]);
    assert_eq!(lower("c", Val::F64(-1.0)), [2, (-1.0_f64).to_bits()]);
}

#[test]
fn enums_options_and_results_check_their_discriminant() {
    let mut types = Types::new();
    let names = types.intern(Def::Enum(["a".to_owned(), "b".to_owned()].into()));
    lifts_flat(&types, names, &[1], Val::Enum("b".into()));
    traps(&types, names, &[2], &[], "invalid variant discriminant");
    let result = types.intern(Def::Result { ok: Some(TypeRef::U8), err: Some(TypeRef::U32) });
    lifts_flat(&types, result, &[0, 42], Val::Result(Ok(some(42_u8))));
    lifts_flat(&types, result, &[1, 1000], Val::Result(Err(some(1000_u32))));
    traps(&types, result, &[2, 0], &[], "invalid variant discriminant");
    let result = types.intern(Def::Result { ok: None, err: None });
    lifts_flat(&types, result, &[1], Val::Result(Err(None)));
    let option = types.intern(Def::Option(TypeRef::U16));
    traps(&types, option, &[u64::from(u32::MAX), 0], &[], "invalid variant discriminant");
    let list = list(&mut types, option);
    lifts(
        &types,
        list,
        &[0, 2],
        &[0, 0xff, 7, 0, 1, 0xff, 7, 0],
        &Val::List(vec![Val::Option(None), Val::Option(some(7_u16))]),
    );
    traps(&types, list, &[0, 1], &[2, 0, 0, 0], "invalid variant discriminant");
}

#[test]
fn enums_of_more_than_256_cases_have_wider_discriminants() {
    let mut types = Types::new();
    for (count, bytes) in [(257, &[0, 1][..]), (65_537, &[0, 0, 1, 0])] {
        let names = types.intern(Def::Enum((0..count).map(|i| format!("e{i}")).collect()));
        let list = list(&mut types, names);
        lifts(&types, list, &[0, 1], bytes, &Val::List(vec![Val::Enum(format!("e{}", count - 1))]));
        traps(&types, list, &[0, 1], &[0xff; 4][..bytes.len()], "invalid variant discriminant");
    }
}

#[test]
fn flags_drop_bits_without_a_name() {
    let mut types = Types::new();
    let two = flags(&mut types, 2);
    lifts_flat(&types, two, &[2], set([1]));
    lifts_flat(&types, two, &[0xffff_fffc], set([]));
    let nine = flags(&mut types, 9);
    let list9 = list(&mut types, nine);
    lifts(&types, list9, &[0, 2], &[0xff, 0xff, 0, 0], &Val::List(vec![set(0..9), set([])]));
    let seventeen = flags(&mut types, 17);
    let list17 = list(&mut types, seventeen);
    lifts(&types, list17, &[0, 1], &[0xff, 0xff, 3, 0], &Val::List(vec![set(0..17)]));
}

#[test]
fn flags_with_32_members_use_every_bit() {
    let mut types = Types::new();
    let all = flags(&mut types, 32);
    lifts_flat(&types, all, &[0xffff_ffff], set(0..32));
    lifts_flat(&types, all, &[0x8000_0001], set([0, 31]));
    let list = list(&mut types, all);
    lifts(&types, list, &[0, 1], &[0, 0, 0, 0x80], &Val::List(vec![set([31])]));
}

/// Validation refuses such flags; if they come here all the same, there is no shift out of range.
#[test]
fn flags_with_more_than_32_members_do_not_overflow() {
    let mut types = Types::new();
    let many = flags(&mut types, 40);
    let mut guest = Guest::with_memory(&[0xff; 8]);
    assert_eq!(lift(&types, many, &[0xffff_ffff], &mut guest).unwrap(), set(0..32));
    let mut dst = FlatSink::new();
    assert!(lower_flat(&mut guest.lower(&types), many, &set([39]), &mut dst).is_err());
}

#[test]
fn records_tuples_and_fixed_lists_are_flat() {
    let mut types = Types::new();
    let field = |name: &str, ty| Field { name: name.into(), ty };
    let fields = [field("x", TypeRef::U8), field("y", TypeRef::U16), field("z", TypeRef::U32)];
    let record = types.intern(Def::Record(fields.into()));
    let expected = vec![("x".into(), 1_u8.into()), ("y".into(), 2_u16.into()), ("z".into(), 3_u32.into())];
    lifts_flat(&types, record, &[1, 2, 3], Val::Record(expected));
    let inner = tuple(&mut types, &[TypeRef::U8, TypeRef::U8]);
    let outer = tuple(&mut types, &[inner, TypeRef::U8]);
    lifts_flat(&types, outer, &[1, 2, 3], Val::Tuple(vec![Val::Tuple(vals([1_u8, 2])), 3_u8.into()]));
    let two = fixed(&mut types, TypeRef::U8, 2);
    let three = fixed(&mut types, two, 3);
    let expected = Val::List([[1_u8, 2], [3, 4], [5, 6]].map(|pair| Val::List(vals(pair))).into());
    lifts_flat(&types, three, &[1, 2, 3, 4, 5, 6], expected);
}

#[test]
fn lists_are_loaded_by_their_layout() {
    let mut types = Types::new();
    let u8s = list(&mut types, TypeRef::U8);
    let u16s = list(&mut types, TypeRef::U16);
    let bools = list(&mut types, TypeRef::Bool);
    lifts(&types, bools, &[3, 3], &[9, 9, 9, 1, 0, 2], &Val::List(vals([true, false, true])));
    lifts(&types, u16s, &[0, 2], &[1, 0, 0, 1], &Val::List(vals([1_u16, 256])));
    let strings = list(&mut types, TypeRef::String);
    let memory = [&[16, 0, 0, 0, 2, 0, 0, 0, 21, 0, 0, 0, 3, 0, 0, 0][..], b"hi\x0f\x0f\x0fwat"].concat();
    lifts(&types, strings, &[0, 2], &memory, &Val::List(vals(["hi", "wat"])));
    let nested = list(&mut types, u8s);
    let memory = [24, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 27, 0, 0, 0, 2, 0, 0, 0, 3, 4, 5, 6, 7];
    let expected = [vals([3_u8, 4, 5]), vec![], vals([6_u8, 7])].map(Val::List);
    lifts(&types, nested, &[0, 3], &memory, &Val::List(expected.into()));
    let padded = tuple(&mut types, &[TypeRef::U8, TypeRef::U16, TypeRef::U8, TypeRef::U32]);
    let tuples = list(&mut types, padded);
    let memory = [6, 0xff, 7, 0, 8, 0xff, 0xff, 0xff, 9, 0, 0, 0];
    let expected = Val::Tuple(vec![6_u8.into(), 7_u16.into(), 8_u8.into(), 9_u32.into()]);
    lifts(&types, tuples, &[0, 1], &memory, &Val::List(vec![expected]));
    let map = types.intern(Def::Map { key: TypeRef::U8, value: TypeRef::U16 });
    let expected = vec![(42_u8.into(), 83_u16.into()), (43_u8.into(), 84_u16.into())];
    lifts(&types, map, &[0, 2], &[42, 0xff, 83, 0, 43, 0xff, 84, 0], &Val::Map(expected));
}

#[test]
fn lists_in_a_64_bit_memory_have_wide_pointers() {
    let mut types = Types::new();
    let strings = list(&mut types, TypeRef::String);
    let mut memory = [0; 34];
    memory[0] = 32;
    memory[8] = 2;
    memory[16] = 34;
    memory[32..].copy_from_slice(b"hi");
    let guest = &mut Guest { width: PtrWidth::Bits64, ..Guest::with_memory(&memory) };
    assert_eq!(lift(&types, strings, &[0, 2], guest).unwrap(), Val::List(vals(["hi", ""])));
    assert_traps(lift(&types, strings, &[1 << 32, 2], guest), "list content out-of-bounds");
    assert_traps(lift(&types, strings, &[0, 2 | 1 << 32], guest), "list byte length too large");
}

#[test]
fn list_that_is_misaligned_traps() {
    let mut types = Types::new();
    let u16s = list(&mut types, TypeRef::U16);
    traps(&types, u16s, &[1, 3], &[0; 16], "unaligned pointer");
    traps(&types, u16s, &[1, 0], &[0; 16], "unaligned pointer");
    let nested = list(&mut types, u16s);
    traps(&types, nested, &[0, 1], &[9, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "unaligned pointer");
    let pairs = fixed(&mut types, TypeRef::U32, 2);
    let pairs = list(&mut types, pairs);
    traps(&types, pairs, &[1, 2], &[0; 32], "unaligned pointer");
}

#[test]
fn list_lengths_whose_byte_size_overflows_trap() {
    let mut types = Types::new();
    let u64s = list(&mut types, TypeRef::U64);
    for length in [1 << 29, 1 << 31, u32::MAX.into(), 1 << 25] {
        traps(&types, u64s, &[0, length], &[0; 64], "list byte length too large");
    }
    traps(&types, u64s, &[0, 9], &[0; 64], "list content out-of-bounds");
    traps(&types, u64s, &[0xffff_fff8, 1], &[0; 64], "list content out-of-bounds");
    let mut guest = Guest { width: PtrWidth::Bits64, ..Guest::with_memory(&[0; 64]) };
    for length in [1 << 61, 1 << 60, u64::MAX] {
        assert_traps(lift(&types, u64s, &[0, length], &mut guest), "list byte length too large");
    }
    assert_traps(lift(&types, u64s, &[!7, 1], &mut guest), "list content out-of-bounds");
    assert_eq!(guest.charged, 0, "nothing is charged or allocated before the length is checked");
}

#[test]
fn lifting_a_list_is_charged_before_it_is_allocated() {
    let mut types = Types::new();
    let u8s = list(&mut types, TypeRef::U8);
    let mut guest = Guest::with_memory(&[0; 1000]);
    lift(&types, u8s, &[0, 1000], &mut guest).unwrap();
    assert!(guest.charged >= 1000 * size_of::<Val>());
    guest.budget = guest.charged;
    assert_traps(lift(&types, u8s, &[0, 1000], &mut guest), "over budget");
}

#[test]
fn parameters_that_do_not_fit_are_loaded_from_memory() {
    let mut types = Types::new();
    let param = Field { name: "p".into(), ty: TypeRef::U8 };
    let func =
        tombolo_types::component::FuncType { params: vec![param; 17].into(), result: None, is_async: false };
    let list = TypeList::Params(types.intern_func(func));
    let memory: Vec<u8> = (0..32).collect();
    let mut guest = Guest::with_memory(&memory);
    let lifted = lift_values(&mut guest.lift(&types), list, 16, &[8]).unwrap();
    assert_eq!(lifted, vals(8..25_u8));
    assert_traps(lift_values(&mut guest.lift(&types), list, 16, &[16]), "pointer out of bounds of memory");
    let pair = tuple(&mut types, &[TypeRef::U32, TypeRef::U32]);
    let result = TypeList::Result(Some(pair));
    assert_traps(lift_values(&mut guest.lift(&types), result, 1, &[2]), "unaligned pointer");
    assert_traps(lift_values(&mut guest.lift(&types), result, 1, &[28]), "pointer out of bounds of memory");
    assert!(lift_values(&mut guest.lift(&types), result, 1, &[24]).is_ok());
    assert!(lift_values(&mut guest.lift(&types), result, 1, &[]).is_err());
    assert_eq!(lift_values(&mut guest.lift(&types), TypeList::Result(None), 1, &[]).unwrap(), []);
}
