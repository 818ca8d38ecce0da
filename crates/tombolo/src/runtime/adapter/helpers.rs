//! The functions that adapters call.
//!
//! # Why the unsafe code is sound
//!
//! Only adapters call these, with the context of the link that they were called through, whose words
//! [`StoreCore::lower_to_core`] has written: the store and the lowered function outlive the code. Addresses in guests'
//! memories were checked against their lengths, and no guest runs between the check and the use.
#![allow(unsafe_code, reason = "turns what compiled code passes into references; see above")]

use tombolo_compile::vmctx::{Failure, Helper};
use tombolo_tasks::{EndKind, InstanceId};
use tombolo_types::component::{Def, DefId, ResourceIdx};
use tombolo_vm::{HostContext, RawVal, Trap};

use crate::abi::{failure, translate_string};
use crate::error::{Error, Result};
use crate::runtime::activation::Activation;
use crate::runtime::core::StoreCore;
use crate::runtime::entry::trap_of;
use crate::runtime::env::ElementOf;
use crate::runtime::func::LoweredFunc;
use crate::runtime::guest::{Fault, GuestBridge, Scope, rep_as_borrow};

/// The address of a function of any type.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Address(*const ());

// SAFETY: the address of a function is the same for all threads.
unsafe impl Sync for Address {}

/// The helpers in the order of [`Helper`].
pub(super) static HELPERS: [Address; Helper::COUNT] = [
    Address(fail as *const ()),
    Address(check_utf8 as *const ()),
    Address(copy as *const ()),
    Address(pass_own as *const ()),
    Address(pass_end as *const ()),
    Address(lend as *const ()),
    Address(end_lends as *const ()),
    Address(finish as *const ()),
    Address(settle as *const ()),
    Address(call_on_fiber as *const ()),
    Address(unlock as *const ()),
    Address(transcode as *const ()),
    Address(realloc as *const ()),
    Address(caller_failed as *const ()),
    Address(pass_error_context as *const ()),
];

/// What a helper that fails returns in place of an index.
const FAILED: u64 = u64::MAX;

/// The store and the function of a link.
///
/// # Safety
/// An adapter passes its link.
unsafe fn link<'a>(context: *mut HostContext) -> (&'a StoreCore, &'a LoweredFunc) {
    // SAFETY: see the module.
    unsafe {
        let data = HostContext::data(context);
        (&*(*data as *const StoreCore), &*(*data.add(1) as *const LoweredFunc))
    }
}

/// Runs `body`; an error becomes the store's pending trap.
///
/// # Safety
/// An adapter passes its link.
unsafe fn run(context: *mut HostContext, body: impl FnOnce(&StoreCore, &LoweredFunc) -> Result<u64>) -> u64 {
    let mut result = FAILED;
    // SAFETY: see the module; the adapter raises the trap.
    unsafe {
        let (core, lowered) = link(context);
        tombolo_vm::guard(context, |_| match body(core, lowered) {
            Ok(value) => {
                result = value;
                Ok(())
            }
            Err(error) => Err(trap_of(error)),
        });
    }
    result
}

unsafe extern "sysv64" fn fail(context: *mut HostContext, number: u32, a: u64, b: u64, c: u64, d: u64) {
    let error = || {
        let Some(kind) = Failure::from_u32(number) else {
            return Error::usage("an adapter failed for an unknown reason");
        };
        let bytes = match kind {
            // SAFETY: the range was checked, and nothing has run since.
            Failure::Utf8 => unsafe { std::slice::from_raw_parts(a as *const u8, b as usize) },
            _ => &[],
        };
        failure(kind, [a, b, c, d], bytes)
    };
    // SAFETY: as in `run`.
    unsafe {
        tombolo_vm::guard(context, |_| {
            let (core, lowered) = link(context);
            // It need not be who runs: a callee may be wrong about its result, and a caller about where it wants it.
            let at_fault = match number & Failure::OF_CALLEE {
                0 => Some(lowered.guest.instance),
                _ => callee(lowered).ok(),
            };
            if let Some(instance) = at_fault {
                core.blame(instance);
            }
            Err::<(), Trap>(trap_of(error()))
        })
    };
}

unsafe extern "sysv64" fn check_utf8(_: *mut HostContext, start: *const u8, len: u64) -> u64 {
    // SAFETY: the range was checked, and nothing has run since.
    let bytes = unsafe { std::slice::from_raw_parts(start, len as usize) };
    u64::from(std::str::from_utf8(bytes).is_err())
}

unsafe extern "sysv64" fn copy(_: *mut HostContext, to: *mut u8, from: *const u8, len: u64) {
    // SAFETY: both ranges were checked, and nothing has run since.
    unsafe { tombolo_vm::copy_bytes(from, to, len as usize) };
}

unsafe extern "sysv64" fn pass_own(context: *mut HostContext, result: u32, resource: u32, index: u32) -> u64 {
    // SAFETY: an adapter calls.
    unsafe {
        run(context, |core, lowered| {
            let (from, to) = sides(lowered, result)?;
            let ty = lowered.guest.env.resource(ResourceIdx(resource))?;
            let (passed, at_fault) = {
                let mut tasks = core.tasks.borrow_mut();
                match tasks.lift_own(from, ty, index) {
                    Ok(rep) => (tasks.lower_own(to, ty, rep), to),
                    Err(trap) => (Err(trap), from),
                }
            };
            Ok(passed.inspect_err(|_| core.blame(at_fault))?.into())
        })
    }
}

unsafe extern "sysv64" fn pass_end(context: *mut HostContext, result: u32, def: u32, index: u32) -> u64 {
    // SAFETY: an adapter calls.
    unsafe {
        run(context, |core, lowered| {
            let (from, to) = sides(lowered, result)?;
            let (env, def) = (&lowered.guest.env, lowered.guest.env.types.def(DefId(def)));
            let kind = match def {
                Def::Stream(_) => EndKind::StreamReadable,
                Def::Future(_) => EndKind::FutureReadable,
                _ => return Err(Error::usage("an adapter took a type for a stream or future")),
            };
            let (passed, at_fault) = {
                let mut tasks = core.tasks.borrow_mut();
                match tasks.lift_readable(from, index, kind, &ElementOf::new(env, def)) {
                    Ok(end) => (tasks.lower_readable(to, end), to),
                    Err(trap) => (Err(trap), from),
                }
            };
            Ok(passed.inspect_err(|_| core.blame(at_fault))?.into())
        })
    }
}

unsafe extern "sysv64" fn pass_error_context(context: *mut HostContext, result: u32, index: u32) -> u64 {
    // SAFETY: an adapter calls.
    unsafe {
        run(context, |core, lowered| {
            let (from, to) = sides(lowered, result)?;
            let (passed, at_fault) = {
                let mut tasks = core.tasks.borrow_mut();
                match tasks.lift_error_context(from, index) {
                    Ok(context) => (tasks.lower_error_context(to, context), to),
                    Err(trap) => (Err(trap), from),
                }
            };
            Ok(passed.inspect_err(|_| core.blame(at_fault))?.into())
        })
    }
}

unsafe extern "sysv64" fn lend(
    context: *mut HostContext,
    resource: u32,
    index: u32,
    activation: *const Activation<'static>,
    lent: *mut u32,
) -> u64 {
    // SAFETY: an adapter calls; the activation and the place for the lent handle are in its frame.
    unsafe {
        run(context, |core, lowered| {
            let ty = lowered.guest.env.resource(ResourceIdx(resource))?;
            let callee = callee(lowered)?;
            let rep = core.tasks.borrow_mut().lend(lowered.guest.instance, ty, index)?;
            core.note_lent(lowered.guest.instance, &mut *lent, index);
            let activation = &*activation;
            if let Some(subtask) = activation.subtask() {
                core.tasks
                    .borrow_mut()
                    .subtask_add_lenders(subtask, core.take_lent(activation, lowered.guest.instance))?;
            }
            if core.implements(callee, ty) {
                return Ok(rep_as_borrow(rep).inspect_err(|_| core.blame(callee))?.into());
            }
            let is_new = activation.thread().is_none();
            let thread = core.thread_of(activation)?;
            let (task, _) = core.tasks.borrow().thread_scope(thread)?;
            if is_new {
                core.note_lent_to(&lowered.guest.island, task);
            }
            Ok(core.tasks.borrow_mut().lower_borrow(callee, ty, rep, task)?.into())
        })
    }
}

unsafe extern "sysv64" fn end_lends(context: *mut HostContext, lent: *const u32, count: u64) {
    // SAFETY: an adapter calls; it has so many places for lent handles.
    unsafe {
        let (core, lowered) = link(context);
        core.end_lent(lowered.guest.instance, std::slice::from_raw_parts(lent, count as usize));
    }
}

unsafe extern "sysv64" fn finish(
    context: *mut HostContext,
    activation: *const Activation<'static>,
    phase: u32,
) -> u64 {
    // SAFETY: an adapter calls; the activation is in its frame.
    unsafe {
        run(context, |core, lowered| {
            if phase & 1 != 0 {
                core.activation_returned(&*activation)?;
            }
            if phase & 2 != 0 {
                core.activation_done(&*activation)?;
                check_caller(lowered)?;
            }
            Ok(0)
        })
    }
}

unsafe extern "sysv64" fn settle(
    context: *mut HostContext,
    activation: *const Activation<'static>,
    packed: u32,
) -> u64 {
    // SAFETY: an adapter calls; the activation is in its frame.
    unsafe {
        run(context, |core, lowered| {
            core.settle(&*activation, packed)?;
            check_caller(lowered)?;
            Ok(0)
        })
    }
}

unsafe extern "sysv64" fn call_on_fiber(
    context: *mut HostContext,
    activation: *const Activation<'static>,
    values: *mut RawVal,
) -> u64 {
    // SAFETY: an adapter calls; the activation is in its frame, and so are the values: as many as the core function
    // has parameters or results, whichever are more.
    unsafe {
        run(context, |core, lowered| {
            let func = lowered.guest_callee()?;
            let values = std::slice::from_raw_parts_mut(values, func.core.trampoline.slots().max(1));
            let settled = core.call_on_fiber(func, &*activation, values)?;
            check_caller(lowered)?;
            Ok(settled.into())
        })
    }
}

unsafe extern "sysv64" fn unlock(context: *mut HostContext) {
    // SAFETY: an adapter calls.
    let (core, lowered) = unsafe { link(context) };
    if let Ok(callee) = callee(lowered) {
        // What can go wrong is that the instance is gone, with its lock.
        let _ = core.tasks.borrow_mut().unlock(callee);
    }
}

unsafe extern "sysv64" fn transcode(
    context: *mut HostContext,
    result: u32,
    address: u64,
    length: u64,
    out: *mut [u64; 2],
) -> u64 {
    // SAFETY: an adapter calls, and has room for two words.
    unsafe {
        run(context, |core, lowered| {
            let (caller, callee) = (&lowered.guest, &lowered.guest_callee()?.guest);
            let (from, to) = if result != 0 { (callee, caller) } else { (caller, callee) };
            let mut bridge = GuestBridge::new(from.lift(core, Scope::None), to.lower(core, None));
            match translate_string(&mut bridge, address, length) {
                Ok((address, length)) => *out = [address, length],
                Err(error) => {
                    let Fault { error, instance } = bridge.at_fault(error, caller.instance);
                    core.blame(instance);
                    return Err(error);
                }
            }
            Ok(0)
        })
    }
}

unsafe extern "sysv64" fn realloc(context: *mut HostContext, align: u32, size: u64) -> u64 {
    // SAFETY: an adapter calls.
    unsafe {
        run(context, |core, lowered| {
            let caller = &lowered.guest;
            caller.realloc(core, 0, 0, align, size).inspect_err(|_| core.blame(caller.instance))
        })
    }
}

unsafe extern "sysv64" fn caller_failed(
    context: *mut HostContext,
    activation: *const Activation<'static>,
) -> u64 {
    // SAFETY: an adapter calls; the activation is that of the call which returns.
    unsafe {
        run(context, |core, lowered| {
            let Some(trap) = core.vm.take_pending() else {
                return Err(Error::usage("an adapter failed without a trap"));
            };
            core.caller_failed(lowered, &*activation, Error::raised(trap))?;
            Ok(0)
        })
    }
}

/// Fails if the caller's island has ended, as its callee may have had it.
fn check_caller(lowered: &LoweredFunc) -> Result<()> {
    if lowered.guest.door.is_dead() { lowered.guest.island.error().map_or(Ok(()), Err) } else { Ok(()) }
}

/// From which instance a parameter or a result goes to which.
fn sides(lowered: &LoweredFunc, result: u32) -> Result<(InstanceId, InstanceId)> {
    let (caller, callee) = (lowered.guest.instance, callee(lowered)?);
    Ok(if result != 0 { (callee, caller) } else { (caller, callee) })
}

fn callee(lowered: &LoweredFunc) -> Result<InstanceId> {
    Ok(lowered.guest_callee()?.guest.instance)
}
