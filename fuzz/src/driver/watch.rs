//! The process that starts the others, adds up what they say, and takes note when one dies or hangs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tombolo_fuzz::{Counts, Target};

use super::input;
use crate::Args;

/// No input takes as long, however busy the machine is.
const HANGS: Duration = Duration::from_secs(300);

/// Then something is fundamentally wrong.
const TOO_MANY_FINDINGS: usize = 50;

/// How long to wait between two lines that say how far things are.
const PROGRESS: Duration = Duration::from_secs(20);

/// What a worker says, with its number.
enum News {
    Line(String),
    End,
}

struct Worker {
    child: Child,
    /// Where it writes the number of the input that it tries.
    place: PathBuf,
    next: u64,
    /// When it last said something.
    heard: Instant,
    /// Whether it was ended because it said nothing for too long.
    hung: bool,
}

pub(super) fn run<T: Target>(args: &Args) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let (sender, receiver) = channel();
    let scratch = std::env::temp_dir().join(format!("tombolo-fuzz-{}-{}", T::NAME, std::process::id()));
    fs::create_dir_all(&scratch)?;
    let mut workers = Vec::new();
    for number in 0..args.jobs {
        let place = scratch.join(number.to_string());
        workers.push(Some(start(args, number as usize, place, args.from + number, &sender)?));
    }
    let mut watch = Watch { target: T::NAME, args, begun, tried: 0, counts: Counts::default(), findings: 0 };
    watch.until_all_end::<T>(&mut workers, &sender, &receiver)?;
    fs::remove_dir_all(&scratch)?;
    print!("{}", watch.counts);
    watch.say("");
    Ok(if watch.findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn start(
    args: &Args,
    number: usize,
    place: PathBuf,
    from: u64,
    news: &Sender<(usize, News)>,
) -> anyhow::Result<Worker> {
    fs::write(&place, from.to_le_bytes())?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args().nth(1))
        .args([
            "--inputs".to_owned(),
            (args.from + args.inputs).to_string(),
            "--seed".to_owned(),
            args.seed.to_string(),
        ])
        .args(["--from".to_owned(), from.to_string(), "--every".to_owned(), args.jobs.to_string()])
        .arg("--worker")
        .arg(&place)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().map(BufReader::new);
    let news = news.clone();
    std::thread::spawn(move || {
        for line in output.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
            if news.send((number, News::Line(line))).is_err() {
                return;
            }
        }
        // Nobody listens any more if this fails.
        let _ = news.send((number, News::End));
    });
    Ok(Worker { child, place, next: from, heard: Instant::now(), hung: false })
}

struct Watch<'a> {
    target: &'static str,
    args: &'a Args,
    begun: Instant,
    tried: u64,
    counts: Counts,
    findings: usize,
}

impl Watch<'_> {
    fn until_all_end<T: Target>(
        &mut self,
        workers: &mut [Option<Worker>],
        sender: &Sender<(usize, News)>,
        receiver: &Receiver<(usize, News)>,
    ) -> anyhow::Result<()> {
        let mut said = Instant::now();
        while workers.iter().any(Option::is_some) {
            let over = self.args.seconds.is_some_and(|seconds| self.begun.elapsed().as_secs() >= seconds);
            if over || self.findings >= TOO_MANY_FINDINGS {
                for worker in workers.iter_mut().flatten() {
                    worker.child.kill()?;
                    worker.child.wait()?;
                }
                return Ok(());
            }
            if said.elapsed() > PROGRESS {
                said = Instant::now();
                self.say(" so far");
            }
            for worker in workers.iter_mut().flatten() {
                if worker.heard.elapsed() > HANGS {
                    worker.heard = Instant::now();
                    worker.hung = true;
                    worker.child.kill()?;
                }
            }
            let (number, news) = match receiver.recv_timeout(Duration::from_millis(200)) {
                Ok(news) => news,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            let Some(slot) = workers.get_mut(number) else { continue };
            let Some(mut worker) = slot.take() else { continue };
            *slot = match news {
                News::Line(line) => {
                    self.line::<T>(&mut worker, &line)?;
                    Some(worker)
                }
                News::End => self.ended::<T>(worker, number, sender)?,
            };
        }
        Ok(())
    }

    fn line<T: Target>(&mut self, worker: &mut Worker, line: &str) -> anyhow::Result<()> {
        worker.heard = Instant::now();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "count" => self.counts.merge(&Counts::parse(rest)),
            "at" => {
                let next = rest.parse()?;
                self.tried += (next - worker.next) / self.args.jobs;
                worker.next = next;
            }
            "found" => {
                let (index, text) = rest.split_once(' ').unwrap_or((rest, ""));
                self.found::<T>(index.parse()?, &text.replace("\\n", "\n    ").replace("\\\"", "\""))?;
            }
            _ => eprintln!("{line}"),
        }
        Ok(())
    }

    /// Takes note of a process that ended before its time, and starts another at its next input.
    fn ended<T: Target>(
        &mut self,
        mut worker: Worker,
        number: usize,
        sender: &Sender<(usize, News)>,
    ) -> anyhow::Result<Option<Worker>> {
        let status = worker.child.wait()?;
        if status.success() {
            return Ok(None);
        }
        let index = read_place(&worker.place)?;
        let text =
            if worker.hung { "the process hung".to_owned() } else { format!("the process ended: {status}") };
        self.found::<T>(index, &text)?;
        let next = index + self.args.jobs;
        self.tried += (next - worker.next) / self.args.jobs;
        Ok(Some(start(self.args, number, worker.place, next, sender)?))
    }

    fn found<T: Target>(&mut self, index: u64, text: &str) -> anyhow::Result<()> {
        self.findings += 1;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(T::NAME);
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}-{index}", self.args.seed));
        fs::write(&file, input::<T>(self.args.seed, index))?;
        println!(
            "FOUND with --seed {} --from {index}:\n    {text}\n    kept in {}",
            self.args.seed,
            file.display()
        );
        Ok(())
    }

    fn say(&self, when: &str) {
        let Watch { target, args, begun, tried, findings, .. } = self;
        let seconds = begun.elapsed().as_secs_f64();
        let rate = *tried as f64 / seconds;
        println!(
            "{target}, seed {}: {tried} inputs{when} in {seconds:.0} s ({rate:.0} per second), {findings} findings",
            args.seed
        );
    }
}

fn read_place(place: &Path) -> anyhow::Result<u64> {
    let bytes = fs::read(place)?;
    let bytes = bytes.first_chunk().ok_or_else(|| anyhow::anyhow!("{} is too short", place.display()))?;
    Ok(u64::from_le_bytes(*bytes))
}
