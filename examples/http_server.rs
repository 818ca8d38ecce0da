//! A server of one's own, here of `hyper`, that has a component answer:
//!
//! ```sh
//! cargo run --release --example http_server guests/http-hello/http-hello.wasm
//! ```

use std::convert::Infallible;

use anyhow::Context;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_http::{Error, HttpCtx, HttpCtxView, HttpView, Service};
use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView};

/// What the component is given.
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

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).context("which component?")?;

    // The component: compiled, linked and instantiated.
    let engine = Engine::new(&Config::new())?;
    let component = Component::from_file(&engine, file)?;
    let mut linker = Linker::new(&engine);
    tombolo_wasi::p3::add_to_linker(&mut linker)?;
    tombolo_http::add_to_linker(&mut linker)?;
    let host = Host { wasi: WasiCtx::builder().build(), http: HttpCtx::new(), table: ResourceTable::new() };
    let mut store = Store::new(&engine, host);
    let (service, driver) = Service::new(&mut store, &linker, &component)?.start(store);
    tokio::spawn(driver);

    // The server: nothing in it knows of WebAssembly but for one call.
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    loop {
        let (connection, _) = listener.accept().await?;
        connection.set_nodelay(true)?;
        let service = service.clone();
        let answer = service_fn(move |request| {
            let service = service.clone();
            async move { Ok::<_, Infallible>(service.handle(request).await.unwrap_or_else(Error::into_response)) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), answer));
    }
}
