//! The same call by the interpreter and through an adapter: results, memories and errors are the same.

mod async_calls;
mod borrows;
mod error_contexts;
mod faults;
mod strings;

use proptest::prelude::*;

use crate::engine::ADAPTERS_AFTER as CALLS;
use crate::{Component, Config, Engine, Instance, Linker, Store, Val};

fn instantiate(text: &str) -> (Store<()>, Instance) {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = Component::new(&engine, text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// A type and values of it.
#[derive(Clone, Debug)]
enum Shape {
    Primitive(&'static str),
    List(Box<Shape>),
    Tuple(Vec<Shape>),
    Option(Box<Shape>),
    Result(Box<Shape>, Box<Shape>),
    /// `variant { a, b(u8), c(string), d(f64), e(f32) }`.
    Variant,
    /// `enum { a, b, c }`.
    Enum,
    /// `flags { a, b, c }`.
    Flags,
}

const PRIMITIVES: [&str; 13] =
    ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"];

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        8 => prop::sample::select(&PRIMITIVES[..]).prop_map(Shape::Primitive),
        1 => Just(Shape::Variant),
        1 => Just(Shape::Enum),
        1 => Just(Shape::Flags),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Shape::List),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Shape::Tuple),
            boxed().prop_map(Shape::Option),
            (boxed(), boxed()).prop_map(|(ok, err)| Shape::Result(ok, err)),
        ]
    })
}

impl Shape {
    fn text(&self) -> String {
        match self {
            Shape::Primitive(name) => (*name).to_owned(),
            Shape::List(element) => format!("(list {})", element.text()),
            Shape::Tuple(parts) => {
                format!("(tuple {})", parts.iter().map(Shape::text).collect::<Vec<_>>().join(" "))
            }
            Shape::Option(some) => format!("(option {})", some.text()),
            Shape::Result(ok, err) => format!("(result {} (error {}))", ok.text(), err.text()),
            Shape::Variant => "$variant".to_owned(),
            Shape::Enum => "$enum".to_owned(),
            Shape::Flags => "$flags".to_owned(),
        }
    }

    fn flat(&self) -> Vec<&'static str> {
        let join = |a: Vec<&'static str>, b: Vec<&'static str>| {
            let mut all = vec!["i32"];
            for i in 0..a.len().max(b.len()) {
                all.push(match (a.get(i), b.get(i)) {
                    (Some(a), Some(b)) if a == b => a,
                    (Some(&"i32"), Some(&"f32")) | (Some(&"f32"), Some(&"i32")) => "i32",
                    (Some(_), Some(_)) => "i64",
                    (Some(one), None) | (None, Some(one)) => one,
                    (None, None) => unreachable!(),
                });
            }
            all
        };
        match self {
            Shape::Primitive("s64" | "u64") => vec!["i64"],
            Shape::Primitive("f32") => vec!["f32"],
            Shape::Primitive("f64") => vec!["f64"],
            Shape::Primitive("string") | Shape::List(_) => vec!["i32", "i32"],
            Shape::Primitive(_) | Shape::Enum | Shape::Flags => vec!["i32"],
            Shape::Tuple(parts) => parts.iter().flat_map(Shape::flat).collect(),
            Shape::Option(some) => join(Vec::new(), some.flat()),
            Shape::Result(ok, err) => join(ok.flat(), err.flat()),
            Shape::Variant => vec!["i32", "i64", "i32"],
        }
    }

    fn value(&self) -> BoxedStrategy<Val> {
        match self {
            Shape::Primitive(name) => match *name {
                "bool" => any::<bool>().prop_map(Val::Bool).boxed(),
                "s8" => any::<i8>().prop_map(Val::S8).boxed(),
                "u8" => any::<u8>().prop_map(Val::U8).boxed(),
                "s16" => any::<i16>().prop_map(Val::S16).boxed(),
                "u16" => any::<u16>().prop_map(Val::U16).boxed(),
                "s32" => any::<i32>().prop_map(Val::S32).boxed(),
                "u32" => any::<u32>().prop_map(Val::U32).boxed(),
                "s64" => any::<i64>().prop_map(Val::S64).boxed(),
                "u64" => any::<u64>().prop_map(Val::U64).boxed(),
                "f32" => any::<i16>().prop_map(|n| Val::F32(f32::from(n) / 4.0)).boxed(),
                "f64" => any::<i32>().prop_map(|n| Val::F64(f64::from(n) / 4.0)).boxed(),
                "char" => any::<char>().prop_map(Val::Char).boxed(),
                _ => "\\PC{0,9}".prop_map(Val::String).boxed(),
            },
            Shape::List(element) => prop::collection::vec(element.value(), 0..4).prop_map(Val::List).boxed(),
            Shape::Tuple(parts) => {
                parts.iter().map(Shape::value).collect::<Vec<_>>().prop_map(Val::Tuple).boxed()
            }
            Shape::Option(some) => {
                prop::option::of(some.value()).prop_map(|some| Val::Option(some.map(Box::new))).boxed()
            }
            Shape::Result(ok, err) => prop_oneof![
                ok.value().prop_map(|ok| Val::Result(Ok(Some(Box::new(ok))))),
                err.value().prop_map(|err| Val::Result(Err(Some(Box::new(err))))),
            ]
            .boxed(),
            Shape::Variant => {
                let case = |name: &str, value| Val::Variant(name.to_owned(), value);
                prop_oneof![
                    Just(case("a", None)),
                    any::<u8>().prop_map(move |n| case("b", Some(Box::new(Val::U8(n))))),
                    "\\PC{0,9}".prop_map(move |text| case("c", Some(Box::new(Val::String(text))))),
                    any::<i32>().prop_map(move |n| case("d", Some(Box::new(Val::F64(n.into()))))),
                    any::<i16>().prop_map(move |n| case("e", Some(Box::new(Val::F32(n.into()))))),
                ]
                .boxed()
            }
            Shape::Enum => {
                prop::sample::select(vec!["a", "b", "c"]).prop_map(|name| Val::Enum(name.to_owned())).boxed()
            }
            Shape::Flags => prop::sample::subsequence(vec!["a", "b", "c"], 0..=3)
                .prop_map(|names| Val::Flags(names.into_iter().map(str::to_owned).collect()))
                .boxed(),
        }
    }
}

/// String encodings.
const ENCODINGS: [&str; 3] = ["utf8", "utf16", "latin1+utf16"];

/// A component of two, each with a string encoding: the caller's first. The callee returns what it is passed by `echo`, which is passed in memory; of what it is passed by
/// `take`, it keeps the flat values. Both sides allocate one after another, until `reset`.
fn echo(shape: &Shape, encodings: [&str; 2]) -> String {
    let ty = shape.text();
    let wide = format!("(tuple {ty} {})", "u64 ".repeat(17));
    let flat = shape.flat();
    let params = if flat.len() > 16 { "i32".to_owned() } else { flat.join(" ") };
    let count = params.split(' ').count();
    let keep: String = params
        .split(' ')
        .enumerate()
        .map(|(i, ty)| format!("({ty}.store (i32.const {}) (local.get {i}))", i * 8))
        .collect();
    let pass: String = (0..count).map(|i| format!("(local.get {i})")).collect();
    let named = r#"
        (type $variant' (variant (case "a") (case "b" u8) (case "c" string) (case "d" f64) (case "e" f32)))
        (type $enum' (enum "a" "b" "c"))
        (type $flags' (flags "a" "b" "c"))"#;
    let exports = r#"
        (export $variant "variant" (type $variant'))
        (export $enum "enum" (type $enum'))
        (export $flags "flags" (type $flags'))"#;
    let declared = r#"
        (export "variant" (type $variant (eq $variant')))
        (export "enum" (type $enum (eq $enum')))
        (export "flags" (type $flags (eq $flags')))"#;
    let libc = r#"
        (core module $libc
            (memory (export "memory") 8)
            (global $next (mut i32) (i32.const 256))
            (func (export "reset") (global.set $next (i32.const 256)))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get 2))))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (memory.copy (local.get $at) (local.get 0)
                    (select (local.get 1) (local.get 3) (i32.lt_u (local.get 1) (local.get 3))))
                (local.get $at)))
        (core instance $libc (instantiate $libc))
        (core func $realloc (alias core export $libc "realloc"))"#
        .replace(
            "(core func $realloc (alias core export $libc \"realloc\"))",
            "(alias core export $libc \"realloc\" (core func $realloc))",
        );
    let options = |encoding: &str| {
        format!(
            r#"string-encoding={encoding} (memory (core memory $libc "memory")) (realloc (core func $realloc))"#
        )
    };
    let [caller, callee] = encodings.map(options);
    format!(
        r#"(component
            (component $callee {named} {exports} {libc}
                (core module $m
                    (import "" "memory" (memory 8))
                    (func (export "echo") (param i32) (result i32) (local.get 0))
                    (func (export "take") (param {params}) {keep})
                    (func (export "dump") (result i32)
                        (i32.store (i32.const 248) (i32.const 0))
                        (i32.store (i32.const 252) (i32.const 8192))
                        (i32.const 248)))
                (core instance $m (instantiate $m (with "" (instance $libc))))
                (func (export "echo") (param "x" {wide}) (result {wide})
                    (canon lift (core func $m "echo") {callee}))
                (func (export "take") (param "x" {ty}) (canon lift (core func $m "take") {callee}))
                (func (export "dump") (result (list u8)) (canon lift (core func $m "dump") {callee}))
                (func (export "reset") (canon lift (core func $libc "reset"))))
            (component $caller
                (import "callee" (instance $callee {named} {declared}
                    (export "echo" (func (param "x" {wide}) (result {wide})))
                    (export "take" (func (param "x" {ty})))))
                (alias export $callee "variant" (type $variant'))
                (alias export $callee "enum" (type $enum'))
                (alias export $callee "flags" (type $flags'))
                {exports} {libc}
                (core func $echo (canon lower (func $callee "echo") {caller}))
                (core func $take (canon lower (func $callee "take") {caller}))
                (core module $m
                    (import "" "echo" (func $echo (param i32 i32)))
                    (import "" "take" (func $take (param {params})))
                    (func (export "echo") (param i32) (result i32)
                        (call $echo (local.get 0) (i32.const 65536))
                        (i32.const 65536))
                    (func (export "take") (param {params}) (call $take {pass})))
                (core instance $m (instantiate $m (with "" (instance
                    (export "echo" (func $echo)) (export "take" (func $take))))))
                (func (export "echo") (param "x" {wide}) (result {wide})
                    (canon lift (core func $m "echo") {caller}))
                (func (export "take") (param "x" {ty}) (canon lift (core func $m "take") {caller}))
                (func (export "reset") (canon lift (core func $libc "reset"))))
            (instance $callee (instantiate $callee))
            (instance $caller (instantiate $caller (with "callee" (instance $callee))))
            (export "callee" (instance $callee))
            (export "caller" (instance $caller)))"#
    )
}

/// Calls `echo` and `take`, and returns the result of the former and the callee's memory after each.
fn run(store: &mut Store<()>, instance: &Instance, value: &Val) -> (Val, Val, Val) {
    let (caller, callee) = (instance.instance("caller").unwrap(), instance.instance("callee").unwrap());
    let call = |store: &mut Store<()>, of: &Instance, name: &str, args: &[Val]| {
        of.func(name).unwrap().call(store, args).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let reset = |store: &mut Store<()>| {
        call(store, &caller, "reset", &[]);
        call(store, &callee, "reset", &[]);
    };
    let mut wide = vec![value.clone()];
    wide.extend((0..17).map(Val::U64));
    reset(store);
    let echoed = call(store, &caller, "echo", &[Val::Tuple(wide)]).unwrap();
    let Val::Tuple(echoed) = echoed else { panic!("{echoed:?}") };
    let echo_dump = call(store, &callee, "dump", &[]).unwrap();
    reset(store);
    call(store, &caller, "take", std::slice::from_ref(value));
    let take_dump = call(store, &callee, "dump", &[]).unwrap();
    (echoed.into_iter().next().unwrap(), echo_dump, take_dump)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn adapters_carry_what_the_interpreter_carries(
        (shape, values) in shape().prop_flat_map(|shape| {
            let values = prop::collection::vec(shape.value(), 1..4);
            (Just(shape), values)
        }),
        caller in prop::sample::select(&ENCODINGS[..]),
        callee in prop::sample::select(&ENCODINGS[..]),
    ) {
        let text = echo(&shape, [caller, callee]);
        let (mut store, instance) = instantiate(&text);
        let interpreted: Vec<_> = values.iter().map(|value| run(&mut store, &instance, value)).collect();
        prop_assert!(store.core().islands.borrow().adapters() == 0);
        for _ in 0..CALLS {
            run(&mut store, &instance, &values[0]);
        }
        prop_assert_eq!(store.core().islands.borrow().adapters(), 2, "both functions have an adapter");
        for (value, interpreted) in values.iter().zip(&interpreted) {
            prop_assert_eq!(&interpreted.0, value);
            // What an earlier value left beyond the end of this one differs.
            let (echoed, ..) = run(&mut store, &instance, value);
            prop_assert_eq!(&echoed, value);
        }
        // In a new store, the same calls leave the same memories.
        let (mut store, instance) = instantiate(&text);
        run(&mut store, &instance, &values[0]);
        let interpreted = run(&mut store, &instance, &values[0]);
        for _ in 0..CALLS {
            run(&mut store, &instance, &values[0]);
        }
        let compiled = run(&mut store, &instance, &values[0]);
        prop_assert!(compiled == interpreted, "the memories differ");
    }
}

/// A component whose `call` passes two numbers to a function of another instance as they are. `more` is in the callee's
/// core code.
fn raw(params: &str, core: &str, pass: &str, result: &str, body: &str, more: &str, options: &str) -> String {
    format!(
        r#"(component
            (component $callee
                (core module $m
                    (memory (export "memory") 1)
                    (global $misbehave (mut i32) (i32.const 0))
                    {more}
                    (func (export "misbehave") (global.set $misbehave (i32.const 1)))
                    (func (export "f") (param {core}) {body}))
                (core instance $m (instantiate $m))
                (func (export "f") {params} {result} (canon lift (core func $m "f") {options}))
                (func (export "misbehave") (canon lift (core func $m "misbehave"))))
            (component $caller
                (import "f" (func $f {params} {result}))
                (core module $libc
                    (memory (export "memory") 1)
                    (data (i32.const 16) "\ff\ff\ff\c3")
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
                (core instance $libc (instantiate $libc))
                (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))
                    (realloc (core func $libc "realloc"))))
                (core module $m
                    (import "" "f" (func $f (param {core})))
                    (func (export "call") (param $a i32) (param $b i32) (call $f {pass})))
                (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
                (func (export "call") (param "a" u32) (param "b" u32) (canon lift (core func $m "call"))))
            (instance $callee (instantiate $callee))
            (instance $caller (instantiate $caller (with "f" (func $callee "f"))))
            (export "misbehave" (func $callee "misbehave"))
            (export "call" (func $caller "call")))"#
    )
}

/// The error of a call, first by the interpreter, then through an adapter.
fn errors(text: &str, good: (u32, u32), bad: (u32, u32)) -> [String; 2] {
    [0, CALLS + 1].map(|calls| {
        let (mut store, instance) = instantiate(text);
        let call = instance.typed_func::<(u32, u32), ()>(&mut store, "call").unwrap();
        for _ in 0..calls {
            call.call(&mut store, good).unwrap();
        }
        assert_eq!(store.core().islands.borrow().adapters(), usize::from(calls > 0));
        let misbehave = instance.typed_func::<(), ()>(&mut store, "misbehave").unwrap();
        misbehave.call(&mut store, ()).unwrap();
        let error = call.call(&mut store, bad).unwrap_err();
        // After a trap nothing runs, whoever made the call.
        let after = call.call(&mut store, good).unwrap_err();
        format!("{error:?}\n{after}")
    })
}

const REALLOC: &str = r#"
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
        (if (result i32) (global.get $misbehave) (then (i32.const 65535)) (else (i32.const 256))))"#;
const OPTIONS: &str = r#"(memory (core memory $m "memory")) (realloc (core func $m "realloc"))"#;

#[test]
fn what_fails_in_an_adapter_fails_as_in_the_interpreter() {
    let one = |ty: &str, options: &str| {
        raw(&format!("(param \"x\" {ty})"), "i32", "(local.get $a)", "", "", REALLOC, options)
    };
    let two = |ty: &str| {
        let params = format!("(param \"x\" {ty})");
        raw(&params, "i32 i32", "(local.get $a) (local.get $b)", "", "", REALLOC, OPTIONS)
    };
    let body = |body: &str, more: &str| raw("", "", "", "", body, more, "");
    let post = "(func (export \"post\") (if (global.get $misbehave) (then unreachable)))";
    let good = (0, 0);
    let cases: Vec<(&str, String, (u32, u32), &str)> = vec![
        ("a char", one("char", ""), (0xd800, 0), "invalid `char` bit pattern"),
        ("a late char", one("char", ""), (0x11_0000, 0), "invalid `char` bit pattern"),
        ("an option", two("(option u8)"), (2, 0), "invalid variant discriminant"),
        ("a huge discriminant", two("(option u8)"), (u32::MAX, 0), "invalid variant discriminant"),
        ("no utf-8", two("string"), (16, 3), "invalid utf-8"),
        ("half a code point", two("string"), (19, 1), "incomplete utf-8"),
        ("a string beyond the end", two("string"), (65535, 2), "out-of-bounds"),
        ("a long string", two("string"), (0, 1 << 28), "too large"),
        ("an unaligned list", two("(list u32)"), (2, 1), "unaligned pointer"),
        ("a list beyond the end", two("(list u32)"), (65532, 2), "out-of-bounds"),
        ("a long list", two("(list u64)"), (0, 1 << 26), "too large"),
        ("a list of pairs", two("(list (tuple u8 string))"), (65536, 1), "out-of-bounds"),
        ("realloc for a list", two("(list string)"), (8, 2), "not aligned"),
        ("realloc out of bounds", two("string"), (0, 2), "beyond the memory's"),
        ("realloc unaligned", two("(list u16)"), (0, 1), "not aligned"),
        ("a trap", body("(if (global.get $misbehave) (then unreachable))", ""), (0, 0), "unreachable"),
        (
            "a trap in post-return",
            raw("", "", "", "", "", post, "(post-return (core func $m \"post\"))"),
            (0, 0),
            "unreachable",
        ),
        (
            "an exception",
            body("(if (global.get $misbehave) (then (throw $t)))", "(tag $t)"),
            (0, 0),
            "exception",
        ),
    ];
    for (name, text, bad, expected) in cases {
        let [interpreted, compiled] = errors(&text, good, bad);
        assert_eq!(interpreted, compiled, "{name}");
        assert!(interpreted.contains(expected), "{name}: {interpreted}");
    }
}
