//! The options of `tombolo serve`.

use std::fs;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use clap::Args;
use tombolo_http::server::{Config, Limits, Timeouts, Tls, TlsError};

use super::access_log::LogFormat;
use crate::bounds::BoundArgs;
use crate::diagnostics::Failure;
use crate::grants::GrantArgs;
use crate::network::NetworkArgs;
use crate::units::{Patience, parse_size};

/// Serve HTTP: a component that exports wasi:http/handler
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 stands for any that is free
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080", value_parser = parse_address)]
    pub(super) addr: SocketAddr,

    /// Put a component in front, which imports wasi:http/handler too (repeat for several, the outermost first)
    #[arg(long, value_name = "FILE")]
    pub(super) middleware: Vec<PathBuf>,

    /// Serve HTTPS with the certificate in this file of PEM, behind it those that vouch for it
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Load the component again when its file changes, as it is when SIGHUP comes
    #[arg(long)]
    pub(super) watch: bool,

    /// Tell about each request on the standard output
    #[arg(long, value_name = "FORMAT")]
    pub(super) log: Option<LogFormat>,

    #[command(flatten)]
    pub(super) instances: InstanceArgs,

    #[command(flatten)]
    peers: PeerArgs,

    #[command(flatten)]
    pub(super) grants: GrantArgs,

    #[command(flatten)]
    pub(super) bounds: BoundArgs,

    /// The component (.wasm or .wat)
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,

    // Last, as its heading is for all that follows.
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

/// How instances are used.
#[derive(Debug, Clone, Args)]
pub(crate) struct InstanceArgs {
    /// Answer requests on so many threads: one for each processor by default
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// Have an instance answer so many requests before another takes its place: any number by default
    #[arg(long, value_name = "N", conflicts_with = "isolate")]
    pub(super) reuse: Option<NonZeroU64>,

    /// Have an instance answer so many requests at once
    #[arg(long, value_name = "N", default_value = "128", conflicts_with = "isolate")]
    concurrency: NonZeroUsize,

    /// Have so many instances on each thread, where needed, before requests share one: it fails for all that it is at
    #[arg(long, value_name = "N", default_value = "16", conflicts_with = "isolate")]
    spread: NonZeroUsize,

    /// Make a new instance for every request
    #[arg(long)]
    isolate: bool,

    /// Give the component this time to answer: then the answer is 504
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(super) timeout: Patience,
}

/// How long peers may take, and how much they may send.
#[derive(Debug, Args)]
struct PeerArgs {
    /// Let the headers of a request take this time
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    header_timeout: Patience,

    /// Let the body of a request take this time
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    request_timeout: Patience,

    /// Keep connections for this time on which nothing happens
    #[arg(long, value_name = "DURATION", default_value = "75s")]
    idle_timeout: Patience,

    /// Let what has begun take this time after SIGTERM or SIGINT
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    drain_timeout: Patience,

    /// Accept so many headers in a request
    #[arg(long, value_name = "N", default_value = "100")]
    max_headers: NonZeroUsize,

    /// Accept headers of this size, all together
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = parse_header_size)]
    max_header_size: usize,

    /// Accept bodies of this size
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = parse_size)]
    max_body: u64,

    /// Accept so many connections at once
    #[arg(long, value_name = "N", default_value = "10000")]
    max_connections: NonZeroUsize,

    /// Accept so many requests at once on a connection of HTTP/2
    #[arg(long, value_name = "N", default_value = "128")]
    max_streams: NonZeroU32,
}

impl ServeArgs {
    /// How the server serves.
    ///
    /// # Errors
    ///
    /// The certificate cannot be used.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let default = Config::default();
        let peers = &self.peers;
        Ok(Config {
            workers: self.instances.workers.unwrap_or(default.workers),
            tls: self.identify(Tls::from_pem)?,
            timeouts: Timeouts {
                headers: peers.header_timeout.0,
                request: peers.request_timeout.0,
                idle: peers.idle_timeout.0,
            },
            limits: Limits {
                connections: peers.max_connections.get(),
                streams: peers.max_streams.get(),
                headers: peers.max_headers.get(),
                header_bytes: peers.max_header_size,
                body_bytes: Some(peers.max_body),
            },
            log: None,
        })
    }

    /// How long draining may take.
    pub(super) fn drain_timeout(&self) -> Patience {
        self.peers.drain_timeout
    }

    /// All files that the application is made of, the outermost first.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.middleware.iter().chain([&self.file]).map(PathBuf::as_path)
    }

    /// Has another certificate be used, if there is one: that which is in its file now.
    ///
    /// # Errors
    ///
    /// It cannot be used. Then the one before is used on.
    pub(super) fn renew(&self, tls: &Tls) -> Result<(), Failure> {
        self.identify(|certificates, key| tls.renew(certificates, key)).map(drop)
    }

    /// Reads the certificate and its key, if there are any, for `f` to use.
    fn identify<T>(&self, f: impl FnOnce(&[u8], &[u8]) -> Result<T, TlsError>) -> Result<Option<T>, Failure> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let read = |path: &Path| {
            fs::read(path)
                .map_err(|error| Failure::caused_by(format!("cannot read {}", path.display()), error))
        };
        let what = format!("cannot serve HTTPS with {} and {}", certificate.display(), key.display());
        f(&read(certificate)?, &read(key)?).map(Some).map_err(|error| {
            Failure::caused_by(what, error).hint("both are files of PEM, as `openssl req -x509` writes them")
        })
    }
}

impl InstanceArgs {
    /// How many requests an instance answers at once.
    pub(super) fn concurrency(&self) -> usize {
        if self.isolate { 1 } else { self.concurrency.get() }
    }

    /// How many instances there are before requests share one.
    pub(super) fn spread(&self) -> usize {
        self.spread.get()
    }

    /// How many requests an instance answers altogether.
    pub(super) fn reuse(&self) -> u64 {
        match self.isolate {
            true => 1,
            false => self.reuse.map_or(u64::MAX, NonZeroU64::get),
        }
    }
}

/// Reads an address to listen at.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok()).unwrap_or("8080");
        format!("write 127.0.0.1:{port} for this machine alone, 0.0.0.0:{port} or [::]:{port} for everybody")
    })
}

/// Reads the size of a request's headers.
fn parse_header_size(text: &str) -> Result<usize, String> {
    match parse_size(text)? {
        size @ 0x2000..=0x100_0000 => Ok(size as usize),
        _ => Err("write a size from 8K to 16M".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn parse(words: &[&str]) -> Result<ServeArgs, String> {
        Wrapper::try_parse_from([&["serve"], words].concat())
            .map(|wrapper| wrapper.serve)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_librarys() {
        let config = parse(&["app.wasm"]).unwrap().config().unwrap();
        assert_eq!(config.timeouts, Timeouts::default());
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.workers, Config::default().workers);
    }

    #[test]
    fn instances_are_reused_or_not() {
        let instances = |words: &[&str]| {
            let instances = parse(&[words, &["app.wasm"]].concat())?.instances;
            Ok::<_, String>((instances.concurrency(), instances.reuse()))
        };
        assert_eq!(instances(&[]), Ok((128, u64::MAX)));
        assert_eq!(instances(&["--reuse", "5", "--concurrency", "2"]), Ok((2, 5)));
        assert_eq!(instances(&["--isolate"]), Ok((1, 1)));
        for words in [&["--isolate", "--reuse", "2"][..], &["--reuse", "0"], &["--concurrency", "0"]] {
            assert!(instances(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (words, remedy) in [
            (["--addr", "8080"], "write 127.0.0.1:8080"),
            (["--addr", "localhost:80"], "127.0.0.1:80 for this machine alone"),
            (["--timeout", "0"], "write `none`"),
            (["--idle-timeout", "0ms"], "write `none`"),
            (["--max-header-size", "1K"], "from 8K to 16M"),
            (["--tls-cert", "cert.pem"], "--tls-key"),
            (["--log", "xml"], "text, json"),
        ] {
            let error = parse(&[&words[..], &["app.wasm"]].concat()).unwrap_err();
            assert!(error.contains(remedy), "{words:?}: {error}");
        }
        assert_eq!(parse(&["--timeout", "none", "app.wasm"]).unwrap().instances.timeout.0, None);
    }
}
