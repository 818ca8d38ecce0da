//! Commands with everything that an embedder can replace: the guests of `guests/` between pipes and files that the
//! test holds the other ends of.
#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tombolo::{Component, Config, Engine, Linker, ResourceTable, Store};
use tombolo_wasi::clocks::{Instant, VirtualClock};
use tombolo_wasi::filesystem::DescriptorLimit;
use tombolo_wasi::random::SeededRandom;
use tombolo_wasi::stdio::{AsyncInput, AsyncOutput, HostInput, HostOutput, MemoryInput, MemoryOutput};
use tombolo_wasi::{Exit, Permissions, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, Workers, p3};

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn wasi(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Runs a guest's `wasi:cli/run` and gives what it says, or the error that ended it.
async fn run(name: &str, wasi: WasiCtxBuilder) -> tombolo::Result<Result<(), ()>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../guests/{name}/{name}.wasm"));
    let engine = Engine::new(&Config::new())?;
    let component = Component::from_file(&engine, path)?;
    let mut linker = Linker::new(&engine);
    p3::add_to_linker(&mut linker)?;
    let host = Host { wasi: wasi.build(), table: ResourceTable::new() };
    let mut store = Store::new(&engine, host);
    let instance = linker.instantiate(&mut store, &component)?;
    let run = instance.instance("wasi:cli/run@0.3.2").unwrap();
    let run = run.typed_func::<(), Result<(), ()>>(&mut store, "run")?;
    let result = run.call_async(&mut store, ()).await;
    assert!(store.data().table.is_empty(), "{name} left resources behind");
    result
}

fn text(output: &MemoryOutput) -> String {
    String::from_utf8(output.contents()).unwrap()
}

#[tokio::test]
async fn bytes_pass_through_a_guest_and_around_it() {
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|i| (i * 7 / 3) as u8).collect();
    for guest in ["cat", "pump"] {
        let output = MemoryOutput::new(bytes.len());
        let wasi =
            WasiCtx::builder().args([guest]).stdin(MemoryInput::new(bytes.clone())).stdout(output.clone());
        run(guest, wasi).await.unwrap().unwrap();
        assert!(output.contents() == bytes, "{guest}");
    }
}

#[tokio::test]
async fn a_guest_waits_for_slow_pipes_at_both_ends() {
    for guest in ["cat", "pump"] {
        let (mut near_in, far_in) = tokio::io::duplex(16);
        let (far_out, mut near_out) = tokio::io::duplex(16);
        let wasi =
            WasiCtx::builder().args([guest]).stdin(AsyncInput::new(far_in)).stdout(AsyncOutput::new(far_out));
        let feeding = async move {
            for word in ["slow ", "and ", "steady, longer than both of the pipes together"] {
                near_in.write_all(word.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let mut all = String::new();
        let (result, (), read) = tokio::join!(run(guest, wasi), feeding, near_out.read_to_string(&mut all));
        result.unwrap().unwrap();
        read.unwrap();
        assert_eq!(all, "slow and steady, longer than both of the pipes together");
    }
}

#[tokio::test]
async fn bytes_pass_from_pipe_to_pipe_through_a_guest_and_around_it() {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7 / 3) as u8).collect();
    for guest in ["cat", "pump"] {
        let ((from, mut near), (mut far, to)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let workers = Workers::default();
        let wasi = WasiCtx::builder()
            .args([guest])
            .stdin(HostInput::new(from.into(), &workers))
            .stdout(HostOutput::new(to.into(), &workers));
        let sent = bytes.clone();
        let feeding = tokio::task::spawn_blocking(move || near.write_all(&sent).unwrap());
        let draining = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            far.read_to_end(&mut all).unwrap();
            all
        });
        run(guest, wasi).await.unwrap().unwrap();
        feeding.await.unwrap();
        assert!(draining.await.unwrap() == bytes, "{guest}");
    }
}

#[tokio::test]
async fn a_pipe_whose_reader_goes_away_in_the_middle_is_told_to_the_guest() {
    for guest in ["cat", "pump"] {
        let ((from, mut near), (mut far, to)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let (workers, errors) = (Workers::default(), MemoryOutput::new(1000));
        let wasi = WasiCtx::builder()
            .args([guest])
            .stdin(HostInput::new(from.into(), &workers))
            .stdout(HostOutput::new(to.into(), &workers))
            .stderr(errors.clone());
        let feeding = tokio::task::spawn_blocking(move || {
            // Until nobody reads this one either.
            while near.write_all(&[7; 1000]).is_ok() {}
        });
        let draining = tokio::task::spawn_blocking(move || far.read_exact(&mut [0; 200_000]).unwrap());
        assert!(run(guest, wasi).await.unwrap().is_err(), "{guest}");
        draining.await.unwrap();
        feeding.await.unwrap();
        assert!(text(&errors).contains("Pipe"), "{guest}: {}", text(&errors));
    }
}

#[tokio::test]
async fn an_output_that_fails_is_told_to_the_guest() {
    for guest in ["cat", "pump"] {
        let (output, errors) = (MemoryOutput::new(10), MemoryOutput::new(1000));
        let wasi = WasiCtx::builder()
            .args([guest])
            .stdin(MemoryInput::new([b'x'; 100_000]))
            .stdout(output.clone())
            .stderr(errors.clone());
        assert!(run(guest, wasi).await.unwrap().is_err(), "{guest}");
        assert_eq!(text(&output), "xxxxxxxxxx");
        assert!(text(&errors).contains("Io"), "{}", text(&errors));
    }
}

#[tokio::test]
async fn files_work_off_the_thread_that_drives_the_guest_and_on_it() {
    for in_place in [false, true] {
        for folder in [tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")), tempfile::tempdir_in("/dev/shm")] {
            let Ok(folder) = folder else { continue };
            let (limit, output) = (DescriptorLimit::new(100), MemoryOutput::new(10_000));
            let wasi = WasiCtx::builder()
                .args(["fs", "all"])
                .stdout(output.clone())
                .stderr(output.clone())
                .allow_blocking(in_place)
                .descriptor_limit(limit.clone())
                .preopened_dir(folder.path(), "/", Permissions::READ_WRITE)
                .unwrap();
            let result = run("fs", wasi).await.unwrap();
            assert_eq!((result, text(&output).trim()), (Ok(()), "fs: ok"));
            // The directory itself went with the store.
            assert_eq!(limit.open(), 0);
        }
    }
}

#[tokio::test]
async fn a_guest_may_read_what_it_may_not_change() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("below")).unwrap();
    std::fs::write(folder.path().join("below/file"), "first\na needle\n").unwrap();
    let preopened = |permissions| {
        let output = MemoryOutput::new(10_000);
        let wasi = WasiCtx::builder().stdout(output.clone()).stderr(output.clone());
        (wasi.preopened_dir(folder.path(), "/data", permissions).unwrap(), output)
    };
    let (wasi, output) = preopened(Permissions::READ_ONLY);
    run("grep", wasi.args(["grep", "needle"])).await.unwrap().unwrap();
    assert!(text(&output).contains("below/file:2:a needle"), "{}", text(&output));
    let (wasi, output) = preopened(Permissions::READ_ONLY);
    let changed = run("fs", wasi.args(["fs"])).await;
    assert!(!matches!(changed, Ok(Ok(()))), "{}", text(&output));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn an_exit_is_no_trap() {
    let error = run("exit7", WasiCtx::builder()).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Exit(7)));
    assert!(error.trap().is_none());
}

#[tokio::test]
async fn arguments_and_environment_arrive() {
    let output = MemoryOutput::new(10_000);
    let wasi = WasiCtx::builder()
        .args(["env", "ü"])
        .env("NAME", "value")
        .initial_cwd("/somewhere")
        .stdout(output.clone())
        .secure_random(SeededRandom::new(1))
        .insecure_random(SeededRandom::new(2));
    run("env", wasi).await.unwrap().unwrap();
    for line in ["arg 1: ü", "NAME=value", "/somewhere"] {
        assert!(text(&output).contains(line), "{}", text(&output));
    }
}

#[tokio::test]
async fn time_is_what_the_embedder_says() {
    let clock = VirtualClock::new(Instant::default());
    let output = MemoryOutput::new(10_000);
    let wasi = WasiCtx::builder().args(["timers"]).monotonic_clock(clock.clone()).stdout(output.clone());
    let ticking = async {
        loop {
            tokio::task::yield_now().await;
            clock.advance(1_000_000);
        }
    };
    tokio::select! {
        result = run("timers", wasi) => result.unwrap().unwrap(),
        () = ticking => {}
    }
    let elapsed: u64 = text(&output).trim().trim_end_matches(" ms").parse().unwrap();
    assert!((150..300).contains(&elapsed), "{elapsed}");
}
