//! Comparison with the specification's reference definitions: the same values, the same calls of `realloc` and the
//! same bytes. Skipped where Python or the definitions are not at hand.
//!
//! `TOMBOLO_REFERENCE` names the directory of `definitions.py`; without it, that of the `wasm-tools` package is taken.
//! `TOMBOLO_REFERENCE_CASES` and `TOMBOLO_REFERENCE_SEED` say how many cases and which.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value as Json;
use tombolo_types::component::{PtrWidth, TypeRef};

use super::lift::lift_values;
use super::lower::lower_values;
use super::test_shape::{Shape, two_tables};
use super::test_side::{Guest, Pair};
use super::translate::{Signature, translate_flat};
use super::{Encoding, FlatSink};
use crate::error::Result;
use crate::value::Val;

#[test]
fn values_are_passed_as_the_reference_definitions_pass_them() {
    let Some(cases) = cases() else {
        eprintln!("skipped: there is no Python or no definitions.py");
        return;
    };
    let (mut carried, mut trapped) = (0, 0);
    for case in cases.lines() {
        let case: Json = serde_json::from_str(case).unwrap();
        for carry in check(&case) {
            *(if carry { &mut carried } else { &mut trapped }) += 1;
        }
    }
    assert!(carried > 0 && trapped > 0, "{carried} carried, {trapped} trapped");
}

fn cases() -> Option<String> {
    let directory = std::env::var_os("TOMBOLO_REFERENCE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
        let registries = home.join("registry/src").read_dir().ok()?.flatten();
        let mut packages = registries.flat_map(|registry| registry.path().read_dir()).flatten().flatten();
        packages.find_map(|package| {
            let name = package.file_name();
            let definitions = package.path().join("tests/component-model/design/mvp/canonical-abi");
            (name.to_str()?.starts_with("wasm-tools-") && definitions.join("definitions.py").exists())
                .then_some(definitions)
        })
    })?;
    let setting = |name: &str, or: &str| std::env::var(name).unwrap_or_else(|_| or.to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/abi/reference/cases.py");
    let seed = setting("TOMBOLO_REFERENCE_SEED", "1");
    let count = setting("TOMBOLO_REFERENCE_CASES", "200");
    let output =
        Command::new("python3").arg("-B").arg(script).arg(directory).args([seed, count]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).ok()
}

/// Says of each carry whether it succeeded.
fn check(case: &Json) -> Vec<bool> {
    let shapes: Vec<Shape> = array(&case["types"]).iter().map(shape).collect();
    let values: Vec<Val> = shapes.iter().zip(array(&case["values"])).map(|(s, v)| value(s, v)).collect();
    let [(types, list), (dst_types, dst_list)] = two_tables(&shapes);
    let source = &case["source"];
    let mut guest = guest(source);
    let max_flat = number(&source["max_flat"]) as usize;
    let flat = lower_values(&mut guest.lower(&types), list, &values, max_flat, None);
    compare(source, &guest, &flat, "lowered", case);
    let lifted = lift_values(&mut guest.lift(&types), list, max_flat, flat.unwrap().values());
    assert_eq!(lifted.unwrap(), values, "{case}");
    let carry = |carry: &Json| {
        let expected = &carry["target"];
        let mut pair = Pair { source: self::guest(source), target: self::guest(expected) };
        pair.source.memory = hex(&carry["memory"]);
        let from = Signature { types: &types, list, max_flat };
        let to =
            Signature { types: &dst_types, list: dst_list, max_flat: number(&expected["max_flat"]) as usize };
        let flat = translate_flat(&mut pair, from, &numbers(&carry["flat"]), to, None);
        let lifted = lift_values(&mut pair.source.lift(&types), list, max_flat, &numbers(&carry["flat"]));
        assert_eq!(lifted.is_err(), flat.is_err(), "lifted {lifted:?}, carried {flat:?} in {case}");
        if expected["trap"] == true {
            let error = flat.expect_err(&format!("trap in {carry} of {case}"));
            assert!(error.trap().is_some(), "{error:?}");
            return false;
        }
        compare(expected, &pair.target, &flat, "carried", case);
        true
    };
    array(&case["carries"]).iter().map(carry).collect()
}

#[track_caller]
fn compare(expected: &Json, guest: &Guest, flat: &Result<FlatSink>, what: &str, case: &Json) {
    let flat = flat.as_ref().unwrap_or_else(|error| panic!("{what} {expected}: {error} in {case}"));
    assert_eq!(flat.values(), numbers(&expected["flat"]), "{what} {expected} in {case}");
    let calls: Vec<Vec<u64>> = guest.calls.iter().map(|(call, _)| call.to_vec()).collect();
    let expected_calls: Vec<Vec<u64>> =
        array(&expected["calls"]).iter().map(|call| array(call).iter().map(number).collect()).collect();
    assert_eq!(calls, expected_calls, "{what} {expected} in {case}");
    let memory = hex(&expected["memory"]);
    assert_eq!(guest.memory.get(..memory.len()), Some(&*memory), "{what} {expected} in {case}");
}

fn guest(json: &Json) -> Guest {
    let width = if number(&json["width"]) == 64 { PtrWidth::Bits64 } else { PtrWidth::Bits32 };
    let encoding = match json["encoding"].as_str() {
        Some("utf8") => Encoding::Utf8,
        Some("utf16") => Encoding::Utf16,
        _ => Encoding::CompactUtf16,
    };
    Guest { memory: vec![0; 1 << 16], next: 0, ..Guest::new(width, encoding) }
}

fn array(json: &Json) -> &[Json] {
    json.as_array().unwrap()
}

fn number(json: &Json) -> u64 {
    json.as_u64().unwrap()
}

fn numbers(json: &Json) -> Vec<u64> {
    array(json).iter().map(|number| number.as_str().unwrap().parse().unwrap()).collect()
}

fn hex(json: &Json) -> Vec<u8> {
    let digits = json.as_str().unwrap().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn shape(json: &Json) -> Shape {
    let boxed = |json: &Json| Box::new(shape(json));
    let maybe = |json: &Json| (!json.is_null()).then(|| shape(json));
    if let Some(name) = json.as_str() {
        use TypeRef::*;
        let all = [Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char, String];
        return Shape::Primitive(
            all.into_iter().find(|ty| format!("{ty:?}").to_lowercase() == name).unwrap(),
        );
    }
    let (kind, parts) = json.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "list" => Shape::List(boxed(parts)),
        "fixed" => Shape::Fixed(boxed(&parts[0]), number(&parts[1]) as u32),
        "map" => Shape::Map(boxed(&parts[0]), boxed(&parts[1])),
        "record" => Shape::Record(array(parts).iter().map(shape).collect()),
        "tuple" => Shape::Tuple(array(parts).iter().map(shape).collect()),
        "variant" => Shape::Variant(array(parts).iter().map(maybe).collect()),
        "enum" => Shape::Enum(number(parts) as usize),
        "option" => Shape::Option(boxed(parts)),
        "result" => Shape::Result(Box::new([maybe(&parts[0]), maybe(&parts[1])])),
        "flags" => Shape::Flags(number(parts) as usize),
        other => panic!("{other}"),
    }
}

fn value(shape: &Shape, json: &Json) -> Val {
    let label = |i: u64| format!("l{i}");
    let all = |parts: &[Shape]| parts.iter().zip(array(json)).map(|(s, v)| value(s, v)).collect::<Vec<_>>();
    let payload = |shape: Option<&Shape>| shape.map(|shape| Box::new(value(shape, &json[1])));
    match shape {
        Shape::Primitive(ty) => primitive(*ty, json),
        Shape::List(element) | Shape::Fixed(element, _) => {
            Val::List(array(json).iter().map(|v| value(element, v)).collect())
        }
        Shape::Map(k, v) => {
            Val::Map(array(json).iter().map(|e| (value(k, &e[0]), value(v, &e[1]))).collect())
        }
        Shape::Record(parts) => Val::Record((0..).map(label).zip(all(parts)).collect()),
        Shape::Tuple(parts) => Val::Tuple(all(parts)),
        Shape::Variant(cases) => {
            let index = number(&json[0]);
            Val::Variant(label(index), payload(cases[index as usize].as_ref()))
        }
        Shape::Enum(_) => Val::Enum(label(number(json))),
        Shape::Option(some) => Val::Option(payload((number(&json[0]) == 1).then_some(&**some))),
        Shape::Result(both) => Val::Result(match number(&json[0]) {
            0 => Ok(payload(both[0].as_ref())),
            _ => Err(payload(both[1].as_ref())),
        }),
        Shape::Flags(count) => {
            Val::Flags((0..*count as u64).filter(|i| number(json) >> i & 1 == 1).map(label).collect())
        }
        Shape::Own | Shape::Borrow | Shape::Stream | Shape::Future => panic!("{shape:?}"),
    }
}

fn primitive(ty: TypeRef, json: &Json) -> Val {
    let text = json.as_str().unwrap_or_default();
    match ty {
        TypeRef::Bool => Val::Bool(json.as_bool().unwrap()),
        TypeRef::S8 => Val::S8(text.parse().unwrap()),
        TypeRef::U8 => Val::U8(text.parse().unwrap()),
        TypeRef::S16 => Val::S16(text.parse().unwrap()),
        TypeRef::U16 => Val::U16(text.parse().unwrap()),
        TypeRef::S32 => Val::S32(text.parse().unwrap()),
        TypeRef::U32 => Val::U32(text.parse().unwrap()),
        TypeRef::S64 => Val::S64(text.parse().unwrap()),
        TypeRef::U64 => Val::U64(text.parse().unwrap()),
        TypeRef::F32 => Val::F32(f32::from_bits(text.parse().unwrap())),
        TypeRef::F64 => Val::F64(f64::from_bits(text.parse().unwrap())),
        TypeRef::Char => Val::Char(text.parse().unwrap()),
        TypeRef::String => Val::String(text.to_owned()),
        TypeRef::ErrorContext | TypeRef::Def(_) => panic!("{ty:?}"),
    }
}
