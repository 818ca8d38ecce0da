//! A service of guests, called from Rust.
#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_http::{Body, Handler, HttpCtx, HttpCtxView, HttpView, Service};
use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView};

struct Host {
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

fn start(guest: &str) -> Handler {
    let engine = Engine::new(&Config::new()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../guests/{guest}/{guest}.wasm"));
    let component = Component::from_file(&engine, path).unwrap();
    let mut linker = Linker::new(&engine);
    tombolo_wasi::p3::add_to_linker(&mut linker).unwrap();
    tombolo_http::add_to_linker(&mut linker).unwrap();
    let host = Host { wasi: WasiCtx::builder().build(), http: HttpCtx::new(), table: ResourceTable::new() };
    let mut store = Store::new(&engine, host);
    let service = Service::new(&mut store, &linker, &component).unwrap();
    let (handler, driver) = service.start(store);
    tokio::spawn(async move { driver.await.map(drop).unwrap() });
    handler
}

#[tokio::test]
async fn a_guest_answers() {
    let handler = start("http-hello");
    for _ in 0..3 {
        let request = Request::get("http://localhost/").body(Body::empty()).unwrap();
        let response =
            tokio::time::timeout(Duration::from_secs(20), handler.handle(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "Hello, World!\n");
    }
}
