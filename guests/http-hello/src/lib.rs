//! An HTTP service that answers every request with `Hello, World!`.

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::{wit_future, wit_stream};

const GREETING: &[u8] = b"Hello, World!\n";

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        let headers = Fields::new();
        headers
            .append("content-type", b"text/plain")
            .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        let (mut body, contents) = wit_stream::new();
        let (trailers, no_trailers) = wit_future::new(|| Ok(None));
        let (response, _) = Response::new(headers, Some(contents), no_trailers);
        spawn_local(async move {
            // Whoever does not want to read it does not have to.
            let _ = body.write_all(GREETING.to_vec()).await;
            drop((body, trailers));
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Hello);
