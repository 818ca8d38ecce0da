//! HTTP/2, in clear and over TLS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tombolo_http::server::{self, Limits, Tls};

use super::harness::{Tested, config, start};

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), future).await.unwrap() })
}

async fn client<S>(stream: S) -> SendRequest<Full<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(server: &Tested, path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://{}{path}", server.address())).body(Full::default()).unwrap()
}

#[test]
fn http2_in_clear_by_prior_knowledge() {
    let server = start(config());
    block_on(async {
        let mut client = client(TcpStream::connect(server.address()).await.unwrap()).await;
        let mut request = get(&server, "/x");
        *request.method_mut() = http::Method::POST;
        *request.body_mut() = Full::from("abc");
        let response = client.send_request(request).await.unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.ends_with(b"size=Ok(3)"), "{body:?}");
    });
}

#[test]
fn http2_header_count_is_limited() {
    let mut config = config();
    config.limits = Limits { headers: 10, header_bytes: 10_000, ..Limits::default() };
    let server = start(config);
    block_on(async {
        let mut client = client(TcpStream::connect(server.address()).await.unwrap()).await;
        for (count, size, expected) in [(5, 1, 200), (11, 1, 431), (1, 20_000, 431)] {
            let mut request = get(&server, "/");
            for number in 0..count {
                let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
                request.headers_mut().insert(name, "y".repeat(size).try_into().unwrap());
            }
            let response = client.send_request(request).await.unwrap();
            assert_eq!(response.status().as_u16(), expected);
        }
    });
}

#[test]
fn http2_drain_answers_what_was_asked() {
    let server = start(config());
    block_on(async {
        let mut client = client(TcpStream::connect(server.address()).await.unwrap()).await;
        let slow = client.send_request(get(&server, "/slow"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.running.drain();
        let response = slow.await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "slow");
        server.running.ended().await;
        assert!(client.send_request(get(&server, "/")).await.is_err());
    });
}

#[test]
fn http2_requests_go_on_beside_each_other() {
    let server = start(config());
    block_on(async {
        let mut client = client(TcpStream::connect(server.address()).await.unwrap()).await;
        let never = client.send_request(get(&server, "/never"));
        let slow: Vec<_> = (0..100).map(|_| client.send_request(get(&server, "/slow"))).collect();
        let begun = std::time::Instant::now();
        for response in slow {
            assert_eq!(response.await.unwrap().status(), 200);
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(never);
        assert_eq!(client.send_request(get(&server, "/")).await.unwrap().status(), 200);
    });
}

#[test]
fn tls_serves_both_versions() {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut config = config();
    let tls = Tls::from_pem(issued.cert.pem().as_bytes(), issued.signing_key.serialize_pem().as_bytes());
    config.tls = Some(tls.unwrap());
    let server = start(config);
    block_on(async {
        for (alpn, version) in
            [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11), ("", Version::HTTP_11)]
        {
            let stream = connect_tls(&server, issued.cert.der(), alpn).await.unwrap();
            let request = get(&server, "/x");
            let response = match version {
                Version::HTTP_2 => client(stream).await.send_request(request).await.unwrap(),
                _ => {
                    let (mut sender, connection) =
                        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                    tokio::spawn(connection);
                    let request = Request::get("/x").header("host", "localhost").body(Empty::<Bytes>::new());
                    sender.send_request(request.unwrap()).await.unwrap()
                }
            };
            assert_eq!((response.status(), response.version()), (StatusCode::OK, version));
        }
    });
}

#[test]
fn a_certificate_is_renewed_while_it_serves() {
    let issue = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (old, new) = (issue(), issue());
    let pem = |of: &rcgen::CertifiedKey<rcgen::KeyPair>| (of.cert.pem(), of.signing_key.serialize_pem());
    let ((old_pem, old_key), (new_pem, new_key)) = (pem(&old), pem(&new));
    let tls = Tls::from_pem(old_pem.as_bytes(), old_key.as_bytes()).unwrap();
    let server = start(server::Config { tls: Some(tls.clone()), ..config() });
    block_on(async {
        let begun = connect_tls(&server, old.cert.der(), "h2").await.unwrap();
        // Those that do not belong together, and what is none.
        tls.renew(new_pem.as_bytes(), old_key.as_bytes()).unwrap_err();
        tls.renew(b"", new_key.as_bytes()).unwrap_err();
        connect_tls(&server, old.cert.der(), "h2").await.unwrap();
        tls.renew(new_pem.as_bytes(), new_key.as_bytes()).unwrap();
        connect_tls(&server, new.cert.der(), "h2").await.unwrap();
        connect_tls(&server, old.cert.der(), "h2").await.unwrap_err();
        let mut begun = client(begun).await;
        assert_eq!(begun.send_request(get(&server, "/")).await.unwrap().status(), 200);
    });
}

async fn connect_tls(
    server: &Tested,
    certificate: &CertificateDer<'static>,
    alpn: &str,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    if !alpn.is_empty() {
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    }
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
