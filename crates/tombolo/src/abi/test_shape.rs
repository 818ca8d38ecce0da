//! Random types with random values of them.

use proptest::prelude::*;
use tombolo_types::component::{Case, Def, Field, FuncType, ResourceIdx, TypeRef, Types};

use super::test_side::resource;
use super::{Handle, TypeList};
use crate::async_value::{ErrorContextAny, FutureAny, StreamAny};
use crate::value::Val;

/// A type that is in no table yet.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Primitive(TypeRef),
    List(Box<Shape>),
    Fixed(Box<Shape>, u32),
    Map(Box<Shape>, Box<Shape>),
    Record(Vec<Shape>),
    Tuple(Vec<Shape>),
    Variant(Vec<Option<Shape>>),
    Enum(usize),
    Option(Box<Shape>),
    Result(Box<[Option<Shape>; 2]>),
    Flags(usize),
    Own,
    Borrow,
    Stream,
    Future,
}

pub(super) fn shape() -> impl Strategy<Value = Shape> {
    use TypeRef::*;
    let primitives = vec![Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char, String, ErrorContext];
    let leaf = prop_oneof![
        8 => prop::sample::select(primitives).prop_map(Shape::Primitive),
        1 => prop_oneof![1_usize..5, Just(256_usize), Just(257_usize)].prop_map(Shape::Enum),
        1 => (1_usize..33).prop_map(Shape::Flags),
        1 => prop::sample::select(vec![Shape::Own, Shape::Borrow, Shape::Stream, Shape::Future]),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let maybe = prop::option::of(inner.clone());
        prop_oneof![
            boxed.clone().prop_map(Shape::List),
            (boxed.clone(), 1_u32..4).prop_map(|(element, length)| Shape::Fixed(element, length)),
            (boxed.clone(), boxed.clone()).prop_map(|(key, value)| Shape::Map(key, value)),
            prop::collection::vec(inner.clone(), 1..5).prop_map(Shape::Record),
            prop::collection::vec(inner, 1..5).prop_map(Shape::Tuple),
            prop::collection::vec(maybe.clone(), 1..5).prop_map(Shape::Variant),
            boxed.prop_map(Shape::Option),
            [maybe.clone(), maybe].prop_map(|both| Shape::Result(Box::new(both))),
        ]
    })
}

impl Shape {
    pub(super) fn intern(&self, types: &mut Types) -> TypeRef {
        // The last resource of the table, so that tables can differ.
        let name = ResourceIdx(types.resource_count() as u32 - 1);
        let def = match self {
            Shape::Primitive(ty) => return *ty,
            Shape::List(element) => Def::List { element: element.intern(types), length: None },
            Shape::Fixed(element, n) => Def::List { element: element.intern(types), length: Some(*n) },
            Shape::Map(key, value) => Def::Map { key: key.intern(types), value: value.intern(types) },
            Shape::Record(parts) => {
                let fields = parts.iter().enumerate();
                Def::Record(fields.map(|(i, p)| Field { name: label(i), ty: p.intern(types) }).collect())
            }
            Shape::Tuple(parts) => Def::Tuple(parts.iter().map(|part| part.intern(types)).collect()),
            Shape::Variant(cases) => {
                let case = |(i, case): (usize, &Option<Shape>)| Case {
                    name: label(i),
                    ty: case.as_ref().map(|case| case.intern(types)),
                };
                Def::Variant(cases.iter().enumerate().map(case).collect())
            }
            Shape::Enum(count) => Def::Enum((0..*count).map(label).collect()),
            Shape::Option(some) => Def::Option(some.intern(types)),
            Shape::Result(both) => {
                let [ok, err] = both.each_ref().map(|part| part.as_ref().map(|part| part.intern(types)));
                Def::Result { ok, err }
            }
            Shape::Flags(count) => Def::Flags((0..*count).map(label).collect()),
            Shape::Own => Def::Own(name),
            Shape::Borrow => Def::Borrow(name),
            Shape::Stream => Def::Stream(Some(TypeRef::U8)),
            Shape::Future => Def::Future(None),
        };
        types.intern(def)
    }

    pub(super) fn value(&self) -> BoxedStrategy<Val> {
        let some = |shape: &Shape| shape.value().prop_map(|value| Some(Box::new(value))).boxed();
        let payload = |shape: &Option<Shape>| shape.as_ref().map_or(Just(None).boxed(), some);
        let all = |parts: &[Shape]| parts.iter().map(Shape::value).collect::<Vec<_>>();
        match self {
            Shape::Primitive(ty) => primitive(*ty),
            Shape::List(element) => prop::collection::vec(element.value(), 0..4).prop_map(Val::List).boxed(),
            Shape::Fixed(element, n) => {
                prop::collection::vec(element.value(), *n as usize).prop_map(Val::List).boxed()
            }
            Shape::Map(key, value) => {
                prop::collection::vec((key.value(), value.value()), 0..4).prop_map(Val::Map).boxed()
            }
            Shape::Record(parts) => {
                let named =
                    |values: Vec<Val>| values.into_iter().enumerate().map(|(i, v)| (label(i), v)).collect();
                all(parts).prop_map(move |values| Val::Record(named(values))).boxed()
            }
            Shape::Tuple(parts) => all(parts).prop_map(Val::Tuple).boxed(),
            Shape::Variant(cases) => {
                let case = |(i, case)| payload(case).prop_map(move |v| Val::Variant(label(i), v)).boxed();
                prop::strategy::Union::new(cases.iter().enumerate().map(case)).boxed()
            }
            Shape::Enum(count) => (0..*count).prop_map(|i| Val::Enum(label(i))).boxed(),
            Shape::Option(shape) => prop_oneof![Just(None), some(shape)].prop_map(Val::Option).boxed(),
            Shape::Result(both) => {
                let [ok, err] = both.each_ref().map(payload);
                prop_oneof![ok.prop_map(|v| Val::Result(Ok(v))), err.prop_map(|v| Val::Result(Err(v)))]
                    .boxed()
            }
            Shape::Flags(count) => {
                let labels: Vec<_> = (0..*count).map(label).collect();
                prop::sample::subsequence(labels, 0..=*count).prop_map(Val::Flags).boxed()
            }
            Shape::Own => any::<u32>().prop_map(|rep| Val::Resource(resource(rep, true))).boxed(),
            Shape::Borrow => any::<u32>().prop_map(|rep| Val::Resource(resource(rep, false))).boxed(),
            Shape::Stream => {
                any::<(u32, u32)>().prop_map(|(a, b)| Val::Stream(StreamAny(Handle(a, b)))).boxed()
            }
            Shape::Future => {
                any::<(u32, u32)>().prop_map(|(a, b)| Val::Future(FutureAny(Handle(a, b)))).boxed()
            }
        }
    }
}

fn label(i: usize) -> String {
    format!("l{i}")
}

fn primitive(ty: TypeRef) -> BoxedStrategy<Val> {
    match ty {
        TypeRef::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        TypeRef::S8 => any::<i8>().prop_map(Val::S8).boxed(),
        TypeRef::U8 => any::<u8>().prop_map(Val::U8).boxed(),
        TypeRef::S16 => any::<i16>().prop_map(Val::S16).boxed(),
        TypeRef::U16 => any::<u16>().prop_map(Val::U16).boxed(),
        TypeRef::S32 => any::<i32>().prop_map(Val::S32).boxed(),
        TypeRef::U32 => any::<u32>().prop_map(Val::U32).boxed(),
        TypeRef::S64 => any::<i64>().prop_map(Val::S64).boxed(),
        TypeRef::U64 => any::<u64>().prop_map(Val::U64).boxed(),
        TypeRef::F32 => any::<u32>().prop_map(|bits| Val::F32(f32::from_bits(bits))).boxed(),
        TypeRef::F64 => any::<u64>().prop_map(|bits| Val::F64(f64::from_bits(bits))).boxed(),
        TypeRef::Char => any::<char>().prop_map(Val::Char).boxed(),
        TypeRef::String => "\\PC{0,6}|[ -~é-þ]{0,6}".prop_map(Val::String).boxed(),
        TypeRef::ErrorContext => {
            ".{0,8}".prop_map(|message| Val::ErrorContext(ErrorContextAny::new(&message))).boxed()
        }
        TypeRef::Def(_) => panic!("not a primitive"),
    }
}

/// The parameters of a function in two tables that number everything differently.
pub(super) fn two_tables(shapes: &[Shape]) -> [(Types, TypeList); 2] {
    [0, 3].map(|others| {
        let mut types = Types::new();
        types.add_resource("r");
        for i in 0..others {
            types.add_resource("other");
            types.intern(Def::Enum((0..=i).map(|i| format!("other{i}")).collect()));
        }
        let params =
            shapes.iter().map(|shape| Field { name: "p".into(), ty: shape.intern(&mut types) }).collect();
        let func = types.intern_func(FuncType { params, result: None, is_async: false });
        (types, TypeList::Params(func))
    })
}
