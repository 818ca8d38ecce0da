//! Running the scripts of a suite and holding them against its list of expected failures.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{env, fmt, fs, thread};

use tombolo_wast::Report;

/// Longer than this no script takes; one that does hangs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a script does not pass, and why.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    /// The script's path in the suite.
    pub(crate) script: &'static str,
    /// Which of its directives fail.
    pub(crate) fails: Fails,
    /// Why it does not pass.
    pub(crate) reason: &'static str,
}

/// Directives of a script that fail.
#[derive(Clone, Copy)]
pub(crate) enum Fails {
    /// Those that begin on these lines.
    Lines(&'static [usize]),
    /// At least one, and each with a message that says this.
    Saying(&'static str),
}

/// Runs a script of a name and text.
pub(crate) type Run = Arc<dyn Fn(&str, &str) -> Report + Send + Sync>;

/// The scripts below a folder, and what of them does not pass.
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) expected: &'static [Expected],
    pub(crate) run: Run,
}

/// What the command line asks for.
pub(crate) struct Selection {
    /// Parts of paths; all scripts if there are none.
    names: Vec<String>,
    /// Whether cargo only asks which tests there are.
    pub(crate) list_only: bool,
}

impl Selection {
    pub(crate) fn from_args() -> Selection {
        let args: Vec<String> = env::args().skip(1).collect();
        Selection {
            list_only: args.iter().any(|arg| arg == "--list"),
            names: args.into_iter().filter(|arg| !arg.starts_with('-')).collect(),
        }
    }

    fn includes(&self, script: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| script.contains(name.as_str()))
    }
}

/// Runs a suite and prints what differs from what is expected.
///
/// Returns whether nothing does: what fails is listed, and what is listed fails.
pub(crate) fn check(suite: &Suite, selection: &Selection) -> bool {
    let Suite { name, folder, expected, run } = suite;
    let scripts = scripts_in(folder);
    assert!(!scripts.is_empty(), "no scripts in {}", folder.display());
    let mut wrong: Vec<String> = expected
        .iter()
        .filter(|expected| !scripts.iter().any(|script| script == expected.script))
        .map(|expected| format!("{} is listed, but there is no such script", expected.script))
        .collect();
    let selected: Vec<String> =
        scripts.into_iter().filter(|script| selection.includes(&format!("{name}/{script}"))).collect();
    let verbose = !selection.names.is_empty();
    let mut counts = Counts::default();
    for (script, outcome) in run_all(folder, &selected, run) {
        let report = match outcome {
            Ok(report) => report,
            Err(message) => {
                wrong.push(format!("{script}: {message}"));
                continue;
            }
        };
        let listed = expected.iter().filter(|expected| expected.script == script);
        let differences = compare(&report, &listed.copied().collect::<Vec<_>>());
        counts.add(&report, differences.is_empty());
        if verbose && !report.is_ok() {
            report.failures.iter().for_each(|failure| println!("{failure}"));
        }
        if !differences.is_empty() {
            wrong.push(format!("{script}:\n    {}", differences.join("\n    ")));
        }
    }
    if !selected.is_empty() {
        println!("{name}: {counts}");
    }
    for message in &wrong {
        println!("  {message}");
    }
    wrong.is_empty()
}

/// How a script's outcome differs from what is listed for it.
fn compare(report: &Report, listed: &[Expected]) -> Vec<String> {
    let mut differences = Vec::new();
    let mut met = vec![false; listed.len()];
    for failure in &report.failures {
        let entry = listed.iter().position(|expected| match expected.fails {
            Fails::Lines(lines) => lines.contains(&failure.line),
            Fails::Saying(text) => failure.message.contains(text),
        });
        match entry.and_then(|entry| met.get_mut(entry)) {
            Some(met) => *met = true,
            None => differences.push(failure.to_string()),
        }
    }
    for (expected, met) in listed.iter().zip(met) {
        let passing = match expected.fails {
            Fails::Lines(lines) => {
                let fails = |line| report.failures.iter().any(|failure| failure.line == line);
                let passing: Vec<_> = lines.iter().filter(|line| !fails(**line)).collect();
                (!passing.is_empty()).then(|| format!("lines {passing:?} pass"))
            }
            Fails::Saying(text) => (!met).then(|| format!("nothing fails with `{text}`")),
        };
        if let Some(passing) = passing {
            differences.push(format!("{passing}, but it is listed: {}", expected.reason));
        }
    }
    if report.failures.is_empty() && report.skipped > 0 {
        differences.push(format!("{} directives skipped", report.skipped));
    }
    differences
}

/// What came of a suite.
#[derive(Default)]
struct Counts {
    /// Scripts all of whose directives pass; those that fail just as listed; the others.
    scripts: [usize; 3],
    passed: usize,
    by_text: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, report: &Report, as_expected: bool) {
        let [pass, listed, differ] = &mut self.scripts;
        *match (report.is_ok(), as_expected) {
            (true, true) => pass,
            (false, true) => listed,
            (_, false) => differ,
        } += 1;
        self.passed += report.passed;
        self.by_text += report.by_text;
        self.failed += report.failures.len();
        self.skipped += report.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [pass, listed, differ] = self.scripts;
        write!(f, "{pass} scripts pass, {listed} fail as listed")?;
        if differ > 0 {
            write!(f, ", {differ} differ")?;
        }
        write!(f, "; {} directives pass", self.passed)?;
        if self.by_text > 0 {
            write!(f, " ({} in the text format alone)", self.by_text)?;
        }
        if self.failed > 0 {
            write!(f, ", {} fail, {} are skipped for that", self.failed, self.skipped)?;
        }
        Ok(())
    }
}

/// The paths of all scripts below a folder, in order.
fn scripts_in(root: &Path) -> Vec<String> {
    let mut scripts = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wast") {
                scripts.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    scripts.sort();
    scripts
}

/// Runs scripts on as many threads as there are processors. One that panics or hangs costs its thread, not the rest.
fn run_all(root: &Path, scripts: &[String], run: &Run) -> BTreeMap<String, Result<Report, String>> {
    let queue: Arc<Mutex<VecDeque<String>>> = Arc::new(Mutex::new(scripts.iter().cloned().collect()));
    let (sender, receiver) = mpsc::channel();
    let spawn = || {
        let (queue, sender, root, run) = (queue.clone(), sender.clone(), root.to_owned(), run.clone());
        thread::spawn(move || {
            loop {
                let Some(script) = queue.lock().unwrap().pop_front() else { break };
                sender.send((script.clone(), None)).unwrap();
                let text = fs::read_to_string(root.join(&script)).unwrap();
                let outcome =
                    catch_unwind(AssertUnwindSafe(|| run(&script, &text))).map_err(|_| "panics".to_owned());
                sender.send((script, Some(outcome))).unwrap();
            }
        });
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    (0..workers).for_each(|_| spawn());
    let mut running: BTreeMap<String, Instant> = BTreeMap::new();
    let mut outcomes = BTreeMap::new();
    while outcomes.len() < scripts.len() {
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok((script, None)) => drop(running.insert(script, Instant::now())),
            Ok((script, Some(outcome))) => {
                if running.remove(&script).is_some() {
                    outcomes.insert(script, outcome);
                }
            }
            Err(_) => {
                let hanging: Vec<String> = running
                    .iter()
                    .filter(|(_, since)| since.elapsed() > TIMEOUT)
                    .map(|(script, _)| script.clone())
                    .collect();
                for script in hanging {
                    running.remove(&script);
                    outcomes.insert(script, Err(format!("does not end within {} s", TIMEOUT.as_secs())));
                    spawn();
                }
            }
        }
    }
    outcomes
}
