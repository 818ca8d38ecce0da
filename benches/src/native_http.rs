//! What the machine can do of HTTP: a server of nothing but `hyper`.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A greeting.
    Hello,
    /// What it was sent.
    Echo,
}

impl Kind {
    /// How it is named on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Hello => "hello",
            Kind::Echo => "echo",
        }
    }
}

/// Serves until the process is killed.
///
/// # Errors
///
/// It cannot listen.
pub fn serve(kind: Kind) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("starting the event loop")?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listening")?;
        eprintln!("Serving HTTP on http://{}/", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = service_fn(move |request| async move { Ok::<_, Infallible>(answer(kind, request)) });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    })
}

fn answer(kind: Kind, request: Request<Incoming>) -> Response<Either<Full<Bytes>, Incoming>> {
    match kind {
        Kind::Hello => {
            let greeting = Bytes::from_static(b"Hello, World!\n");
            let mut response = Response::new(Either::Left(Full::new(greeting)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            response
        }
        Kind::Echo => Response::new(Either::Right(request.into_body())),
    }
}
