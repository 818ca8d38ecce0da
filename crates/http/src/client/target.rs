//! Where a request goes.

use http::header::{CONNECTION, HOST, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, Version};

use crate::ErrorCode;

/// A server, as far as connections to it are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub tls: bool,
    /// A domain name in lower case, or an IP address without brackets.
    pub host: String,
    pub port: u16,
}

/// Where a request goes: to a server, and there to a resource.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub target: Target,
    authority: Authority,
    path: PathAndQuery,
}

impl Destination {
    /// Reads it from a request's method and URI.
    ///
    /// # Errors
    ///
    /// As [`Target::of`].
    pub fn of(method: &Method, uri: &Uri) -> Result<Self, ErrorCode> {
        let target = Target::of(method, uri)?;
        let authority = uri.authority().cloned().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let path = match uri.path_and_query() {
            // An asterisk asks about the server itself (RFC 9112, section 3.2.4).
            Some(path) if path.as_str().starts_with('/') || path == "*" => path.clone(),
            Some(path) if !path.as_str().is_empty() => PathAndQuery::try_from(format!("/{}", path.as_str()))
                .map_err(|_| ErrorCode::HttpRequestUriInvalid)?,
            _ => PathAndQuery::from_static("/"),
        };
        Ok(Destination { target, authority, path })
    }

    /// Says in a request where it goes, as a version of HTTP wants it, and that its response may have trailers.
    ///
    /// # Errors
    ///
    /// The URI is none.
    pub fn address<B>(&self, request: &mut Request<B>, version: Version) -> Result<(), ErrorCode> {
        let headers = request.headers_mut();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let uri = Uri::builder().path_and_query(self.path.clone());
        let uri = if version == Version::HTTP_2 {
            headers.remove(HOST);
            headers.remove(CONNECTION);
            uri.scheme(if self.target.tls { Scheme::HTTPS } else { Scheme::HTTP })
                .authority(self.authority.clone())
        } else {
            let host = HeaderValue::from_str(self.authority.as_str());
            headers.insert(HOST, host.map_err(|_| ErrorCode::HttpRequestUriInvalid)?);
            headers.insert(CONNECTION, HeaderValue::from_static("TE"));
            uri
        };
        *request.uri_mut() = uri.build().map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        *request.version_mut() = version;
        Ok(())
    }
}

impl Target {
    /// Reads it from a request's method and URI.
    ///
    /// # Errors
    ///
    /// The URI does not say, or names a scheme that is not of HTTP. `CONNECT` would open a tunnel, for which a response
    /// has no place.
    pub fn of(method: &Method, uri: &Uri) -> Result<Self, ErrorCode> {
        if method == Method::CONNECT {
            return Err(ErrorCode::HttpRequestMethodInvalid);
        }
        let tls = match uri.scheme() {
            None => true,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) => return Err(ErrorCode::HttpRequestUriInvalid),
        };
        let authority = uri.authority().ok_or(ErrorCode::HttpRequestUriInvalid)?;
        // Credentials have no place there (RFC 9110, section 4.2.4), and a port that is none is not the default.
        let rest =
            authority.as_str().strip_prefix(authority.host()).ok_or(ErrorCode::HttpRequestUriInvalid)?;
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            None => return Err(ErrorCode::HttpRequestUriInvalid),
            Some("") => None,
            Some(port) => Some(port.parse().map_err(|_| ErrorCode::HttpRequestUriInvalid)?),
        };
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || port == 0 {
            return Err(ErrorCode::HttpRequestUriInvalid);
        }
        Ok(Target { tls, host: host.to_ascii_lowercase(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str) -> Result<(bool, String, u16), ErrorCode> {
        let target = Target::of(&Method::GET, &uri.parse().unwrap())?;
        Ok((target.tls, target.host, target.port))
    }

    #[test]
    fn a_uri_says_where_to() {
        for (uri, tls, host, port) in [
            ("http://Example.com/a", false, "example.com", 80),
            ("https://example.com", true, "example.com", 443),
            ("https://example.com:8443/?q", true, "example.com", 8443),
            ("http://example.com:/", false, "example.com", 80),
            ("http://192.0.2.1:81/", false, "192.0.2.1", 81),
            ("http://[2001:db8::1]:82/", false, "2001:db8::1", 82),
            ("http://[::ffff:192.0.2.1]/", false, "::ffff:192.0.2.1", 80),
            ("example.com:8443", true, "example.com", 8443),
        ] {
            assert_eq!(of(uri), Ok((tls, host.to_owned(), port)), "{uri}");
        }
    }

    #[test]
    fn a_uri_that_says_nothing_or_too_much_is_refused() {
        for uri in
            ["/", "ftp://example.com/", "http://user:secret@example.com/", "http://a:0/", "http://a:70000/"]
        {
            assert_eq!(of(uri), Err(ErrorCode::HttpRequestUriInvalid), "{uri}");
        }
        let uri = "http://example.com/".parse().unwrap();
        assert_eq!(Target::of(&Method::CONNECT, &uri), Err(ErrorCode::HttpRequestMethodInvalid));
    }
}
