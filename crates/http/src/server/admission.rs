//! Which requests reach the handler: what hyper's parsers let through and no handler should have to think about.

use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, Uri};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};

use super::Limits;
use crate::authority::{is_plain_host, names_a_host};
use crate::fields::has_repeated;

/// Checks a request's head, and makes its `host` agree with its target.
///
/// # Errors
/// The status of the answer to a request that is not to be served.
pub(super) fn admit<B>(request: &mut Request<B>, limits: &Limits) -> Result<(), StatusCode> {
    // HTTP/1's parser has counted already; HTTP/2's looks at their size alone.
    if request.headers().len() > limits.headers {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    // A tunnel is nothing that a handler could make.
    if request.method() == Method::CONNECT {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    if request.uri().path() == "*" && request.method() != Method::OPTIONS {
        return Err(StatusCode::BAD_REQUEST);
    }
    admit_length(request.headers(), limits)?;
    admit_host(request)
}

/// Lengths that differ from each other never come here: the parsers refuse them.
fn admit_length(headers: &HeaderMap, limits: &Limits) -> Result<(), StatusCode> {
    let Some(length) = headers.get(CONTENT_LENGTH) else { return Ok(()) };
    let length = length.to_str().ok().and_then(|length| length.parse::<u64>().ok());
    match (length, limits.body_bytes) {
        (None, _) => Err(StatusCode::BAD_REQUEST),
        (Some(length), Some(limit)) if length > limit => Err(StatusCode::PAYLOAD_TOO_LARGE),
        _ => Ok(()),
    }
}

/// There is one host, and a target that names one itself is believed (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
fn admit_host<B>(request: &mut Request<B>) -> Result<(), StatusCode> {
    let bad = StatusCode::BAD_REQUEST;
    let version = request.version();
    let headers = request.headers();
    if has_repeated(headers) && headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(bad);
    }
    match (headers.get(HOST), request.uri().authority()) {
        (_, Some(authority)) if authority.as_str().contains('@') => Err(bad),
        (None, None) if version < Version::HTTP_11 => Ok(()),
        (None, None) => Err(bad),
        (None, Some(_)) if version == Version::HTTP_11 => Err(bad),
        (None, Some(_)) => Ok(()),
        (Some(host), None) => is_host(host).then_some(()).ok_or(bad),
        (Some(host), Some(authority)) if agree(host, authority) => Ok(()),
        (Some(_), Some(_)) if version >= Version::HTTP_2 => Err(bad),
        (Some(_), Some(authority)) => {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad)?;
            request.headers_mut().insert(HOST, host);
            Ok(())
        }
    }
}

fn agree(host: &HeaderValue, authority: &Authority) -> bool {
    host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
}

/// Whether a header names a host, perhaps with its port, and nothing else.
fn is_host(host: &HeaderValue) -> bool {
    let bytes = host.as_bytes();
    if is_plain_host(bytes) {
        return true;
    }
    // Two that became one on the way.
    if bytes.contains(&b',') {
        return false;
    }
    // An address of IPv6, or with characters that names have seldom.
    Uri::try_from(bytes).is_ok_and(|uri| {
        uri.scheme().is_none()
            && uri.path().is_empty()
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@') && names_a_host(authority))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(
        version: Version,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<String, u16> {
        let mut request = Request::builder().version(version).method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        admit(&mut request, &Limits { body_bytes: Some(100), ..Limits::default() })
            .map_err(|status| status.as_u16())?;
        Ok(request.headers().get(HOST).map_or("", |host| host.to_str().unwrap()).to_owned())
    }

    #[test]
    fn there_is_one_host() {
        let get = |target: &str, headers: &[(&str, &str)]| admitted(Version::HTTP_11, "GET", target, headers);
        for host in [
            "a",
            "a.example",
            "a:80",
            "127.0.0.1:8080",
            "[::1]:80",
            "x_y",
            "localhost",
            "a:",
            "a:65535",
            "a:000080",
        ] {
            assert_eq!(get("/", &[("host", host)]), Ok(host.to_owned()));
        }
        for host in [
            "", "a b", "a/b", "u@a", "a:b", "http://a", "a,b", "[::1", "a?b", "a:65536", "a:8x", ":80",
            "a:80:80",
        ] {
            assert_eq!(get("/", &[("host", host)]), Err(400), "{host}");
        }
        assert_eq!(get("/", &[]), Err(400));
        assert_eq!(get("/", &[("host", "a"), ("host", "a")]), Err(400));
        assert_eq!(admitted(Version::HTTP_10, "GET", "/", &[]), Ok(String::new()));
    }

    #[test]
    fn an_absolute_target_is_believed() {
        let get = |target: &str, headers: &[(&str, &str)]| admitted(Version::HTTP_11, "GET", target, headers);
        assert_eq!(get("http://b:81/x", &[("host", "a")]), Ok("b:81".to_owned()));
        assert_eq!(get("http://A/x", &[("host", "a")]), Ok("a".to_owned()));
        assert_eq!(get("http://b/x", &[]), Err(400));
        assert_eq!(get("http://u@b/x", &[("host", "b")]), Err(400));
        let get2 = |target: &str, headers: &[(&str, &str)]| admitted(Version::HTTP_2, "GET", target, headers);
        assert_eq!(get2("http://b/x", &[]), Ok(String::new()));
        assert_eq!(get2("http://b/x", &[("host", "a")]), Err(400));
        assert_eq!(get2("/x", &[]), Err(400));
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        let host = ("host", "a");
        assert_eq!(admitted(Version::HTTP_11, "CONNECT", "b:443", &[host]), Err(501));
        assert_eq!(admitted(Version::HTTP_11, "OPTIONS", "*", &[host]), Ok("a".to_owned()));
        assert_eq!(admitted(Version::HTTP_11, "GET", "*", &[host]), Err(400));
        assert_eq!(
            admitted(Version::HTTP_11, "POST", "/", &[host, ("content-length", "100")]),
            Ok("a".to_owned())
        );
        assert_eq!(admitted(Version::HTTP_11, "POST", "/", &[host, ("content-length", "101")]), Err(413));
        assert_eq!(admitted(Version::HTTP_2, "POST", "/", &[host, ("content-length", "-1")]), Err(400));
        let names: Vec<String> = (0..101).map(|number| format!("x-{number}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "")).chain([host]).collect();
        assert_eq!(admitted(Version::HTTP_2, "GET", "/", &many), Err(431));
    }
}
