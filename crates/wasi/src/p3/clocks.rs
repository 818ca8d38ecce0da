//! `wasi:clocks`.

use std::sync::Arc;

use tombolo::{ComponentType, Error, Lift, Linker, Lower, Result};

use crate::clocks::MonotonicClock;
use crate::{WasiView, clocks};

/// A point in time, as `wasi:clocks/system-clock` has it.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Instant {
    /// Whole seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds, always counting forwards.
    pub nanoseconds: u32,
}

impl From<clocks::Instant> for Instant {
    fn from(instant: clocks::Instant) -> Self {
        Instant { seconds: instant.seconds, nanoseconds: instant.nanoseconds }
    }
}

impl From<Instant> for clocks::Instant {
    fn from(instant: Instant) -> Self {
        clocks::Instant { seconds: instant.seconds, nanoseconds: instant.nanoseconds }
    }
}

/// Defines the interfaces of `wasi:clocks`, but for `timezone`, which is not stable:
/// [`add_timezone_to_linker`] defines that.
///
/// # Errors
///
/// Something of that name is defined already.
pub fn add_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.instance("wasi:clocks/types@0.3.2")?;

    let mut monotonic = linker.instance("wasi:clocks/monotonic-clock@0.3.2")?;
    monotonic.func("now", |mut store, ()| Ok(store.data_mut().wasi().ctx.clocks.monotonic.now()))?;
    monotonic.func("get-resolution", |mut store, ()| {
        Ok(store.data_mut().wasi().ctx.clocks.monotonic.resolution())
    })?;
    monotonic.func_async("wait-until", |accessor, (mark,): (u64,)| async move {
        let clock = accessor.with(|mut store| store.data_mut().wasi().ctx.clocks.monotonic.clone());
        wait(&clock, mark).await
    })?;
    monotonic.func_async("wait-for", |accessor, (duration,): (u64,)| async move {
        if duration == 0 {
            return Ok(());
        }
        let clock = accessor.with(|mut store| store.data_mut().wasi().ctx.clocks.monotonic.clone());
        // A clock that is asked to wait beyond its last mark waits for ever, near enough.
        wait(&clock, clock.now().saturating_add(duration)).await
    })?;

    let mut system = linker.instance("wasi:clocks/system-clock@0.3.2")?;
    system.func("now", |mut store, ()| Ok(Instant::from(store.data_mut().wasi().ctx.clocks.system.now())))?;
    system
        .func("get-resolution", |mut store, ()| Ok(store.data_mut().wasi().ctx.clocks.system.resolution()))?;
    Ok(())
}

/// Defines `wasi:clocks/timezone`, of the unstable feature `clocks-timezone`.
///
/// # Errors
///
/// It is defined already.
pub fn add_timezone_to_linker<T: WasiView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    let mut timezone = linker.instance("wasi:clocks/timezone@0.3.2")?;
    timezone.func("iana-id", |mut store, ()| Ok(store.data_mut().wasi().ctx.clocks.time_zone.iana_id()))?;
    timezone.func("utc-offset", |mut store, (when,): (Instant,)| {
        Ok(store.data_mut().wasi().ctx.clocks.time_zone.utc_offset(when.into()))
    })?;
    timezone.func("to-debug-string", |mut store, ()| {
        Ok(store.data_mut().wasi().ctx.clocks.time_zone.to_debug_string())
    })?;
    Ok(())
}

async fn wait(clock: &Arc<dyn MonotonicClock>, mark: u64) -> Result<()> {
    match clock.now() >= mark {
        true => Ok(()),
        false => clock.wait_until(mark).await.map_err(Error::host),
    }
}
