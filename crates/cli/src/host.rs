//! What the store of a program holds for its host.

use tombolo::ResourceTable;
use tombolo_http::client::Client;
use tombolo_http::{HttpCtx, HttpCtxView, HttpView};
use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView};

pub(crate) struct Host {
    wasi: WasiCtx,
    http: HttpCtx,
    table: ResourceTable,
}

impl Host {
    /// For a program that is given this of WASI, and whose requests `client` sends.
    pub(crate) fn new(wasi: WasiCtx, client: Client) -> Self {
        Host { wasi, http: HttpCtx::new().client(client), table: ResourceTable::new() }
    }
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl HttpView for Host {
    fn http(&mut self) -> HttpCtxView<'_> {
        HttpCtxView { ctx: &mut self.http, table: &mut self.table }
    }
}
