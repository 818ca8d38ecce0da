//! Memory after many requests, in a process of its own.
#![expect(clippy::unwrap_used, reason = "this is a test")]

#[expect(dead_code, reason = "shared with tests that use all of it")]
#[path = "service/host.rs"]
mod host;

use http::{HeaderMap, HeaderValue, Request};

use host::{answer, collect, frames, start};

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn memory_is_flat_after_many_requests() {
    let service = start("http-echo");
    let rounds = async |count| {
        for round in 0..count {
            let mut trailers = HeaderMap::new();
            trailers.append("x-sum", HeaderValue::from_static("42"));
            let body = frames(&["some ", "text"], Some(trailers));
            let path = if round % 2 == 0 { "/" } else { "/?copy" };
            let response = answer(&service, Request::post(path).body(body).unwrap()).await.unwrap();
            // Some are read to the end, some are not read.
            if round % 3 > 0 {
                collect(response).await.unwrap();
            }
        }
    };
    rounds(1000).await;
    let before = resident();
    rounds(5000).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes more after 5,000 requests");
}
