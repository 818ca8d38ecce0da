//! The server's end of TLS.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate and its key, ready to serve `https` with HTTP/2 and HTTP/1.1, by TLS 1.2 and 1.3.
///
/// Clones are the same: what renews one renews all.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(super) config: Arc<ServerConfig>,
    identity: Arc<Identity>,
}

/// Who the server says it is.
#[derive(Debug)]
struct Identity(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of certificates is not PEM.
    #[error("the certificates cannot be read")]
    Certificates(#[source] rustls::pki_types::pem::Error),
    /// There is none in it.
    #[error("there is no certificate in PEM")]
    NoCertificate,
    /// The file of the key is not PEM.
    #[error("the private key cannot be read")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[source] rustls::Error),
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and the private key of that, in PEM.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let identity = Arc::new(Identity(RwLock::new(certified(certificates, key, &provider)?)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(identity.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls { config: Arc::new(config), identity })
    }

    /// Has connections that are made from now on get to see another certificate. Arguments as for [`Tls::from_pem`].
    ///
    /// # Errors
    /// They cannot be read, or do not belong together. Then everything stays as it was.
    pub fn renew(&self, certificates: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let renewed = certified(certificates, key, self.config.crypto_provider())?;
        *self.identity.0.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }
}

fn certified(
    certificates: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(TlsError::Certificates)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
    CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(TlsError::Unusable)
}

/// Whether the peer has chosen HTTP/2; `None` if it has chosen nothing.
pub(super) fn chose_http2(session: &rustls::ServerConnection) -> Option<bool> {
    session.alpn_protocol().map(|protocol| protocol == b"h2")
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
