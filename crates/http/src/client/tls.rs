//! TLS: whom to trust.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ErrorCode;

use super::stream::TcpStream;

/// HTTP/2's name in TLS (RFC 9113, section 3.2).
const HTTP2: &[u8] = b"h2";

/// Whose certificates are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// Those that the system trusts; the bundled ones where it names none.
    #[default]
    System,
    /// Those that Mozilla trusted when this was built.
    Bundled,
    /// Nobody's, but those that are added.
    None,
}

/// How connections are secured.
pub(super) struct Tls {
    roots: Roots,
    trusted: Vec<CertificateDer<'static>>,
    /// Made at the first use, off the guest's thread: to read what the system trusts takes a while.
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    pub fn new(roots: Roots, trusted: Vec<CertificateDer<'static>>) -> Self {
        Tls { roots, trusted, connector: OnceCell::new() }
    }

    /// Secures a connection to `host`, and says whether both sides speak HTTP/2.
    pub async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, bool), ErrorCode> {
        let connector = self.connector.get_or_try_init(|| make(self.roots, self.trusted.clone())).await?;
        let name = host.strip_suffix('.').unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        let stream = connector.connect(name, stream).await.map_err(|error| ErrorCode::from(&error))?;
        let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((stream, speaks_http2))
    }
}

async fn make(roots: Roots, trusted: Vec<CertificateDer<'static>>) -> Result<TlsConnector, ErrorCode> {
    let config = tokio::task::spawn_blocking(move || config(roots, trusted)).await;
    let config = config.map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    config.map(|config| TlsConnector::from(Arc::new(config))).map_err(|error| {
        tracing::error!(%error, "the client's TLS cannot be set up");
        ErrorCode::ConfigurationError
    })
}

fn config(roots: Roots, trusted: Vec<CertificateDer<'static>>) -> Result<ClientConfig, rustls::Error> {
    let mut roots = match roots {
        Roots::System => system_roots(),
        Roots::Bundled => bundled_roots(),
        Roots::None => RootCertStore::empty(),
    };
    for certificate in trusted {
        roots.add(certificate)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "some of the certificates that the system trusts cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { bundled_roots() } else { roots }
}

fn bundled_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}
