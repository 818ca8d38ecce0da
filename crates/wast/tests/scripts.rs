//! What a script's directives accept, and what they say otherwise.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use tombolo::{Config, Engine};
use tombolo_wast::{Components, ModuleEngine, Modules, Report, run};

fn report(script: &str) -> Report {
    let engine = Engine::new(&Config::new()).unwrap();
    let mut modules = Modules::new(&ModuleEngine::new(true).unwrap()).unwrap();
    run("s", script, &mut Components::new(&engine), &mut modules)
}

fn passes(script: &str) {
    let report = report(script);
    assert!(report.is_ok() && report.passed > 0, "{report:?}");
}

fn fails(script: &str, expected: &str) {
    let report = report(script);
    let [failure] = report.failures.as_slice() else { panic!("{report:?}") };
    assert_eq!(failure.to_string(), expected);
}

/// A component that returns its argument, traps, and recurses without end.
const FUNCTIONS: &str = r#"
    (component definition $C
        (core module $m
            (func (export "same") (param i32) (result i32) (local.get 0))
            (func (export "trap") unreachable)
            (func $deeper (export "deeper") (call $deeper)))
        (core instance $i (instantiate $m))
        (func (export "same") (param "n" u32) (result u32) (canon lift (core func $i "same")))
        (func (export "trap") (canon lift (core func $i "trap")))
        (func (export "deeper") (canon lift (core func $i "deeper"))))
    (component instance $a $C)
    (component instance $b $C)
"#;

#[test]
fn calls_and_what_comes_of_them() {
    passes(&format!(
        r#"{FUNCTIONS}
        (assert_return (invoke "same" (u32.const 7)) (u32.const 7))
        (assert_trap (invoke $a "trap") "unreachable")
        (assert_trap (invoke $a "trap") "cannot enter component instance")
        (assert_exhaustion (invoke $b "deeper") "call stack exhausted")
        (component instance $a)
        (invoke "same" (u32.const 1))"#
    ));
}

#[test]
fn a_wrong_result_is_shown_beside_the_right_one() {
    fails(
        &format!("{FUNCTIONS}(assert_return (invoke $a \"same\" (u32.const 7)) (u32.const 8))"),
        "s:13:2: assert_return: the result is 7, not 8",
    );
    fails(
        &format!("{FUNCTIONS}(assert_return (invoke $a \"trap\"))"),
        "s:13:2: assert_return: trap: wasm `unreachable` instruction executed\n\
         wasm backtrace:\n    0:     0x47 - m!<wasm function 1>",
    );
}

#[test]
fn a_trap_with_another_message_is_shown_beside_the_expected_one() {
    let report = report(&format!("{FUNCTIONS}(assert_trap (invoke $a \"trap\") \"unaligned pointer\")"));
    let message = &report.failures.first().unwrap().message;
    assert!(
        message.starts_with("expected trap `unaligned pointer`, but it says: wasm `unreachable`"),
        "{message}"
    );
    fails(
        &format!("{FUNCTIONS}(assert_trap (invoke $a \"same\" (u32.const 1)) \"unreachable\")"),
        "s:13:2: assert_trap: it went well, but expected trap `unreachable`",
    );
}

#[test]
fn what_a_failed_definition_leaves_without_is_skipped() {
    let report = report(
        r#"(component $C (import "f" (func)))
        (assert_return (invoke "f"))
        (assert_return (invoke $C "f"))"#,
    );
    assert_eq!((report.passed, report.skipped, report.failures.len()), (0, 2, 1));
    let failure = report.failures.first().unwrap();
    assert_eq!(
        failure.message,
        "unlinkable: component imports function `f`, which the linker does not define"
    );
}

#[test]
fn registered_instances_are_imported() {
    passes(&format!(
        r#"{FUNCTIONS}
        (register "same" $a)
        (component
            (import "same" (instance $i (export "same" (func (param "n" u32) (result u32)))))
            (export "again" (func $i "same")))
        (assert_return (invoke "again" (u32.const 3)) (u32.const 3))
        (assert_unlinkable (component (import "other" (func))) "`other`")"#
    ));
}

#[test]
fn refused_definitions() {
    passes(
        r#"
        (assert_malformed (component binary "\00asm" "\0d\00\01\00" "\08\02\01\07") "invalid leading byte (0x7)")
        (assert_malformed (component quote "(bogus)") "expected valid component field")
        (assert_invalid (component (export "a" (func 0))) "unknown function 0")"#,
    );
    fails(
        r#"(assert_invalid (component) "anything")"#,
        "s:1:2: assert_invalid: it went well, but expected invalid `anything`",
    );
}

#[test]
fn scripts_that_do_not_parse() {
    fails("(assert_return (invoke \"f\")", "s:1:28: expected `)`");
    fails("(assert_return (invoke \"f\"))", "s:1:2: assert_return: there is no instance yet");
    fails("(component instance $i $C)", "s:1:2: instance: there is no definition `$C`");
}

#[test]
fn core_modules() {
    passes(
        r#"(module $a (global (export "g") i32 (i32.const 5)) (func (export "f") (result f32) (f32.const nan)))
        (register "a")
        (module definition $M (global $g (import "a" "g") i32) (func (export "g") (result i32) (global.get $g)))
        (module instance $b $M)
        (assert_return (invoke $b "g") (either (i32.const 4) (i32.const 5)))
        (assert_return (get $a "g") (i32.const 5))
        (assert_return (invoke $a "f") (f32.const nan:canonical))
        (assert_unlinkable (module (import "a" "f" (func))) "incompatible import type")
        (assert_invalid (module (func (result i32))) "type mismatch")
        (assert_malformed (module binary "\00asm\00\00\00\00") "unknown binary version")"#,
    );
    fails(
        "(module (func (result i32)))",
        "s:1:2: module: invalid: type mismatch: expected i32 but nothing on stack (at byte 0x18, in function 0)",
    );
    fails("(module (type (struct)))", "s:1:2: module: unsupported: struct types (GC proposal) (at byte 0xb)");
    fails(
        r#"(module (func (export "f") (result f32) (f32.const nan:0x1)))(assert_return (invoke "f") (f32.const nan:canonical))"#,
        "s:1:63: assert_return: the result is f32 NaN (0x7f800001), not f32 nan:canonical",
    );
}
