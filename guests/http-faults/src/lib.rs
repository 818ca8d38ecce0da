//! An HTTP service that fails in every way there is, as the path says:
//!
//! - `/trap` before it answers, `/trap-late` in the midst of its body;
//! - `/spin` computes for ever, `/wait` waits for ever;
//! - `/error` answers with an error code;
//! - `/short` and `/long` say another `content-length` than is true;
//! - `/flood` writes a body without an end, `/flooded` says how many bytes of such bodies were taken;
//! - `/print` prints a line to each of the standard streams;
//! - anything else is answered with the number of requests that came to this instance.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http_support::internal;
use wasip3::cli::{stderr, stdout};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{FutureReader, StreamReader, spawn_local};
use wasip3::{wit_future, wit_stream};

static REQUESTS: AtomicU64 = AtomicU64::new(0);
static FLOODED: AtomicU64 = AtomicU64::new(0);

/// How much of a flood is written at once.
const WAVE: usize = 16 * 1024;

struct Faults;

impl wasip3::exports::http::handler::Guest for Faults {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let number = REQUESTS.fetch_add(1, Relaxed) + 1;
        match request.get_path_with_query().unwrap_or_default().as_str() {
            "/trap" => panic!("as the path says"),
            "/spin" => loop {
                std::hint::black_box(number);
            },
            "/wait" => loop {
                wait_for(u64::MAX).await;
            },
            "/error" => Err(internal("as the path says")),
            "/trap-late" => respond(None, Body::Trap),
            "/short" => respond(Some(100), Body::Text("short\n".to_owned())),
            "/long" => respond(Some(2), Body::Text("long\n".to_owned())),
            "/flood" => respond(None, Body::Flood),
            "/flooded" => respond(None, Body::Text(format!("{}\n", FLOODED.load(Relaxed)))),
            "/print" => {
                print(stdout::write_via_stream, "a line for stdout\n").await;
                print(stderr::write_via_stream, "a line for stderr\n").await;
                respond(None, Body::Text("printed\n".to_owned()))
            }
            _ => respond(None, Body::Text(format!("{number}\n"))),
        }
    }
}

type Printed = FutureReader<Result<(), wasip3::cli::types::ErrorCode>>;

/// Prints to a standard stream.
async fn print(stream: impl FnOnce(StreamReader<u8>) -> Printed, text: &str) {
    let (mut writer, reader) = wit_stream::new();
    let printed = stream(reader);
    writer.write_all(text.as_bytes().to_vec()).await;
    drop(writer);
    let _ = printed.await;
}

enum Body {
    Text(String),
    Trap,
    Flood,
}

/// A response, perhaps with a promise of its length.
fn respond(length: Option<u64>, contents: Body) -> Result<Response, ErrorCode> {
    let headers = Fields::new();
    if let Some(length) = length {
        headers.append("content-length", length.to_string().as_bytes()).map_err(internal)?;
    }
    let (mut body, reader) = wit_stream::new();
    let (trailers, no_trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(headers, Some(reader), no_trailers);
    spawn_local(async move {
        match contents {
            Body::Text(text) => drop(body.write_all(text.into_bytes()).await),
            Body::Trap => {
                body.write_all(b"a beginning\n".to_vec()).await;
                panic!("as the path says");
            }
            Body::Flood => loop {
                let rest = body.write_all(vec![b'x'; WAVE]).await.len();
                FLOODED.fetch_add((WAVE - rest) as u64, Relaxed);
                if rest > 0 {
                    break;
                }
            },
        }
        drop((body, trailers));
    });
    Ok(response)
}

wasip3::http::service::export!(Faults);
