//! What a program may do with the network: `--tcp`, `--udp`, `--lookup` and `--inherit-network`.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use tombolo_wasi::WasiCtxBuilder;
use tombolo_wasi::sockets::{
    Access, AllowAll, AllowList, LocalPattern, NamePattern, PatternError, PeerPattern, SocketPolicy,
};

use crate::diagnostics::report_refusal;

/// How many refusals are shown. A program can make up as many as it likes.
const SHOWN_LIMIT: usize = 100;

/// The options that grant the network.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Allow TCP connections to HOST:PORT, or with listen= to an address of this machine
    ///
    /// HOST is an address, a subnet, a name, a name that begins with *. for all below it, or * for all; PORT is a
    /// number, a range or * for all. A host that is given by its name may be looked up as well.
    ///
    ///   --tcp example.com:443          connect to example.com
    ///   --tcp '*.example.com:*'        … to everything below it
    ///   --tcp 10.0.0.0/8:5432          … to a subnet
    ///   --tcp '[::1]:8000-8999'        … to an IPv6 address
    ///   --tcp listen=127.0.0.1:8080    be a server for this machine
    ///   --tcp 'listen=*:8080'          … for everybody
    #[arg(
        long,
        value_name = "[listen=]HOST:PORT",
        value_parser = |text: &str| Rule::parse(text, "listen=", "bind="),
        verbatim_doc_comment
    )]
    tcp: Vec<Rule>,

    /// Allow to exchange datagrams with HOST:PORT, or with bind= to receive and answer them
    ///
    ///   --udp 192.0.2.1:53             ask a server, from any port
    ///   --udp 'bind=*:5353'            be a server
    ///
    /// HOST and PORT are as for --tcp.
    #[arg(
        long,
        value_name = "[bind=]HOST:PORT",
        value_parser = |text: &str| Rule::parse(text, "bind=", "listen="),
        verbatim_doc_comment
    )]
    udp: Vec<Rule>,

    /// Allow to look up the addresses of NAME
    ///
    ///   --lookup example.com
    ///   --lookup '*.example.com'       everything below it
    ///   --lookup '*'                   every name
    ///
    /// To connect to them takes --tcp or --udp.
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    lookup: Vec<NamePattern>,

    /// Allow everything with the network that you may do yourself
    #[arg(long)]
    inherit_network: bool,
}

/// What one option allows.
#[derive(Debug, Clone)]
enum Rule {
    /// To talk to others.
    Peer(PeerPattern),
    /// To be found by them.
    Local(LocalPattern),
}

impl Rule {
    /// Reads a pattern, one of the machine's own addresses behind `local`. `other` is the other protocol's word for it.
    fn parse(text: &str, local: &str, other: &str) -> Result<Rule, String> {
        let pattern = |error: PatternError| error.to_string();
        if let Some(text) = text.strip_prefix(local) {
            return text.parse().map(Rule::Local).map_err(pattern);
        }
        match text.strip_prefix(other) {
            Some(text) => Err(format!("write {local}{text}")),
            None => text.parse().map(Rule::Peer).map_err(pattern),
        }
    }
}

impl NetworkArgs {
    /// Grants what the options say. With `show_refused`, what they refuse is shown.
    pub(crate) fn grant(&self, show_refused: bool, wasi: WasiCtxBuilder) -> WasiCtxBuilder {
        match (self.inherit_network, show_refused) {
            (true, _) => wasi.socket_policy(AllowAll),
            (false, false) => wasi.socket_policy(self.policy()),
            (false, true) => wasi.socket_policy(Shown { policy: self.policy(), shown: Mutex::default() }),
        }
    }

    fn policy(&self) -> AllowList {
        let mut policy = AllowList::new();
        for rule in self.tcp.iter().cloned() {
            policy = match rule {
                Rule::Peer(peers) => policy.tcp_connect(peers),
                Rule::Local(places) => policy.tcp_listen(places),
            };
        }
        for rule in self.udp.iter().cloned() {
            policy = match rule {
                Rule::Peer(peers) => policy.udp_peer(peers),
                Rule::Local(places) => policy.udp_bind(places),
            };
        }
        self.lookup.iter().cloned().fold(policy, AllowList::lookup)
    }
}

/// A policy whose refusals are shown, each once.
struct Shown {
    policy: AllowList,
    shown: Mutex<BTreeSet<String>>,
}

impl SocketPolicy for Shown {
    fn allows(&self, access: &Access<'_>) -> bool {
        let allows = self.policy.allows(access);
        if !allows {
            let option = option_for(access);
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if shown.len() < SHOWN_LIMIT && shown.insert(option.clone()) {
                report_refusal(&access.to_string(), &option);
            }
        }
        allows
    }

    fn resolved(&self, name: &str, addresses: &[IpAddr]) {
        self.policy.resolved(name, addresses);
    }
}

/// The option that would allow it.
fn option_for(access: &Access<'_>) -> String {
    // Without the scope, which patterns do not have, and so that a shell takes it as it is.
    let plain = |address: &SocketAddr| SocketAddr::new(address.ip(), address.port());
    let quoted = |word: String| if word.contains('[') { format!("'{word}'") } else { word };
    match access {
        Access::TcpBind { local } | Access::TcpListen { local } => {
            format!("--tcp {}", quoted(format!("listen={}", plain(local))))
        }
        Access::TcpConnect { remote } => format!("--tcp {}", quoted(plain(remote).to_string())),
        Access::UdpBind { local } => format!("--udp {}", quoted(format!("bind={}", plain(local)))),
        Access::UdpConnect { remote }
        | Access::UdpSend { remote, .. }
        | Access::UdpReceive { remote, .. } => {
            format!("--udp {}", quoted(plain(remote).to_string()))
        }
        Access::LookUp { name } => format!("--lookup {name}"),
        _ => "--inherit-network".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        network: NetworkArgs,
    }

    fn policy(words: &[&str]) -> Result<AllowList, String> {
        Wrapper::try_parse_from([&["run"], words].concat())
            .map(|wrapper| wrapper.network.policy())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_option_that_is_shown_allows_what_was_refused() {
        let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let (local, remote) = (address("[fe80::1%3]:80"), address("192.0.2.1:80"));
        for access in [
            Access::TcpBind { local },
            Access::TcpListen { local },
            Access::TcpConnect { remote },
            Access::TcpConnect { remote: local },
            Access::UdpBind { local },
            Access::UdpConnect { remote },
            Access::UdpSend { local, remote, reply: false },
            Access::UdpReceive { local, remote },
            Access::LookUp { name: "example.com" },
        ] {
            assert!(!policy(&[]).unwrap().allows(&access), "{access}");
            let option = option_for(&access).replace('\'', "");
            let words: Vec<&str> = option.split(' ').collect();
            assert!(policy(&words).unwrap().allows(&access), "{access}: {option}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (words, remedy) in [
            (["--tcp", "example.com"], "HOST:PORT"),
            (["--tcp", "bind=127.0.0.1:80"], "write listen=127.0.0.1:80"),
            (["--udp", "listen=127.0.0.1:80"], "write bind=127.0.0.1:80"),
            (["--tcp", "listen=8080"], "listen"),
            (["--lookup", "example.com:80"], "without a port"),
        ] {
            let error = policy(&words).unwrap_err();
            assert!(error.contains(remedy), "{words:?}: {error}");
        }
    }
}
