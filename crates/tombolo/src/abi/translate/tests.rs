use proptest::prelude::*;
use tombolo_types::component::{Case as VariantCase, Field, FuncType, Types};

use super::*;
use crate::abi::lift::{lift_flat, lift_values};
use crate::abi::lower::lower_values;
use crate::abi::test_shape::{Shape, shape, two_tables};
use crate::abi::test_side::{Guest, Held, Pair, Realloc, Same, assert_traps, resource};
use crate::abi::{Encoding, Handle, LiftSide};
use crate::value::Val;

fn pair() -> Pair {
    let guest = || Guest::new(PtrWidth::Bits32, Encoding::Utf8);
    Pair { source: guest(), target: guest() }
}

fn params(types: &mut Types, params: &[TypeRef]) -> TypeList {
    let params = params.iter().map(|ty| Field { name: "p".into(), ty: *ty }).collect();
    TypeList::Params(types.intern_func(FuncType { params, result: None, is_async: false }))
}

/// Carries one value as a parameter.
fn carry(bridge: &mut dyn Bridge, types: &mut Types, ty: TypeRef, flat: &[u64]) -> Result<FlatSink> {
    let list = params(types, &[ty]);
    let side = Signature { types, list, max_flat: 16 };
    translate_flat(bridge, side, flat, side, None)
}

/// Counts the copies that a bridge makes.
struct Counting(Pair, usize);

impl Bridge for Counting {
    fn source(&mut self) -> &mut dyn LiftSide {
        self.0.source()
    }

    fn target(&mut self) -> &mut dyn LowerSide {
        self.0.target()
    }

    fn copy(&mut self, from: u64, to: u64, len: u64) -> Result<()> {
        self.1 += 1;
        self.0.copy(from, to, len)
    }
}

#[test]
fn a_plain_list_is_one_allocation_and_one_copy() {
    let mut types = Types::new();
    let tuple = types.intern(Def::Tuple([TypeRef::U32, TypeRef::F32].into()));
    for element in [TypeRef::U8, TypeRef::S64, tuple] {
        let list = types.intern(Def::List { element, length: None });
        let mut bridge = Counting(pair(), 0);
        let bytes: Vec<u8> = (0..80).collect();
        let ptr = bridge.0.source.put(&bytes);
        let count = 80 / types.abi(element, PtrWidth::Bits32).size;
        let flat = carry(&mut bridge, &mut types, list, &[ptr, count]).unwrap();
        assert_eq!((bridge.1, bridge.0.target.calls.len(), flat.values()[1]), (1, 1, count));
        assert_eq!(bridge.0.target.memory[flat.values()[0] as usize..][..80], bytes);
    }
}

#[test]
fn padding_of_the_source_does_not_reach_the_target() {
    let mut types = Types::new();
    let element = types.intern(Def::Tuple([TypeRef::U8, TypeRef::U32].into()));
    let list = types.intern(Def::List { element, length: None });
    let mut pair = pair();
    let ptr = pair.source.put(&[1, 99, 99, 99, 2, 0, 0, 0]);
    let flat = carry(&mut pair, &mut types, list, &[ptr, 1]).unwrap();
    assert_eq!(pair.target.memory[flat.values()[0] as usize..][..8], [1, 0xaa, 0xaa, 0xaa, 2, 0, 0, 0]);
}

#[test]
fn bools_and_flags_are_normalized_and_chars_checked() {
    let mut types = Types::new();
    let flags = types.intern(Def::Flags(["a".to_owned(), "b".to_owned()].into()));
    for (element, bytes, carried) in
        [(TypeRef::Bool, [0, 1, 2, 255], Ok([0, 1, 1, 1])), (flags, [0, 3, 7, 254], Ok([0, 3, 3, 2]))]
    {
        let list = types.intern(Def::List { element, length: None });
        let mut pair = pair();
        let ptr = pair.source.put(&bytes);
        let flat = carry(&mut pair, &mut types, list, &[ptr, 4]).unwrap();
        let found = &pair.target.memory[flat.values()[0] as usize..][..4];
        assert_eq!(Ok::<_, ()>(found.try_into().unwrap()), carried);
    }
    let list = types.intern(Def::List { element: TypeRef::Char, length: None });
    let mut pair = pair();
    let ptr = pair.source.put(&0xdfff_u32.to_le_bytes());
    assert_traps(carry(&mut pair, &mut types, list, &[ptr, 1]), "invalid `char` bit pattern");
    assert_traps(carry(&mut pair, &mut types, TypeRef::Char, &[0x11_0000]), "invalid `char` bit pattern");
}

#[test]
fn discriminants_are_checked_before_they_reach_the_target() {
    let mut types = Types::new();
    let cases = ["a", "b"].map(|name| VariantCase { name: name.into(), ty: Some(TypeRef::U8) });
    let variant = types.intern(Def::Variant(cases.into()));
    let list = types.intern(Def::List { element: variant, length: None });
    let mut pair = pair();
    assert_traps(carry(&mut pair, &mut types, variant, &[2, 0]), "invalid variant discriminant");
    let ptr = pair.source.put(&[255, 0]);
    assert_traps(carry(&mut pair, &mut types, list, &[ptr, 1]), "invalid variant discriminant");
}

#[test]
fn source_lists_are_checked_before_the_target_allocates() {
    let mut types = Types::new();
    let u64s = types.intern(Def::List { element: TypeRef::U64, length: None });
    let strings = types.intern(Def::List { element: TypeRef::String, length: None });
    for (ty, flat, message) in [
        (u64s, [0, 9], "list content out-of-bounds"),
        (u64s, [4, 1], "unaligned pointer"),
        (u64s, [0, 1 << 29], "list byte length too large"),
        (u64s, [0xffff_fff8, 1], "list content out-of-bounds"),
        (strings, [0, 1 << 28], "list byte length too large"),
        (strings, [0, 9], "list content out-of-bounds"),
        (TypeRef::String, [0, 65], "string content out-of-bounds"),
        (TypeRef::String, [0, 1 << 28], "string byte length too large"),
    ] {
        let mut pair = pair();
        assert_traps(carry(&mut pair, &mut types, ty, &flat), message);
        assert!(pair.target.calls.is_empty());
    }
}

/// 2^28 - 16 bytes of pairs of 8 bytes become twice as much in a 64-bit memory, which is still allowed to be asked for.
#[test]
fn a_list_that_grows_with_the_pointer_width_is_checked_again() {
    let mut types = Types::new();
    let strings = types.intern(Def::List { element: TypeRef::String, length: None });
    let mut pair = pair();
    pair.source.memory = vec![0; (1 << 28) - 1];
    pair.target.width = PtrWidth::Bits64;
    pair.target.realloc = Realloc::Trapping;
    let count = (1 << 25) - 1;
    assert_traps(carry(&mut pair, &mut types, strings, &[0, count]), "realloc trapped");
}

#[test]
fn realloc_of_the_target_that_misbehaves_traps() {
    let mut types = Types::new();
    let u16s = types.intern(Def::List { element: TypeRef::U16, length: None });
    let many = params(&mut types, &[TypeRef::U16; 17]);
    for (realloc, message) in [
        (Realloc::Misaligned, "realloc return: result not aligned"),
        (Realloc::OutOfBounds, "realloc return: beyond end of memory"),
        (Realloc::Wrapping, "realloc return: beyond end of memory"),
        (Realloc::Trapping, "realloc trapped"),
    ] {
        let mut pair = pair();
        pair.target.realloc = realloc;
        let before = pair.target.memory.clone();
        assert_traps(carry(&mut pair, &mut types, u16s, &[0, 8]), message);
        let side = Signature { types: &types, list: many, max_flat: 16 };
        assert_traps(translate_flat(&mut pair, side, &[0], side, None), message);
        if realloc != Realloc::Misaligned {
            assert_eq!(pair.target.memory, before, "nothing is written");
        }
    }
}

#[test]
fn handles_move_or_are_lent() {
    let mut types = Types::new();
    let name = types.add_resource("r");
    let own = types.intern(Def::Own(name));
    let borrow = types.intern(Def::Borrow(name));
    let stream = types.intern(Def::Stream(Some(TypeRef::U8)));
    let mut pair = pair();
    let (a, b) = (Held::Resource(resource(7, true)), Held::Async(Handle(1, 2)));
    let (r, s) = (u64::from(pair.source.hold(a.clone())), u64::from(pair.source.hold(b.clone())));
    let flat = carry(&mut pair, &mut types, borrow, &[r]).unwrap();
    assert_eq!(pair.target.handles[&(flat.values()[0] as u32)], Held::Resource(resource(7, false)));
    let flat = carry(&mut pair, &mut types, own, &[r]).unwrap();
    assert_eq!(pair.target.handles[&(flat.values()[0] as u32)], a);
    let flat = carry(&mut pair, &mut types, stream, &[s]).unwrap();
    assert_eq!(pair.target.handles[&(flat.values()[0] as u32)], b);
    assert!(pair.source.handles.is_empty());
    assert_traps(carry(&mut pair, &mut types, own, &[r]), "unknown handle index");
    assert_traps(carry(&mut pair, &mut types, own, &[u32::MAX.into()]), "unknown handle index");
}

#[test]
fn a_result_goes_to_the_callers_room_or_is_flat() {
    let mut types = Types::new();
    let two = types.intern(Def::Tuple([TypeRef::U8, TypeRef::U32].into()));
    let list = TypeList::Result(Some(two));
    let side = |max_flat| Signature { types: &types, list, max_flat };
    let mut pair = pair();
    let ptr = pair.source.put(&[1, 9, 9, 9, 2, 0, 0, 0]);
    let flat = translate_flat(&mut pair, side(1), &[ptr], side(1), Some(16)).unwrap();
    assert_eq!((flat.len(), pair.target.memory[16], pair.target.memory[20]), (0, 1, 2));
    let flat = translate_flat(&mut pair, side(1), &[ptr], side(16), None).unwrap();
    assert_eq!(flat.values(), [1, 2]);
    let flat = translate_flat(&mut pair, side(16), &[3, 4], side(0), Some(32)).unwrap();
    assert_eq!((flat.len(), pair.target.memory[32], pair.target.memory[36]), (0, 3, 4));
    for (out_param, message) in [(18, "unaligned pointer"), (60, "pointer out of bounds of memory")] {
        assert_traps(translate_flat(&mut pair, side(1), &[ptr], side(1), Some(out_param)), message);
    }
    for (ptr, message) in [(2, "unaligned pointer"), (1 << 20, "pointer out of bounds of memory")] {
        assert_traps(translate_flat(&mut pair, side(1), &[ptr], side(1), Some(16)), message);
    }
    let none = Signature { types: &types, list: TypeList::Result(None), max_flat: 1 };
    assert_eq!(translate_flat(&mut pair, none, &[], none, None).unwrap().len(), 0);
    assert!(translate_flat(&mut pair, none, &[], side(1), None).is_err());
}

#[test]
fn elements_of_a_stream_are_carried() {
    let mut types = Types::new();
    let mut pair = pair();
    let elements = |element, ptr| Elements { types: &types, element, ptr };
    let from = pair.source.put(&[1, 2, 3, 4]);
    translate_elements(&mut pair, elements(TypeRef::U8, from), elements(TypeRef::U8, 20), 4).unwrap();
    assert_eq!(pair.target.memory[20..25], [1, 2, 3, 4, 0xaa]);
    translate_elements(&mut pair, elements(TypeRef::U8, from), elements(TypeRef::U8, 64), 0).unwrap();
    let outside = translate_elements(&mut pair, elements(TypeRef::U8, from), elements(TypeRef::U8, 62), 4);
    assert_traps(outside, "out of bounds");
    let huge =
        translate_elements(&mut pair, elements(TypeRef::U64, from), elements(TypeRef::U64, 0), u64::MAX);
    assert_traps(huge, "list byte length too large");
    let text = pair.source.put(b"hi");
    let from = pair.source.put(&[text as u8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    translate_elements(&mut pair, elements(TypeRef::String, from), elements(TypeRef::String, 32), 2).unwrap();
    let list = types.intern(Def::List { element: TypeRef::String, length: None });
    let mut src = FlatSource::new(&[32, 2]);
    let lifted = lift_flat(&mut pair.target.lift(&types), list, &mut src).unwrap();
    assert_eq!(lifted.to_string(), r#"["hi", ""]"#);
}

#[test]
fn types_of_another_structure_are_refused() {
    let mut types = Types::new();
    let tuple = types.intern(Def::Tuple([TypeRef::U8].into()));
    let option = types.intern(Def::Option(TypeRef::U8));
    let fixed = types.intern(Def::List { element: TypeRef::U8, length: Some(1) });
    let result = types.intern(Def::Result { ok: Some(TypeRef::U8), err: None });
    let tys = [TypeRef::U8, TypeRef::U16, TypeRef::String, tuple, option, fixed, result];
    for (i, s) in tys.into_iter().enumerate() {
        for d in tys.into_iter().skip(i + 1) {
            let side = |ty| Signature { types: &types, list: TypeList::Result(Some(ty)), max_flat: 16 };
            assert!(translate_flat(&mut pair(), side(s), &[0, 0], side(d), None).is_err());
        }
    }
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop::sample::select(vec![Encoding::Utf8, Encoding::Utf16, Encoding::CompactUtf16])
}

fn width() -> impl Strategy<Value = PtrWidth> {
    prop::sample::select(vec![PtrWidth::Bits32, PtrWidth::Bits64])
}

fn guest() -> impl Strategy<Value = Guest> {
    let realloc = prop::sample::select(vec![Realloc::Honest, Realloc::Growing]);
    (width(), encoding(), realloc)
        .prop_map(|(width, encoding, realloc)| Guest { realloc, ..Guest::new(width, encoding) })
}

fn shapes_and_values() -> impl Strategy<Value = (Vec<Shape>, Vec<Val>)> {
    prop::collection::vec(shape(), 1..4).prop_flat_map(|shapes| {
        let values: Vec<_> = shapes.iter().map(Shape::value).collect();
        (Just(shapes), values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_values_survive_the_way_from_guest_to_guest(
        (shapes, values) in shapes_and_values(),
        source in guest(),
        target in guest(),
        src_max in 0_usize..=16,
        dst_max in 0_usize..=16,
    ) {
        let [(src_types, src_list), (dst_types, dst_list)] = two_tables(&shapes);
        let mut pair = Pair { source, target };
        let flat = lower_values(&mut pair.source.lower(&src_types), src_list, &values, src_max, None).unwrap();
        let source = Signature { types: &src_types, list: src_list, max_flat: src_max };
        let target = Signature { types: &dst_types, list: dst_list, max_flat: dst_max };
        let flat = translate_flat(&mut pair, source, flat.values(), target, None).unwrap();
        let lifted = lift_values(&mut pair.target.lift(&dst_types), dst_list, dst_max, flat.values()).unwrap();
        prop_assert_eq!(lifted, values);
    }

    #[test]
    fn any_values_survive_the_way_through_one_memory(
        (shapes, values) in shapes_and_values(),
        guest in guest(),
        src_max in 0_usize..=16,
        dst_max in 0_usize..=16,
    ) {
        let [(types, list), _] = two_tables(&shapes);
        let mut same = Same(guest);
        let flat = lower_values(&mut same.0.lower(&types), list, &values, src_max, None).unwrap();
        let side = |max_flat| Signature { types: &types, list, max_flat };
        let flat = translate_flat(&mut same, side(src_max), flat.values(), side(dst_max), None).unwrap();
        let lifted = lift_values(&mut same.0.lift(&types), list, dst_max, flat.values()).unwrap();
        prop_assert_eq!(lifted, values);
    }

    /// Whatever a guest passes, it is a value or a trap, and the same to the host and to another guest.
    #[test]
    fn any_bytes_are_values_or_a_trap(
        shapes in prop::collection::vec(shape(), 1..4),
        source in guest(),
        target in guest(),
        memory in prop::collection::vec(prop_oneof![4 => 0_u8..8, 1 => any::<u8>()], 0..256),
        flat in prop::collection::vec(prop_oneof![4 => 0_u64..16, 1 => any::<u64>()], 16),
        max_flat in 0_usize..=16,
    ) {
        let [(src_types, src_list), (dst_types, dst_list)] = two_tables(&shapes);
        let mut pair = Pair { source, target };
        pair.source.memory = memory;
        for i in 0..8 {
            pair.source.hold(if i % 2 == 0 { Held::Resource(resource(i, true)) } else { Held::Async(Handle(i, i)) });
        }
        let handles = pair.source.handles.clone();
        let lifted = lift_values(&mut pair.source.lift(&src_types), src_list, max_flat, &flat);
        pair.source.handles = handles;
        let source = Signature { types: &src_types, list: src_list, max_flat };
        let target = Signature { types: &dst_types, list: dst_list, max_flat };
        let carried = translate_flat(&mut pair, source, &flat, target, None);
        match lifted {
            Ok(values) => {
                let flat = carried.unwrap();
                let again = lift_values(&mut pair.target.lift(&dst_types), dst_list, max_flat, flat.values());
                prop_assert_eq!(again.unwrap(), values);
            }
            Err(error) => prop_assert_eq!(carried.unwrap_err().to_string(), error.to_string()),
        }
    }
}

#[test]
fn interrupts_are_looked_for_in_long_lists() {
    let mut types = Types::new();
    let list = types.intern(Def::List { element: TypeRef::Bool, length: None });
    let mut pair = pair();
    let ptr = pair.source.put(&[1; 2560]);
    carry(&mut pair, &mut types, list, &[ptr, 2560]).unwrap();
    assert!(pair.target.looks.get() >= 10);
}
