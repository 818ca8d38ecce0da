//! What of an authority `http` leaves unchecked.

use http::uri::Authority;

/// Whether it names a host, and behind that no more than a port (RFC 3986, 3.2): digits, of which a number of 16 bits is
/// made, or nothing.
pub(crate) fn names_a_host(authority: &Authority) -> bool {
    let (text, host) = (authority.as_str(), authority.host());
    let place = text.rsplit('@').next().unwrap_or_default();
    let port = place.strip_prefix(host).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    let is_port = |port: &str| {
        port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    !host.is_empty() && port.is_some_and(is_port)
}
