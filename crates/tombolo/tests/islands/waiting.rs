//! Who waits for a root instance that ends, ends with it, unless a function of the host stands in between.

use tombolo::{Accessor, Component, EndCause, Engine, Error, Instance, Linker, Result, Store, StoreMut};

use super::causes::yield_now;
use super::guests::COUNTER;
use super::{engine, instantiate, run, waited};

/// Traps, at once, by way of an import (`f`), and after it has waited for the host.
const CALLEE: &str = r#"(component $callee
    (import "later" (func $later async))
    (core func $later' (canon lower (func $later)))
    (core module $m
        (import "" "later" (func $later))
        (func (export "now") unreachable)
        (func (export "later") (call $later) unreachable)
        (func (export "fine")))
    (core instance $i (instantiate $m (with "" (instance (export "later" (func $later'))))))
    (func (export "now") (canon lift (core func $i "now")))
    (func (export "later") async (canon lift (core func $i "later")))
    (func (export "fine") (canon lift (core func $i "fine"))))"#;

/// Calls the callee: synchronously, asynchronously and waiting, asynchronously and going on, through the host.
const CALLER: &str = r#"(component $caller
    (import "callee" (instance $callee
        (export "now" (func)) (export "later" (func async)) (export "fine" (func))))
    (import "try" (func $try (result bool)))
    (import "later" (func $idle async))
    (core module $libc (memory (export "memory") 1))
    (core instance $libc (instantiate $libc))
    (core func $now (canon lower (func $callee "now")))
    (core func $fine (canon lower (func $callee "fine")))
    (core func $later (canon lower (func $callee "later")))
    (core func $begin (canon lower (func $callee "later") async))
    (core func $try' (canon lower (func $try)))
    (core func $idle' (canon lower (func $idle)))
    (core module $m
        (import "" "now" (func $now))
        (import "" "fine" (func $fine))
        (import "" "later" (func $later))
        (import "" "begin" (func $begin (result i32)))
        (import "" "try" (func $try (result i32)))
        (import "" "idle" (func $idle))
        (func (export "now") (call $now))
        (func (export "fine") (call $fine))
        (func (export "later") (call $later))
        (func (export "begin") (drop (call $begin)) (loop $l (call $idle) (br $l)))
        (func (export "try") (result i32) (call $try)))
    (core instance $i (instantiate $m (with "" (instance
        (export "now" (func $now)) (export "later" (func $later)) (export "begin" (func $begin))
        (export "try" (func $try')) (export "idle" (func $idle')) (export "fine" (func $fine))))))
    (func (export "now") (canon lift (core func $i "now")))
    (func (export "fine") (canon lift (core func $i "fine")))
    (func (export "later") async (canon lift (core func $i "later")))
    (func (export "begin") async (canon lift (core func $i "begin")))
    (func (export "try") (result bool) (canon lift (core func $i "try"))))"#;

#[derive(Default)]
struct Host {
    tried: Option<Instance>,
}

fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    linker
        .root()
        .func_async("later", |_: Accessor<Host>, (): ()| async {
            yield_now().await;
            Result::Ok(())
        })
        .unwrap();
    linker
        .root()
        .func("try", |mut store: StoreMut<'_, Host>, (): ()| {
            let instance = store.data().tried.clone().unwrap();
            let now = instance.typed_func::<(), ()>(store.as_mut(), "now")?;
            Ok(now.call(store.as_mut(), ()).is_ok())
        })
        .unwrap();
    linker
}

struct Pair {
    store: Store<Host>,
    callee: Instance,
    caller: Instance,
    counter: Instance,
}

fn pair() -> Pair {
    let engine = engine(|config| config);
    let mut store = Store::new(&engine, Host::default());
    let mut linker = linker(&engine);
    let callee = linker.instantiate(&mut store, &Component::new(&engine, CALLEE).unwrap()).unwrap();
    linker.define_instance("callee", &callee).unwrap();
    let caller = linker.instantiate(&mut store, &Component::new(&engine, CALLER).unwrap()).unwrap();
    let counter = instantiate(&mut store, COUNTER);
    store.data_mut().tried = Some(callee.clone());
    Pair { store, callee, caller, counter }
}

impl Pair {
    fn run(&mut self, name: &str) -> Result<(), Error> {
        run(&mut self.store, &self.caller, name)
    }

    fn count(&mut self) -> u32 {
        let count = self.counter.typed_func::<(), u32>(&mut self.store, "count").unwrap();
        count.call(&mut self.store, ()).unwrap()
    }
}

#[test]
fn a_caller_ends_with_its_callee() {
    // By the interpreter, and once the link leads to an adapter.
    for calls in [0, 40] {
        for name in ["now", "later"] {
            let mut pair = pair();
            for _ in 0..calls {
                pair.run("fine").unwrap();
            }
            let error = pair.run(name).unwrap_err();
            assert!(error.to_string().contains("unreachable"), "{error}");
            assert!(matches!(pair.callee.ended().unwrap().cause(), EndCause::Failed(_)), "{name}");
            let other = waited(&pair.caller);
            assert!(other.instance().contains("`callee`"), "{other}");
            let later = pair.run("fine").unwrap_err().to_string();
            assert!(
                later.contains(
                    "`caller` (1) ended, as it waited for another: component instance `callee` (0) ended with"
                ),
                "{later}"
            );
            assert_eq!(pair.count(), 1);
        }
    }
}

#[test]
fn a_caller_that_goes_on_meanwhile_ends_with_its_callee() {
    let mut pair = pair();
    let error = pair.run("begin").unwrap_err();
    assert!(error.to_string().contains("waited for another"), "{error}");
    assert!(super::ended(&error).error().unwrap().to_string().contains("unreachable"), "{error}");
    assert_eq!(pair.count(), 1);
}

#[test]
fn the_host_can_stand_in_between() {
    let mut pair = pair();
    let caller = pair.caller.clone();
    let call = caller.typed_func::<(), bool>(&mut pair.store, "try").unwrap();
    assert!(!call.call(&mut pair.store, ()).unwrap());
    assert!(pair.callee.ended().is_some());
    assert!(pair.caller.ended().is_none());
    // It hears that its callee is no more, which ends it too.
    assert!(!call.call(&mut pair.store, ()).unwrap());
    let error = pair.run("fine").unwrap_err();
    assert!(error.to_string().starts_with("cannot enter component instance"), "{error}");
    assert!(pair.caller.ended().is_some());
    assert_eq!(pair.count(), 1);
}

/// A caller's bad values are no fault of its callee's.
#[test]
fn a_callee_does_not_end_with_its_caller() {
    let engine = engine(|config| config);
    let mut store = Store::new(&engine, ());
    let callee = instantiate(
        &mut store,
        r#"(component $callee
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
                (func (export "takes") (param i32 i32))
                (func (export "gives") (result i32)
                    (i32.store (i32.const 0) (i32.const 8)) (i32.store (i32.const 4) (i32.const 5)) (i32.const 0))
                (func (export "post") (param i32)))
            (core instance $i (instantiate $m))
            (func (export "takes") (param "s" string)
                (canon lift (core func $i "takes") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (func (export "takes-async") async (param "s" string)
                (canon lift (core func $i "takes") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (func (export "gives") (result string)
                (canon lift (core func $i "gives") (memory (core memory $i "memory")) (post-return (core func $i "post")))))"#,
    );
    let mut linker = Linker::new(&engine);
    linker.define_instance("callee", &callee).unwrap();
    let caller = Component::new(
        &engine,
        r#"(component $caller
            (import "callee" (instance $callee
                (export "takes" (func (param "s" string)))
                (export "takes-async" (func async (param "s" string)))
                (export "gives" (func (result string)))))
            (core module $libc
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const -1)))
            (core instance $libc (instantiate $libc))
            (core func $takes (canon lower (func $callee "takes") (memory (core memory $libc "memory"))))
            (core func $takes-async (canon lower (func $callee "takes-async") (memory (core memory $libc "memory"))))
            (core func $gives (canon lower (func $callee "gives")
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (core module $m
                (import "" "takes" (func $takes (param i32 i32)))
                (import "" "takes-async" (func $takes-async (param i32 i32)))
                (import "" "gives" (func $gives (param i32)))
                (func (export "fine") (call $takes (i32.const 0) (i32.const 1)))
                (func (export "bounds") (call $takes (i32.const 65530) (i32.const 10)))
                (func (export "bounds-async") (call $takes-async (i32.const 65530) (i32.const 10)))
                (func (export "realloc") (call $gives (i32.const 16))))
            (core instance $i (instantiate $m (with "" (instance
                (export "takes" (func $takes)) (export "takes-async" (func $takes-async))
                (export "gives" (func $gives))))))
            (func (export "fine") (canon lift (core func $i "fine")))
            (func (export "bounds") (canon lift (core func $i "bounds")))
            (func (export "bounds-async") async (canon lift (core func $i "bounds-async")))
            (func (export "realloc") (canon lift (core func $i "realloc"))))"#,
    )
    .unwrap();
    for (calls, name) in [(0, "bounds"), (40, "bounds"), (0, "bounds-async"), (0, "realloc")] {
        let caller = linker.instantiate(&mut store, &caller).unwrap();
        for _ in 0..calls {
            run(&mut store, &caller, "fine").unwrap();
        }
        let error = run(&mut store, &caller, name).unwrap_err();
        assert!(
            error.to_string().contains("out of bounds") || error.to_string().contains("realloc"),
            "{error}"
        );
        assert!(matches!(caller.ended().unwrap().cause(), EndCause::Failed(_)), "{name}");
        assert!(callee.ended().is_none(), "{name} {calls}: {:?}", callee.ended());
    }
    let takes = callee.typed_func::<(String,), ()>(&mut store, "takes").unwrap();
    takes.call(&mut store, ("still there".to_owned(),)).unwrap();
}

/// Thousands that each wait for the next end together, and what they say of it is no longer than what a few say.
#[test]
fn a_long_chain_of_callers_ends() {
    const LENGTH: usize = 4000;
    let engine = engine(|config| config.optimize(false));
    let mut store = Store::new(&engine, Host::default());
    let mut linker = linker(&engine);
    let callee = Component::new(&engine, CALLEE).unwrap();
    let link = Component::new(
        &engine,
        r#"(component $link
            (import "callee" (instance $callee (export "later" (func async))))
            (core func $later (canon lower (func $callee "later")))
            (core module $m
                (import "" "later" (func $later))
                (func (export "later") (call $later)))
            (core instance $i (instantiate $m (with "" (instance (export "later" (func $later))))))
            (func (export "later") async (canon lift (core func $i "later"))))"#,
    )
    .unwrap();
    let mut chain = vec![linker.instantiate(&mut store, &callee).unwrap()];
    for at in 0..LENGTH {
        linker.remove("callee");
        linker.define_instance("callee", &chain[at]).unwrap();
        chain.push(linker.instantiate(&mut store, &link).unwrap());
    }
    let error = run(&mut store, &chain[LENGTH], "later").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("unreachable") && text.len() < 4096, "{} bytes", text.len());
    assert!(chain.iter().all(|instance| instance.ended().is_some()));
    let first = chain[LENGTH].ended().unwrap();
    assert!(first.error().unwrap().to_string().contains("unreachable"));
    let text = first.to_string();
    assert!(text.contains("unreachable") && text.len() < 4096, "{} bytes", text.len());
}
