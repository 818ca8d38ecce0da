//! What the policy of the guest's network refuses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tombolo_http::client::Client;
use tombolo_http::{DnsErrorPayload, ErrorCode, RequestOptions};
use tombolo_wasi::Workers;
use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::sockets::{
    AddressFamily, AllowAll, AllowList, DenyAll, HostNetwork, LookupError, Network, Result, SocketPolicy,
    Sockets, TcpEndpoint, UdpEndpoint, Work,
};

use super::server::Server;
use super::{client, fetch, get, send};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The machine's network, with names of its own.
struct Named {
    host: HostNetwork,
    names: HashMap<&'static str, Result<Vec<IpAddr>, LookupError>>,
}

impl Network for Named {
    fn tcp(&self, family: AddressFamily) -> Result<Arc<dyn TcpEndpoint>> {
        self.host.tcp(family)
    }

    fn udp(&self, family: AddressFamily) -> Result<Arc<dyn UdpEndpoint>> {
        self.host.udp(family)
    }

    fn resolve(&self, name: &str) -> Work<Result<Vec<IpAddr>, LookupError>> {
        let found = self.names.get(name).cloned();
        Box::pin(async move {
            match found {
                Some(found) => found,
                None => std::future::pending().await,
            }
        })
    }
}

/// A client for which names have these addresses; those of other names are never found.
fn named(names: &[(&'static str, &[&str])], policy: impl SocketPolicy) -> Client {
    let addresses = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
    with(names.iter().map(|(name, found)| (*name, Ok(addresses(found)))), policy, DescriptorLimit::new(100))
}

fn with(
    names: impl IntoIterator<Item = (&'static str, Result<Vec<IpAddr>, LookupError>)>,
    policy: impl SocketPolicy,
    limit: DescriptorLimit,
) -> Client {
    let network =
        Named { host: HostNetwork::new(limit, Workers::default()), names: names.into_iter().collect() };
    Client::new(Sockets::new(Arc::new(network), Arc::new(policy)))
}

fn allows(peers: &str) -> AllowList {
    AllowList::new().tcp_connect(peers.parse().unwrap())
}

#[tokio::test]
async fn destination_ip_prohibited() {
    let server = Server::always(OK).await;
    let port = server.address.port();
    // An address, also in IPv6 clothes, and one that only has another port.
    let elsewhere = || named(&[], AllowList::new().tcp_connect("127.0.0.1:1".parse().unwrap()));
    for uri in [
        server.uri("/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::ffff:7f00:1]:{port}/"),
    ] {
        let error = fetch(&elsewhere(), get(&uri)).await.unwrap_err();
        assert_eq!(error, ErrorCode::DestinationIpProhibited, "{uri}");
    }
    assert_eq!(server.connections(), 0);
    // A mapped address is allowed as what it is.
    let client = named(&[], allows("127.0.0.1:*"));
    assert_eq!(fetch(&client, get(format!("http://[::ffff:127.0.0.1]:{port}/"))).await.unwrap(), "ok");
}

#[tokio::test]
async fn destination_ip_prohibited_after_the_name_was_resolved() {
    let server = Server::always(OK).await;
    let uri = format!("http://evil.example:{}/", server.address.port());
    // The name may be looked up and connected to, but not where it leads: to this machine.
    for addresses in [&["127.0.0.1"][..], &["::ffff:127.0.0.1"], &["127.0.0.1", "::1", "169.254.169.254"]] {
        let client = named(&[("evil.example", addresses)], allows("evil.example:*"));
        let error = fetch(&client, get(&uri)).await.unwrap_err();
        assert_eq!(error, ErrorCode::DestinationIpProhibited, "{addresses:?}");
    }
    assert_eq!(server.connections(), 0);
    // Of several addresses the one that may be reached is.
    let policy = allows("evil.example:*").tcp_connect("127.0.0.1:*".parse().unwrap());
    let client = named(&[("evil.example", &["127.0.0.2", "::1", "127.0.0.1"])], policy);
    assert_eq!(fetch(&client, get(&uri)).await.unwrap(), "ok");
}

#[tokio::test]
async fn redirects_are_answers_and_lead_nowhere() {
    let secret = Server::always(OK).await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", secret.uri("/"));
    let server = Server::once(answer).await;
    let response = send(&client(), get(server.uri("/"))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["location"].to_str().unwrap()),
        (302, &*secret.uri("/"))
    );
    assert_eq!(secret.connections(), 0);
}

#[tokio::test]
async fn http_request_denied() {
    let client = named(&[("a.example", &["127.0.0.1"])], DenyAll);
    let error = fetch(&client, get("http://a.example/")).await.unwrap_err();
    assert_eq!(error, ErrorCode::HttpRequestDenied);
}

#[tokio::test]
async fn dns_error() {
    for (failure, rcode) in [
        (LookupError::NameUnresolvable, "NXDOMAIN"),
        (LookupError::TemporaryResolverFailure, "SERVFAIL"),
        (LookupError::PermanentResolverFailure, "SERVFAIL"),
    ] {
        let client = with([("a.example", Err(failure))], AllowAll, DescriptorLimit::new(100));
        let payload = DnsErrorPayload { rcode: Some(rcode.to_owned()), info_code: None };
        let error = fetch(&client, get("http://a.example/")).await.unwrap_err();
        assert_eq!(error, ErrorCode::DnsError(payload));
    }
}

#[tokio::test]
async fn dns_error_of_the_system() {
    let error = fetch(&client(), get("http://tombolo.invalid/")).await.unwrap_err();
    assert!(matches!(error, ErrorCode::DnsError(_)), "{error:?}");
}

#[tokio::test]
async fn dns_timeout() {
    let options = RequestOptions { connect_timeout: Some(Duration::from_millis(50)), ..Default::default() };
    let client = named(&[], AllowAll);
    let error = client.send(get("http://a.example/"), options).await.unwrap_err();
    assert_eq!(error, ErrorCode::DnsTimeout);
}

#[tokio::test]
async fn destination_ip_unroutable() {
    for host in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "[ff02::1]", "[::]"] {
        let error = fetch(&client(), get(format!("http://{host}/"))).await.unwrap_err();
        assert_eq!(error, ErrorCode::DestinationIpUnroutable, "{host}");
    }
}

#[tokio::test]
async fn connection_limit_reached_by_the_guests_descriptors() {
    let server = Server::always(OK).await;
    let client = with([], AllowAll, DescriptorLimit::new(0));
    let error = fetch(&client, get(server.uri("/"))).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionLimitReached);
}

#[tokio::test]
async fn an_address_that_does_not_answer_gives_way_to_the_next() {
    let server = Server::always(OK).await;
    let client = named(&[("a.example", &["127.0.0.9", "127.0.0.1"])], AllowAll);
    let uri = format!("http://a.example:{}/", server.address.port());
    assert_eq!(fetch(&client, get(uri)).await.unwrap(), "ok");
    let client = named(&[("a.example", &["127.0.0.9", "127.0.0.8"])], AllowAll);
    let error = fetch(&client, get("http://a.example:1/")).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionRefused);
}
