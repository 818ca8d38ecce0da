use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_types::component::{Case, Def, Field, FuncType, PtrWidth};

use super::*;
use crate::abi::lift::lift_flat;
use crate::abi::test_side::{Guest, Held, assert_traps, resource};
use crate::abi::{Encoding, Handle, check_result, lift_result, lower_result};
use crate::resource::{Resource, ResourceAny};
use crate::value::{ErrorContextAny, FutureAny, StreamAny, Val};
use crate::{ComponentParams, ComponentType, Lift, LiftParams, Lower, LowerParams, flags};

/// Lowers a value in both ways and lifts it in both; the dynamic lifting agrees.
#[track_caller]
fn survives<T: Lift + Lower + PartialEq + fmt::Debug>(
    types: &Types,
    ty: TypeRef,
    value: T,
    expected: Option<Val>,
) {
    T::check(types, ty).unwrap();
    for width in [PtrWidth::Bits32, PtrWidth::Bits64] {
        let mut guest = Guest::new(width, Encoding::Utf8);
        let mut dst = FlatSink::new();
        value.lower_flat(&mut guest.lower(types), ty, &mut dst).unwrap();
        let flat = types.abi(ty, width).flat.as_ref().unwrap().len();
        assert_eq!(dst.len(), flat, "flat values");
        let mut src = FlatSource::new(dst.values());
        assert_eq!(T::lift_flat(&mut guest.lift(types), ty, &mut src).unwrap(), value);
        assert_eq!(src.taken(), flat);
        if let Some(expected) = &expected {
            let lifted = lift_flat(&mut guest.lift(types), ty, &mut FlatSource::new(dst.values())).unwrap();
            assert_eq!(lifted, *expected);
        }
        let abi = types.abi(ty, width);
        let ptr = guest.lower(types).allocate(abi.align, abi.size).unwrap();
        value.store(&mut guest.lower(types), ty, ptr).unwrap();
        assert_eq!(T::load(&mut guest.lift(types), ty, ptr).unwrap(), value);
    }
}

fn list(types: &mut Types, element: TypeRef) -> TypeRef {
    types.intern(Def::List { element, length: None })
}

fn tuple(types: &mut Types, parts: &[TypeRef]) -> TypeRef {
    types.intern(Def::Tuple(parts.into()))
}

#[test]
fn primitives_survive() {
    let types = &Types::new();
    survives(types, TypeRef::Bool, true, Some(Val::Bool(true)));
    survives(types, TypeRef::S8, -1_i8, Some(Val::S8(-1)));
    survives(types, TypeRef::U8, 255_u8, Some(Val::U8(255)));
    survives(types, TypeRef::S16, i16::MIN, Some(Val::S16(i16::MIN)));
    survives(types, TypeRef::U16, u16::MAX, Some(Val::U16(u16::MAX)));
    survives(types, TypeRef::S32, -1, Some(Val::S32(-1)));
    survives(types, TypeRef::U32, u32::MAX, Some(Val::U32(u32::MAX)));
    survives(types, TypeRef::S64, i64::MIN, Some(Val::S64(i64::MIN)));
    survives(types, TypeRef::U64, u64::MAX, Some(Val::U64(u64::MAX)));
    survives(types, TypeRef::F32, -1.5_f32, Some(Val::F32(-1.5)));
    survives(types, TypeRef::F64, f64::INFINITY, Some(Val::F64(f64::INFINITY)));
    survives(types, TypeRef::Char, '😀', Some(Val::Char('😀')));
    survives(types, TypeRef::String, "né".to_owned(), Some("né".into()));
    survives(types, TypeRef::String, Box::<str>::from(""), None);
    survives(types, TypeRef::String, Arc::<str>::from("né"), None);
}

#[test]
fn lists_survive() {
    let mut types = Types::new();
    let bytes = list(&mut types, TypeRef::U8);
    survives(
        &types,
        bytes,
        vec![1_u8, 2, 255],
        Some(Val::List(vec![1_u8.into(), 2_u8.into(), 255_u8.into()])),
    );
    survives(&types, bytes, Vec::<u8>::new(), None);
    survives(&types, bytes, Box::<[u8]>::from([1]), None);
    let u64s = list(&mut types, TypeRef::U64);
    survives(&types, u64s, vec![u64::MAX, 0, 1 << 40], None);
    let f32s = list(&mut types, TypeRef::F32);
    survives(&types, f32s, vec![1.5_f32, -0.0], None);
    let bools = list(&mut types, TypeRef::Bool);
    survives(&types, bools, vec![true, false], None);
    let strings = list(&mut types, TypeRef::String);
    survives(&types, strings, vec!["a".to_owned(), String::new(), "né".to_owned()], None);
    let nested = list(&mut types, strings);
    survives(&types, nested, vec![vec!["a".to_owned()], vec![]], None);
    let fixed = types.intern(Def::List { element: TypeRef::U16, length: Some(3) });
    survives(&types, fixed, [1_u16, 2, 3], None);
    assert!(<[u16; 2]>::check(&types, fixed).is_err() && Vec::<u16>::check(&types, fixed).is_err());
    let map = types.intern(Def::Map { key: TypeRef::String, value: TypeRef::U8 });
    survives(&types, map, BTreeMap::from([("a".to_owned(), 1_u8), ("b".to_owned(), 2)]), None);
    survives(&types, map, std::collections::HashMap::from([("a".to_owned(), 1_u8)]), None);
}

#[test]
fn typed_list_lengths_are_checked_and_charged_before_allocating() {
    let mut types = Types::new();
    let bytes = list(&mut types, TypeRef::U8);
    let u64s = list(&mut types, TypeRef::U64);
    let strings = list(&mut types, TypeRef::String);
    let mut guest = Guest::with_memory(&[0; 64]);
    let mut lift = |ty, flat: [u64; 2]| match ty {
        0 => Vec::<u8>::lift_flat(&mut guest.lift(&types), bytes, &mut FlatSource::new(&flat)).map(drop),
        1 => Vec::<u64>::lift_flat(&mut guest.lift(&types), u64s, &mut FlatSource::new(&flat)).map(drop),
        _ => {
            Vec::<String>::lift_flat(&mut guest.lift(&types), strings, &mut FlatSource::new(&flat)).map(drop)
        }
    };
    for (ty, flat, message) in [
        (0, [0, 65], "list content out-of-bounds"),
        (0, [0, 1 << 28], "list byte length too large"),
        (1, [0, 9], "list content out-of-bounds"),
        (1, [4, 1], "unaligned pointer"),
        (1, [0, 1 << 29], "list byte length too large"),
        (2, [0, 1 << 29], "list byte length too large"),
        (2, [60, 1], "list content out-of-bounds"),
    ] {
        assert_traps(lift(ty, flat), message);
    }
    assert_eq!(guest.charged, 0);
    Vec::<u64>::lift_flat(&mut guest.lift(&types), u64s, &mut FlatSource::new(&[0, 8])).unwrap();
    assert_eq!(guest.charged, 64);
    guest.budget = 70;
    let again = Vec::<u64>::lift_flat(&mut guest.lift(&types), u64s, &mut FlatSource::new(&[0, 8]));
    assert_traps(again, "over budget");
}

#[test]
fn options_results_and_tuples_survive() {
    let mut types = Types::new();
    let option = types.intern(Def::Option(TypeRef::String));
    survives(&types, option, Some("x".to_owned()), Some(Val::Option(Some(Box::new("x".into())))));
    survives(&types, option, None::<String>, Some(Val::Option(None)));
    let nested = types.intern(Def::Option(option));
    survives(&types, nested, Some(None::<String>), None);
    let result = types.intern(Def::Result { ok: Some(TypeRef::F32), err: Some(TypeRef::U64) });
    survives(&types, result, Ok::<f32, u64>(1.5), Some(Val::Result(Ok(Some(Box::new(1.5_f32.into()))))));
    survives(&types, result, Err::<f32, u64>(u64::MAX), None);
    let empty = types.intern(Def::Result { ok: None, err: None });
    survives(&types, empty, Ok::<(), ()>(()), Some(Val::Result(Ok(None))));
    survives(&types, empty, Err::<(), ()>(()), Some(Val::Result(Err(None))));
    let half = types.intern(Def::Result { ok: None, err: Some(TypeRef::U8) });
    survives(&types, half, Err::<(), u8>(3), None);
    let pair = tuple(&mut types, &[TypeRef::U8, option]);
    survives(&types, pair, (1_u8, Some("x".to_owned())), None);
    let twelve = tuple(&mut types, &[TypeRef::U8; 12]);
    let values = (0_u8, 1_u8, 2_u8, 3_u8, 4_u8, 5_u8, 6_u8, 7_u8, 8_u8, 9_u8, 10_u8, 11_u8);
    survives(&types, twelve, values, None);
}

#[test]
fn handles_survive() {
    let mut types = Types::new();
    let name = types.add_resource("file");
    let own = types.intern(Def::Own(name));
    let borrow = types.intern(Def::Borrow(name));
    let mut guest = Guest::new(PtrWidth::Bits32, Encoding::Utf8);
    let mut dst = FlatSink::new();
    let file = Resource::<()>::new_own(7);
    file.lower_flat(&mut guest.lower(&types), own, &mut dst).unwrap();
    assert_eq!(guest.handles[&1], Held::Resource(resource(7, true)));
    let mut src = FlatSource::new(dst.values());
    let lent = Resource::<()>::lift_flat(&mut guest.lift(&types), borrow, &mut src).unwrap();
    assert!((lent.rep(), lent.is_owned()) == (7, false));
    let wrong =
        Resource::<u8>::lift_flat(&mut guest.lift(&types), borrow, &mut FlatSource::new(dst.values()));
    assert!(wrong.is_err(), "a resource of another Rust type");
    let any =
        ResourceAny::lift_flat(&mut guest.lift(&types), own, &mut FlatSource::new(dst.values())).unwrap();
    assert_eq!(any, resource(7, true));
    let again = ResourceAny::lift_flat(&mut guest.lift(&types), own, &mut FlatSource::new(dst.values()));
    assert_traps(again, "unknown handle index");

    let stream = types.intern(Def::Stream(Some(TypeRef::U8)));
    let future = types.intern(Def::Future(None));
    for check in [StreamAny::check(&types, stream), FutureAny::check(&types, future)] {
        check.unwrap();
    }
    assert!(StreamAny::check(&types, future).is_err() && FutureAny::check(&types, stream).is_err());
    let index = guest.hold(Held::Async(Handle(3, 4)));
    let lifted = StreamAny::lift_flat(&mut guest.lift(&types), stream, &mut FlatSource::new(&[index.into()]));
    assert_eq!(lifted.unwrap(), StreamAny(Handle(3, 4)));
    survives(&types, TypeRef::ErrorContext, ErrorContextAny::new("why"), None);
}

#[test]
fn a_type_that_does_not_fit_is_named() {
    let mut types = Types::new();
    let strings = list(&mut types, TypeRef::String);
    let pair = tuple(&mut types, &[TypeRef::U8, strings]);
    let result = types.intern(Def::Result { ok: Some(pair), err: None });
    let message = |check: Result<(), Mismatch>| check.unwrap_err().to_string();
    type Found = Result<(u8, Vec<u32>), ()>;
    assert_eq!(message(Found::check(&types, result)), "ok: tuple field 1: list: expected u32, found string");
    assert_eq!(
        message(Result::<(), ()>::check(&types, result)),
        "ok: expected nothing, found tuple<u8, list<string>>"
    );
    assert_eq!(message(Option::<u8>::check(&types, TypeRef::U8)), "expected option, found u8");
    assert_eq!(message(<(u8,)>::check(&types, pair)), "expected tuple of 1, found tuple<u8, list<string>>");
    let none = types.intern(Def::Result { ok: None, err: None });
    assert_eq!(message(Result::<u8, ()>::check(&types, none)), "ok: expected a u8, found nothing");
}

fn func(types: &mut Types, params: &[TypeRef], result: Option<TypeRef>) -> FuncTypeAndId {
    let params = params.iter().enumerate().map(|(i, ty)| Field { name: format!("p{i}"), ty: *ty }).collect();
    let func = FuncType { params, result, is_async: false };
    (types.intern_func(func.clone()), func)
}

type FuncTypeAndId = (tombolo_types::component::FuncTypeId, FuncType);

#[test]
fn parameters_are_checked() {
    let mut types = Types::new();
    let (_, none) = func(&mut types, &[], None);
    let (_, two) = func(&mut types, &[TypeRef::U8, TypeRef::String], Some(TypeRef::U8));
    <()>::check_params(&types, &none).unwrap();
    <(u8, &str)>::check_params(&types, &two).unwrap();
    let message = |check: Result<(), Mismatch>| check.unwrap_err().to_string();
    assert_eq!(message(<()>::check_params(&types, &two)), "expected 0 parameters, found 2");
    assert_eq!(message(<(u8, u8)>::check_params(&types, &two)), "parameter `p1`: expected u8, found string");
    check_result::<()>(&types, &none).unwrap();
    check_result::<u8>(&types, &two).unwrap();
    assert_eq!(message(check_result::<()>(&types, &two)), "result: expected nothing, found u8");
    assert_eq!(message(check_result::<u8>(&types, &none)), "result: expected a u8, found nothing");
}

#[test]
fn parameters_and_results_are_passed_flat_or_in_memory() {
    let mut types = Types::new();
    let (few, _) = func(&mut types, &[TypeRef::U8, TypeRef::String], None);
    let (many, _) = func(&mut types, &[TypeRef::String; 9], None);
    for (id, max_flat, flat) in [(few, 16, 3), (few, 2, 1), (few, 0, 1)] {
        let mut guest = Guest::new(PtrWidth::Bits32, Encoding::Utf8);
        let mut sink = FlatSink::new();
        (7_u8, "hi").lower_params(&mut guest.lower(&types), id, max_flat, &mut sink).unwrap();
        assert_eq!(sink.len(), flat);
        let lifted =
            <(u8, String)>::lift_params(&mut guest.lift(&types), id, max_flat, sink.values()).unwrap();
        assert_eq!(lifted, (7, "hi".to_owned()));
    }
    let mut guest = Guest::new(PtrWidth::Bits32, Encoding::Utf8);
    let values = ("a", "b", "c", "d", "e", "f", "g", "h", "i");
    let mut sink = FlatSink::new();
    values.lower_params(&mut guest.lower(&types), many, 16, &mut sink).unwrap();
    assert_eq!(sink.len(), 1);
    type Nine = (String, String, String, String, String, String, String, String, String);
    let lifted = Nine::lift_params(&mut guest.lift(&types), many, 16, sink.values()).unwrap();
    assert_eq!((lifted.0.as_str(), lifted.8.as_str()), ("a", "i"));
    let outside = Nine::lift_params(&mut guest.lift(&types), many, 16, &[1 << 20]);
    assert_traps(outside, "pointer out of bounds of memory");
    assert_traps(Nine::lift_params(&mut guest.lift(&types), many, 16, &[2]), "unaligned pointer");

    let ty = Some(TypeRef::String);
    assert_eq!(lower_result(&"hi", &mut guest.lower(&types), ty, 1, Some(16)).unwrap(), 0);
    assert_eq!(lift_result::<String>(&mut guest.lift(&types), ty, 1, &[16]).unwrap(), "hi");
    assert_traps(lower_result(&"hi", &mut guest.lower(&types), ty, 1, Some(18)), "unaligned pointer");
    lift_result::<()>(&mut guest.lift(&types), None, 1, &[]).unwrap();
    assert_eq!(lower_result(&(), &mut guest.lower(&types), None, 1, None).unwrap(), 0);
    assert_eq!(lower_result(&7u8, &mut guest.lower(&types), Some(TypeRef::U8), 1, None).unwrap(), 7);
    assert_eq!(lift_result::<u8>(&mut guest.lift(&types), Some(TypeRef::U8), 1, &[5]).unwrap(), 5);
}

#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(record)]
struct Stat {
    r#type: Kind,
    link_count: u64,
    #[component(name = "name-or-URL")]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(enum)]
enum Kind {
    Directory,
    RegularFile,
    #[component(name = "fifo")]
    Pipe,
}

#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(variant)]
enum Filter<T> {
    All,
    NotThese(Vec<T>),
    Size((u32, f64)),
}

#[derive(ComponentType, Lower)]
struct Borrowed<'a> {
    name: &'a str,
}

flags! {
    /// How a path is looked up.
    PathFlags {
        /// Whether a link at the end is followed.
        const SYMLINK_FOLLOW;
        #[component(name = "beneath")]
        const STAY_BENEATH;
        const C;
    }
}

fn names(list: &[&str]) -> Box<[String]> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn record(types: &mut Types, fields: &[(&str, TypeRef)]) -> TypeRef {
    let fields = fields.iter().map(|(name, ty)| Field { name: (*name).into(), ty: *ty });
    types.intern(Def::Record(fields.collect()))
}

#[test]
fn derived_records_and_enums_survive() {
    let mut types = Types::new();
    let kind = types.intern(Def::Enum(names(&["directory", "regular-file", "fifo"])));
    let name = types.intern(Def::Option(TypeRef::String));
    let stat = record(&mut types, &[("type", kind), ("link-count", TypeRef::U64), ("name-or-URL", name)]);
    let value = Stat { r#type: Kind::Pipe, link_count: 3, name: Some("x".into()) };
    survives(&types, stat, value.clone(), None);
    survives(&types, stat, Stat { name: None, r#type: Kind::Directory, ..value.clone() }, None);
    let stats = list(&mut types, stat);
    survives(&types, stats, vec![value.clone(), Stat { r#type: Kind::RegularFile, ..value }], None);
    let wrong = record(&mut types, &[("type", kind), ("links", TypeRef::U64)]);
    let message = |ty| Stat::check(&types, ty).unwrap_err().to_string();
    assert_eq!(message(wrong), "expected field `link-count`, found `links`");
    assert_eq!(message(kind), "expected record, found enum { directory, regular-file, fifo }");
    let borrowed = record(&mut types, &[("name", TypeRef::String)]);
    Borrowed::check(&types, borrowed).unwrap();
    let mut guest = Guest::new(PtrWidth::Bits32, Encoding::Utf8);
    Borrowed { name: "x" }.lower_flat(&mut guest.lower(&types), borrowed, &mut FlatSink::new()).unwrap();
    assert_eq!(guest.sizes(), [[0, 1, 1]]);
}

#[test]
fn derived_variants_survive() {
    let mut types = Types::new();
    let strings = list(&mut types, TypeRef::String);
    let size = tuple(&mut types, &[TypeRef::U32, TypeRef::F64]);
    let case = |name: &str, ty| Case { name: name.into(), ty };
    let cases = [case("all", None), case("not-these", Some(strings)), case("size", Some(size))];
    let filter = types.intern(Def::Variant(cases.into()));
    survives(&types, filter, Filter::<String>::All, Some(Val::Variant("all".into(), None)));
    survives(&types, filter, Filter::NotThese(vec!["a".to_owned()]), None);
    survives(&types, filter, Filter::<String>::Size((1, -2.5)), None);
    let mut guest = Guest::with_memory(&[]);
    let lifted =
        Filter::<String>::lift_flat(&mut guest.lift(&types), filter, &mut FlatSource::new(&[3, 0, 0]));
    assert_traps(lifted, "invalid variant discriminant");
    assert_eq!(
        Filter::<u8>::check(&types, filter).unwrap_err().to_string(),
        "case `not-these`: list: expected u8, found string"
    );
    let fewer = types.intern(Def::Variant([case("all", None), case("not-these", Some(strings))].into()));
    assert_eq!(
        Filter::<String>::check(&types, fewer).unwrap_err().to_string(),
        "expected case `size`, found no more"
    );
}

#[test]
fn flags_are_sets() {
    let mut types = Types::new();
    let ty = types.intern(Def::Flags(names(&["symlink-follow", "beneath", "c"])));
    let two = PathFlags::SYMLINK_FOLLOW | PathFlags::C;
    survives(&types, ty, two, Some(Val::Flags(vec!["symlink-follow".into(), "c".into()])));
    survives(&types, ty, PathFlags::empty(), None);
    survives(&types, ty, PathFlags::all(), None);
    assert_eq!((two.bits(), PathFlags::all().bits()), (0b101, 0b111));
    assert!(two.contains(PathFlags::C) && !two.contains(PathFlags::all()));
    assert!(two.intersects(PathFlags::all()) && !two.intersects(PathFlags::STAY_BENEATH));
    assert_eq!(two - PathFlags::C, PathFlags::SYMLINK_FOLLOW);
    assert_eq!(two & PathFlags::C, PathFlags::C);
    assert_eq!(PathFlags::from_bits_truncate(u32::MAX), PathFlags::all());
    assert_eq!(format!("{two:?}"), r#"{"symlink-follow", "c"}"#);
    let mut guest = Guest::with_memory(&[]);
    let lifted = PathFlags::lift_flat(&mut guest.lift(&types), ty, &mut FlatSource::new(&[0xffff_fff9]));
    assert_eq!(lifted.unwrap().bits(), 1, "bits without a name are dropped");
    let other = types.intern(Def::Flags(names(&["symlink-follow"])));
    assert!(PathFlags::check(&types, other).is_err());
}

/// Lifting and lowering long lists, typed and not.
#[test]
fn interrupts_are_looked_for_in_long_lists() {
    fn looks<T: Lift + Lower>(types: &Types, ty: TypeRef, value: &T, expected: u32) {
        let mut guest = Guest::new(PtrWidth::Bits32, Encoding::Utf8);
        let mut dst = FlatSink::new();
        value.lower_flat(&mut guest.lower(types), ty, &mut dst).unwrap();
        assert!(guest.looks.replace(0) >= expected, "typed, lowering");
        T::lift_flat(&mut guest.lift(types), ty, &mut FlatSource::new(dst.values())).unwrap();
        assert!(guest.looks.replace(0) >= expected, "typed, lifting");
    }
    let mut types = Types::new();
    let (numbers, flags) = (list(&mut types, TypeRef::U32), list(&mut types, TypeRef::Bool));
    looks(&types, numbers, &vec![7_u32; (3 << 20) / 4], 2);
    looks(&types, flags, &vec![true; 2560], 10);
    let map = types.intern(Def::Map { key: TypeRef::U32, value: TypeRef::U8 });
    looks(&types, map, &(0..2560).map(|key| (key, 1)).collect::<BTreeMap<u32, u8>>(), 10);

    let mut guest = Guest::new(PtrWidth::Bits32, Encoding::Utf8);
    let values = Val::List(vec![Val::Bool(true); 2560]);
    let mut dst = FlatSink::new();
    crate::abi::lower::lower_flat(&mut guest.lower(&types), flags, &values, &mut dst).unwrap();
    assert!(guest.looks.replace(0) >= 10, "dynamic, lowering");
    lift_flat(&mut guest.lift(&types), flags, &mut FlatSource::new(dst.values())).unwrap();
    assert!(guest.looks.replace(0) >= 10, "dynamic, lifting");
}
