//! The worlds `service` and `middleware` that the declarations in `wit/` have find everything that they import, in each
//! version of WASI 0.3 that has come out.
#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;

use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_http::{HttpCtx, HttpCtxView, HttpView, Service};
use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView, p3};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, UnresolvedPackageGroup};

struct Host {
    wasi: WasiCtx,
    http: HttpCtx,
    table: ResourceTable,
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

/// A component of a world of `wasi:http` that uses every function of it.
fn component(world: &str, version: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/deps");
    let mut resolve = Resolve::default();
    // Each package comes after those that it uses.
    for package in ["clocks", "random", "filesystem", "sockets", "cli", "http"] {
        let text = std::fs::read_to_string(folder.join(format!("{package}.wit"))).unwrap();
        let text = text.replace("@0.3.2", &format!("@{version}"));
        resolve.push_group(UnresolvedPackageGroup::parse(format!("{package}.wit"), &text).unwrap()).unwrap();
    }
    let text = format!("package test:test; world test {{ include wasi:http/{world}@{version}; }}");
    let package = resolve.push_group(UnresolvedPackageGroup::parse("test.wit", &text).unwrap()).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::AsyncCallback));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

#[test]
fn every_declared_function_is_defined() {
    let engine = Engine::new(&Config::new()).unwrap();
    let mut linker = Linker::new(&engine);
    p3::add_to_linker(&mut linker).unwrap();
    tombolo_http::add_to_linker(&mut linker).unwrap();
    for version in ["0.3.0", "0.3.1", "0.3.2"] {
        let [service, middleware] = ["service", "middleware"]
            .map(|world| Component::new(&engine, component(world, version)).unwrap());
        assert_eq!(linker.missing(&service), [""; 0], "{version}");
        assert_eq!(linker.missing(&middleware), [format!("wasi:http/handler@{version}")]);
        let host =
            Host { wasi: WasiCtx::builder().build(), http: HttpCtx::new(), table: ResourceTable::new() };
        let mut store = Store::new(&engine, host);
        let service = Service::new(&mut store, &linker, &service).unwrap();
        service.behind(&mut store, &linker, &middleware).unwrap();
    }
}
