//! An HTTP service that asks others, all at once, and passes on what they answer as it comes.
//!
//! Each `to=URL` in the query (`http://HOST[:PORT]/PATH`, or `https`) is a back end, three as a rule. The answer is a
//! sequence of lines that begin with the number of a back end, from 0: `0 status 200` when it begins to answer, `0 bytes
//! 14` and so many bytes and a line feed for each piece of its body, then `0 done`, or `0 failed ERROR` instead of any
//! of these. With `timeout=MS` in the query, each waits so long for the first byte.

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http_support::query;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, RequestOptions, Response, Scheme, Trailers};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, spawn_local};
use wasip3::{wit_future, wit_stream};

/// Bytes asked for at a time.
const CHUNK: usize = 16 * 1024;

struct Proxy;

impl wasip3::exports::http::handler::Guest for Proxy {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = query(&request);
        let timeout =
            query.iter().find(|(name, _)| name == "timeout").and_then(|(_, value)| value.parse().ok());
        let targets: Vec<String> =
            query.into_iter().filter(|(name, _)| name == "to").map(|(_, value)| value).collect();

        let (mut body, contents) = wit_stream::new();
        let (trailers, no_trailers) = wit_future::new(|| Ok(None));
        let (response, _) = Response::new(Fields::new(), Some(contents), no_trailers);
        spawn_local(async move {
            let mut open: FuturesUnordered<_> = targets
                .into_iter()
                .enumerate()
                .map(|(i, url)| BackEnd::ask(i, url, timeout))
                .map(step)
                .collect();
            while let Some((event, next)) = open.next().await {
                if !body.write_all(event).await.is_empty() {
                    break;
                }
                open.extend(next.map(step));
            }
            drop((body, trailers));
        });
        Ok(response)
    }
}

/// What a back end is asked for next.
struct BackEnd {
    number: usize,
    state: State,
}

/// How a request was sent.
type Transmission = FutureReader<Result<(), ErrorCode>>;

enum State {
    Asking {
        url: String,
        timeout: Option<u64>,
    },
    Reading {
        body: StreamReader<u8>,
        trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
        /// Says when it is dropped that the response was handled.
        handled: FutureWriter<Result<(), ErrorCode>>,
        /// Says how the request was sent.
        sent: Transmission,
    },
}

/// Waits for the next event of a back end: what to tell, and what is left to come.
async fn step(back_end: BackEnd) -> (Vec<u8>, Option<BackEnd>) {
    let number = back_end.number;
    match back_end.state.step().await {
        Ok((mut event, next)) => {
            event.splice(..0, format!("{number} ").into_bytes());
            (event, next.map(|state| BackEnd { number, state }))
        }
        Err(error) => (format!("{number} failed {error:?}\n").into_bytes(), None),
    }
}

impl BackEnd {
    fn ask(number: usize, url: String, timeout: Option<u64>) -> Self {
        BackEnd { number, state: State::Asking { url, timeout } }
    }
}

impl State {
    async fn step(self) -> Result<(Vec<u8>, Option<State>), ErrorCode> {
        match self {
            State::Asking { url, timeout } => {
                let (request, sent) = request(&url, timeout)?;
                let response = client::send(request).await?;
                let event = format!("status {}\n", response.get_status_code()).into_bytes();
                let (handled, result) = wit_future::new(|| Ok(()));
                let (body, trailers) = Response::consume_body(response, result);
                Ok((event, Some(State::Reading { body, trailers, handled, sent })))
            }
            State::Reading { mut body, trailers, handled, sent } => {
                let (result, bytes) = body.read(Vec::with_capacity(CHUNK)).await;
                if bytes.is_empty() && result == StreamResult::Dropped {
                    trailers.await?;
                    drop((body, handled));
                    sent.await?;
                    return Ok((b"done\n".to_vec(), None));
                }
                let mut event = format!("bytes {}\n", bytes.len()).into_bytes();
                event.extend(bytes);
                event.push(b'\n');
                Ok((event, Some(State::Reading { body, trailers, handled, sent })))
            }
        }
    }
}

fn request(url: &str, timeout: Option<u64>) -> Result<(Request, Transmission), ErrorCode> {
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    let (scheme, rest) = url.split_once("://").ok_or(()).map_err(invalid)?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let options = RequestOptions::new();
    options
        .set_first_byte_timeout(timeout.map(|milliseconds| milliseconds * 1_000_000))
        .map_err(http_support::internal)?;

    let (_, no_trailers) = wit_future::new(|| Ok(None));
    let (request, sent) = Request::new(Fields::new(), None, no_trailers, Some(options));
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).map_err(invalid)?;
    Ok((request, sent))
}

wasip3::http::service::export!(Proxy);
