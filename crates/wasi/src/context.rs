//! What a guest is given.

use std::path::Path;
use std::sync::Arc;

use tombolo::ResourceTable;

use crate::blocking::Workers;
use crate::clocks::{
    HostMonotonicClock, HostSystemClock, HostTimeZone, MonotonicClock, SystemClock, TimeZone,
};
use crate::environment::Environment;
use crate::error::Error;
use crate::filesystem::{
    Descriptor, DescriptorLimit, HostObject, MetadataHashKey, Object, OnReadOnly, Permissions, Preopen,
};
use crate::random::{Random, RandomSource};
use crate::sockets::{AllowAll, DenyAll, HostNetwork, Network, SocketPolicy, Sockets};
use crate::stdio::{HostInput, HostOutput, InputSource, Null, OutputTarget};

/// Everything that a guest reaches through WASI. Made by a [`WasiCtxBuilder`].
pub struct WasiCtx {
    pub(crate) environment: Arc<Environment>,
    pub(crate) stdio: Stdio,
    pub(crate) clocks: Clocks,
    pub(crate) random: Random,
    pub(crate) filesystem: Filesystem,
    pub(crate) sockets: Sockets,
    pub(crate) workers: Workers,
}

/// The standard streams.
pub(crate) struct Stdio {
    pub(crate) stdin: Box<dyn InputSource>,
    pub(crate) stdout: Box<dyn OutputTarget>,
    pub(crate) stderr: Box<dyn OutputTarget>,
}

/// The clocks.
pub(crate) struct Clocks {
    pub(crate) monotonic: Arc<dyn MonotonicClock>,
    pub(crate) system: Arc<dyn SystemClock>,
    pub(crate) time_zone: Arc<dyn TimeZone>,
}

/// The files.
#[derive(Default)]
pub(crate) struct Filesystem {
    pub(crate) preopens: Vec<Preopen>,
    pub(crate) hash_key: Arc<MetadataHashKey>,
}

impl WasiCtx {
    /// Begins to put together a context.
    pub fn builder() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }

    /// The network that the guest was given, with the policy before it: for other ways to it than WASI's own.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }
}

/// The host's data of a store, as far as WASI needs it: every store whose guests use WASI holds something that
/// implements this.
pub trait WasiView: Send {
    /// Gives access to the guest's context and to the table of its resources.
    fn wasi(&mut self) -> WasiCtxView<'_>;
}

/// What a [`WasiView`] gives access to.
pub struct WasiCtxView<'a> {
    /// What the guest was given.
    pub ctx: &'a mut WasiCtx,
    /// What it has opened.
    pub table: &'a mut ResourceTable,
}

/// Puts together a [`WasiCtx`].
///
/// Without further words a guest gets the host's clocks and randomness, standard streams that lead nowhere, and
/// nothing else: no arguments, no environment, no files, no network.
///
/// ```
/// use tombolo_wasi::{Permissions, WasiCtx};
///
/// # fn main() -> Result<(), tombolo_wasi::Error> {
/// let context = WasiCtx::builder()
///     .args(["program", "--verbose"])
///     .env("LANG", "C")
///     .inherit_stdio()
///     .preopened_dir("/tmp", "/scratch", Permissions::READ_WRITE)?
///     .build();
/// # Ok(())
/// # }
/// ```
pub struct WasiCtxBuilder {
    environment: Environment,
    stdin: Stream<dyn InputSource>,
    stdout: Stream<dyn OutputTarget>,
    stderr: Stream<dyn OutputTarget>,
    clocks: Clocks,
    random: Random,
    preopens: Vec<Preopen>,
    on_read_only: Option<Tell>,
    network: Option<Arc<dyn Network>>,
    socket_policy: Arc<dyn SocketPolicy>,
    limit: DescriptorLimit,
    workers: Workers,
    in_place: bool,
}

/// Is told the path of a directory that something was refused in.
type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Where a standard stream leads.
enum Stream<S: ?Sized> {
    /// Where the host's own does.
    Inherit,
    /// Where the embedder says.
    To(Box<S>),
}

impl Default for WasiCtxBuilder {
    fn default() -> Self {
        WasiCtxBuilder {
            environment: Environment::default(),
            stdin: Stream::To(Box::new(Null)),
            stdout: Stream::To(Box::new(Null)),
            stderr: Stream::To(Box::new(Null)),
            clocks: Clocks {
                monotonic: Arc::new(HostMonotonicClock),
                system: Arc::new(HostSystemClock),
                time_zone: Arc::new(HostTimeZone::default()),
            },
            random: Random::default(),
            preopens: Vec::new(),
            on_read_only: None,
            network: None,
            socket_policy: Arc::new(DenyAll),
            limit: DescriptorLimit::default(),
            workers: Workers::default(),
            in_place: false,
        }
    }
}

impl WasiCtxBuilder {
    /// Begins with nothing granted but clocks and randomness.
    pub fn new() -> Self {
        WasiCtxBuilder::default()
    }

    /// Adds an argument. The first one is the program's own name.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.environment.arguments).push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let arguments = arguments.into_iter().map(Into::into);
        Arc::make_mut(&mut self.environment.arguments).extend(arguments);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.set(name.into(), value.into());
        self
    }

    /// Sets environment variables.
    #[must_use]
    pub fn envs(
        mut self,
        variables: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        for (name, value) in variables {
            self.environment.set(name.into(), value.into());
        }
        self
    }

    /// Passes the host process's environment on, as far as it is Unicode.
    #[must_use]
    pub fn inherit_env(mut self) -> Self {
        self.environment.inherit();
        self
    }

    /// Says where the guest should take relative paths to begin.
    #[must_use]
    pub fn initial_cwd(mut self, path: impl Into<String>) -> Self {
        self.environment.initial_cwd = Some(path.into());
        self
    }

    /// Reads standard input from `source`.
    #[must_use]
    pub fn stdin(mut self, source: impl InputSource) -> Self {
        self.stdin = Stream::To(Box::new(source));
        self
    }

    /// Writes standard output to `target`.
    #[must_use]
    pub fn stdout(mut self, target: impl OutputTarget) -> Self {
        self.stdout = Stream::To(Box::new(target));
        self
    }

    /// Writes standard error to `target`.
    #[must_use]
    pub fn stderr(mut self, target: impl OutputTarget) -> Self {
        self.stderr = Stream::To(Box::new(target));
        self
    }

    /// Reads the host process's standard input.
    #[must_use]
    pub fn inherit_stdin(mut self) -> Self {
        self.stdin = Stream::Inherit;
        self
    }

    /// Writes the host process's standard output.
    #[must_use]
    pub fn inherit_stdout(mut self) -> Self {
        self.stdout = Stream::Inherit;
        self
    }

    /// Writes the host process's standard error.
    #[must_use]
    pub fn inherit_stderr(mut self) -> Self {
        self.stderr = Stream::Inherit;
        self
    }

    /// Shares all three of the host process's standard streams.
    #[must_use]
    pub fn inherit_stdio(self) -> Self {
        self.inherit_stdin().inherit_stdout().inherit_stderr()
    }

    /// Measures time and waits by `clock`.
    #[must_use]
    pub fn monotonic_clock(mut self, clock: impl MonotonicClock) -> Self {
        self.clocks.monotonic = Arc::new(clock);
        self
    }

    /// Tells the date by `clock`.
    #[must_use]
    pub fn system_clock(mut self, clock: impl SystemClock) -> Self {
        self.clocks.system = Arc::new(clock);
        self
    }

    /// Says where the clock hangs, to guests that import [`timezone`](crate::p3::clocks::add_timezone_to_linker).
    #[must_use]
    pub fn time_zone(mut self, zone: impl TimeZone) -> Self {
        self.clocks.time_zone = Arc::new(zone);
        self
    }

    /// Draws unpredictable bytes from `source`. A guest without secrets may be given a seeded one.
    #[must_use]
    pub fn secure_random(mut self, source: impl RandomSource) -> Self {
        self.random.secure = Box::new(source);
        self
    }

    /// Draws bytes that need not be unpredictable from `source`.
    #[must_use]
    pub fn insecure_random(mut self, source: impl RandomSource) -> Self {
        self.random.insecure = Box::new(source);
        self
    }

    /// Sets the seed of the guest's hash maps.
    #[must_use]
    pub fn insecure_random_seed(mut self, lower: u64, upper: u64) -> Self {
        self.random.insecure_seed = Some((lower, upper));
        self
    }

    /// Bounds the number of the host's descriptors that the guest may hold open: sockets, and what is below directories
    /// that are added after this. Half of what the process may have open by default.
    #[must_use]
    pub fn descriptor_limit(mut self, limit: DescriptorLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Grants a directory of the host with all that lies below it.
    ///
    /// # Errors
    ///
    /// It is not there, is not a directory, or may not be opened.
    pub fn preopened_dir(
        self,
        host: impl AsRef<Path>,
        guest: impl Into<String>,
        permissions: Permissions,
    ) -> Result<Self, Error> {
        let (host, guest) = (host.as_ref(), guest.into());
        match HostObject::open_ambient_directory(host, &self.limit) {
            Ok(directory) => Ok(self.preopened_object(directory, guest, permissions)),
            Err(source) => Err(Error::Preopen { host: host.to_owned(), guest, source }),
        }
    }

    /// Grants a directory of any filesystem.
    #[must_use]
    pub fn preopened_object(
        mut self,
        directory: Arc<dyn Object>,
        guest: impl Into<String>,
        permissions: Permissions,
    ) -> Self {
        let descriptor = Descriptor::preopen(directory, permissions);
        self.preopens.push(Preopen { descriptor, path: guest.into() });
        self
    }

    /// Calls `tell` whenever the guest tries to change something in a directory that it may only read, with the path
    /// that it knows the directory by. The guest gets its error either way.
    #[must_use]
    pub fn on_read_only(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_read_only = Some(Arc::new(tell));
        self
    }

    /// Says what the guest may do with the network. Nothing by default; an
    /// [`AllowList`](crate::sockets::AllowList) is what most embedders want.
    #[must_use]
    pub fn socket_policy(mut self, policy: impl SocketPolicy) -> Self {
        self.socket_policy = Arc::new(policy);
        self
    }

    /// Lets the guest do whatever the host process may do with the network.
    #[must_use]
    pub fn inherit_network(self) -> Self {
        self.socket_policy(AllowAll)
    }

    /// Gives the guest another network than the host's. It is asked for nothing that the socket policy refuses.
    #[must_use]
    pub fn network(mut self, network: impl Network) -> Self {
        self.network = Some(Arc::new(network));
        self
    }

    /// Sets where work is done that may block: on a number of threads that is the guest's own, 32 by default.
    #[must_use]
    pub fn workers(mut self, workers: Workers) -> Self {
        self.workers = workers;
        self
    }

    /// Lets file operations wait for the disk on the thread that drives the guest, instead of on another thread.
    ///
    /// Faster where that thread has nothing else to do than to wait for this guest: in a command that runs one
    /// program, not in a server. Pipes, terminals and timers never hold the thread up either way.
    #[must_use]
    pub fn allow_blocking(mut self, allow: bool) -> Self {
        self.in_place = allow;
        self
    }

    /// Makes the context.
    pub fn build(self) -> WasiCtx {
        let workers = if self.in_place { self.workers.in_place() } else { self.workers };
        let host_network = || Arc::new(HostNetwork::new(self.limit, workers.clone())) as Arc<dyn Network>;
        let network = self.network.unwrap_or_else(host_network);
        let watched = |preopen: Preopen| {
            let path = Arc::from(preopen.path.as_str());
            let on_read_only = self.on_read_only.clone().map(|tell| OnReadOnly { tell, path });
            Preopen { descriptor: preopen.descriptor.with_on_read_only(on_read_only), path: preopen.path }
        };
        let preopens = self.preopens.into_iter().map(watched).collect();
        WasiCtx {
            environment: Arc::new(self.environment),
            stdio: Stdio {
                stdin: self.stdin.resolve(|| Box::new(HostInput::stdin(&workers))),
                stdout: self.stdout.resolve(|| Box::new(HostOutput::stdout(&workers))),
                stderr: self.stderr.resolve(|| Box::new(HostOutput::stderr(&workers))),
            },
            clocks: self.clocks,
            random: self.random,
            filesystem: Filesystem { preopens, hash_key: Arc::default() },
            sockets: Sockets::new(network, self.socket_policy),
            workers,
        }
    }
}

impl<S: ?Sized> Stream<S> {
    fn resolve(self, inherit: impl FnOnce() -> Box<S>) -> Box<S> {
        match self {
            Stream::Inherit => inherit(),
            Stream::To(stream) => stream,
        }
    }
}
