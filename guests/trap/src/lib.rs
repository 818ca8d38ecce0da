//! Traps, by argument in one of several ways, below a chain of calls that a backtrace should name:
//! `run`, `climb_the_tower`, `lean_out`, `fall`.

use std::hint::unreachable_unchecked;
use std::sync::atomic::{AtomicU32, Ordering};

struct Trap;

impl wasip3::exports::cli::run::Guest for Trap {
    async fn run() -> Result<(), ()> {
        let mode = support::args().into_iter().next().unwrap_or_else(|| "unreachable".to_owned());
        let fall: fn(u32) -> u32 = match mode.as_str() {
            "unreachable" => fall,
            "panic" => panic,
            "oob" => read_out_of_bounds,
            "overflow" => recurse,
            "div0" => divide,
            "loop" => circle,
            "null" => call_null,
            _ => {
                support::eprint("usage: trap [unreachable|panic|oob|overflow|div0|loop|null]\n").await;
                return Err(());
            }
        };
        // What was written before the trap has been written.
        support::print("going down\n").await.map_err(drop)?;
        let survived = climb_the_tower(fall, 1);
        support::print(&format!("still here: {survived}\n")).await.map_err(drop)
    }
}

#[inline(never)]
fn climb_the_tower(fall: fn(u32) -> u32, step: u32) -> u32 {
    lean_out(fall, step + 1) ^ seen(step)
}

#[inline(never)]
fn lean_out(fall: fn(u32) -> u32, step: u32) -> u32 {
    fall(step + 1) ^ seen(step)
}

#[inline(never)]
fn fall(_step: u32) -> u32 {
    std::process::abort()
}

#[inline(never)]
fn panic(step: u32) -> u32 {
    panic!("step {step} is missing")
}

/// Reads below the end of the address space, far behind the end of memory.
#[inline(never)]
fn read_out_of_bounds(step: u32) -> u32 {
    // SAFETY: none; wasm has an answer for it, and that is what this is about.
    unsafe { std::ptr::read_volatile(seen(0xFFFF_FF00 | (step << 2)) as *const u32) }
}

/// Calls itself without end. It has no frame in linear memory, so what runs out is the call stack.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the point")]
fn recurse(step: u32) -> u32 {
    recurse(seen(step) + 1) ^ seen(step)
}

/// Divides by a zero that the compiler is not told of, so that it is the instruction that traps.
#[inline(never)]
fn divide(step: u32) -> u32 {
    quotient(step, seen(step) - seen(step))
}

/// A division without the check that Rust puts before it.
#[inline(never)]
fn quotient(dividend: u32, divisor: u32) -> u32 {
    if divisor == 0 {
        // SAFETY: none; it takes the check away.
        unsafe { unreachable_unchecked() }
    }
    dividend / divisor
}

/// Never ends, and never calls anything.
#[inline(never)]
fn circle(step: u32) -> u32 {
    while seen(step) == step {}
    step
}

/// Calls through a null function pointer.
#[inline(never)]
fn call_null(step: u32) -> u32 {
    let address = seen(0) as usize;
    // SAFETY: none; index 0 of the table holds no function.
    let null: fn(u32) -> u32 = unsafe { std::mem::transmute(address) };
    null(step)
}

/// The number itself, which the compiler cannot know.
fn seen(n: u32) -> u32 {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    SEEN.store(n, Ordering::Relaxed);
    // SAFETY: the static is alive and aligned.
    unsafe { std::ptr::read_volatile(SEEN.as_ptr()) }
}

wasip3::cli::command::export!(Trap);
