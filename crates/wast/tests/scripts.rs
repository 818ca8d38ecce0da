//! What a script's directives accept, and what they say otherwise.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use tombolo::{Config, Engine};
use tombolo_wast::{Components, NoModules, Report, run};

fn report(script: &str) -> Report {
    let engine = Engine::new(&Config::new()).unwrap();
    run("s", script, &mut Components::new(&engine), &mut NoModules)
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
    fails("(module)", "s:1:2: module: unsupported: core modules outside of components are not supported");
}
