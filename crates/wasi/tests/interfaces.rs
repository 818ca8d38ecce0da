//! Every interface that the declarations in `wit/` have finds its counterpart in the linker, in each version of
//! WASI 0.3 that has come out.
#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::path::Path;

use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_wasi::clocks::FixedTimeZone;
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
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
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
    let clocks = Component::new(&engine, importer("0.3.2", &["clocks"])).unwrap();
    assert_eq!(linker.missing(&clocks), ["wasi:clocks/timezone@0.3.2"], "not stable: on demand");
    p3::clocks::add_timezone_to_linker(&mut linker).unwrap();
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
    for world in ["command", "service", "middleware"] {
        resolve.select_world(&[package], Some(world)).unwrap();
    }
}

/// Nobody has bindings for what is not stable: this component passes on what it is answered.
const TIME_ZONE: &str = r#"(component
    (import "wasi:clocks/system-clock@0.3.2" (instance $clock
        (type $record (record (field "seconds" s64) (field "nanoseconds" u32)))
        (export "instant" (type (eq $record)))))
    (alias export $clock "instant" (type $instant))
    (import "wasi:clocks/timezone@0.3.2" (instance $zone
        (alias outer 1 $instant (type $outer))
        (export "instant" (type $when (eq $outer)))
        (export "iana-id" (func (result (option string))))
        (export "utc-offset" (func (param "when" $when) (result (option s64))))
        (export "to-debug-string" (func (result string)))))
    (core module $libc
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $id (canon lower (func $zone "iana-id") (memory $memory) (realloc $realloc)))
    (core func $text (canon lower (func $zone "to-debug-string") (memory $memory) (realloc $realloc)))
    (core func $offset (canon lower (func $zone "utc-offset") (memory $memory)))
    (core module $m
        (import "" "id" (func $id (param i32)))
        (import "" "text" (func $text (param i32)))
        (import "" "offset" (func $offset (param i64 i32 i32)))
        (func (export "id") (result i32) (call $id (i32.const 16)) (i32.const 16))
        (func (export "text") (result i32) (call $text (i32.const 16)) (i32.const 16))
        (func (export "offset") (param i64 i32) (result i32)
            (call $offset (local.get 0) (local.get 1) (i32.const 16))
            (i32.const 16)))
    (core instance $i (instantiate $m (with "" (instance
        (export "id" (func $id)) (export "text" (func $text)) (export "offset" (func $offset))))))
    (func (export "iana-id") (result (option string)) (canon lift (core func $i "id") (memory $memory)))
    (func (export "to-debug-string") (result string) (canon lift (core func $i "text") (memory $memory)))
    (type $option (option s64))
    (func $f (param "seconds" s64) (param "nanoseconds" u32) (result $option)
        (canon lift (core func $i "offset") (memory $memory)))
    (export "utc-offset" (func $f)))"#;

#[test]
fn the_time_zone_is_what_the_embedder_says() {
    let engine = Engine::new(&Config::new()).unwrap();
    let mut linker = Linker::new(&engine);
    p3::clocks::add_to_linker(&mut linker).unwrap();
    p3::clocks::add_timezone_to_linker(&mut linker).unwrap();
    let component = Component::new(&engine, TIME_ZONE).unwrap();
    let wasi = WasiCtx::builder().time_zone(FixedTimeZone::new(Some("Asia/Kathmandu"), 20_700)).build();
    let mut store = Store::new(&engine, Host { wasi, table: ResourceTable::new() });
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let id = instance.typed_func::<(), Option<String>>(&mut store, "iana-id").unwrap();
    assert_eq!(id.call(&mut store, ()).unwrap().as_deref(), Some("Asia/Kathmandu"));
    // A record of two is two parameters, as the Canonical ABI has it.
    let offset = instance.typed_func::<(i64, u32), Option<i64>>(&mut store, "utc-offset").unwrap();
    assert_eq!(offset.call(&mut store, (-1, 999_999_999)).unwrap(), Some(20_700_000_000_000));
    let text = instance.typed_func::<(), String>(&mut store, "to-debug-string").unwrap();
    assert_eq!(text.call(&mut store, ()).unwrap(), "Asia/Kathmandu");
}
