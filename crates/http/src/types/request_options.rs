//! `request-options`.

use std::time::Duration;

use tombolo::{ComponentType, Lift, LinkerInstance, Lower, Resource, Result};

use crate::{HttpView, RequestOptions};

use super::{find, push, take};

/// Options as guests have them.
pub(super) struct Options {
    pub values: RequestOptions,
    pub mutable: bool,
}

/// Why an option cannot be set (`request-options-error`).
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum RequestOptionsError {
    NotSupported,
    Immutable,
    Other(Option<String>),
}

/// `duration` of `wasi:clocks`: nanoseconds.
type Nanoseconds = u64;

type This = Resource<Options>;

pub(super) fn add<T: HttpView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.resource::<Options>("request-options", |mut store, options| {
        take(store.data_mut().http().table, options).map(drop)
    })?;
    types.func("[constructor]request-options", |mut store, ()| {
        push(store.data_mut().http().table, Options { values: RequestOptions::default(), mutable: true })
    })?;
    types.func("[method]request-options.clone", |mut store, (this,): (This,)| {
        let values = find(&mut store, &this)?.values;
        push(store.data_mut().http().table, Options { values, mutable: true })
    })?;
    add_timeout(types, "connect-timeout", |options| &mut options.connect_timeout)?;
    add_timeout(types, "first-byte-timeout", |options| &mut options.first_byte_timeout)?;
    add_timeout(types, "between-bytes-timeout", |options| &mut options.between_bytes_timeout)
}

/// A time-out's getter and setter.
fn add_timeout<T: HttpView + 'static>(
    types: &mut LinkerInstance<'_, T>,
    name: &str,
    field: fn(&mut RequestOptions) -> &mut Option<Duration>,
) -> Result<()> {
    types.func(&format!("[method]request-options.get-{name}"), move |mut store, (this,): (This,)| {
        let timeout = *field(&mut find(&mut store, &this)?.values);
        // It came from nanoseconds.
        Ok(timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)))
    })?;
    types.func(
        &format!("[method]request-options.set-{name}"),
        move |mut store, (this, timeout): (This, Option<Nanoseconds>)| {
            let options = find(&mut store, &this)?;
            if !options.mutable {
                return Ok(Err(RequestOptionsError::Immutable));
            }
            *field(&mut options.values) = timeout.map(Duration::from_nanos);
            Ok(Ok(()))
        },
    )?;
    Ok(())
}
