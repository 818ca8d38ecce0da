//! `fields`.

use tombolo::{ComponentType, Error, Lift, LinkerInstance, Lower, Resource, Result};

use crate::HttpView;
use crate::fields::{FieldError, FieldMap, Headers};

use super::{find, push, take};

/// Headers or trailers, as guests have them (`fields`).
pub struct Fields {
    headers: Headers,
    mutable: bool,
}

impl Fields {
    pub(crate) fn immutable(headers: Headers) -> Self {
        Fields { headers, mutable: false }
    }

    pub(crate) fn mutable(map: FieldMap) -> Self {
        Fields { headers: Headers::Own(map), mutable: true }
    }

    #[inline]
    pub(crate) fn into_inner(self) -> Headers {
        self.headers
    }

    /// The fields, to be changed: nobody else has those that are mutable.
    fn change(
        &mut self,
        f: impl FnOnce(&mut FieldMap) -> std::result::Result<(), FieldError>,
    ) -> std::result::Result<(), HeaderError> {
        match &mut self.headers {
            Headers::Own(map) if self.mutable => f(map).map_err(HeaderError::from),
            _ => Err(HeaderError::Immutable),
        }
    }
}

/// Why fields cannot be set (`header-error`).
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum HeaderError {
    InvalidSyntax,
    Forbidden,
    Immutable,
    SizeExceeded,
    Other(Option<String>),
}

impl From<FieldError> for HeaderError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::InvalidSyntax => HeaderError::InvalidSyntax,
            FieldError::Forbidden => HeaderError::Forbidden,
            FieldError::SizeExceeded => HeaderError::SizeExceeded,
        }
    }
}

/// What a guest is answered.
type Answer<R> = Result<std::result::Result<R, HeaderError>>;

type This = Resource<Fields>;

pub(super) fn add<T: HttpView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.resource::<Fields>("fields", |mut store, fields| {
        let http = store.data_mut().http();
        http.ctx.drop_fields(take(http.table, fields)?.into_inner());
        Ok(())
    })?;
    add_making(types)?;
    add_reading(types)?;
    add_changing(types)
}

fn add_making<T: HttpView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func("[constructor]fields", |mut store, ()| {
        let http = store.data_mut().http();
        push(http.table, Fields::mutable(http.ctx.new_fields()))
    })?;
    types.func(
        "[static]fields.from-list",
        |mut store, (entries,): (Vec<(String, Vec<u8>)>,)| -> Answer<This> {
            let http = store.data_mut().http();
            let mut map = http.ctx.new_fields();
            match entries.into_iter().try_for_each(|(name, value)| map.append(&name, value)) {
                Ok(()) => push(http.table, Fields::mutable(map)).map(Ok),
                Err(error) => Ok(Err(error.into())),
            }
        },
    )?;
    types.func("[method]fields.clone", |mut store, (this,): (This,)| -> Result<This> {
        let http = store.data_mut().http();
        let map = http.table.get(&this).map_err(Error::host)?.headers.try_clone();
        // A clone cannot fail by its type: a guest that holds this much ends here.
        let map = map.map_err(|_| Error::host(FieldsExhausted))?;
        push(http.table, Fields::mutable(map))
    })?;
    Ok(())
}

/// What ends a guest that clones fields beyond the limit.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the component holds more headers and trailers than it may")]
struct FieldsExhausted;

fn add_reading<T: HttpView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func("[method]fields.get", |mut store, (this, name): (This, String)| {
        let fields = find(&mut store, &this)?;
        Ok(fields.headers.get(&name).map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>())
    })?;
    types.func("[method]fields.has", |mut store, (this, name): (This, String)| {
        Ok(find(&mut store, &this)?.headers.has(&name))
    })?;
    types.func("[method]fields.copy-all", |mut store, (this,): (This,)| {
        let fields = find(&mut store, &this)?;
        let all = fields.headers.iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        Ok(all.collect::<Vec<(String, Vec<u8>)>>())
    })?;
    Ok(())
}

fn add_changing<T: HttpView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func(
        "[method]fields.set",
        |mut store, (this, name, values): (This, String, Vec<Vec<u8>>)| -> Answer<()> {
            Ok(find(&mut store, &this)?.change(|map| map.set(&name, values)))
        },
    )?;
    types.func("[method]fields.delete", |mut store, (this, name): (This, String)| -> Answer<()> {
        Ok(find(&mut store, &this)?.change(|map| map.delete(&name)))
    })?;
    types.func(
        "[method]fields.get-and-delete",
        |mut store, (this, name): (This, String)| -> Answer<Vec<Vec<u8>>> {
            let fields = find(&mut store, &this)?;
            let mut values = Vec::new();
            let deleted = fields.change(|map| {
                values = map.get(&name).map(|value| value.as_bytes().to_vec()).collect();
                map.delete(&name)
            });
            Ok(deleted.map(|()| values))
        },
    )?;
    types.func(
        "[method]fields.append",
        |mut store, (this, name, value): (This, String, Vec<u8>)| -> Answer<()> {
            Ok(find(&mut store, &this)?.change(|map| map.append(&name, value)))
        },
    )?;
    Ok(())
}
