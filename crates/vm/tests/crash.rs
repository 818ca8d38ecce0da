//! Faults of the host's own code still end the process, with what was installed before or by default. Each case runs in
//! a process of its own: this test again, told by an environment variable to do it.

#![allow(unsafe_code, reason = "the tests use the lowest forms too")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test that is how to fail")]

mod support;

use std::process::{Command, ExitStatus};

use std::os::unix::process::ExitStatusExt;
use support::*;
use tombolo_vm::*;

const VARIABLE: &str = "TOMBOLO_TEST_CRASH";

fn run(test: &str, case: &str) -> (ExitStatus, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, case)
        .output()
        .unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn is_child(case: &str) -> bool {
    std::env::var(VARIABLE).is_ok_and(|wanted| wanted == case)
}

fn fault() {
    // SAFETY: not at all: that is what is tested.
    unsafe { std::hint::black_box(8 as *mut u32).write_volatile(1) };
}

fn guest_that_calls(store: &Store, host: fn()) -> InstanceHandle {
    let host = host_i32(store, move |_, value| {
        host();
        Ok(value)
    });
    let text = r#"(module (import "" "h" (func $h (param i32) (result i32)))
        (func (export "run") (result i32) (call $h (i32.const 1))))"#;
    instance(store, text, &[host])
}

#[test]
fn a_fault_of_the_host_is_a_crash() {
    if is_child("host") {
        let _store = store();
        fault();
    }
    let (status, _) = run("a_fault_of_the_host_is_a_crash", "host");
    assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
}

#[test]
fn a_fault_of_a_host_function_is_a_crash() {
    if is_child("function") {
        let store = store();
        let guest = guest_that_calls(&store, fault);
        let _ = call(&store, guest, "run", &[]);
    }
    let (status, _) = run("a_fault_of_a_host_function_is_a_crash", "function");
    assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
}

#[test]
fn a_stack_overflow_of_a_host_function_is_a_crash() {
    #[expect(unconditional_recursion, reason = "it is what overflows")]
    fn overflow(data: &mut [u8; 64]) -> u8 {
        let mut more = std::hint::black_box([data[0]; 64]);
        overflow(&mut more) + std::hint::black_box(more[1])
    }
    if is_child("overflow") {
        let store = store();
        let guest = guest_that_calls(&store, || {
            overflow(&mut [0; 64]);
        });
        let _ = call(&store, guest, "run", &[]);
    }
    let (status, stderr) = run("a_stack_overflow_of_a_host_function_is_a_crash", "overflow");
    // Rust's own handler says what it was, so it was passed on.
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}");
    assert!(stderr.contains("has overflowed its stack"), "{stderr}");
}

#[test]
fn a_stack_overflow_of_a_host_function_on_a_fiber_is_a_crash() {
    #[expect(unconditional_recursion, reason = "it is what overflows")]
    fn overflow(data: &mut [u8; 64]) -> u8 {
        let mut more = std::hint::black_box([data[0]; 64]);
        overflow(&mut more) + std::hint::black_box(more[1])
    }
    if is_child("fiber") {
        let store = store();
        let guest = guest_that_calls(&store, || {
            overflow(&mut [0; 64]);
        });
        let run = move |store: &Store, _| call(store, guest, "run", &[]).map_or(0, |_| 1);
        store.resume(&mut store.fiber(run).unwrap(), 0);
    }
    let (status, _) = run("a_stack_overflow_of_a_host_function_on_a_fiber_is_a_crash", "fiber");
    assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
}

#[test]
fn a_signal_that_somebody_sends_is_not_a_trap() {
    if is_child("sent") {
        let _store = store();
        // SAFETY: ends this process.
        unsafe { libc::raise(libc::SIGFPE) };
    }
    let (status, _) = run("a_signal_that_somebody_sends_is_not_a_trap", "sent");
    assert_eq!(status.signal(), Some(libc::SIGFPE), "{status}");
}
