//! An HTTP service that takes its time, as the query says:
//!
//! - `wait=MS` waits so many milliseconds before it answers at all;
//! - `pieces=N` is how many lines the answer has, 1 by default;
//! - `every=MS` waits so many milliseconds before each of them.

use http_support::query;
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::{wit_future, wit_stream};

const MILLISECOND: u64 = 1_000_000;

struct Slow;

impl wasip3::exports::http::handler::Guest for Slow {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = query(&request);
        let number = |wanted: &str| {
            query.iter().find(|(name, _)| name == wanted).and_then(|(_, value)| value.parse::<u64>().ok())
        };
        let milliseconds = |wanted| number(wanted).unwrap_or(0).saturating_mul(MILLISECOND);
        let (wait, every) = (milliseconds("wait"), milliseconds("every"));
        let pieces = number("pieces").unwrap_or(1);

        wait_for(wait).await;
        let (mut body, contents) = wit_stream::new();
        let (trailers, no_trailers) = wit_future::new(|| Ok(None));
        let (response, _) = Response::new(Fields::new(), Some(contents), no_trailers);
        spawn_local(async move {
            for piece in 1..=pieces {
                wait_for(every).await;
                if !body.write_all(format!("{piece} of {pieces}\n").into_bytes()).await.is_empty() {
                    break;
                }
            }
            drop((body, trailers));
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Slow);
