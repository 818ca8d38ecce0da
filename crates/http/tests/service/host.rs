//! A host, and bodies that a test holds the other end of.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Collected, StreamBody};
use tokio::sync::mpsc;
use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_http::{Body, Dispatcher, Error, ErrorCode, HttpCtx, HttpCtxView, HttpView, Service};
use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The store's data.
pub struct Host {
    wasi: WasiCtx,
    http: HttpCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl HttpView for Host {
    fn http(&mut self) -> HttpCtxView<'_> {
        HttpCtxView { ctx: &mut self.http, table: &mut self.table }
    }
}

/// Starts the service that a guest of `guests/` is.
pub fn start(guest: &str) -> Dispatcher {
    let engine = Engine::new(&Config::new()).unwrap();
    start_with(&engine, &component(&engine, guest), HttpCtx::new())
}

pub fn component(engine: &Engine, guest: &str) -> Component {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../guests/{guest}/{guest}.wasm"));
    Component::from_file(engine, path).unwrap()
}

pub fn start_with(engine: &Engine, component: &Component, http: HttpCtx) -> Dispatcher {
    let mut store = store(engine, http);
    let service = Service::new(&mut store, &linker(engine), component).unwrap();
    run(service, store)
}

pub fn store(engine: &Engine, http: HttpCtx) -> Store<Host> {
    Store::new(engine, Host { wasi: WasiCtx::builder().build(), http, table: ResourceTable::new() })
}

pub fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    tombolo_wasi::p3::add_to_linker(&mut linker).unwrap();
    tombolo_http::add_to_linker(&mut linker).unwrap();
    linker
}

/// Drives a service for as long as somebody may use it.
pub fn run(service: Service, store: Store<Host>) -> Dispatcher {
    let (dispatcher, driver) = service.start(store);
    tokio::spawn(driver);
    dispatcher
}

/// No answer takes this long.
pub async fn answer(service: &Dispatcher, request: Request<Body>) -> Result<Response<Body>, Error> {
    tokio::time::timeout(Duration::from_secs(60), service.handle(request)).await.unwrap()
}

pub async fn collect(response: Response<Body>) -> Result<Collected<Bytes>, ErrorCode> {
    tokio::time::timeout(Duration::from_secs(60), response.into_body().collect()).await.unwrap()
}

/// The whole answer, or how it failed: before its body, if that failed at once, or in it.
pub async fn whole(answer: Result<Response<Body>, Error>) -> Result<Collected<Bytes>, ErrorCode> {
    match answer {
        Err(Error::Response(code)) => Err(code),
        answer => collect(answer.unwrap()).await,
    }
}

/// The end of a body that is written.
pub type Writer = mpsc::Sender<Result<Frame<Bytes>, ErrorCode>>;

/// A body that the test writes, of which one frame is kept.
pub fn pipe() -> (Writer, Body) {
    let (writer, mut reader) = mpsc::channel(1);
    let frames = futures_util::stream::poll_fn(move |cx| reader.poll_recv(cx));
    (writer, Body::new(StreamBody::new(frames)))
}

/// A body of these frames.
pub fn frames(data: &[&'static str], trailers: Option<HeaderMap>) -> Body {
    let data = data.iter().map(|data| Frame::data(Bytes::from_static(data.as_bytes())));
    let frames: Vec<_> = data.chain(trailers.map(Frame::trailers)).map(Ok::<_, ErrorCode>).collect();
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

/// Has `guests/http-types` do something, and gives what each operation came to.
pub async fn perform(service: &Dispatcher, operations: &[&str]) -> Vec<String> {
    let request = Request::post("/").body(operations.join("\n").into()).unwrap();
    outcomes(service, request).await
}

pub async fn outcomes(service: &Dispatcher, request: Request<Body>) -> Vec<String> {
    let response = answer(service, request).await.unwrap();
    let body = collect(response).await.unwrap().to_bytes();
    std::str::from_utf8(&body).unwrap().lines().map(str::to_owned).collect()
}

/// Has it do each operation, and checks what it comes to.
pub async fn check(service: &Dispatcher, cases: &[(&str, &str)]) {
    let operations: Vec<_> = cases.iter().map(|(operation, _)| *operation).collect();
    let outcomes = perform(service, &operations).await;
    assert_eq!(outcomes.len(), cases.len(), "{outcomes:?}");
    for ((operation, expected), outcome) in cases.iter().zip(&outcomes) {
        assert_eq!(outcome, expected, "{operation}");
    }
}
