//! Requests and responses as the host holds them.

use http::header::HOST;
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use crate::authority::Addressee;
use crate::body::{Body, ContentLength, Direction};
use crate::contents::Contents;
use crate::fields::{FieldBudget, FieldMap, Headers, has_repeated};
use crate::{ErrorCode, RequestOptions};

/// A request, on its way to a guest or from one.
pub struct Request {
    pub(crate) method: Method,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<Addressee>,
    pub(crate) path_with_query: Option<PathAndQuery>,
    pub(crate) headers: Headers,
    pub(crate) options: Option<RequestOptions>,
    pub(crate) contents: Contents,
}

/// A response, on its way from a guest or to one.
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: Headers,
    pub(crate) contents: Contents,
}

impl Request {
    /// A request from the network.
    // Always inlined: it is made where it goes then.
    #[inline(always)]
    pub(crate) fn incoming(request: http::Request<Body>, budget: &FieldBudget) -> Result<Self, ErrorCode> {
        let (Parts { method, uri, mut headers, extensions, .. }, body) = request.into_parts();
        let uri = uri.into_parts();
        let scheme = uri.scheme.or_else(|| extensions.get().cloned()).unwrap_or(Scheme::HTTP);
        let host = host(&mut headers)?;
        let authority = match (uri.authority, host) {
            (Some(authority), _) => Some(Addressee::Parsed(authority)),
            (None, Some(host)) if !host.is_empty() => {
                Some(Addressee::of_header(host).map_err(|_| ErrorCode::HttpRequestUriInvalid)?)
            }
            (None, _) => None,
        };
        let length = ContentLength::of(&headers, Direction::Request)?;
        let headers = FieldMap::incoming(headers, budget)
            .map_err(|size| ErrorCode::HttpRequestHeaderSectionSize(u32::try_from(size).ok()))?;
        Ok(Request {
            method,
            scheme: Some(scheme),
            authority,
            path_with_query: uri.path_and_query,
            headers: Headers::Own(headers),
            options: None,
            contents: Contents::Host { body, length },
        })
    }

    /// The URI to send it to.
    pub(crate) fn uri(&self) -> Result<Uri, ErrorCode> {
        let mut parts = http::uri::Parts::default();
        parts.scheme.clone_from(&self.scheme);
        let authority = self.authority.as_ref().map(Addressee::to_authority).transpose();
        parts.authority = authority.map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        parts.path_and_query.clone_from(&self.path_with_query);
        if parts.authority.is_some() {
            parts.scheme.get_or_insert(Scheme::HTTPS);
            parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        } else if parts.scheme.is_some() {
            return Err(ErrorCode::HttpRequestUriInvalid);
        }
        Uri::from_parts(parts).map_err(|_| ErrorCode::HttpRequestUriInvalid)
    }
}

/// Takes out the `host` header, of which there is one at most (RFC 9112, section 3.2).
fn host(headers: &mut HeaderMap) -> Result<Option<HeaderValue>, ErrorCode> {
    if has_repeated(headers) && headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(ErrorCode::HttpProtocolError);
    }
    Ok(headers.remove(HOST))
}

impl Response {
    /// A response from the network, to a request of that method.
    pub(crate) fn incoming(
        response: http::Response<Body>,
        method: &Method,
        budget: &FieldBudget,
    ) -> Result<Self, ErrorCode> {
        let (parts, body) = response.into_parts();
        let length = match has_no_body(method, parts.status) {
            true => ContentLength::none(Direction::Response),
            false => ContentLength::of(&parts.headers, Direction::Response)?,
        };
        let headers = FieldMap::incoming(parts.headers, budget)
            .map_err(|size| ErrorCode::HttpResponseHeaderSectionSize(u32::try_from(size).ok()))?;
        let contents = Contents::Host { body, length };
        Ok(Response { status: parts.status, headers: Headers::Own(headers), contents })
    }
}

/// Whether a response has headers only, whatever they say (RFC 9112, section 6.3).
pub(crate) fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || *method == Method::CONNECT && status.is_success()
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
