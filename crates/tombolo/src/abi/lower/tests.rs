use tombolo_types::component::{Case, Field, FuncType, PtrWidth, Types};

use super::*;
use crate::abi::test_side::{Guest, Realloc, assert_traps};
use crate::error::ErrorKind;

fn lower(types: &Types, ty: TypeRef, value: &Val, guest: &mut Guest) -> Result<Vec<u64>> {
    let mut dst = FlatSink::new();
    lower_flat(&mut guest.lower(types), ty, value, &mut dst)?;
    Ok(dst.values().to_vec())
}

fn list(values: impl IntoIterator<Item = impl Into<Val>>) -> Val {
    Val::List(values.into_iter().map(Into::into).collect())
}

#[test]
fn a_value_of_another_type_is_refused() {
    let mut types = Types::new();
    let tys = [
        types.intern(Def::List { element: TypeRef::U8, length: None }),
        types.intern(Def::List { element: TypeRef::U8, length: Some(2) }),
        types.intern(Def::Tuple([TypeRef::U8].into())),
        types.intern(Def::Record([Field { name: "a".into(), ty: TypeRef::U8 }].into())),
        types.intern(Def::Variant([Case { name: "a".into(), ty: None }].into())),
        types.intern(Def::Enum(["a".to_owned()].into())),
        types.intern(Def::Flags(["a".to_owned()].into())),
        types.intern(Def::Option(TypeRef::U8)),
        types.intern(Def::Result { ok: None, err: None }),
        types.intern(Def::Map { key: TypeRef::U8, value: TypeRef::U8 }),
        TypeRef::U8,
        TypeRef::String,
        TypeRef::ErrorContext,
    ];
    let payload = Some(Box::new(Val::U8(1)));
    let wrong = [
        Val::S8(1),
        list(["no"]),
        list([1_u8, 2, 3, 4].map(u16::from)),
        Val::Tuple(vec![]),
        Val::Tuple(vec![Val::U8(1), Val::U8(2)]),
        Val::Record(vec![("b".into(), Val::U8(1))]),
        Val::Record(vec![]),
        Val::Variant("b".into(), None),
        Val::Variant("a".into(), payload.clone()),
        Val::Enum("b".into()),
        Val::Flags(vec!["b".into()]),
        Val::Option(Some(Box::new(Val::U16(1)))),
        Val::Result(Ok(payload)),
        Val::Map(vec![(Val::Bool(true), Val::U8(1))]),
    ];
    let mut guest = Guest::new(PtrWidth::Bits32, Default::default());
    for ty in tys {
        for value in &wrong {
            let error = lower(&types, ty, value, &mut guest).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::TypeMismatch { .. }),
                "{value} as {}",
                types.display(ty)
            );
            let ptr = guest.put(&[0; 16]);
            let error = store(&mut guest.lower(&types), ty, value, ptr).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::TypeMismatch { .. }),
                "{value} as {}",
                types.display(ty)
            );
        }
    }
}

#[test]
fn realloc_that_returns_a_misaligned_pointer_traps() {
    let mut types = Types::new();
    let u32s = types.intern(Def::List { element: TypeRef::U32, length: None });
    let mut guest = Guest::misbehaving(Realloc::Misaligned);
    assert_traps(lower(&types, u32s, &list([1_u32]), &mut guest), "realloc return: result not aligned");
    assert_traps(lower(&types, u32s, &list([0_u32; 0]), &mut guest), "realloc return: result not aligned");
}

#[test]
fn realloc_that_returns_an_out_of_bounds_pointer_traps() {
    let mut types = Types::new();
    let u8s = types.intern(Def::List { element: TypeRef::U8, length: None });
    for realloc in [Realloc::OutOfBounds, Realloc::Wrapping] {
        let mut guest = Guest::misbehaving(realloc);
        let before = guest.memory.clone();
        let result = lower(&types, u8s, &list(*b"abcdefgh"), &mut guest);
        assert_traps(result, "realloc return: beyond end of memory");
        assert_traps(lower(&types, TypeRef::String, &"abc".into(), &mut guest), "beyond end of memory");
        assert_eq!(guest.memory, before, "nothing is written");
    }
}

#[test]
fn realloc_that_traps_ends_the_lowering() {
    let mut guest = Guest::misbehaving(Realloc::Trapping);
    assert_traps(lower(&Types::new(), TypeRef::String, &"abc".into(), &mut guest), "realloc trapped");
}

#[test]
fn realloc_that_grows_memory_is_followed() {
    let mut types = Types::new();
    let strings = types.intern(Def::List { element: TypeRef::String, length: None });
    let mut guest = Guest::misbehaving(Realloc::Growing);
    let value = list(["a", "bc", "", "def"]);
    let flat = lower(&types, strings, &value, &mut guest).unwrap();
    let mut src = crate::abi::FlatSource::new(&flat);
    assert_eq!(crate::abi::lift::lift_flat(&mut guest.lift(&types), strings, &mut src).unwrap(), value);
}

#[test]
fn lowering_more_than_fits_a_32_bit_memory_traps() {
    let mut types = Types::new();
    let block = types.intern(Def::List { element: TypeRef::U64, length: Some(1 << 24) });
    let blocks = types.intern(Def::List { element: block, length: None });
    let mut guest = Guest::new(PtrWidth::Bits64, Default::default());
    let many = Val::List(vec![Val::List(vec![]); 32]);
    assert_traps(lower(&types, blocks, &many, &mut guest), "list byte length too large");
    assert!(guest.calls.is_empty());
}

fn params(types: &mut Types, params: &[TypeRef]) -> TypeList {
    let params = params.iter().map(|ty| Field { name: "p".into(), ty: *ty }).collect();
    TypeList::Params(types.intern_func(FuncType { params, result: None, is_async: false }))
}

#[test]
fn parameters_that_do_not_fit_are_stored_in_memory() {
    let mut types = Types::new();
    let seventeen = params(&mut types, &[TypeRef::U8; 17]);
    let values: Vec<Val> = (0..17_u8).map(Val::from).collect();
    let mut guest = Guest::new(PtrWidth::Bits32, Default::default());
    let flat = lower_values(&mut guest.lower(&types), seventeen, &values, 16, None).unwrap();
    assert_eq!((flat.len(), guest.sizes()), (1, vec![[0, 1, 17]]));
    assert_eq!(guest.memory[flat.values()[0] as usize..][..17], (0..17).collect::<Vec<u8>>());
    let sixteen = params(&mut types, &[TypeRef::U8; 16]);
    let flat = lower_values(&mut guest.lower(&types), sixteen, &values[..16], 16, None).unwrap();
    assert_eq!((flat.len(), guest.calls.len()), (16, 1));
    let flat = lower_values(&mut guest.lower(&types), sixteen, &values[..16], 4, None).unwrap();
    assert_eq!((flat.len(), guest.calls.len()), (1, 2));
    for count in [0, 15] {
        assert!(lower_values(&mut guest.lower(&types), sixteen, &values[..count], 16, None).is_err());
    }
}

#[test]
fn a_result_goes_where_the_caller_says() {
    let mut types = Types::new();
    let result = TypeList::Result(Some(TypeRef::String));
    let mut guest = Guest::new(PtrWidth::Bits32, Default::default());
    let flat = lower_values(&mut guest.lower(&types), result, &["hi".into()], 1, Some(32)).unwrap();
    assert_eq!((flat.len(), guest.sizes()), (0, vec![[0, 1, 2]]));
    let ptr = guest.calls[0].1 as u8;
    assert_eq!(guest.memory[32..40], [ptr, 0, 0, 0, 2, 0, 0, 0]);
    for (ptr, message) in [
        (33, "unaligned pointer"),
        (60, "pointer out of bounds of memory"),
        (u64::from(u32::MAX) & !3, "pointer out of bounds of memory"),
    ] {
        let result = lower_values(&mut guest.lower(&types), result, &["hi".into()], 1, Some(ptr));
        assert_traps(result, message);
        assert_eq!(guest.calls.len(), 1, "nothing is allocated for it");
    }
    // A result of one flat value needs room in an async-lowered call only.
    let result = TypeList::Result(Some(types.intern(Def::Option(TypeRef::U8))));
    let value = [Val::Option(Some(Box::new(Val::U8(7))))];
    let flat = lower_values(&mut guest.lower(&types), result, &value, 0, Some(8)).unwrap();
    assert_eq!((flat.len(), &guest.memory[8..10]), (0, &[1, 7][..]));
    assert_eq!(
        lower_values(&mut guest.lower(&types), TypeList::Result(None), &[], 0, Some(9)).unwrap().len(),
        0
    );
}
