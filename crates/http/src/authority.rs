//! Whom a request goes to.

use http::HeaderValue;
use http::uri::{Authority, InvalidUri};

/// The authority of a request.
pub(crate) enum Addressee {
    Parsed(Authority),
    /// What a `host` header says, which is known to be an authority: nobody may ever ask for it.
    Header(HeaderValue),
}

impl Addressee {
    /// The authority that a `host` header is.
    ///
    /// # Errors
    /// If it is none.
    pub fn of_header(host: HeaderValue) -> Result<Self, InvalidUri> {
        match is_plain_host(host.as_bytes()) {
            true => Ok(Addressee::Header(host)),
            false => Authority::try_from(host.as_bytes()).map(Addressee::Parsed),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Addressee::Parsed(authority) => authority.as_str(),
            Addressee::Header(host) => host.to_str().unwrap_or_default(),
        }
    }

    /// The same as `http` has it.
    ///
    /// # Errors
    /// Never: it has been looked at.
    pub fn to_authority(&self) -> Result<Authority, InvalidUri> {
        match self {
            Addressee::Parsed(authority) => Ok(authority.clone()),
            Addressee::Header(host) => Authority::try_from(host.as_bytes()),
        }
    }
}

/// Whether it is a name of letters, digits, dots and the like, perhaps with a port: as nearly all are.
pub(crate) fn is_plain_host(bytes: &[u8]) -> bool {
    let is_plain = |byte: &u8| PLAIN.get(usize::from(*byte)) == Some(&true);
    let end = bytes.iter().position(|byte| !is_plain(byte)).unwrap_or(bytes.len());
    let (name, port) = bytes.split_at(end);
    !name.is_empty() && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port))
}

/// The characters of plain names.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        let character = byte as u8;
        plain[byte] = character.is_ascii_alphanumeric() || matches!(character, b'.' | b'-' | b'_');
        byte += 1;
    }
    plain
};

/// Digits, of which a number of 16 bits is made, or nothing.
fn is_port(digits: &[u8]) -> bool {
    let add = |number: u32, digit: &u8| number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    digits.iter().all(u8::is_ascii_digit) && digits.iter().fold(0, add) <= u32::from(u16::MAX)
}

/// Whether an authority names a host, and behind that no more than a port (RFC 3986, 3.2). `http` leaves this unchecked.
pub(crate) fn names_a_host(authority: &Authority) -> bool {
    let (text, host) = (authority.as_str(), authority.host());
    let place = text.rsplit('@').next().unwrap_or_default();
    let port = place.strip_prefix(host).map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    !host.is_empty() && port.is_some_and(|port| is_port(port.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_hosts_are_authorities() {
        for host in ["a", "a.example", "A-b_c:80", "127.0.0.1:65535", "a:"] {
            assert!(is_plain_host(host.as_bytes()), "{host}");
            let addressee = Addressee::of_header(HeaderValue::from_static(host)).unwrap();
            assert_eq!(addressee.as_str(), host);
            assert_eq!(addressee.to_authority().unwrap().as_str(), host);
        }
        for host in ["[::1]:80", "u@a", "a!b"] {
            assert!(!is_plain_host(host.as_bytes()), "{host}");
            assert_eq!(Addressee::of_header(HeaderValue::from_static(host)).unwrap().as_str(), host);
        }
        for host in ["", "a b", "a/b", "[::1", "a:b:c"] {
            assert!(Addressee::of_header(HeaderValue::from_static(host)).is_err(), "{host}");
        }
    }
}
