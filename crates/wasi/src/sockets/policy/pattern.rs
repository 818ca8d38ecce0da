//! Patterns for addresses, ports and names, as they are written on a command line.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::super::lookup::Host;

/// What is wrong with a pattern, and how to write it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

fn wrong<T>(message: impl Into<String>) -> Result<T, PatternError> {
    Err(PatternError(message.into()))
}

/// Ports: `443`, `8000-8999`, or `*` for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port, 0 included.
    pub const ALL: PortRange = PortRange { first: 0, last: u16::MAX };

    /// Whether a port is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl FromStr for PortRange {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
            _ => wrong(format!(
                "{text:?} is no port: write a number up to 65535, a range such as 8000-8999, or *"
            )),
        };
        let (first, last) = match text.split_once('-') {
            _ if text == "*" => return Ok(PortRange::ALL),
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        match first <= last {
            true => Ok(PortRange { first, last }),
            false => wrong(format!("the range of ports {text} ends before it begins")),
        }
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, `fd00::/8`, or one address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// Whether an address is one of them. An IPv4 address in IPv6 clothes counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == self.address
    }

    /// Whether it is the one address that stands for all of its family.
    fn is_unspecified(&self) -> bool {
        self.prefix == length(self.address) && self.address.is_unspecified()
    }
}

impl From<IpAddr> for Subnet {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Subnet { address, prefix: length(address) }
    }
}

impl FromStr for Subnet {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return wrong(format!("{address:?} is no IP address"));
        };
        if address.to_canonical() != address {
            return wrong(format!("{address} is the IPv4 address {}: write that", address.to_canonical()));
        }
        let prefix = match prefix.map(str::parse::<u8>) {
            None => length(address),
            Some(Ok(prefix)) if prefix <= length(address) => prefix,
            Some(_) => {
                return wrong(format!(
                    "{text} needs a number from 0 to {} behind the slash",
                    length(address)
                ));
            }
        };
        let network = masked(address, prefix);
        match network == address {
            true => Ok(Subnet { address, prefix }),
            false => wrong(format!("{text} has bits behind its prefix: write {network}/{prefix}")),
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix == length(self.address) {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

/// How many bits an address has.
fn length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with nothing behind its first `prefix` bits. One that has fewer bits is left as it is.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let rest = u32::from(length(address).saturating_sub(prefix));
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}

/// Names: `example.com`, `*.example.com` for all below it, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(Names);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    Any,
    One(String),
    /// With the dot that it begins with.
    Below(String),
}

impl NamePattern {
    /// Every name.
    pub const ANY: NamePattern = NamePattern(Names::Any);

    /// Whether a name, in lower-case ASCII without a dot at its end, is one of them.
    pub fn matches(&self, name: &str) -> bool {
        match &self.0 {
            Names::Any => true,
            Names::One(one) => one == name,
            Names::Below(end) => name.len() > end.len() && name.ends_with(end.as_str()),
        }
    }
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(NamePattern::ANY);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        match Host::parse(name) {
            Ok(Host::Name(name)) if below => Ok(NamePattern(Names::Below(format!(".{name}")))),
            Ok(Host::Name(name)) => Ok(NamePattern(Names::One(name))),
            Ok(Host::Address(_)) => wrong(format!("{text} is an address, and not looked up")),
            Err(_) if name.contains('*') => {
                wrong(format!("{text:?} has a * within: write * alone, or *. before a domain"))
            }
            Err(_) if name.contains(':') => wrong(format!("{text:?} is no name: write it without a port")),
            Err(_) => wrong(format!("{text:?} is no domain name")),
        }
    }
}

/// Hosts to talk to: addresses, names that are looked up, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// Every host.
    Any,
    /// Those with these addresses.
    Subnet(Subnet),
    /// Those with these names, at the addresses that their names turn out to have.
    Name(NamePattern),
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(HostPattern::Any);
        }
        match text.contains('/') || text.parse::<IpAddr>().is_ok() {
            true => Ok(HostPattern::Subnet(text.parse()?)),
            false => Ok(HostPattern::Name(text.parse()?)),
        }
    }
}

/// Peers: a host and its ports, such as `example.com:443`, `*.example.com:*`, `10.0.0.0/8:5432` or `[::1]:8000-8999`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPattern {
    /// The host.
    pub host: HostPattern,
    /// Its ports.
    pub ports: PortRange,
}

impl FromStr for PeerPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (host, ports) = split(text, "example.com:443")?;
        Ok(PeerPattern { host: host.parse()?, ports: ports.parse()? })
    }
}

/// Addresses of this machine to be reached at, such as `127.0.0.1:8080`, `[::]:8080` for all of IPv6, or `*:8080` for
/// all. Port 0 stands for any that is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPattern {
    /// The addresses; `None` for all.
    pub addresses: Option<Subnet>,
    /// The ports.
    pub ports: PortRange,
}

impl LocalPattern {
    /// Whether an address is one of them.
    pub fn matches(&self, address: &SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let addresses = match &self.addresses {
            None => true,
            Some(subnet) if subnet.is_unspecified() => subnet.address.is_ipv4() == ip.is_ipv4(),
            Some(subnet) => subnet.contains(ip),
        };
        addresses && self.ports.contains(address.port())
    }
}

impl FromStr for LocalPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.parse::<u16>().is_ok() {
            return wrong(format!(
                "{text} has no address: write 127.0.0.1:{text} for this machine alone, or *:{text} for all"
            ));
        }
        let (host, ports) = split(text, "127.0.0.1:8080")?;
        let addresses = match host.parse()? {
            HostPattern::Any => None,
            HostPattern::Subnet(subnet) => Some(subnet),
            HostPattern::Name(_) => {
                return wrong(format!(
                    "{host} is a name: write an address of this machine, such as 127.0.0.1"
                ));
            }
        };
        Ok(LocalPattern { addresses, ports: ports.parse()? })
    }
}

/// Splits `HOST:PORTS`, with brackets around an IPv6 host.
fn split<'a>(text: &'a str, example: &str) -> Result<(&'a str, &'a str), PatternError> {
    let no_port =
        || wrong(format!("{text:?} has no port: write HOST:PORT, such as {example}, or HOST:* for all"));
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, ports)) = rest.split_once(']') else {
            return wrong(format!("{text:?} lacks the bracket at the end of the address"));
        };
        if !host.contains(':') {
            return wrong(format!("brackets are for IPv6 addresses: write {host}{ports}"));
        }
        return ports.strip_prefix(':').map_or_else(no_port, |ports| Ok((host, ports)));
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => {
            wrong(format!("{text:?}: write an IPv6 address in brackets, such as [::1]:443"))
        }
        Some((host, ports)) if !host.is_empty() => Ok((host, ports)),
        Some((_, ports)) => wrong(format!("{text:?} has no host: write *:{ports} for all")),
        None => no_port(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Result<PeerPattern, String> {
        text.parse().map_err(|error: PatternError| error.to_string())
    }

    fn local(text: &str) -> Result<LocalPattern, String> {
        text.parse().map_err(|error: PatternError| error.to_string())
    }

    #[test]
    fn subnets_contain_what_begins_like_them() {
        for (subnet, address, expected) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "127.0.0.1", false),
            ("::/0", "::ffff:127.0.0.1", false),
            ("fd00::/8", "fd12::1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("128.0.0.0/1", "255.0.0.1", true),
        ] {
            let contains = subnet.parse::<Subnet>().unwrap().contains(address.parse().unwrap());
            assert_eq!(contains, expected, "{subnet} {address}");
        }
    }

    #[test]
    fn names_match_themselves_or_what_is_below() {
        for (pattern, name, expected) in [
            ("example.com", "example.com", true),
            ("Example.COM.", "example.com", true),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "notexample.com", false),
            ("*", "anything", true),
            ("bücher.example", "xn--bcher-kva.example", true),
        ] {
            assert_eq!(pattern.parse::<NamePattern>().unwrap().matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn local_patterns_know_what_stands_for_all() {
        for (pattern, address, expected) in [
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("*:80", "[::1]:80", true),
            ("127.0.0.0/8:80", "0.0.0.0:80", false),
            ("127.0.0.1:*", "127.0.0.1:0", true),
            ("127.0.0.1:0", "127.0.0.1:1", false),
            ("127.0.0.1:8000-8001", "127.0.0.1:8001", true),
            ("127.0.0.1:8000-8001", "127.0.0.1:8002", false),
        ] {
            let matches = local(pattern).unwrap().matches(&address.parse().unwrap());
            assert_eq!(matches, expected, "{pattern} {address}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_remedy() {
        for (text, remedy) in [
            ("example.com", "HOST:PORT"),
            ("10.0.0.1", "HOST:PORT"),
            (":80", "*:80"),
            ("::1:80", "[::1]:443"),
            ("[::1]", "HOST:PORT"),
            ("[::1", "bracket"),
            ("[10.0.0.1]:80", "10.0.0.1:80"),
            ("10.1.2.3/8:80", "10.0.0.0/8"),
            ("10.0.0.0/33:80", "0 to 32"),
            ("[fd00::/129]:80", "0 to 128"),
            ("10.0.0/8:80", "no IP address"),
            ("[::ffff:10.0.0.1]:80", "write that"),
            ("example.com:https", "number up to 65535"),
            ("example.com:65536", "number up to 65535"),
            ("example.com:+80", "number up to 65535"),
            ("example.com:90-80", "ends before it begins"),
            ("www.*.com:80", "*. before a domain"),
            ("exa mple:80", "no domain name"),
            ("300.0.0.1:80", "no domain name"),
        ] {
            let error = peer(text).unwrap_err();
            assert!(error.contains(remedy), "{text}: {error}");
        }
        assert!(local("8080").unwrap_err().contains("127.0.0.1:8080"));
        assert!(local("localhost:8080").unwrap_err().contains("an address of this machine"));
        let error = "example.com:80".parse::<NamePattern>().unwrap_err().to_string();
        assert!(error.contains("without a port"), "{error}");
        assert!("10.0.0.1".parse::<NamePattern>().unwrap_err().to_string().contains("an address"));
    }
}
