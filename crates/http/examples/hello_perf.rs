//! Hello in the store, per request.
#![allow(unsafe_code, clippy::all, missing_docs)]
use std::alloc::{GlobalAlloc, Layout, System};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use http::Request;
use http_body::Body as _;
use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_http::{Body, HttpCtx, HttpCtxView, HttpView, Service};
use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView};

struct Counting;
static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static TRACE: AtomicU64 = AtomicU64::new(0);
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if TRACE.load(Relaxed) != 0 {
            COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
            BYTES.store(BYTES.load(Relaxed) + layout.size() as u64, Relaxed);
            if TRACE.load(Relaxed) == 2 {
                TRACE.store(0, Relaxed);
                let trace = std::backtrace::Backtrace::force_capture().to_string();
                eprintln!("ALLOC {} bytes", layout.size());
                let mut shown = 0;
                for line in trace.lines() {
                    let line = line.trim();
                    let Some((_, name)) = line.split_once(": ") else { continue };
                    if line.starts_with("at ")
                        || name.contains("backtrace")
                        || name.contains("alloc::")
                        || name.contains("hello_perf::Counting")
                    {
                        continue;
                    }
                    eprintln!("    {}", &name[..name.len().min(150)]);
                    shown += 1;
                    if shown == 9 {
                        break;
                    }
                }
                TRACE.store(2, Relaxed);
            }
        }
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, n: usize) -> *mut u8 {
        if TRACE.load(Relaxed) != 0 {
            COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
        }
        unsafe { System.realloc(p, layout, n) }
    }
}
#[global_allocator]
static ALLOC: Counting = Counting;

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

fn request() -> Request<Body> {
    Request::get("/").header("host", "127.0.0.1:8080").body(Body::empty()).unwrap()
}

async fn one(service: &tombolo_http::Dispatcher, show: bool) {
    let response = service.handle(request()).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    if show {
        eprintln!("size {:?} end {}", body.size_hint(), body.is_end_stream());
    }
    while !body.is_end_stream() {
        let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await else { break };
        if show {
            eprintln!("{:?}", frame);
        }
        frame.unwrap();
    }
}

unsafe extern "C" {
    fn mmap(a: *mut u8, n: usize, p: i32, f: i32, fd: i32, o: i64) -> *mut u8;
    fn prctl(o: i32, a: u64, b: u64, c: u64, d: u64) -> i32;
}

fn under_valgrind() {
    if std::env::var("VG").is_err() {
        return;
    }
    let mut auxv = [0_u64; 128];
    unsafe { prctl(0x41555856, auxv.as_mut_ptr() as u64, 1024, 0, 0) };
    for pair in auxv.chunks(2) {
        if pair[0] == 33 {
            let at = unsafe { mmap(pair[1] as *mut u8, 8192, 1, 0x20 | 2 | 0x10, -1, 0) };
            eprintln!("vdso stand-in at {at:?}");
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    under_valgrind();
    let file = std::env::args().nth(1).unwrap_or(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/http-hello/http-hello.wasm").to_owned(),
    );
    let n: u32 = std::env::args().nth(2).map_or(20_000, |n| n.parse().unwrap());
    let runs: u32 = std::env::args().nth(3).map_or(20, |n| n.parse().unwrap());
    let mut config = Config::new();
    let sliced = std::env::var("SLICED").is_ok();
    if sliced {
        config.deadlines(true);
    }
    let engine = Engine::new(&config).unwrap();
    let component = Component::from_file(&engine, file).unwrap();
    let mut linker = Linker::new(&engine);
    tombolo_wasi::p3::add_to_linker(&mut linker).unwrap();
    tombolo_http::add_to_linker(&mut linker).unwrap();
    let host = Host { wasi: WasiCtx::builder().build(), http: HttpCtx::new(), table: ResourceTable::new() };
    let mut store = Store::new(&engine, host);
    if sliced {
        store.set_time_slice(Some(std::time::Duration::from_millis(5))).unwrap();
    }
    let (service, driver) = Service::new(&mut store, &linker, &component).unwrap().start(store);
    tokio::spawn(driver);
    one(&service, true).await;
    for _ in 0..1000 {
        one(&service, false).await;
    }
    if std::env::var("ALLOCS").is_ok() {
        TRACE.store(2, Relaxed);
        one(&service, false).await;
        TRACE.store(0, Relaxed);
        return;
    }
    TRACE.store(1, Relaxed);
    let a = (COUNT.load(Relaxed), BYTES.load(Relaxed));
    for _ in 0..1000 {
        drop(request());
    }
    let b = (COUNT.load(Relaxed), BYTES.load(Relaxed));
    for _ in 0..1000 {
        one(&service, false).await;
    }
    let c = (COUNT.load(Relaxed), BYTES.load(Relaxed));
    TRACE.store(0, Relaxed);
    println!(
        "allocs/request {:.2} ({} bytes), of them the request itself {:.2}",
        (c.0 - b.0) as f64 / 1e3,
        (c.1 - b.1) / 1000,
        (b.0 - a.0) as f64 / 1e3
    );
    let mut best = f64::MAX;
    let mut base = f64::MAX;
    for _ in 0..runs {
        let t = Instant::now();
        for _ in 0..n {
            std::hint::black_box(request());
        }
        base = base.min(t.elapsed().as_nanos() as f64 / n as f64);
        let t = Instant::now();
        for _ in 0..n {
            one(&service, false).await;
        }
        best = best.min(t.elapsed().as_nanos() as f64 / n as f64);
    }
    println!("{best:.0} ns/request, of them the request itself {base:.0}");
}
