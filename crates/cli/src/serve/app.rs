//! What is served: a component and the middleware in front of it, compiled, and what their instances are given.

use std::sync::Arc;
use std::time::Duration;

use tombolo::{Component, Engine, Linker, Store};
use tombolo_http::Service;
use tombolo_http::client::Client;
use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::{WasiCtx, WasiCtxBuilder, Workers};

use super::arguments::ServeArgs;
use super::lines::Lines;
use super::output::Labelled;
use crate::diagnostics::Failure;
use crate::explain::{Wanted, explain};
use crate::host::Host;
use crate::load::Source;

/// For how long a guest runs before the connections and the other instances of its thread get their turn.
pub(super) const TIME_SLICE: Duration = Duration::from_millis(5);

/// Components that were found fit to be served.
pub(super) struct App {
    engine: Engine,
    linker: Linker<Host>,
    service: Component,
    /// The outermost first.
    middleware: Vec<Component>,
    given: Given,
}

/// What all instances share, of this application and of those that follow it.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) arguments: Arc<ServeArgs>,
    pub(super) descriptors: DescriptorLimit,
    pub(super) workers: Workers,
    /// Where what they print goes.
    pub(super) lines: Lines,
}

impl Given {
    /// What all of them are given of WASI, but for folders and variables.
    fn wasi(&self) -> WasiCtxBuilder {
        let wasi = WasiCtx::builder()
            .stdout(Labelled::new(&self.lines, "stdout"))
            .stderr(Labelled::new(&self.lines, "stderr"))
            .workers(self.workers.clone())
            .descriptor_limit(self.descriptors.clone());
        self.arguments.network.grant(self.arguments.grants.show_refused, wasi)
    }

    /// What sends the requests of the instances of a worker: its connections are theirs.
    pub(super) fn client(&self) -> Client {
        Client::new(self.wasi().build().sockets().clone())
    }
}

impl App {
    /// Reads the files that the arguments name, compiles them, and tries whether they can be instantiated.
    ///
    /// # Errors
    ///
    /// One of them cannot be served: the failure says which, why, and what to do.
    pub(super) fn load(engine: &Engine, given: &Given) -> Result<App, Failure> {
        let arguments = &*given.arguments;
        let mut sources = Vec::new();
        let mut components = Vec::new();
        for path in arguments.files() {
            let source = Source::read(path)?;
            let wanted = match components.len() == arguments.middleware.len() {
                true => Wanted::Service,
                false => Wanted::Middleware,
            };
            let component = Component::new(engine, &source.bytes)
                .map_err(|error| explain(&source, wanted, &arguments.grants, error))?;
            sources.push((source, wanted));
            components.push(component);
        }
        let Some(service) = components.pop() else { return Err(Failure::new("there is nothing to serve")) };
        let linker = linker(engine, arguments)
            .map_err(|error| Failure::caused_by("cannot provide WASI and HTTP", error))?;
        let app =
            App { engine: engine.clone(), linker, service, middleware: components, given: given.clone() };
        let mut store = app.store(&given.client())?;
        app.assemble(&mut store).map_err(|(index, error)| match sources.get(index) {
            Some((source, wanted)) => explain(source, *wanted, &arguments.grants, error),
            None => Failure::caused_by("cannot serve", error),
        })?;
        Ok(app)
    }

    /// Makes an instance, in a store of its own, whose requests `client` sends.
    ///
    /// # Errors
    ///
    /// A folder that it is given is gone, say, or it trapped.
    pub(super) fn instantiate(&self, client: &Client) -> Result<(Store<Host>, Service), Failure> {
        let mut store = self.store(client)?;
        let service = self.assemble(&mut store);
        let service =
            service.map_err(|(_, error)| Failure::caused_by("cannot make another instance", error))?;
        Ok((store, service))
    }

    /// What its instances share with those of others.
    pub(super) fn given(&self) -> &Given {
        &self.given
    }

    fn store(&self, client: &Client) -> Result<Store<Host>, Failure> {
        let wasi = self.given.arguments.grants.grant(self.given.wasi())?.build();
        let mut store = Store::new(&self.engine, Host::new(wasi, client.clone()));
        store
            .set_time_slice(Some(TIME_SLICE))
            .map_err(|error| Failure::caused_by("cannot bound how long guests run", error))?;
        Ok(store)
    }

    /// Links the middleware to what is behind it, from the inside out. An error comes with the position of its file.
    fn assemble(&self, store: &mut Store<Host>) -> Result<Service, (usize, tombolo::Error)> {
        let last = self.middleware.len();
        let mut service =
            Service::new(&mut *store, &self.linker, &self.service).map_err(|error| (last, error))?;
        for (index, middleware) in self.middleware.iter().enumerate().rev() {
            let front = service.behind(&mut *store, &self.linker, middleware);
            service = front.map_err(|error| (index, error))?;
        }
        Ok(service)
    }
}

fn linker(engine: &Engine, arguments: &ServeArgs) -> tombolo::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    arguments.grants.provide(&mut linker)?;
    arguments.grants.deny(&mut linker);
    Ok(linker)
}
