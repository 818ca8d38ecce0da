//! A service from outside of its store.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tombolo::{Accessor, Store};

use super::Service;
use crate::body::Body;
use crate::{Error, ErrorCode, HttpView};

/// A service that runs elsewhere: hands requests to it, and gives what it answers.
///
/// Cheap to clone. Any thread may use it; it is best used on the thread that drives the store.
#[derive(Clone)]
pub struct Dispatcher {
    queue: Arc<Queue>,
}

type Queue = mpsc::UnboundedSender<Job>;

/// A request, and where the answer goes.
struct Job {
    request: http::Request<Body>,
    answer: oneshot::Sender<Result<http::Response<Body>, Error>>,
}

impl Dispatcher {
    /// Has the service answer a request.
    ///
    /// # Errors
    /// As for [`Service::handle`], and [`Error::Gone`] or [`Error::Abandoned`] if the service's store is not driven any
    /// more.
    ///
    /// # Cancel safety
    /// When the future is dropped, the service finishes its answer all the same, and writes no more of the body than is
    /// read.
    pub async fn handle<B>(&self, request: http::Request<B>) -> Result<http::Response<Body>, Error>
    where
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<ErrorCode>,
    {
        let (answer, answered) = oneshot::channel();
        let job = Job { request: request.map(Body::new), answer };
        self.queue.send(job).map_err(|_| Error::Gone)?;
        let mut response = answered.await.map_err(|_| Error::Abandoned)??;
        // Until the body is read or dropped, somebody may yet need the store.
        response.body_mut().keep(self.queue.clone());
        Ok(response)
    }
}

impl Service {
    /// Lets the service be reached from outside of its store. The future drives the store; it ends when all dispatchers are
    /// dropped and their requests answered, with the store, or when a guest fails.
    pub fn start<T: HttpView + 'static>(
        self,
        mut store: Store<T>,
    ) -> (Dispatcher, impl Future<Output = tombolo::Result<Store<T>>> + Send) {
        let (queue, jobs) = mpsc::unbounded_channel();
        let driver = async move {
            store.run_concurrent(|store| self.answer_all(store, jobs)).await?;
            Ok(store)
        };
        (Dispatcher { queue: Arc::new(queue) }, driver)
    }

    async fn answer_all<T: HttpView + 'static>(
        self,
        store: Accessor<T>,
        mut jobs: mpsc::UnboundedReceiver<Job>,
    ) {
        let mut answers = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = answers.next() => {}
                job = jobs.recv() => match job {
                    Some(job) => answers.push(self.answer(&store, job)),
                    None => break,
                },
            }
        }
        while answers.next().await.is_some() {}
    }

    async fn answer<T: HttpView + 'static>(&self, store: &Accessor<T>, job: Job) {
        let answer = self.handle(store, job.request).await;
        // Whoever asked may be gone.
        let _ = job.answer.send(answer);
    }
}
