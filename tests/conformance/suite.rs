//! Running the scripts of a suite and holding them against its list of expected failures.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tombolo_wast::Report;

/// Longer than this no script takes; one that does hangs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A script that does not pass, and why.
pub(crate) struct Expected {
    /// The script's path in the suite.
    pub(crate) script: &'static str,
    /// Why it does not pass.
    pub(crate) reason: &'static str,
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

/// Runs the scripts below `root`, each by `run` with its path and text, and prints what differs from `expected`.
///
/// Returns whether nothing does: every script that fails is listed, and every listed one fails.
pub(crate) fn check(
    suite: &str,
    root: &Path,
    expected: &[Expected],
    selection: &Selection,
    run: fn(&str, &str) -> Report,
) -> bool {
    let scripts = scripts_in(root);
    assert!(!scripts.is_empty(), "no scripts in {}", root.display());
    let mut wrong: Vec<String> = expected
        .iter()
        .filter(|expected| !scripts.iter().any(|script| script == expected.script))
        .map(|expected| format!("{} is listed, but there is no such script", expected.script))
        .collect();
    let selected: Vec<String> = scripts.into_iter().filter(|script| selection.includes(script)).collect();
    let verbose = !selection.names.is_empty();
    let (mut passed, mut listed) = (0, 0);
    for (script, outcome) in run_all(root, &selected, run) {
        let reason =
            expected.iter().find(|expected| expected.script == script).map(|expected| expected.reason);
        let failures = match outcome {
            Ok(report) => {
                let mut failures: Vec<String> = report.failures.iter().map(ToString::to_string).collect();
                if report.skipped > 0 {
                    failures.push(format!("{} directives skipped because of that", report.skipped));
                }
                failures
            }
            Err(message) => vec![format!("{script}: {message}")],
        };
        match (failures.is_empty(), reason) {
            (true, None) => passed += 1,
            (true, Some(reason)) => wrong.push(format!("{script} passes, but is listed: {reason}")),
            (false, Some(_)) => listed += 1,
            (false, None) => wrong.push(format!("{script} fails:\n    {}", failures.join("\n    "))),
        }
        if verbose && reason.is_some() {
            println!(
                "{script}: {}",
                if failures.is_empty() { "passes".into() } else { failures.join("\n    ") }
            );
        }
    }
    println!("{suite}: {passed} of {} scripts pass, {listed} fail as listed", selected.len());
    for message in &wrong {
        println!("  {message}");
    }
    wrong.is_empty()
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
fn run_all(
    root: &Path,
    scripts: &[String],
    run: fn(&str, &str) -> Report,
) -> BTreeMap<String, Result<Report, String>> {
    let queue: Arc<Mutex<VecDeque<String>>> = Arc::new(Mutex::new(scripts.iter().cloned().collect()));
    let (sender, receiver) = mpsc::channel();
    let spawn = || {
        let (queue, sender, root) = (queue.clone(), sender.clone(), root.to_owned());
        thread::spawn(move || {
            loop {
                let Some(script) = queue.lock().unwrap().pop_front() else { break };
                sender.send((script.clone(), None)).unwrap();
                let text = fs::read_to_string(root.join(&script)).unwrap();
                let outcome =
                    std::panic::catch_unwind(|| run(&script, &text)).map_err(|_| "panics".to_owned());
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
