//! An HTTP service that sends back what it receives: headers, body, and trailers.
//!
//! It hands the body on without touching it; with `copy` in the query it reads it and writes it again.

use http_support::{internal, query};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{StreamReader, StreamResult, spawn_local};
use wasip3::{wit_future, wit_stream};

/// Bytes asked for at a time.
const CHUNK: usize = 64 * 1024;

/// Headers that are about the request alone.
const REQUEST_ONLY: &[&str] = &["host", "accept", "accept-encoding", "expect", "te", "user-agent"];

struct Echo;

impl wasip3::exports::http::handler::Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let copies = query(&request).iter().any(|(name, _)| name == "copy");
        let mut headers = request.get_headers().copy_all();
        headers.retain(|(name, _)| !REQUEST_ONLY.iter().any(|other| name.eq_ignore_ascii_case(other)));
        let headers = Fields::from_list(&headers).map_err(internal)?;

        let (handled, result) = wit_future::new(|| Ok(()));
        let (body, trailers) = Request::consume_body(request, result);
        let body = if copies { copied(body) } else { body };
        let (response, sent) = Response::new(headers, Some(body), trailers);
        // The request was handled as well as its response was sent.
        spawn_local(async move {
            let _ = handled.write(sent.await).await;
        });
        Ok(response)
    }
}

/// The same bytes, through this component's memory.
fn copied(mut from: StreamReader<u8>) -> StreamReader<u8> {
    let (mut to, reader) = wit_stream::new();
    spawn_local(async move {
        let mut buffer = Vec::with_capacity(CHUNK);
        loop {
            let result;
            (result, buffer) = from.read(buffer).await;
            buffer = to.write_all(buffer).await;
            if result == StreamResult::Dropped || !buffer.is_empty() {
                break;
            }
        }
    });
    reader
}

wasip3::http::service::export!(Echo);
