//! From names to addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use super::{Access, LookupError, Sockets};

impl Sockets {
    /// Finds the addresses of a host, at least one, the best first, none of them a mapped one.
    ///
    /// Names in Unicode are looked up in ASCII (IDNA). An IP address is its own answer, and needs no permission.
    ///
    /// # Errors
    ///
    /// [`LookupError::InvalidArgument`] if `name` is neither a domain name nor an address;
    /// [`LookupError::AccessDenied`]; otherwise what the network says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the lookup up.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let name = match Host::parse(name)? {
            Host::Address(address) => return Ok(vec![address]),
            Host::Name(name) => name,
        };
        self.check(Access::LookUp { name: &name })?;
        let mut addresses = Vec::new();
        for address in self.network.resolve(&name).await? {
            let address = address.to_canonical();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(LookupError::NameUnresolvable);
        }
        self.policy.resolved(&name, &addresses);
        Ok(addresses)
    }
}

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    /// A domain name in lower-case ASCII, without a dot at its end.
    Name(String),
}

impl Host {
    pub(super) fn parse(text: &str) -> Result<Host, LookupError> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Host::Address(IpAddr::from(address).to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let name = Uts46::new()
            .to_ascii(name.as_bytes(), NO_HOST, Hyphens::Allow, DnsLength::Verify)
            .map_err(|_| LookupError::InvalidArgument)?;
        if !ends_in_number(&name) {
            return Ok(Host::Name(name.into_owned()));
        }
        // Other ways to write an address, such as 127.1, are the system's, and nobody would expect them in a policy.
        name.parse::<Ipv4Addr>()
            .map(|address| Host::Address(address.into()))
            .map_err(|_| LookupError::InvalidArgument)
    }
}

/// What names of hosts do not have. An underscore they do, here and there.
const NO_HOST: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

/// Whether a name is of the kind that resolvers take for a number. No domain is.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_hexadecimal =
        last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    is_hexadecimal || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<Host, LookupError> {
        Ok(Host::Name(text.to_owned()))
    }

    #[test]
    fn names_are_looked_up_in_ascii() {
        for (text, expected) in [
            ("localhost", "localhost"),
            ("Example.COM.", "example.com"),
            ("my_service", "my_service"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("1.example", "1.example"),
        ] {
            assert_eq!(Host::parse(text), name(expected), "{text}");
        }
    }

    #[test]
    fn addresses_are_their_own_answer() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("FE80::1", "fe80::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("１２７.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(Host::parse(text), Ok(Host::Address(expected.parse().unwrap())), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = ["abcdefgh"; 30].join(".");
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "a b",
            "a:80",
            "[::1]",
            "a/b",
            "a@b",
            "a%b",
            "a\0b",
            "a\nb",
            "*",
            "*.com",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "127.0.0.1.5",
            "256.0.0.1",
            "1.2.3.08",
            "fe80::1%eth0",
            "xn--a",
            "a\u{200d}b",
            &long_label,
            &long_name,
        ] {
            assert_eq!(Host::parse(text), Err(LookupError::InvalidArgument), "{text:?}");
        }
    }
}
