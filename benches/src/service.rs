//! Requests that a component answers without a network: the store's part of what `http.rs` measures.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http_body_util::BodyExt as _;
use hyper::Request;
use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_http::{Body, Dispatcher, HttpCtx, HttpCtxView, HttpView, Service};
use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::bench::{Bench, Contestant, Measure, Row, Sample, Settings, Target, Unit, Who};
use crate::programs::guest;

/// As long as a guest of `tombolo serve` runs before others have their turn.
const TIME_SLICE: Duration = Duration::from_millis(5);

/// The row.
pub fn bench(settings: Settings) -> Bench {
    let requests: u32 = if settings.quick { 10_000 } else { 100_000 };
    let row = Row { name: "HTTP hello in its store".to_owned(), unit: Unit::Time, target: Target::None };
    let ours: Measure = Box::new(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().context("making a runtime")?;
        Ok(vec![runtime.block_on(hello(requests))?])
    });
    Bench { rows: vec![row], contestants: vec![Contestant { who: Who::Tombolo, measure: ours }] }
}

/// The time of one of so many requests to `guests/http-hello`, which are sent one after the other.
async fn hello(requests: u32) -> Result<Sample> {
    let mut config = Config::new();
    config.deadlines(true);
    let engine = Engine::new(&config)?;
    let component = Component::from_file(&engine, guest("http-hello"))?;
    let mut linker = Linker::new(&engine);
    tombolo_wasi::p3::add_to_linker(&mut linker)?;
    tombolo_http::add_to_linker(&mut linker)?;
    let host = Host { wasi: WasiCtx::builder().build(), http: HttpCtx::new(), table: ResourceTable::new() };
    let mut store = Store::new(&engine, host);
    store.set_time_slice(Some(TIME_SLICE))?;
    let (service, driver) = Service::new(&mut store, &linker, &component)?.start(store);
    tokio::spawn(driver);
    ask(&service).await?;
    let start = Instant::now();
    for _ in 0..requests {
        ask(&service).await?;
    }
    Ok((start.elapsed().as_nanos() as f64 / f64::from(requests)).into())
}

async fn ask(service: &Dispatcher) -> Result<()> {
    let request = Request::get("/").header("host", "localhost").body(Body::empty())?;
    let response = service.handle(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(body == "Hello, World!\n", "the answer is another");
    Ok(())
}

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
