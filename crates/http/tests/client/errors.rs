//! What goes wrong, and what it is called.

use http::Request;
use http::header::CONTENT_LENGTH;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tombolo_http::{Body, ErrorCode};

use super::server::{Server, drain, head};
use super::{client, fetch, get, pieces, post, read, send};

/// What becomes of a request that is answered so.
async fn answered(answer: impl Into<Vec<u8>>) -> ErrorCode {
    let server = Server::once(answer).await;
    fetch(&client(), get(server.uri("/"))).await.unwrap_err()
}

#[tokio::test]
async fn connection_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = fetch(&client(), get(format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionRefused);
}

#[tokio::test]
async fn connection_terminated() {
    assert_eq!(answered("").await, ErrorCode::ConnectionTerminated);
    assert_eq!(answered("HTTP/1.1 200 OK\r\ncontent-le").await, ErrorCode::ConnectionTerminated);
}

#[tokio::test]
async fn connection_terminated_by_a_reset() {
    let server = Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    let error = fetch(&client(), get(server.uri("/"))).await.unwrap_err();
    assert_eq!(error, ErrorCode::ConnectionTerminated);
}

#[tokio::test]
async fn http_response_incomplete() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ] {
        assert_eq!(answered(answer).await, ErrorCode::HttpResponseIncomplete, "{answer:?}");
    }
}

#[tokio::test]
async fn http_response_incomplete_by_a_reset() {
    let server = Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    let error = fetch(&client(), get(server.uri("/"))).await.unwrap_err();
    assert_eq!(error, ErrorCode::HttpResponseIncomplete);
}

#[tokio::test]
async fn http_protocol_error() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    ] {
        assert_eq!(answered(answer).await, ErrorCode::HttpProtocolError, "{answer:?}");
    }
}

#[tokio::test]
async fn conflicting_content_length_of_a_response_is_a_protocol_error() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde";
    assert_eq!(answered(answer).await, ErrorCode::HttpProtocolError);
}

#[tokio::test]
async fn http_response_header_section_size() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    assert_eq!(answered(long).await, ErrorCode::HttpResponseHeaderSectionSize(None));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: 1\r\n".repeat(1000));
    assert_eq!(answered(many).await, ErrorCode::HttpResponseHeaderSectionSize(None));
    // Without end.
    let server = Server::start(|mut stream, _| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(&[b'a'; 4096]).await.is_ok() {}
    })
    .await;
    let error = fetch(&client(), get(server.uri("/"))).await.unwrap_err();
    assert_eq!(error, ErrorCode::HttpResponseHeaderSectionSize(None));
}

#[tokio::test]
async fn http_response_trailer_section_size() {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: {}\r\n\r\n",
        "a".repeat(100_000)
    );
    assert_eq!(answered(answer).await, ErrorCode::HttpResponseTrailerSectionSize(None));
}

#[tokio::test]
async fn http_response_transfer_coding() {
    for coding in ["gzip", "gzip, chunked"] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n0\r\n\r\n");
        assert_eq!(answered(answer).await, ErrorCode::HttpResponseTransferCoding(Some(coding.to_owned())));
    }
}

#[tokio::test]
async fn http_upgrade_failed() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    assert_eq!(answered(answer).await, ErrorCode::HttpUpgradeFailed);
}

#[tokio::test]
async fn http_request_method_invalid() {
    let request = Request::connect("http://127.0.0.1:1/").body(Body::empty()).unwrap();
    assert_eq!(send(&client(), request).await.unwrap_err(), ErrorCode::HttpRequestMethodInvalid);
}

#[tokio::test]
async fn http_request_uri_invalid() {
    for uri in ["/no/authority", "ftp://127.0.0.1/", "http://a@127.0.0.1/", "http://127.1/", "http://a..b/"] {
        let error = send(&client(), get(uri)).await.unwrap_err();
        assert_eq!(error, ErrorCode::HttpRequestUriInvalid, "{uri}");
    }
}

#[tokio::test]
async fn http_request_body_size_if_shorter_or_longer_than_promised() {
    let server = Server::start(|mut stream, _| async move {
        drain(&mut stream).await;
    })
    .await;
    for (promised, body, seen) in [
        ("5", Body::empty(), 0),
        ("5", pieces(["abc"], None), 3),
        ("2", pieces(["abc"], None), 3),
        ("2", "abc".into(), 3),
    ] {
        let mut request = post(server.uri("/"), body);
        request.headers_mut().insert(CONTENT_LENGTH, promised.parse().unwrap());
        let error = send(&client(), request).await.unwrap_err();
        assert_eq!(error, ErrorCode::HttpRequestBodySize(Some(seen)), "{promised}");
    }
}

#[tokio::test]
async fn a_request_body_that_fails_says_why() {
    let server = Server::start(|mut stream, _| async move {
        drain(&mut stream).await;
    })
    .await;
    let failing = pieces(["abc"], Some(ErrorCode::LoopDetected));
    let error = send(&client(), post(server.uri("/"), failing)).await.unwrap_err();
    assert_eq!(error, ErrorCode::LoopDetected);
}

#[tokio::test]
async fn a_response_longer_than_promised_ends_where_it_was_to_end() {
    let server = Server::once("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef").await;
    let client = client();
    let response = send(&client, get(server.uri("/"))).await.unwrap();
    assert_eq!(read(response).await.unwrap(), "abc");
    // What came after it is taken for no other answer.
    assert_eq!(fetch(&client, get(server.uri("/"))).await.unwrap(), "abc");
    assert_eq!(server.connections(), 2);
}
