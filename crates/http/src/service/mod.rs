//! Components that serve: those that export `wasi:http/handler`.

mod dispatcher;

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tombolo::{Accessor, AsStoreMut, Component, ErrorKind, Instance, Linker, Resource, StoreMut, TypedFunc};

pub use dispatcher::Dispatcher;

use crate::body::{Body, Direction};
use crate::message::{Request, Response, has_no_body};
use crate::{Error, ErrorCode, HttpView};

/// The interface that services export and middleware imports.
const HANDLER: &str = "wasi:http/handler@0.3.2";

/// An instance of a component that answers requests, in a store.
///
/// It answers any number of them at once, as far as the component lets it.
#[derive(Clone)]
pub struct Service {
    handle: Handle,
    interface: Instance,
}

type Handle = TypedFunc<(Resource<Request>,), Result<Resource<Response>, ErrorCode>>;

impl Service {
    /// Instantiates `component`, which exports `wasi:http/handler`.
    ///
    /// # Errors
    /// As for [`Linker::instantiate`], and if there is no such export.
    pub fn new<T: HttpView + 'static>(
        mut store: impl AsStoreMut<Data = T>,
        linker: &Linker<T>,
        component: &Component,
    ) -> tombolo::Result<Self> {
        let mut store = store.as_store_mut();
        let instance = linker.instantiate(&mut store, component)?;
        Service::of(store, &instance)
    }

    /// Instantiates `middleware`, which exports `wasi:http/handler` and imports it, in front of this service and in the
    /// same store. What it passes on without reading does not enter it.
    ///
    /// # Errors
    /// As for [`Service::new`].
    pub fn behind<T: HttpView + 'static>(
        &self,
        store: impl AsStoreMut<Data = T>,
        linker: &Linker<T>,
        middleware: &Component,
    ) -> tombolo::Result<Self> {
        let mut linker = linker.clone();
        linker.define_instance(HANDLER, &self.interface)?;
        Service::new(store, &linker, middleware)
    }

    /// The service that an instance is.
    ///
    /// # Errors
    /// If it does not export `wasi:http/handler`.
    pub fn of<T: HttpView + 'static>(
        store: impl AsStoreMut<Data = T>,
        instance: &Instance,
    ) -> tombolo::Result<Self> {
        let interface = instance.instance(HANDLER).ok_or_else(|| {
            tombolo::Error::new(ErrorKind::MissingImport {
                kind: "exported interface",
                name: HANDLER.to_owned(),
            })
        })?;
        let handle = interface.typed_func(store, "handle")?;
        Ok(Service { handle, interface })
    }

    /// Whether the component is no more: it failed, say, and cannot be asked again.
    pub fn has_ended(&self) -> bool {
        self.interface.ended().is_some()
    }

    /// Has the component answer a request, while the store does other things too.
    ///
    /// The request's URI may be absolute or not; without an authority in it, that is in the `host` header, and without
    /// a scheme in it, it is an extension of type [`http::uri::Scheme`], or else `http`. The response's body comes while
    /// the store is driven.
    ///
    /// # Errors
    /// [`Error::Request`] if the request is not fit for a component, [`Error::Response`] if the component answers with an
    /// error code or its body fails at once, [`Error::Runtime`] if it fails.
    ///
    /// # Cancel safety
    /// When the future is dropped, the component finishes its answer all the same, but writes no body.
    pub async fn handle<T: HttpView + 'static>(
        &self,
        store: &Accessor<T>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Error> {
        let (answer, answered) = oneshot::channel();
        store.with(|store| {
            self.handle_then(store, request, |response| {
                // Whoever asked may be gone.
                let _ = answer.send(response);
            })
        })?;
        let mut response = answered.await.map_err(|_| Error::Abandoned)??;
        settle(response.body_mut()).await;
        response.body_mut().gather().map_err(Error::Response)?;
        Ok(response)
    }

    /// As [`handle`](Service::handle), but calls `then` with what comes of it, while the component returns it or when it
    /// has failed. The response's body may have [failed](Body::gather) by the time that somebody gets to read it.
    ///
    /// # Errors
    /// If the component cannot be called, because it failed earlier. Then `then` is dropped.
    pub fn handle_then<T: HttpView + 'static>(
        &self,
        mut store: impl AsStoreMut<Data = T>,
        request: http::Request<Body>,
        then: impl FnOnce(Result<http::Response<Body>, Error>) + Send + 'static,
    ) -> tombolo::Result<()> {
        let mut store = store.as_store_mut();
        let method = request.method().clone();
        let http = store.data_mut().http();
        let request = match Request::incoming(request, &http.ctx.fields) {
            Ok(request) => http.table.push(request).map_err(tombolo::Error::host)?,
            Err(error) => {
                then(Err(Error::Request(error)));
                return Ok(());
            }
        };
        self.handle.call_then(store, (request,), move |store, response| {
            then(match response {
                Ok(Ok(response)) => outgoing(store, response, &method),
                Ok(Err(error)) => Err(Error::Response(error)),
                Err(error) => Err(Error::Runtime(error)),
            });
            Ok(())
        })
    }
}

/// A guest's response as the host sends it.
fn outgoing<T: HttpView + 'static>(
    mut store: StoreMut<'_, T>,
    response: Resource<Response>,
    method: &http::Method,
) -> Result<http::Response<Body>, Error> {
    let table = store.data_mut().http().table;
    let Response { status, headers, contents } = *table.take(response).map_err(tombolo::Error::host)?;
    if status.is_informational() {
        // More would have to follow, and there is nothing that it could be.
        contents.close(store, Err(ErrorCode::HttpProtocolError))?;
        return Err(Error::Response(ErrorCode::HttpProtocolError));
    }
    let body = if has_no_body(method, status) {
        contents.close(store, Ok(()))?;
        Body::empty()
    } else {
        contents.into_body(store, headers.headers(), Direction::Response)?.map_err(Error::Response)?
    };
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers.into_headers();
    Ok(response)
}

/// Turns of the store in which a guest may write a short body whole: it is sent together with the headers then.
const TURNS: u32 = 4;

/// Lets the guest go on writing for a moment.
async fn settle(body: &mut Body) {
    for _ in 0..TURNS {
        if body.is_settled() {
            break;
        }
        Turn(false).await;
    }
}

/// Waits until the store had a turn.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
