//! Responses that are right and wrong, and what becomes of them.

use std::cell::RefCell;

use wasip3::http::types::{ErrorCode, Fields, Request, Response, Trailers};
use wasip3::wit_bindgen::{FutureReader, StreamReader, spawn_local};
use wasip3::{wit_future, wit_stream};

use crate::requests::error_code;
use crate::{contents, text_response};

thread_local! {
    /// What became of the last response that somebody asked to follow.
    static FATE: RefCell<Option<Result<(), ErrorCode>>> = const { RefCell::new(None) };
}

pub async fn answer(how: &str, request: Request) -> Result<Response, ErrorCode> {
    let mut words = how.split('/');
    let word = words.next().unwrap_or_default();
    let argument = words.next().unwrap_or_default();
    match word {
        "error" => Err(error_code(argument)),
        "trap" => panic!("as you wish"),
        "fate" => Ok(text_response(FATE.with_borrow(|fate| format!("{fate:?}")))),
        // Bytes with a promise about their number.
        "promised" => {
            let headers = Fields::new();
            headers.append("content-length", argument.as_bytes()).unwrap();
            Ok(followed(headers, Some(contents(b"12345678".to_vec())), none()))
        }
        "no-body" => Ok(followed(Fields::new(), None, none())),
        "status" => {
            let response = followed(Fields::new(), Some(contents(b"some text".to_vec())), none());
            let set = response.set_status_code(argument.parse().unwrap());
            if set.is_err() { Ok(text_response("invalid".to_owned())) } else { Ok(response) }
        }
        "trailer" => {
            let trailers = Fields::new();
            trailers.append(argument, b"1").unwrap();
            Ok(followed(Fields::new(), Some(contents(b"text".to_vec())), ready(Ok(Some(trailers)))))
        }
        "trailer-error" => {
            let trailers = ready(Err(error_code(argument)));
            Ok(followed(Fields::new(), Some(contents(b"text".to_vec())), trailers))
        }
        // Bytes without an end, until nobody reads.
        "endless" => {
            let (mut writer, body) = wit_stream::new();
            spawn_local(async move { while writer.write_all(vec![b'x'; 10_000]).await.is_empty() {} });
            Ok(followed(Fields::new(), Some(body), none()))
        }
        // Some bytes, and then the end of everything.
        "trap-later" => {
            let (mut writer, body) = wit_stream::new();
            spawn_local(async move {
                writer.write_all(b"text".to_vec()).await;
                panic!("as you wish");
            });
            Ok(followed(Fields::new(), Some(body), none()))
        }
        // The request's body is not read, and said to have been handled badly.
        "refuse" => {
            let (handled, result) = wit_future::new(|| Ok(()));
            let (body, trailers) = Request::consume_body(request, result);
            drop((body, trailers));
            let _ = handled.write(Err(error_code("refused"))).await;
            Ok(text_response("refused".to_owned()))
        }
        // The request is dropped as it is.
        "drop" => {
            drop(request);
            Ok(text_response("dropped".to_owned()))
        }
        // The trailers come before the contents have been read.
        "early-trailers" => {
            let (_, result) = wit_future::new(|| Ok(()));
            let (body, trailers) = Request::consume_body(request, result);
            drop(body);
            Ok(text_response(format!("{:?}", trailers.await.map(|trailers| trailers.is_some()))))
        }
        other => Ok(text_response(format!("unknown: {other}"))),
    }
}

type TrailersResult = Result<Option<Trailers>, ErrorCode>;

fn followed(
    headers: Fields,
    body: Option<StreamReader<u8>>,
    trailers: FutureReader<TrailersResult>,
) -> Response {
    let (response, fate) = Response::new(headers, body, trailers);
    FATE.set(None);
    spawn_local(async move { FATE.set(Some(fate.await)) });
    response
}

fn none() -> FutureReader<TrailersResult> {
    wit_future::new(|| Ok(None)).1
}

fn ready(trailers: TrailersResult) -> FutureReader<TrailersResult> {
    let (writer, reader) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        let _ = writer.write(trailers).await;
    });
    reader
}
