//! TLS: whom the client trusts, and how it fails.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tombolo_http::client::{Client, Roots};
use tombolo_http::{ErrorCode, TlsAlertReceivedPayload};

use super::server::Server;
use super::{builder, fetch, get};

/// Who a server says it is.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    pub fn new(name: &str) -> Self {
        Identity::made(name, |_| {})
    }

    fn made(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.self_signed(&key).unwrap().der().clone(), key }
    }

    /// A server's side of TLS that speaks these protocols.
    pub fn acceptor(&self, protocols: &[&str]) -> TlsAcceptor {
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap();
        let mut config = builder
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key.into())
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A client that trusts this server, and nobody else.
    pub fn client(&self) -> Client {
        builder().roots(Roots::None).trust(self.certificate.clone()).build()
    }
}

/// Answers each request with `ok`.
async fn answer(mut stream: TlsStream<TcpStream>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    }
}

async fn server(acceptor: TlsAcceptor) -> Server {
    Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream).await;
            }
        }
    })
    .await
}

fn uri(server: &Server, host: &str) -> String {
    format!("https://{host}:{}/", server.address.port())
}

#[tokio::test]
async fn a_server_that_is_trusted() {
    for (name, protocols) in
        [("localhost", &["http/1.1"][..]), ("localhost", &[]), ("127.0.0.1", &["http/1.1"])]
    {
        let identity = Identity::new(name);
        let server = server(identity.acceptor(protocols)).await;
        let client = identity.client();
        for _ in 0..3 {
            assert_eq!(fetch(&client, get(uri(&server, name))).await.unwrap(), "ok");
        }
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn tls_certificate_error() {
    let expired = Identity::made("localhost", |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    let (named, other) = (Identity::new("localhost"), Identity::new("localhost"));
    let elsewhere = Identity::new("example.com");
    for (identity, client) in [
        (&named, builder().build()),
        (&named, builder().roots(Roots::Bundled).build()),
        (&named, builder().roots(Roots::None).build()),
        (&named, other.client()),
        (&elsewhere, elsewhere.client()),
        (&expired, expired.client()),
    ] {
        let server = server(identity.acceptor(&["http/1.1"])).await;
        let error = fetch(&client, get(uri(&server, "localhost"))).await.unwrap_err();
        assert_eq!(error, ErrorCode::TlsCertificateError);
    }
}

#[tokio::test]
async fn tls_protocol_error() {
    let server = Server::start(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_u8().await;
    })
    .await;
    let error = fetch(&builder().build(), get(uri(&server, "localhost"))).await.unwrap_err();
    assert_eq!(error, ErrorCode::TlsProtocolError);
}

#[tokio::test]
async fn tls_alert_received() {
    let identity = Identity::new("localhost");
    let received = |alert_id, message: &str| {
        let payload =
            TlsAlertReceivedPayload { alert_id: Some(alert_id), alert_message: Some(message.to_owned()) };
        Err(ErrorCode::TlsAlertReceived(payload))
    };
    let server_of_other_things = server(identity.acceptor(&["imap"])).await;
    let answer = fetch(&identity.client(), get(uri(&server_of_other_things, "localhost"))).await;
    assert_eq!(answer, received(120, "NoApplicationProtocol"));

    // A server that wants to know who asks says so after the handshake.
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let key = PrivatePkcs8KeyDer::from(identity.key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![identity.certificate.clone()], key.into())
        .unwrap();
    let curious = server(TlsAcceptor::from(Arc::new(config))).await;
    let answer = fetch(&identity.client(), get(uri(&curious, "localhost"))).await;
    assert_eq!(answer, received(116, "CertificateRequired"));
}

#[tokio::test]
async fn connection_terminated_in_the_handshake_of_tls() {
    let server = Server::start(|stream, _| async move { drop(stream) }).await;
    let error = fetch(&builder().build(), get(uri(&server, "localhost"))).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionTerminated);
}

#[tokio::test]
async fn a_body_that_was_cut_off_is_not_taken_for_whole() {
    // Its end is that of the connection, but TLS was not told: somebody on the way may have cut it.
    let identity = Identity::new("localhost");
    let acceptor = identity.acceptor(&["http/1.1"]);
    let server = Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nabc").await.unwrap();
            stream.flush().await.unwrap();
            drop(stream.into_inner().0);
        }
    })
    .await;
    let error = fetch(&identity.client(), get(uri(&server, "localhost"))).await.unwrap_err();
    assert_eq!(error, ErrorCode::HttpResponseIncomplete);
}

#[tokio::test]
async fn configuration_error() {
    let client = builder().trust(CertificateDer::from(vec![1, 2, 3])).build();
    let identity = Identity::new("localhost");
    let server = server(identity.acceptor(&[])).await;
    let error = fetch(&client, get(uri(&server, "localhost"))).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConfigurationError);
}
