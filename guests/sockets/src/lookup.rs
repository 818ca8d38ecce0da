//! Name lookup.

use wasip3::sockets::ip_name_lookup::{ErrorCode, resolve_addresses};
use wasip3::sockets::types::{ErrorCode as SocketError, IpAddress};

use crate::report::Report;

pub async fn names(report: &mut Report) -> Result<(), SocketError> {
    let look_up = async |name: &str| resolve_addresses(name.to_owned()).await;
    let loopback = IpAddress::Ipv4((127, 0, 0, 1));
    for name in ["localhost", "LocalHost", "localhost."] {
        let found = look_up(name).await.unwrap_or_default();
        let is_loopback = |address: &IpAddress| {
            matches!(address, IpAddress::Ipv4((127, ..)) | IpAddress::Ipv6((0, 0, 0, 0, 0, 0, 0, 1)))
        };
        report.check(&format!("{name}: {found:?}"), !found.is_empty() && found.iter().all(is_loopback), true);
    }
    report.check("an address", look_up("127.0.0.1").await, Ok::<_, ErrorCode>([loopback]));
    let six = IpAddress::Ipv6((0, 0, 0, 0, 0, 0, 0, 1));
    report.check("an IPv6 address", look_up("::1").await, Ok::<_, ErrorCode>([six]));
    report.check("a mapped address", look_up("::ffff:127.0.0.1").await, Ok::<_, ErrorCode>([loopback]));
    for bad in
        ["", ".", "a..b", "a b", "localhost:80", "[::1]", "http://a", "127.1", "0x7f000001", "a\0b", "*"]
    {
        let expected = Err::<(), _>(ErrorCode::InvalidArgument);
        report.check(&format!("{bad:?}"), look_up(bad).await.map(drop), expected);
    }
    let long = "a".repeat(64);
    report.check("a long label", look_up(&long).await.map(drop), Err::<(), _>(ErrorCode::InvalidArgument));
    Ok(())
}
