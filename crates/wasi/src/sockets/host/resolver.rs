//! The system's resolver.

use std::future::poll_fn;
use std::net::IpAddr;

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType};

use crate::blocking::Workers;

use super::super::{LookupError, Work};

/// `getaddrinfo` says so of a name that has addresses, but none of IP. The library has no name for it.
const ADDRESS_FAMILY: i32 = -9;

/// How many addresses of one name are of use at most.
const ADDRESS_LIMIT: usize = 256;

/// Looks a name up.
pub(super) fn resolve(name: String, workers: &Workers) -> Work<Result<Vec<IpAddr>, LookupError>> {
    let mut job = workers.spawn(move || look_up(&name));
    Box::pin(async move {
        poll_fn(|cx| job.poll(cx)).await.map_err(|error| LookupError::Other(error.to_string().into()))?
    })
}

fn look_up(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    // One kind of socket, so that each address comes once.
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    match dns_lookup::getaddrinfo(Some(name), None, Some(hints)) {
        Ok(found) => Ok(found.flatten().map(|info| info.sockaddr.ip()).take(ADDRESS_LIMIT).collect()),
        Err(error) if error.error_num() == ADDRESS_FAMILY => Err(LookupError::NameUnresolvable),
        Err(error) => Err(match error.kind() {
            LookupErrorKind::NoName | LookupErrorKind::NoData | LookupErrorKind::Family => {
                LookupError::NameUnresolvable
            }
            LookupErrorKind::Again => LookupError::TemporaryResolverFailure,
            LookupErrorKind::Fail => LookupError::PermanentResolverFailure,
            _ => LookupError::Other(std::io::Error::from(error).to_string().into()),
        }),
    }
}
