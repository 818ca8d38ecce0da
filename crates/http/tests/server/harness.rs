//! A server whose answers say what arrived, and sockets to talk to it.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tombolo_http::ErrorCode;
use tombolo_http::server::{Config, RequestBody, Running, Server};

/// Nothing takes this long; what does hangs.
const TIME_LIMIT: Duration = Duration::from_secs(20);

pub type Body = UnsyncBoxBody<Bytes, ErrorCode>;

/// A server, and what became of the bodies it was sent.
pub struct Tested {
    pub running: Running,
    pub bodies: mpsc::Receiver<Result<usize, ErrorCode>>,
}

/// Two workers, without a log.
pub fn config() -> Config {
    Config { workers: NonZeroUsize::new(2).unwrap(), ..Config::default() }
}

/// Starts a server.
///
/// - `/` is answered after the request's body was read, with its size;
/// - `/early` at once, while nobody reads the body;
/// - `/slow` after 300 ms;
/// - `/large` with 8 MiB;
/// - `/promise/N` with `hello` and a `content-length` of N, `/empty/N` with nothing and that;
/// - `/interim` with status 103;
/// - `/never` not at all.
pub fn start(config: Config) -> Tested {
    let server = Server::bind(([127, 0, 0, 1], 0).into(), config).unwrap();
    let (tell, bodies) = mpsc::channel();
    let running = server.start(move |_worker| {
        let tell = tell.clone();
        async move { Ok::<_, Infallible>(async move |request| answer(request, &tell).await) }
    });
    Tested { running: running.unwrap(), bodies }
}

async fn answer(
    request: Request<RequestBody>,
    bodies: &mpsc::Sender<Result<usize, ErrorCode>>,
) -> Response<Body> {
    let text = |text: String| Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    let promise = |length: &str, contents: &str| {
        let mut response = text(contents.to_owned());
        response.headers_mut().insert("content-length", length.parse().unwrap());
        response
    };
    match request.uri().path() {
        path if path.starts_with("/promise/") => promise(&path[9..], "hello"),
        path if path.starts_with("/empty/") => promise(&path[7..], ""),
        "/interim" => {
            let mut response = text(String::new());
            *response.status_mut() = http::StatusCode::EARLY_HINTS;
            response
        }
        "/early" => text("early".to_owned()),
        "/large" => text("x".repeat(8 << 20)),
        "/never" => std::future::pending().await,
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            text("slow".to_owned())
        }
        _ => {
            let mut request = request;
            let mut size = Ok(0);
            while let Some(frame) = request.body_mut().frame().await {
                match frame {
                    Ok(frame) => size = size.map(|size| size + frame.data_ref().map_or(0, Bytes::len)),
                    Err(error) => {
                        size = Err(error);
                        break;
                    }
                }
            }
            let _ = bodies.send(size.clone());
            let host = request.headers().get("host").map_or("", |host| host.to_str().unwrap());
            text(format!("{} {} host={host} size={size:?}", request.method(), request.uri()))
        }
    }
}

impl Tested {
    pub fn address(&self) -> SocketAddr {
        self.running.local_addr()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(TIME_LIMIT)).unwrap();
        stream.set_write_timeout(Some(TIME_LIMIT)).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own, and returns all that comes back until the server closes it.
    pub fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        read_all(stream)
    }

    /// What became of the next body that the handler has read.
    pub fn body(&self) -> Result<usize, ErrorCode> {
        self.bodies.recv_timeout(TIME_LIMIT).unwrap()
    }
}

/// Reads until the peer ends, or resets the connection.
pub fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one response with a `content-length`, and leaves the connection open.
pub fn read_response(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    bytes.extend(body);
    String::from_utf8(bytes).unwrap()
}

/// The number in the first line.
pub fn status(response: &str) -> u16 {
    let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no response: {response:?}"))
}
