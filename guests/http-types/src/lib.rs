//! An HTTP service for tests that judge by themselves what an operation should come to. It does what the lines of the
//! request's body say, and answers with a line for the outcome of each; or it answers as the path says.

mod answers;
mod fields;
mod requests;

use http_support::internal;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{StreamReader, spawn_local};
use wasip3::{wit_future, wit_stream};

struct Types;

impl wasip3::exports::http::handler::Guest for Types {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        if let Some(how) = path.strip_prefix("/answer/") {
            return answers::answer(how, request).await;
        }
        let mut desk = Desk { fields: Fields::new(), request: requests::empty() };
        let mut outcome = String::new();
        let headers = request.get_headers();
        let incoming = requests::describe(&request);
        let (_, handled) = wit_future::new(|| Ok(()));
        let (mut body, trailers) = Request::consume_body(request, handled);
        let mut text = Vec::new();
        while let Some(byte) = body.next().await {
            text.push(byte);
        }
        drop(body);
        let trailers = trailers.await?;
        let lines = String::from_utf8(text).map_err(internal)?;
        let mut received = Received { incoming, headers: Some(headers), trailers };
        for line in lines.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            outcome += &desk.perform(&words, &mut received).await;
            outcome.push('\n');
        }
        Ok(text_response(outcome))
    }
}

/// What came with the request.
struct Received {
    incoming: String,
    headers: Option<Fields>,
    trailers: Option<Fields>,
}

/// What operations are about.
struct Desk {
    fields: Fields,
    request: Request,
}

impl Desk {
    async fn perform(&mut self, words: &[&str], received: &mut Received) -> String {
        match *words {
            ["incoming"] => received.incoming.clone(),
            ["headers"] => match received.headers.take() {
                Some(headers) => {
                    self.fields = headers;
                    "ok".to_owned()
                }
                None => "taken".to_owned(),
            },
            ["trailers"] => match received.trailers.take() {
                Some(trailers) => {
                    self.fields = trailers;
                    "ok".to_owned()
                }
                None => "none".to_owned(),
            },
            ["fields", ref words @ ..] => fields::perform(&mut self.fields, words),
            ["request", ref words @ ..] => requests::perform(&mut self.request, words).await,
            _ => format!("unknown: {}", words.join(" ")),
        }
    }
}

/// A response of text.
fn text_response(text: String) -> Response {
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    Response::new(Fields::new(), Some(contents(text.into_bytes())), no_trailers).0
}

/// A stream of these bytes.
fn contents(bytes: Vec<u8>) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        writer.write_all(bytes).await;
    });
    reader
}

wasip3::http::service::export!(Types);
