//! `request` and `request-options`, and sending.

use wasip3::http::client;
use wasip3::http::types::{
    ErrorCode, Fields, Method, Request, RequestOptions, RequestOptionsError, Response, Scheme,
};
use wasip3::{wit_future, wit_stream};

use crate::contents;

/// A request without anything.
pub fn empty() -> Request {
    with(Fields::new(), None, None)
}

fn with(headers: Fields, body: Option<Vec<u8>>, options: Option<RequestOptions>) -> Request {
    let (_, no_trailers) = wit_future::new(|| Ok(None));
    Request::new(headers, body.map(contents), no_trailers, options).0
}

/// What a request is for.
pub fn describe(request: &Request) -> String {
    format!(
        "{} {} {} {}",
        method(&request.get_method()),
        scheme(request.get_scheme().as_ref()),
        request.get_authority().unwrap_or_else(|| "-".to_owned()),
        request.get_path_with_query().unwrap_or_else(|| "-".to_owned()),
    )
}

pub async fn perform(request: &mut Request, words: &[&str]) -> String {
    match *words {
        ["new"] => {
            *request = empty();
            "ok".to_owned()
        }
        ["describe"] => describe(request),
        // Header fields are known by their `=`.
        ["make", ref entries @ ..] => {
            let (headers, body): (Vec<_>, Vec<_>) =
                entries.iter().copied().partition(|entry| entry.contains('='));
            let headers: Vec<_> = headers
                .iter()
                .filter_map(|entry| entry.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                .collect();
            let body = body.first().map(|body| body.as_bytes().to_vec());
            *request = with(Fields::from_list(&headers).unwrap(), body, None);
            "ok".to_owned()
        }
        ["method", name] => {
            let method = match name {
                "get" => Method::Get,
                "post" => Method::Post,
                "connect" => Method::Connect,
                other => Method::Other(other.to_owned()),
            };
            outcome(request.set_method(&method))
        }
        ["no-scheme"] => outcome(request.set_scheme(None)),
        ["scheme", "HTTP"] => outcome(request.set_scheme(Some(&Scheme::Http))),
        ["scheme", "HTTPS"] => outcome(request.set_scheme(Some(&Scheme::Https))),
        ["scheme", other] => outcome(request.set_scheme(Some(&Scheme::Other(other.to_owned())))),
        ["no-authority"] => outcome(request.set_authority(None)),
        ["authority", authority] => outcome(request.set_authority(Some(authority))),
        ["no-path"] => outcome(request.set_path_with_query(None)),
        ["path", ref path @ ..] => outcome(request.set_path_with_query(Some(&path.join(" ")))),
        ["header-change"] => match request.get_headers().append("a", b"b") {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("{error:?}"),
        },
        ["options"] => options(),
        ["send"] => send(std::mem::replace(request, empty())).await,
        // The request's body says nothing, and its writer stays.
        ["send-open"] => {
            let (_writer, body) = wit_stream::new();
            let (_trailers, no_trailers) = wit_future::new(|| Ok(None));
            let (open, _) = Request::new(Fields::new(), Some(body), no_trailers, None);
            open.set_scheme(Some(&Scheme::Http)).unwrap();
            open.set_authority(Some("open")).unwrap();
            send(open).await
        }
        // A request that nobody sends.
        ["fate-of-dropped"] => {
            let (_, no_trailers) = wit_future::new(|| Ok(None));
            let (dropped, fate) = Request::new(Fields::new(), Some(contents(vec![1])), no_trailers, None);
            drop(dropped);
            format!("{:?}", fate.await)
        }
        _ => format!("unknown: {}", words.join(" ")),
    }
}

async fn send(request: Request) -> String {
    let response = match client::send(request).await {
        Ok(response) => response,
        Err(error) => return format!("{error:?}"),
    };
    let status = response.get_status_code();
    let headers = crate::fields::perform(&mut response.get_headers(), &["all"]);
    let (_, handled) = wit_future::new(|| Ok(()));
    let (mut body, trailers) = Response::consume_body(response, handled);
    let mut bytes = Vec::new();
    while let Some(byte) = body.next().await {
        bytes.push(byte);
    }
    match trailers.await {
        Ok(trailers) => {
            let trailers = trailers.map(|mut trailers| crate::fields::perform(&mut trailers, &["all"]));
            format!("{status} [{headers}] {} {trailers:?}", String::from_utf8_lossy(&bytes))
        }
        Err(error) => format!("{status} {error:?}"),
    }
}

/// Options, their copy, and those of a request.
fn options() -> String {
    let options = RequestOptions::new();
    options.set_connect_timeout(Some(1)).unwrap();
    options.set_first_byte_timeout(Some(u64::MAX)).unwrap();
    let copy = options.clone();
    copy.set_between_bytes_timeout(Some(3)).unwrap();
    copy.set_connect_timeout(None).unwrap();
    let request = with(Fields::new(), None, Some(options));
    let options = request.get_options().unwrap();
    let refused = match options.set_connect_timeout(Some(9)) {
        Err(RequestOptionsError::Immutable) => "immutable",
        _ => "changed",
    };
    format!("{} {} {refused} {}", times(&options), times(&copy), empty().get_options().is_none())
}

fn times(options: &RequestOptions) -> String {
    let times = [
        options.get_connect_timeout(),
        options.get_first_byte_timeout(),
        options.get_between_bytes_timeout(),
    ];
    format!("{times:?}")
}

fn outcome(result: Result<(), ()>) -> String {
    if result.is_ok() { "ok" } else { "invalid" }.to_owned()
}

fn method(method: &Method) -> String {
    match method {
        Method::Get => "get".to_owned(),
        Method::Post => "post".to_owned(),
        Method::Connect => "connect".to_owned(),
        Method::Options => "options".to_owned(),
        Method::Other(name) => format!("other({name})"),
        other => format!("{other:?}"),
    }
}

fn scheme(scheme: Option<&Scheme>) -> String {
    match scheme {
        None => "-".to_owned(),
        Some(Scheme::Http) => "HTTP".to_owned(),
        Some(Scheme::Https) => "HTTPS".to_owned(),
        Some(Scheme::Other(name)) => format!("other({name})"),
    }
}

/// An error code of the test's choice.
pub fn error_code(name: &str) -> ErrorCode {
    match name {
        "DNS-timeout" => ErrorCode::DnsTimeout,
        "HTTP-response-timeout" => ErrorCode::HttpResponseTimeout,
        other => ErrorCode::InternalError(Some(other.to_owned())),
    }
}
