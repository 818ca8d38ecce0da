//! `response`.

use http::StatusCode;
use tombolo::{FutureReader, LinkerInstance, Resource, Result, StreamReader};

use crate::HttpView;
use crate::body::Sent;
use crate::contents::{Contents, Trailers};
use crate::message::Response;

use super::{Fields, find, push, take};

type This = Resource<Response>;

pub(super) fn add<T: HttpView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.resource::<Response>("response", |mut store, response| {
        let http = store.data_mut().http();
        let Response { headers, contents, .. } = *take(http.table, response)?;
        http.ctx.drop_fields(headers);
        contents.drop(store)
    })?;
    types.func(
        "[static]response.new",
        |mut store,
         (headers, stream, trailers): (
            Resource<Fields>,
            Option<StreamReader<u8>>,
            FutureReader<Trailers>,
        )| {
            let headers = take(store.data_mut().http().table, headers)?.into_inner();
            let (contents, fate) = Contents::of_guest(store.as_mut(), stream, trailers)?;
            let response = Response { status: StatusCode::OK, headers, contents };
            Ok((push(store.data_mut().http().table, response)?, fate))
        },
    )?;
    types.func(
        "[static]response.consume-body",
        |mut store, (this, handled): (This, FutureReader<Sent>)| {
            let http = store.data_mut().http();
            let Response { headers, contents, .. } = *take(http.table, this)?;
            http.ctx.drop_fields(headers);
            contents.consume(store, handled)
        },
    )?;
    types.func("[method]response.get-status-code", |mut store, (this,): (This,)| {
        Ok(find(&mut store, &this)?.status.as_u16())
    })?;
    types.func(
        "[method]response.set-status-code",
        |mut store, (this, status): (This, u16)| -> Result<std::result::Result<(), ()>> {
            let response = find(&mut store, &this)?;
            Ok(StatusCode::from_u16(status).map(|status| response.status = status).map_err(drop))
        },
    )?;
    types.func("[method]response.get-headers", |mut store, (this,): (This,)| {
        let headers = find(&mut store, &this)?.headers.share();
        push(store.data_mut().http().table, Fields::immutable(headers))
    })?;
    Ok(())
}
