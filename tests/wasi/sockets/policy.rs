//! What guests may do with the network. The names of the tests are those of the ways in which runtimes have failed.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use tombolo_wasi::WasiCtx;
use tombolo_wasi::sockets::{Access, AllowList, SocketPolicy};

use crate::guest::run;
use crate::network::Names;

/// Makes attempts under a policy and gives what became of each.
async fn attempt(policy: impl SocketPolicy, attempts: &[&str]) -> Vec<String> {
    let wasi = WasiCtx::builder().socket_policy(policy);
    outcomes(run(wasi, &[&["attempt"], attempts].concat()).await.output)
}

fn outcomes(output: String) -> Vec<String> {
    output.lines().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect()
}

const DENIED: &str = "ErrorCode::AccessDenied";

/// Somebody who listens, on TCP and on UDP, at the same port.
struct Target {
    address: SocketAddr,
    _tcp: TcpListener,
    udp: UdpSocket,
}

impl Target {
    fn at(ip: &str) -> Target {
        loop {
            let tcp = TcpListener::bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
            let address = tcp.local_addr().unwrap();
            if let Ok(udp) = UdpSocket::bind(address) {
                return Target { address, _tcp: tcp, udp };
            }
        }
    }

    /// Whether nothing was sent there.
    fn heard_nothing(&self) -> bool {
        self.udp.set_nonblocking(true).unwrap();
        self.udp.recv(&mut [0; 100]).is_err()
    }
}

fn list() -> AllowList {
    AllowList::new()
}

#[tokio::test]
async fn nothing_is_granted_by_default() {
    let target = Target::at("127.0.0.1");
    let to = target.address;
    let attempts = [
        "tcp-bind=127.0.0.1:0".to_owned(),
        "tcp-bind=0.0.0.0:0".to_owned(),
        "tcp-listen=127.0.0.1:0".to_owned(),
        "tcp-listen-unbound=127.0.0.1:0".to_owned(),
        format!("tcp-connect={to}"),
        "udp-bind=127.0.0.1:0".to_owned(),
        format!("udp-connect={to}"),
        format!("udp-send={to}"),
        "lookup=localhost".to_owned(),
    ];
    let attempts = attempts.each_ref().map(String::as_str);
    let output = run(WasiCtx::builder(), &[&["attempt"], &attempts[..]].concat()).await.output;
    assert_eq!(outcomes(output), [DENIED; 9]);
    assert!(target.heard_nothing());
}

#[tokio::test]
async fn policy_is_enforced_on_tcp_and_on_udp() {
    let target = Target::at("127.0.0.1");
    let to = target.address.to_string();
    let attempts = [format!("tcp-connect={to}"), format!("udp-connect={to}"), format!("udp-send={to}")];
    let attempts = attempts.each_ref().map(String::as_str);
    let tcp = attempt(list().tcp_connect(to.parse().unwrap()), &attempts).await;
    assert_eq!(tcp, ["ok", DENIED, DENIED]);
    assert!(target.heard_nothing());
    let udp = attempt(list().udp_peer(to.parse().unwrap()), &attempts).await;
    assert_eq!(udp, [DENIED, "ok", "ok"]);
}

#[tokio::test]
async fn policy_is_enforced_on_connect_and_on_send_to() {
    let (allowed, other) = (Target::at("127.0.0.1"), Target::at("127.0.0.1"));
    let policy = list().udp_peer(allowed.address.to_string().parse().unwrap());
    let attempts = [
        format!("udp-connect={}", other.address),
        format!("udp-send={}", other.address),
        format!("udp-send={}", allowed.address),
    ];
    let attempts = attempts.each_ref().map(String::as_str);
    assert_eq!(attempt(policy, &attempts).await, [DENIED, DENIED, "ok"]);
    assert!(other.heard_nothing());
    assert!(!allowed.heard_nothing());
}

/// A name's owner may say that its address is one that the guest may not reach.
#[tokio::test]
async fn policy_is_enforced_on_names_and_on_the_addresses_they_resolve_to() {
    let near = Target::at("127.0.0.1");
    let port = near.address.port();
    let attempts = [
        format!("lookup-connect=rebound.example:{port}"),
        format!("lookup-connect=localhost:{port}"),
        format!("tcp-connect={}", near.address),
    ];
    let attempts = attempts.each_ref().map(String::as_str);
    let with = async |policy: AllowList| {
        let names = Names::new(&[("rebound.example", "127.0.0.1"), ("localhost", "127.0.0.1")]);
        let wasi = WasiCtx::builder().network(names).socket_policy(policy);
        outcomes(run(wasi, &[&["attempt"], &attempts[..]].concat()).await.output)
    };
    // To look up is not to connect.
    let all_names = with(list().lookup("*".parse().unwrap())).await;
    assert_eq!(all_names, [DENIED, DENIED, DENIED]);
    // A name that leads back to this machine does not open it.
    let by_name = with(list().tcp_connect("rebound.example:*".parse().unwrap())).await;
    assert_eq!(by_name[0], DENIED);
    assert!(by_name[1].contains("lookup: ErrorCode::AccessDenied"), "{by_name:?}");
    assert_eq!(by_name[2], DENIED);
    // That of this machine does, once it was looked up.
    let localhost = with(list().tcp_connect("localhost:*".parse().unwrap())).await;
    assert!(localhost[0].contains("lookup: ErrorCode::AccessDenied"), "{localhost:?}");
    assert_eq!(localhost[1..], ["ok", "ok"]);
    // Where addresses are granted, names do not matter.
    let by_address =
        with(list().lookup("*".parse().unwrap()).tcp_connect("127.0.0.0/8:*".parse().unwrap())).await;
    assert_eq!(by_address, ["ok", "ok", "ok"]);
}

#[tokio::test]
async fn ipv4_mapped_ipv6_does_not_get_around_the_policy() {
    let target = Target::at("127.0.0.1");
    let port = target.address.port();
    let attempts = [
        format!("tcp-connect=[::ffff:127.0.0.1]:{port}"),
        format!("udp-connect=[::ffff:127.0.0.1]:{port}"),
        format!("udp-send=[::ffff:127.0.0.1]:{port}"),
        "tcp-bind=[::ffff:127.0.0.1]:0".to_owned(),
        "udp-bind=[::ffff:127.0.0.1]:0".to_owned(),
        format!("tcp-connect={}", target.address),
    ];
    let attempts = attempts.each_ref().map(String::as_str);
    let all_of_ipv6 = || {
        let peers = "[::/0]:*";
        let list = list().tcp_connect(peers.parse().unwrap()).udp_peer(peers.parse().unwrap());
        list.tcp_listen("[::/0]:*".parse().unwrap()).udp_bind("[::/0]:*".parse().unwrap())
    };
    const INVALID: &str = "ErrorCode::InvalidArgument";
    assert_eq!(
        attempt(all_of_ipv6(), &attempts).await,
        [INVALID, INVALID, INVALID, INVALID, INVALID, DENIED]
    );
    assert!(target.heard_nothing());
}

/// A socket that listens on all of IPv6 does not take IPv4.
#[tokio::test]
async fn ipv6_sockets_are_ipv6_only() {
    let policy = list().tcp_listen("[::]:*".parse().unwrap()).udp_bind("[::]:*".parse().unwrap());
    let ports = [("tcp-listen", free_port()), ("udp-bind", free_port())];
    for (what, port) in ports {
        let taken =
            (TcpListener::bind(("0.0.0.0", port)).unwrap(), UdpSocket::bind(("0.0.0.0", port)).unwrap());
        let policy = AllowList::new().tcp_listen("*:*".parse().unwrap()).udp_bind("*:*".parse().unwrap());
        // It would be in use if it were IPv4's too.
        assert_eq!(attempt(policy, &[&format!("{what}=[::]:{port}")]).await, ["ok"]);
        drop(taken);
    }
    assert_eq!(attempt(policy, &["tcp-listen=0.0.0.0:0", "udp-bind=0.0.0.0:0"]).await, [DENIED, DENIED]);
}

fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn implicit_binds_do_not_get_around_the_policy() {
    let target = Target::at("127.0.0.1");
    let to = target.address.to_string();
    // Who may connect gets a port for that, and may not be found at it.
    let policy = list().tcp_connect(to.parse().unwrap()).udp_peer(to.parse().unwrap());
    let attempts = [
        "tcp-bind=0.0.0.0:0",
        "tcp-listen-unbound=0.0.0.0:0",
        "tcp-listen=0.0.0.0:0",
        "tcp-bind=127.0.0.1:0",
        "udp-bind=0.0.0.0:0",
        "udp-bind=127.0.0.1:0",
    ];
    assert_eq!(attempt(policy, &attempts).await, ["ok", DENIED, DENIED, DENIED, "ok", DENIED]);
    let policy = list().tcp_listen("0.0.0.0:0".parse().unwrap());
    assert_eq!(attempt(policy, &attempts).await, ["ok", "ok", "ok", "ok", DENIED, DENIED]);
}

/// Datagrams of strangers do not reach a guest that may talk to one peer, and what it may be sent it may answer.
#[tokio::test]
async fn datagrams_come_from_peers_and_answers_go_to_them() {
    let target = Target::at("127.0.0.1");
    let asked = target.address;
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = std::thread::spawn(move || {
        let (_, from) = target.udp.recv_from(&mut [0; 100]).unwrap();
        stranger.send_to(b"from a stranger", from).unwrap();
        target.udp.send_to(b"from the peer", from).unwrap();
    });
    let recorded = Recorded::new(list().udp_peer(asked.to_string().parse().unwrap()));
    assert_eq!(attempt(recorded.clone(), &[&format!("udp-ask={asked}")]).await, ["ok"]);
    server.join().unwrap();
    assert!(recorded.refused().iter().any(|access| access.starts_with("receiving from")), "{recorded:?}");

    let place = SocketAddr::new("127.0.0.1".parse().unwrap(), free_port());
    let client = std::thread::spawn(move || {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
        let mut answer = [0; 100];
        for _ in 0..1000 {
            client.send_to(b"question", place).unwrap();
            if let Ok(length) = client.recv(&mut answer) {
                return answer[..length].to_vec();
            }
        }
        Vec::new()
    });
    let policy = list().udp_bind(place.to_string().parse().unwrap());
    assert_eq!(attempt(policy, &[&format!("udp-answer={place}")]).await, ["ok"]);
    assert_eq!(client.join().unwrap(), b"question");
}

/// An embedder's own policy, which remembers what it was asked.
#[derive(Clone)]
struct Recorded(Arc<(AllowList, Mutex<Vec<String>>)>);

impl Recorded {
    fn new(list: AllowList) -> Self {
        Recorded(Arc::new((list, Mutex::default())))
    }

    fn refused(&self) -> Vec<String> {
        self.0.1.lock().unwrap().clone()
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.refused()).finish()
    }
}

impl SocketPolicy for Recorded {
    fn allows(&self, access: &Access<'_>) -> bool {
        let allows = self.0.0.allows(access);
        if !allows {
            self.0.1.lock().unwrap().push(access.to_string());
        }
        allows
    }

    fn resolved(&self, name: &str, addresses: &[IpAddr]) {
        self.0.0.resolved(name, addresses);
    }
}
