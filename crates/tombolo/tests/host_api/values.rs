//! Values and resources of every kind, typed and dynamic.

use tombolo::{ComponentType, Lift, Lower, ResourceAny, Val, flags};

use crate::{block_on, callee};

const VALUES: &str = "tombolo:pair/values@0.1.0";
const COUNTERS: &str = "tombolo:pair/counters@0.1.0";

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq)]
#[component(record)]
struct Point {
    x: f64,
    y: f64,
}

#[derive(ComponentType, Lift, Lower, Clone, Copy, Debug, PartialEq)]
#[component(enum)]
enum Color {
    Red,
    Green,
    Blue,
}

flags! {
    Access {
        const READ;
        const WRITE;
        const EXECUTE;
        const APPEND;
        const TRUNCATE;
        const RENAME;
        const REMOVE;
        const ENUMERATE;
        const SHARE;
        const ADMINISTER;
    }
}

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq)]
#[component(variant)]
enum Shape {
    Dot,
    Circle(f64),
    Polygon(Vec<Point>),
    Named(String),
}

#[derive(ComponentType, Lift, Lower, Clone, Debug, PartialEq)]
#[component(record)]
struct Person {
    name: String,
    age: u8,
    birthplace: Option<Point>,
    nicknames: Vec<String>,
    favourite: Color,
    access: Access,
    shape: Shape,
    initial: char,
}

#[test]
fn typed_values_go_there_and_back() {
    let (mut store, instance) = callee();
    let values = instance.instance(VALUES).unwrap();
    let greet = values.typed_func::<(String,), String>(&mut store, "greet").unwrap();
    assert!(greet.call(&mut store, ("Ærø".to_owned(),)).unwrap().contains("Ærø"));
    let echo = values.typed_func::<(Vec<u8>,), Vec<u8>>(&mut store, "echo-bytes").unwrap();
    let bytes: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    assert_eq!(echo.call(&mut store, (bytes.clone(),)).unwrap(), bytes);
    let older = values.typed_func::<(Person, u8), Person>(&mut store, "older").unwrap();
    let ada = Person {
        name: "Ada".into(),
        age: 36,
        birthplace: Some(Point { x: 51.5, y: -0.1 }),
        nicknames: vec!["Countess".into(), "Enchantress".into()],
        favourite: Color::Blue,
        access: Access::READ | Access::ADMINISTER,
        shape: Shape::Polygon(vec![Point { x: 0.0, y: 1.0 }, Point { x: 2.0, y: 3.0 }]),
        initial: 'Å',
    };
    let mut expected = ada.clone();
    expected.age += 5;
    expected.nicknames.push("old Ada".into());
    assert_eq!(older.call(&mut store, (ada, 5)).unwrap(), expected);
    let succeed = values.typed_func::<(bool,), Result<(), ()>>(&mut store, "succeed").unwrap();
    assert_eq!(succeed.call(&mut store, (true,)).unwrap(), Ok(()));
    assert_eq!(succeed.call(&mut store, (false,)).unwrap(), Err(()));
}

#[test]
fn dynamic_values_go_there_and_back() {
    let (mut store, instance) = callee();
    let values = instance.instance(VALUES).unwrap();
    let swap = values.func("swap").unwrap();
    let pair = Val::Tuple(vec![Val::U8(7), Val::String("seven".into())]);
    let swapped = Val::Tuple(vec![Val::String("seven".into()), Val::U8(7)]);
    assert_eq!(swap.call(&mut store, &[pair]).unwrap(), Some(swapped));
    let first = values.func("first-even").unwrap();
    let list = |items: &[u32]| Val::List(items.iter().map(|i| Val::U32(*i)).collect());
    let found = first.call(&mut store, &[list(&[3, 4])]).unwrap();
    assert_eq!(found, Some(Val::Option(Some(Box::new(Val::U32(4))))));
    assert_eq!(first.call(&mut store, &[list(&[3])]).unwrap(), Some(Val::Option(None)));
}

#[test]
fn wrong_types_are_refused_by_name() {
    let (mut store, instance) = callee();
    let values = instance.instance(VALUES).unwrap();
    let error = values.typed_func::<(u32,), String>(&mut store, "greet").err().unwrap().to_string();
    assert!(error.contains("greet") && error.contains("name") && error.contains("string"), "{error}");
    let error = values.typed_func::<(), ()>(&mut store, "no-such").err().unwrap().to_string();
    assert!(error.contains("no-such"), "{error}");
    let error = values.func("sum").unwrap().call(&mut store, &[Val::Bool(true)]).err().unwrap().to_string();
    assert!(error.contains("list"), "{error}");
}

#[test]
fn the_host_holds_and_passes_a_guests_resources() {
    let (mut store, instance) = callee();
    let counters = instance.instance(COUNTERS).unwrap();
    let new = counters.typed_func::<(u64,), ResourceAny>(&mut store, "[constructor]counter").unwrap();
    let add = counters.typed_func::<(ResourceAny, u64), u64>(&mut store, "[method]counter.add").unwrap();
    let merge =
        counters.typed_func::<(ResourceAny, ResourceAny), ResourceAny>(&mut store, "[static]counter.merge");
    let merge = merge.unwrap();
    let take = counters.typed_func::<(ResourceAny,), u64>(&mut store, "take").unwrap();
    let alive = counters.typed_func::<(), u32>(&mut store, "alive").unwrap();
    let (a, b) = (new.call(&mut store, (10,)).unwrap(), new.call(&mut store, (20,)).unwrap());
    assert_eq!(add.call(&mut store, (a, 5)).unwrap(), 15);
    assert_eq!(alive.call(&mut store, ()).unwrap(), 2);
    let merged = merge.call(&mut store, (a, b)).unwrap();
    let add_after =
        counters.typed_func::<(ResourceAny, u64, u64), u64>(&mut store, "[method]counter.add-after").unwrap();
    assert_eq!(block_on(add_after.call_async(&mut store, (merged, 7, 1))).unwrap(), 42);
    assert_eq!(take.call(&mut store, (merged,)).unwrap(), 42);
    assert_eq!(alive.call(&mut store, ()).unwrap(), 0);
}

#[test]
fn the_host_destroys_a_guests_resource() {
    let (mut store, instance) = callee();
    let counters = instance.instance(COUNTERS).unwrap();
    let new = counters.typed_func::<(u64,), ResourceAny>(&mut store, "[constructor]counter").unwrap();
    let add = counters.typed_func::<(ResourceAny, u64), u64>(&mut store, "[method]counter.add").unwrap();
    let alive = counters.typed_func::<(), u32>(&mut store, "alive").unwrap();
    let (a, b) = (new.call(&mut store, (10,)).unwrap(), new.call(&mut store, (20,)).unwrap());
    a.destroy(&mut store).unwrap();
    assert_eq!(alive.call(&mut store, ()).unwrap(), 1);
    assert_eq!(add.call(&mut store, (b, 5)).unwrap(), 25);
    // Its definer has taken it along, with its type.
    instance.end(&mut store).unwrap();
    b.destroy(&mut store).unwrap();
}

/// The same place of the same type in another store is another type.
#[test]
fn resources_of_another_store_are_refused() {
    let (mut store, instance) = callee();
    let (mut other, same) = callee();
    let counters = [&instance, &same].map(|instance| instance.instance(COUNTERS).unwrap());
    let new = counters[0].typed_func::<(u64,), ResourceAny>(&mut store, "[constructor]counter").unwrap();
    let add = counters[1].typed_func::<(ResourceAny, u64), u64>(&mut other, "[method]counter.add").unwrap();
    let counter = new.call(&mut store, (10,)).unwrap();
    let error = add.call(&mut other, (counter, 5)).unwrap_err();
    assert!(error.to_string().contains("another type"), "{error}");
    // It is the host's mistake, and no guest's.
    assert!(same.ended().is_none());
}
