//! `wasi:http/client`, as components import it: a thin front of [`SendRequest`](crate::SendRequest).

use tombolo::{Accessor, Error, Linker, Resource, Result};

use crate::body::Direction;
use crate::message::{Request, Response};
use crate::{ErrorCode, HttpView};

pub(crate) fn add_to_linker<T: HttpView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    linker.instance("wasi:http/client@0.3.2")?.func_async("send", send)?;
    Ok(())
}

async fn send<T: HttpView + 'static>(
    store: Accessor<T>,
    (request,): (Resource<Request>,),
) -> Result<std::result::Result<Resource<Response>, ErrorCode>> {
    let begun = store.with(|mut store| {
        let http = store.data_mut().http();
        let request = http.table.delete(request).map_err(Error::host)?;
        let client = http.ctx.client.clone();
        let uri = match request.uri() {
            Ok(uri) => uri,
            Err(error) => {
                request.contents.close(store, Err(error.clone()))?;
                return Ok(Err(error));
            }
        };
        let Request { method, headers, options, contents, .. } = request;
        let body = match contents.into_body(store, headers.headers(), Direction::Request)? {
            Ok(body) => body,
            Err(error) => return Ok(Err(error)),
        };
        let mut sent = http::Request::new(body);
        sent.method_mut().clone_from(&method);
        *sent.uri_mut() = uri;
        *sent.headers_mut() = headers.into_headers();
        Ok::<_, Error>(Ok((client.send(sent, options.unwrap_or_default()), method)))
    })?;
    let (response, method) = match begun {
        Ok((response, method)) => (response.await, method),
        Err(error) => return Ok(Err(error)),
    };
    store.with(|mut store| {
        let http = store.data_mut().http();
        let response = response.and_then(|response| Response::incoming(response, &method, &http.ctx.fields));
        match response {
            Ok(response) => http.table.push(response).map(Ok).map_err(Error::host),
            Err(error) => Ok(Err(error)),
        }
    })
}
