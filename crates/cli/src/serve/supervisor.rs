//! What sees to a server that runs: signals, files that change, and the end.

use std::future::pending;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tombolo::Engine;
use tombolo_http::server::{Running, Tls};

use super::app::{App, Given};
use super::backend::Swap;
use super::watch::Watch;
use crate::diagnostics::{Failure, report};

/// How long threads have to end that were told to stop.
const STOP_TIME: Duration = Duration::from_secs(1);

pub(super) struct Supervisor {
    pub(super) running: Running,
    /// Where each worker gets another application from.
    pub(super) workers: Vec<mpsc::UnboundedSender<Swap>>,
    pub(super) engine: Engine,
    pub(super) given: Given,
    /// The certificate, if there is one.
    pub(super) tls: Option<Tls>,
    pub(super) signals: Signals,
    /// The files that it was made of, with `--watch`.
    pub(super) watch: Option<Watch>,
}

/// The signals that mean something to a server.
pub(super) struct Signals {
    end: EndSignals,
    hangup: Signal,
    /// With a limit on the size of files, the kernel would end the process at it. The program gets an error instead.
    _file_size: Signal,
}

impl Signals {
    /// Begins to catch them. Must be called in a runtime.
    ///
    /// # Errors
    ///
    /// The system does not let it.
    pub(super) fn new() -> io::Result<Signals> {
        Ok(Signals {
            end: EndSignals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }
}

/// Those that are to end it.
struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// Waits for either of them.
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Supervisor {
    /// Loads the application again as often as it is to be, and drains at the first signal to end.
    pub(super) async fn supervise(mut self) -> ExitCode {
        let mut loading = None;
        loop {
            tokio::select! {
                () = self.signals.end.recv() => return self.drain().await,
                loaded = finished(&mut loading) => self.swap(loaded).await,
                // One at a time: what changes meanwhile is seen afterwards.
                () = changed(&mut self.watch), if loading.is_none() => loading = Some(self.load()),
                _ = self.signals.hangup.recv(), if loading.is_none() => {
                    if let Some(watch) = &mut self.watch {
                        watch.reset();
                    }
                    self.renew();
                    loading = Some(self.load());
                }
            }
        }
    }

    /// Reads the certificate anew.
    fn renew(&self) {
        let Some(tls) = &self.tls else { return };
        if let Err(failure) = self.given.arguments.renew(tls) {
            report(&failure.hint("until then, the certificate that was used before is used on"));
        }
    }

    /// Loads the application anew, beside the one that is served.
    fn load(&self) -> JoinHandle<Result<App, Failure>> {
        let (engine, given) = (self.engine.clone(), self.given.clone());
        tokio::task::spawn_blocking(move || App::load(&engine, &given))
    }

    /// Has every worker serve another application, if it is fit to be served.
    async fn swap(&self, loaded: Result<App, Failure>) {
        let outcome = match loaded {
            Ok(app) => self.give(Arc::new(app)).await,
            Err(failure) => Err(failure),
        };
        let file = self.given.arguments.file.display();
        match outcome {
            Ok(()) => self.given.lines.put(format!("Serving {file} as it is now\n").as_bytes()),
            Err(failure) => {
                report(&failure.hint("until then, what was served before is served on"));
            }
        }
    }

    async fn give(&self, app: Arc<App>) -> Result<(), Failure> {
        let mut outcomes = Vec::new();
        for worker in &self.workers {
            let (done, outcome) = oneshot::channel();
            // A worker that has ended has no requests to answer.
            if worker.send(Swap { app: app.clone(), done }).is_ok() {
                outcomes.push(outcome);
            }
        }
        for outcome in outcomes {
            outcome.await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// Ends when what has begun is over, at the next signal, or when it takes too long.
    async fn drain(mut self) -> ExitCode {
        self.running.drain();
        let patience = self.given.arguments.drain_timeout().0;
        let late = async {
            match patience.and_then(|time| Instant::now().checked_add(time)) {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.running.ended() => return ExitCode::SUCCESS,
            () = self.signals.end.recv() => {}
            () = late => {}
        }
        self.running.stop();
        // A thread that does not end in time ends with the process.
        let _ = timeout(STOP_TIME, self.running.ended()).await;
        report(&Failure::new("stopped before all that was asked was answered"))
    }
}

/// Waits for what is being loaded, if anything is.
async fn finished(loading: &mut Option<JoinHandle<Result<App, Failure>>>) -> Result<App, Failure> {
    let Some(handle) = loading else { return pending().await };
    let loaded = handle.await;
    *loading = None;
    loaded.unwrap_or_else(|error| Err(Failure::caused_by("cannot load the component", error)))
}

/// Waits until a file changes, if they are watched.
async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => pending().await,
    }
}
