//! Every interface that the declarations in `wit/` have finds its counterpart in the linker, in each version of
//! WASI 0.3 that has come out.
#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;

use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_wasi::{WasiCtx, WasiCtxView, WasiView, p3};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, UnresolvedPackageGroup};

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A component that imports all of these packages' interfaces.
fn importer(version: &str, packages: &[&str]) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/deps");
    let mut resolve = Resolve::default();
    let mut imports = String::new();
    // Each package comes after those that it uses.
    for package in ["clocks", "random", "filesystem", "sockets", "cli"] {
        let text = std::fs::read_to_string(folder.join(format!("{package}.wit"))).unwrap();
        let text = text.replace("@0.3.2", &format!("@{version}"));
        let group = UnresolvedPackageGroup::parse(format!("{package}.wit"), &text).unwrap();
        let id = resolve.push_group(group).unwrap();
        if packages.contains(&package) {
            for name in resolve.packages[id].interfaces.keys().filter(|name| *name != "run") {
                imports.push_str(&format!("import wasi:{package}/{name}@{version};\n"));
            }
        }
    }
    let text = format!("package test:test; world test {{ {imports} }}");
    let group = UnresolvedPackageGroup::parse("test.wit", &text).unwrap();
    let package = resolve.push_group(group).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let abi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
    let mut module = dummy_module(&resolve, world, abi);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

#[test]
fn every_declared_interface_is_defined() {
    let engine = Engine::new(&Config::new()).unwrap();
    let mut linker = Linker::new(&engine);
    p3::add_to_linker(&mut linker).unwrap();
    let everything = importer("0.3.2", &["cli", "clocks", "random", "filesystem", "sockets"]);
    let everything = Component::new(&engine, everything).unwrap();
    let mut without = linker.clone();
    assert!(without.remove("wasi:random/insecure@0.3.2"));
    assert_eq!(without.missing(&everything), ["wasi:random/insecure@0.3.2"]);
    for version in ["0.3.0", "0.3.1", "0.3.2"] {
        let bytes = importer(version, &["cli", "clocks", "random", "filesystem", "sockets"]);
        let component = Component::new(&engine, bytes).unwrap();
        assert_eq!(linker.missing(&component), Vec::<String>::new(), "{version}");
        let wasi = WasiCtx::builder().build();
        let mut store = Store::new(&engine, Host { wasi, table: ResourceTable::new() });
        linker.instantiate(&mut store, &component).unwrap();
    }
}

#[test]
fn the_declarations_are_a_package() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(folder).unwrap();
    resolve.select_world(&[package], Some("command")).unwrap();
}
