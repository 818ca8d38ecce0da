//! Components whose memories have 64-bit addresses, called by and calling those with 32-bit ones.

use tombolo::{Component, Config, Engine, Feature, Instance, Linker, ResourceAny, Store};

/// The fields of a core module that has a memory with addresses of type `ty`, and allocates in it.
fn libc(ty: &str) -> String {
    let memory = if ty == "i64" { "i64 2" } else { "2" };
    format!(
        r#"(memory (export "memory") {memory})
        (global $next (mut {ty}) ({ty}.const 1024))
        (func (export "realloc") (param $old {ty}) (param $length {ty}) (param {ty}) (param $size {ty}) (result {ty})
            (local $at {ty})
            (local.set $at ({ty}.and ({ty}.add (global.get $next) ({ty}.const 7)) ({ty}.const -8)))
            (memory.copy (local.get $at) (local.get $old) (local.get $length))
            (global.set $next ({ty}.add (local.get $at) (local.get $size)))
            (local.get $at))"#
    )
}

/// The parameters of `f` as core code of that width has them.
fn params(ty: &str) -> String {
    format!("(param $text {ty}) (param $length {ty}) (param $pairs {ty}) (param $count {ty}) (param $n i64)")
}

const TYPES: &str = r#"(type $pairs (list (tuple string u8)))
    (type $f (func (param "text" string) (param "pairs" $pairs) (param "n" u64) (result (tuple string $pairs u64))))"#;

/// A component that exports `f`, which gives back what it is given: the string and the list as they lie in its
/// memory, the number with one added.
fn echo(name: &str, ty: &str, encoding: &str) -> String {
    let word = if ty == "i64" { 8 } else { 4 };
    let stores: String = (0..)
        .zip(["$text", "$length", "$pairs", "$count"])
        .map(|(i, param)| format!("({ty}.store offset={} ({ty}.const 16) (local.get {param}))", i * word))
        .collect();
    let (libc, params, n) = (libc(ty), params(ty), 4 * word);
    format!(
        r#"(component {name}
            (core module $m
                {libc}
                (func (export "f") {params} (result {ty})
                    {stores}
                    (i64.store offset={n} ({ty}.const 16) (i64.add (local.get $n) (i64.const 1)))
                    ({ty}.const 16))
                (func (export "free") (param {ty})))
            (core instance $i (instantiate $m))
            {TYPES}
            (func (export "f") (type $f) (canon lift (core func $i "f") (memory (core memory $i "memory"))
                (realloc (core func $i "realloc")) (post-return (core func $i "free"))
                string-encoding={encoding})))"#
    )
}

/// A component that imports such a function and exports it again, through a memory of its own.
fn relay(name: &str, ty: &str, encoding: &str) -> String {
    let (libc, params) = (libc(ty), params(ty));
    format!(
        r#"(component {name}
            {TYPES}
            (import "f" (func $f (type $f)))
            (core module $libc {libc})
            (core instance $libc (instantiate $libc))
            (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))
                (realloc (core func $libc "realloc")) string-encoding={encoding}))
            (core module $m
                (import "" "f" (func $f (param {ty} {ty} {ty} {ty} i64 {ty})))
                (func (export "f") {params} (result {ty})
                    (call $f (local.get $text) (local.get $length) (local.get $pairs) (local.get $count)
                        (local.get $n) ({ty}.const 16))
                    ({ty}.const 16)))
            (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
            (func (export "f") (type $f) (canon lift (core func $m "f") (memory (core memory $libc "memory"))
                (realloc (core func $libc "realloc")) string-encoding={encoding})))"#
    )
}

fn instantiate(features: &[Feature], text: &str) -> tombolo::Result<(Store<()>, Instance)> {
    let mut config = Config::new();
    for feature in features {
        config.feature(*feature, true);
    }
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, text)?;
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
    Ok((store, instance))
}

type Pairs = Vec<(String, u8)>;

#[test]
fn values_pass_between_memories_of_all_widths_and_encodings() {
    let widths = [("i32", "i32"), ("i32", "i64"), ("i64", "i32"), ("i64", "i64")];
    for (from, to) in widths {
        for encodings in [["utf8", "utf8"], ["utf16", "utf8"], ["utf8", "latin1+utf16"]] {
            let (inner, outer) = (echo("$inner", to, encodings[1]), relay("$outer", from, encodings[0]));
            let text = format!(
                r#"(component {inner} {outer}
                    (instance $inner (instantiate $inner))
                    (instance $outer (instantiate $outer (with "f" (func $inner "f"))))
                    (export "f" (func $outer "f")))"#
            );
            let (mut store, instance) = instantiate(&[Feature::Memory64], &text).unwrap();
            let f =
                instance.typed_func::<(String, Pairs, u64), (String, Pairs, u64)>(&mut store, "f").unwrap();
            let pairs: Pairs = (0..40).map(|i| (format!("piece {i} é ∂"), i)).collect();
            // The second call goes through an adapter where the first has had one made.
            for n in [u64::MAX - 1, 7] {
                let (text, back, m) = f.call(&mut store, ("tømbolo 🏝".to_owned(), pairs.clone(), n)).unwrap();
                assert_eq!(
                    (text.as_str(), &back, m),
                    ("tømbolo 🏝", &pairs, n + 1),
                    "{from} {to} {encodings:?}"
                );
            }
        }
    }
}

/// A stream's elements, the events of a waitable set and an error context go to 64-bit addresses; a thread gets a 64-bit
/// argument, out of a 64-bit table.
#[test]
fn built_ins_take_64_bit_addresses() {
    let features = [Feature::Memory64, Feature::Threading, Feature::ErrorContext];
    let (mut store, instance) = instantiate(
        &features,
        r#"(component
            (core module $libc
                (memory (export "memory") i64 2)
                (table (export "table") i64 2 funcref)
                (func (export "realloc") (param i64 i64 i64 i64) (result i64) (i64.const 4096))
                (data (i64.const 65600) "sunk"))
            (core instance $libc (instantiate $libc))
            (type $s (stream u16))
            (core type $start (func (param i64)))
            (core func $stream.new (canon stream.new $s))
            (core func $stream.read (canon stream.read $s async (memory (core memory $libc "memory"))))
            (core func $stream.write (canon stream.write $s async (memory (core memory $libc "memory"))))
            (core func $set.new (canon waitable-set.new))
            (core func $set.poll (canon waitable-set.poll (memory (core memory $libc "memory"))))
            (core func $join (canon waitable.join))
            (core func $thread.new (canon thread.new-indirect $start (core table $libc "table")))
            (core func $later (canon thread.resume-later))
            (core func $yield (canon thread.yield))
            (core func $error.new (canon error-context.new (memory (core memory $libc "memory"))))
            (core func $error.message (canon error-context.debug-message
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (core module $m
                (import "libc" "memory" (memory i64 2))
                (import "libc" "table" (table i64 2 funcref))
                (import "" "stream.new" (func $stream.new (result i64)))
                (import "" "stream.read" (func $stream.read (param i32 i64 i64) (result i64)))
                (import "" "stream.write" (func $stream.write (param i32 i64 i64) (result i64)))
                (import "" "set.new" (func $set.new (result i32)))
                (import "" "set.poll" (func $set.poll (param i32 i64) (result i32)))
                (import "" "join" (func $join (param i32 i32)))
                (import "" "thread.new" (func $thread.new (param i64 i64) (result i32)))
                (import "" "later" (func $later (param i32)))
                (import "" "yield" (func $yield (result i32)))
                (import "" "error.new" (func $error.new (param i64 i64) (result i32)))
                (import "" "error.message" (func $error.message (param i32 i64)))
                (global $argument (mut i64) (i64.const 0))
                (elem (table 0) (i64.const 1) func $thread)
                (func $thread (param i64) (global.set $argument (local.get 0)))
                (func (export "stream") (result i32)
                    (local $ends i64) (local $set i32)
                    (i32.store16 (i64.const 66000) (i32.const 1234))
                    (local.set $ends (call $stream.new))
                    (if (i64.ne (i64.const 0xffff_ffff) (call $stream.read
                            (i32.wrap_i64 (local.get $ends)) (i64.const 70000) (i64.const 3)))
                        (then unreachable))
                    (if (i64.ne (i64.const 16) (call $stream.write
                            (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32)))
                            (i64.const 66000) (i64.const 1)))
                        (then unreachable))
                    (local.set $set (call $set.new))
                    (call $join (i32.wrap_i64 (local.get $ends)) (local.get $set))
                    (if (i32.ne (i32.const 2) (call $set.poll (local.get $set) (i64.const 80000)))
                        (then unreachable))
                    (if (i32.ne (i32.const 16) (i32.load (i64.const 80004))) (then unreachable))
                    (i32.load16_u (i64.const 70000)))
                (func (export "thread") (result i64)
                    (call $later (call $thread.new (i64.const 1) (i64.const 0x1234_5678_9abc)))
                    (drop (call $yield))
                    (global.get $argument))
                (func (export "no-thread")
                    (drop (call $thread.new (i64.const 0x1_0000_0001) (i64.const 0))))
                (func (export "error") (result i64)
                    (call $error.message (call $error.new (i64.const 65600) (i64.const 4)) (i64.const 90000))
                    (i64.const 90000)))
            (core instance $m (instantiate $m (with "libc" (instance $libc)) (with "" (instance
                (export "stream.new" (func $stream.new)) (export "stream.read" (func $stream.read))
                (export "stream.write" (func $stream.write)) (export "set.new" (func $set.new))
                (export "set.poll" (func $set.poll)) (export "join" (func $join))
                (export "thread.new" (func $thread.new)) (export "later" (func $later))
                (export "yield" (func $yield)) (export "error.new" (func $error.new))
                (export "error.message" (func $error.message))))))
            (func (export "stream") (result u32) (canon lift (core func $m "stream")))
            (func (export "thread") (result u64) (canon lift (core func $m "thread")))
            (func (export "no-thread") (canon lift (core func $m "no-thread")))
            (func (export "error") (result string)
                (canon lift (core func $m "error") (memory (core memory $libc "memory")))))"#,
    )
    .unwrap();
    let stream = instance.typed_func::<(), u32>(&mut store, "stream").unwrap();
    assert_eq!(stream.call(&mut store, ()).unwrap(), 1234);
    let thread = instance.typed_func::<(), u64>(&mut store, "thread").unwrap();
    assert_eq!(thread.call(&mut store, ()).unwrap(), 0x1234_5678_9abc);
    let error = instance.typed_func::<(), String>(&mut store, "error").unwrap();
    assert_eq!(error.call(&mut store, ()).unwrap(), "sunk");
    let no_thread = instance.typed_func::<(), ()>(&mut store, "no-thread").unwrap();
    let error = no_thread.call(&mut store, ()).unwrap_err();
    assert!(error.to_string().contains("undefined element 4294967297"), "{error}");
}

#[test]
fn addresses_beyond_the_memory_trap() {
    let (mut store, instance) = instantiate(
        &[Feature::Memory64],
        r#"(component
            (core module $m
                (memory (export "memory") i64 1)
                (func (export "f") (param i64) (result i64)
                    (i64.store (i64.const 0) (local.get 0))
                    (i64.store (i64.const 8) (i64.const 2))
                    (i64.const 0)))
            (core instance $i (instantiate $m))
            (func (export "f") (param "at" u64) (result string)
                (canon lift (core func $i "f") (memory (core memory $i "memory")))))"#,
    )
    .unwrap();
    let f = instance.typed_func::<(u64,), String>(&mut store, "f").unwrap();
    assert_eq!(f.call(&mut store, (65534,)).unwrap(), "\0\0");
    let error = f.call(&mut store, (u64::MAX,)).unwrap_err();
    assert!(error.to_string().contains("out of bounds"), "{error}");
}

/// A component that defines a resource represented by an `i64`, and one that uses it.
const RESOURCE: &str = r#"(component
    (component $definer
        (core module $d
            (global $dropped (export "dropped") (mut i64) (i64.const 0))
            (func (export "drop") (param i64) (global.set $dropped (local.get 0))))
        (core instance $d (instantiate $d))
        (type $r (resource (rep i64) (dtor (core func $d "drop"))))
        (core func $new (canon resource.new $r))
        (core func $rep (canon resource.rep $r))
        (core module $m
            (import "" "new" (func $new (param i64) (result i32)))
            (import "" "rep" (func $rep (param i32) (result i64)))
            (import "" "dropped" (global $dropped (mut i64)))
            (func (export "make") (param i64) (result i32) (call $new (local.get 0)))
            (func (export "look") (param i32) (result i64) (call $rep (local.get 0)))
            ;; A borrow is the representation itself here.
            (func (export "peek") (param i32) (result i64) (i64.extend_i32_u (local.get 0)))
            (func (export "last-dropped") (result i64) (global.get $dropped)))
        (core instance $m (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "rep" (func $rep))
            (export "dropped" (global $d "dropped"))))))
        (export $r' "r" (type $r))
        (func (export "make") (param "rep" u64) (result (own $r')) (canon lift (core func $m "make")))
        (func (export "look") (param "r" (own $r')) (result u64) (canon lift (core func $m "look")))
        (func (export "peek") (param "r" (borrow $r')) (result u64) (canon lift (core func $m "peek")))
        (func (export "last-dropped") (result u64) (canon lift (core func $m "last-dropped"))))
    (instance $definer (instantiate $definer))
    (component $user
        (import "definer" (instance $definer
            (export "r" (type $r (sub resource)))
            (export "make" (func (param "rep" u64) (result (own $r))))
            (export "look" (func (param "r" (own $r)) (result u64)))
            (export "peek" (func (param "r" (borrow $r)) (result u64)))
            (export "last-dropped" (func (result u64)))))
        (alias export $definer "r" (type $r))
        (core func $make (canon lower (func $definer "make")))
        (core func $look (canon lower (func $definer "look")))
        (core func $peek (canon lower (func $definer "peek")))
        (core func $last (canon lower (func $definer "last-dropped")))
        (core func $drop (canon resource.drop $r))
        (core module $m
            (import "" "make" (func $make (param i64) (result i32)))
            (import "" "look" (func $look (param i32) (result i64)))
            (import "" "peek" (func $peek (param i32) (result i64)))
            (import "" "last" (func $last (result i64)))
            (import "" "drop" (func $drop (param i32)))
            (func (export "there-and-back") (param i64) (result i64) (call $look (call $make (local.get 0))))
            (func (export "dropped") (param i64) (result i64) (call $drop (call $make (local.get 0))) (call $last))
            (func (export "peeked") (param i64) (result i64) (local $r i32) (local $peeked i64)
                (local.set $r (call $make (local.get 0)))
                (local.set $peeked (call $peek (local.get $r)))
                (call $drop (local.get $r))
                (local.get $peeked)))
        (core instance $m (instantiate $m (with "" (instance
            (export "make" (func $make)) (export "look" (func $look)) (export "peek" (func $peek))
            (export "last" (func $last)) (export "drop" (func $drop))))))
        (func (export "there-and-back") (param "rep" u64) (result u64) (canon lift (core func $m "there-and-back")))
        (func (export "dropped") (param "rep" u64) (result u64) (canon lift (core func $m "dropped")))
        (func (export "peeked") (param "rep" u64) (result u64) (canon lift (core func $m "peeked"))))
    (instance $user (instantiate $user (with "definer" (instance $definer))))
    (alias export $definer "r" (type $r))
    (export $r' "r" (type $r))
    (export "make" (func $definer "make") (func (param "rep" u64) (result (own $r'))))
    (export "last-dropped" (func $definer "last-dropped"))
    (export "there-and-back" (func $user "there-and-back"))
    (export "dropped" (func $user "dropped"))
    (export "peeked" (func $user "peeked")))"#;

#[test]
fn resources_may_be_represented_by_64_bits() {
    const WIDE: u64 = 0x1234_5678_9abc_def0;
    for adapters_after in [u32::MAX, 0] {
        let mut config = Config::new();
        config.feature(Feature::Memory64, true).adapters_after(adapters_after);
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, RESOURCE).unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let mut call = |name, rep: u64| {
            let func = instance.typed_func::<(u64,), u64>(&mut store, name).unwrap();
            func.call(&mut store, (rep,))
        };
        // The first calls are the interpreter's.
        for rep in [WIDE, 7, WIDE, u64::MAX] {
            assert_eq!(call("there-and-back", rep).unwrap(), rep);
            assert_eq!(call("dropped", rep).unwrap(), rep);
        }
        for rep in [7, 8, u64::from(u32::MAX)] {
            assert_eq!(call("peeked", rep).unwrap(), rep);
        }
        // The host destroys it.
        let make = instance.typed_func::<(u64,), ResourceAny>(&mut store, "make").unwrap();
        let resource = make.call(&mut store, (WIDE,)).unwrap();
        resource.destroy(&mut store).unwrap();
        let last = instance.typed_func::<(), u64>(&mut store, "last-dropped").unwrap();
        assert_eq!(last.call(&mut store, ()).unwrap(), WIDE);
        // A borrow is an `i32`, for its definer too.
        let peeked = instance.typed_func::<(u64,), u64>(&mut store, "peeked").unwrap();
        let error = peeked.call(&mut store, (WIDE,)).unwrap_err().to_string();
        assert!(error.contains("0x123456789abcdef0 does not fit"), "{error}");
    }
}

#[test]
fn what_is_not_switched_on_is_named() {
    let error = instantiate(&[], &echo("", "i64", "utf8")).err().unwrap().to_string();
    assert!(error.contains("cm64"), "{error}");
}
