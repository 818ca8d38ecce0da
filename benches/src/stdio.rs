//! Standard input to standard output through pipes: as a whole process, its start included.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bench::{Bench, Contestant, Measure, Row, Sample, Settings, Target, Unit, Who};
use crate::programs::{Programs, guest};

/// What the feeding and the draining thread move at a time.
const CHUNK: usize = 65536;

/// The rows.
///
/// # Errors
///
/// This program's own file cannot be found.
pub fn benches(programs: &Programs, settings: Settings) -> Result<Vec<Bench>> {
    let bytes: u64 = if settings.quick { 256 << 20 } else { 2 << 30 };
    let this = std::env::current_exe().context("finding out where this program is")?;
    let bench = |name, work: &str, target, peer: &str, native: Box<dyn Fn() -> Command>| {
        let mut contestants = programs.contestants(|runner| {
            let guest = guest(name);
            through(bytes, Box::new(move || runner.command(&[], &guest)))
        });
        contestants.push(Contestant { who: Who::Native, measure: through(bytes, native) });
        let name = format!("{work}, {} MB (native: {peer})", bytes >> 20);
        Bench::of(Row { name, unit: Unit::Time, target }, contestants)
    };
    Ok(vec![
        bench(
            "cat",
            "stdin -> stdout forwarded by the guest",
            Target::Native { times: 1.0, plus: 0.0 },
            "cat",
            Box::new(|| Command::new("cat")),
        ),
        bench(
            "pump",
            "stdin -> guest memory -> stdout, 64 KiB",
            Target::Native { times: 1.5, plus: 0.0 },
            "a loop",
            Box::new(move || {
                let mut command = Command::new(&this);
                command.args(["--native-copy", "65536"]);
                command
            }),
        ),
    ])
}

/// Copies standard input to standard output through a buffer of so many bytes.
///
/// # Errors
///
/// Reading or writing fails.
pub fn native_copy(chunk: usize) -> Result<()> {
    let mut buffer = vec![0; chunk];
    loop {
        let length = rustix::io::read(rustix::stdio::stdin(), &mut buffer)?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            let written = rustix::io::write(rustix::stdio::stdout(), rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}

/// Sends so many bytes through a program.
fn through(bytes: u64, command: Box<dyn Fn() -> Command>) -> Measure {
    Box::new(move || {
        let mut command = command();
        let start = Instant::now();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (source, sink) = (child.stdin.take(), child.stdout.take());
        let (source, mut sink) = (source.context("no pipe to it")?, sink.context("no pipe from it")?);
        let feeder = thread::spawn(move || feed(source, bytes));
        let peak = Peak::watch(&child);
        let mut buffer = vec![0; CHUNK];
        let mut arrived = 0;
        loop {
            match sink.read(&mut buffer)? {
                0 => break,
                length => arrived += length as u64,
            }
        }
        let status = child.wait()?;
        let nanos = start.elapsed().as_nanos() as f64;
        let fed = feeder.join();
        ensure!(status.success(), "{command:?} ended with {status}");
        ensure!(arrived == bytes, "of {bytes} bytes, {arrived} came through");
        fed.unwrap_or_else(|_| Err(io::Error::other("the feeding thread panicked")))?;
        Ok(vec![Sample { nanos, peak_bytes: peak.finish() }])
    })
}

fn feed(mut source: ChildStdin, bytes: u64) -> io::Result<()> {
    let buffer = vec![b'x'; CHUNK];
    let mut rest = bytes;
    while rest > 0 {
        let chunk = buffer.get(..CHUNK.min(rest as usize)).unwrap_or_default();
        source.write_all(chunk)?;
        rest -= chunk.len() as u64;
    }
    Ok(())
}

/// The most memory that a process has had, looked at a hundred times a second: when it has ended, nobody knows.
struct Peak(thread::JoinHandle<u64>);

impl Peak {
    fn watch(child: &Child) -> Self {
        let file = format!("/proc/{}/status", child.id());
        Peak(thread::spawn(move || {
            let mut most = 0;
            // A process that has ended, waited for or not, has no such line.
            while let Some(peak) = std::fs::read_to_string(&file).ok().and_then(|status| peak_of(&status)) {
                most = peak;
                thread::sleep(Duration::from_millis(10));
            }
            most
        }))
    }

    fn finish(self) -> Option<u64> {
        self.0.join().ok().filter(|peak| *peak > 0)
    }
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
