//! HTTP middleware that tells, in a header `server-timing`, how long it took whatever stands behind it to answer.
//!
//! The request goes through it as it is. So do the body and the trailers of the response: only their handles come by.

use http_support::internal;
use wasip3::clocks::monotonic_clock::now;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::wit_bindgen::spawn_local;
use wasip3::wit_future;

use wasi::http::handler;

// What stands behind it, which the bindings of services do not have.
wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package tombolo:http-middleware;

        world behind {
            import wasi:http/handler@0.3.2;
        }
    ",
    world: "tombolo:http-middleware/behind",
    with: {
        "wasi:clocks/types@0.3.2": wasip3::clocks::types,
        "wasi:http/types@0.3.2": wasip3::http::types,
    },
    generate_all,
});

const MILLISECOND: f64 = 1e6;

struct Middleware;

impl wasip3::exports::http::handler::Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let start = now();
        let response = handler::handle(request).await?;
        let milliseconds = (now() - start) as f64 / MILLISECOND;

        let headers = response.get_headers().clone();
        let timing = format!("handler;dur={milliseconds:.3}");
        headers.append("server-timing", timing.as_bytes()).map_err(internal)?;
        let status = response.get_status_code();
        let (handled, result) = wit_future::new(|| Ok(()));
        let (body, trailers) = Response::consume_body(response, result);
        let (response, sent) = Response::new(headers, Some(body), trailers);
        response.set_status_code(status).map_err(|()| internal("not a status"))?;
        // Whoever made the response learns how it was sent.
        spawn_local(async move {
            let _ = handled.write(sent.await).await;
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Middleware);
