//! Runs the cases in `tests/cli`, one folder a topic, each case a file that says everything about itself.
//!
//! ```text
//! What the case shows, for people.
//!
//! $ tombolo inspect app.wat           the command; {guests} stands for the folder of built guests
//! env: NAME=VALUE                     set for the command; nothing else is but PATH
//! exit: 1                             0 where the line is missing
//! -- app.wat --                       a file in the folder the command is run in
//! (component)
//! -- cut.wasm (hex) --                … of which the bytes are written out
//! 00 61 73 6d
//! -- stdin --                         what the command reads
//! -- stdout --                        what it must print
//! -- stderr --
//! error: …
//! ```
//!
//! A line `…` in what is expected stands for any number of lines. `UPDATE=1 cargo test -p tombolo-cli` writes
//! down what the command printed instead of comparing; read the difference before you commit it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No case takes this long; one that does hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The folders of `tests/cli`. One that is not named here fails, and so does a file that is not a case.
const TOPICS: &[&str] = &["hostile", "inspect", "run", "serve", "usage", "wast"];

#[test]
fn hostile() {
    run_topic("hostile");
}

#[test]
fn inspect() {
    run_topic("inspect");
}

#[test]
fn run() {
    run_topic("run");
}

#[test]
fn serve() {
    run_topic("serve");
}

#[test]
fn usage() {
    run_topic("usage");
}

#[test]
fn wast() {
    run_topic("wast");
}

#[test]
fn every_file_is_a_case_of_a_topic() {
    let mut topics = Vec::new();
    for entry in list(&cases_folder()) {
        assert!(entry.is_dir(), "{} belongs into a topic's folder", entry.display());
        topics.push(entry.file_name().unwrap().to_str().unwrap().to_owned());
        for case in list(&entry) {
            assert!(case.extension().is_some_and(|e| e == "case"), "{} is not run", case.display());
        }
    }
    assert_eq!(topics, TOPICS, "list each folder of tests/cli in TOPICS and run it in a test of its own");
}

/// What a shell's `tombolo … | head -1` does to the command.
#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let guest = guests_folder().join("hello/hello.wasm");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .arg("inspect")
        .arg(guest)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(141));
}

/// … and what `tombolo run … | head -1` does to the program: its writes fail, and it ends as it likes.
#[test]
fn a_reader_that_goes_away_ends_the_program_with_an_error() {
    for guest in ["cat", "pump"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tombolo"))
            .arg("run")
            .arg(guests_folder().join(guest).join(guest).with_extension("wasm"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Without an end, until the program is gone.
        let writer = thread::spawn(move || while stdin.write_all(&[b'y'; 4096]).is_ok() {});
        let mut first = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert_eq!(&first, b"yyyyyyyyyy");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("{guest}: stdout: ErrorCode::Pipe\n"));
        assert_eq!(output.status.code(), Some(1), "{guest}");
    }
}

/// `perf record tombolo run --profile=perfmap …` shows the program's functions by name.
#[test]
fn the_functions_of_a_program_are_mapped_for_perf() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .args(["run", "--profile=perfmap"])
        .arg(guests_folder().join("trap/trap.wasm"))
        .arg("div0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let map = PathBuf::from(format!("/tmp/perf-{}.map", child.id()));
    child.wait().unwrap();
    let lines = fs::read_to_string(&map).unwrap();
    fs::remove_file(&map).unwrap();
    let mut last = (0, 0);
    let mut spans = Vec::new();
    for line in lines.lines() {
        let (start, rest) = line.split_once(' ').unwrap();
        let (size, name) = rest.split_once(' ').unwrap();
        let start = usize::from_str_radix(start, 16).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        assert!(size > 0 && !name.is_empty(), "{line}");
        spans.push((start, start + size));
    }
    spans.sort_unstable();
    for span in spans {
        assert!(last.1 <= span.0, "functions overlap: {last:x?} {span:x?}");
        last = span;
    }
    assert!(lines.contains(" trap.wasm!trap::climb_the_tower\n"), "{lines}");
    assert!(lines.contains(" tombolo::host to guest ("), "{lines}");
    assert!(lines.contains(" tombolo::guest to host ("), "{lines}");
}

fn cases_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cli").canonicalize().unwrap()
}

fn guests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests").canonicalize().unwrap()
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// Runs all cases of a topic and reports all that fail.
fn run_topic(topic: &str) {
    let update = std::env::var_os("UPDATE").is_some();
    let mut failures = String::new();
    let mut count = 0;
    for path in list(&cases_folder().join(topic)) {
        let text = fs::read_to_string(&path).unwrap();
        let case = Case::parse(&text).unwrap_or_else(|complaint| panic!("{}: {complaint}", path.display()));
        let found = case.run();
        if found.meets(&case) {
            count += 1;
        } else if update {
            fs::write(&path, case.with(&found).render()).unwrap();
            println!("wrote {}", path.display());
        } else {
            let _ = write!(failures, "\n== {}\n{}", path.display(), found.differences(&case));
        }
    }
    assert!(failures.is_empty(), "{failures}\nUPDATE=1 writes down what was printed instead");
    println!("{topic}: {count} cases as expected");
}

/// A case as its file has it.
#[derive(Clone)]
struct Case {
    /// Everything before the first section but the exit line.
    preamble: Vec<String>,
    exit: i32,
    sections: Vec<Section>,
}

#[derive(Clone)]
struct Section {
    name: String,
    text: String,
}

impl Case {
    fn parse(text: &str) -> Result<Case, String> {
        let mut case = Case { preamble: Vec::new(), exit: 0, sections: Vec::new() };
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
                case.sections.push(Section { name: name.to_owned(), text: String::new() });
            } else if let Some(section) = case.sections.last_mut() {
                section.text.push_str(line);
                section.text.push('\n');
            } else if let Some(exit) = line.strip_prefix("exit: ") {
                case.exit = exit.parse().map_err(|_| format!("not an exit code: {exit}"))?;
            } else {
                case.preamble.push(line.to_owned());
            }
        }
        case.command()?;
        match case.preamble.first() {
            Some(first) if !first.is_empty() && !first.starts_with('$') => Ok(case),
            _ => Err("the first line says what the case shows".to_owned()),
        }
    }

    fn render(&self) -> String {
        let mut text = String::new();
        for line in &self.preamble {
            text += &format!("{line}\n");
        }
        if self.exit != 0 {
            text += &format!("exit: {}\n", self.exit);
        }
        for Section { name, text: content } in &self.sections {
            text += &format!("-- {name} --\n{content}");
        }
        text
    }

    /// The words of the command behind `tombolo`.
    fn command(&self) -> Result<Vec<String>, String> {
        let mut lines = self.preamble.iter().filter_map(|line| line.strip_prefix("$ tombolo"));
        match (lines.next(), lines.next()) {
            (Some(line), None) => words(line),
            _ => Err("there must be one line that begins with `$ tombolo`".to_owned()),
        }
    }

    fn section(&self, name: &str) -> &str {
        self.sections.iter().find(|section| section.name == name).map_or("", |section| &section.text)
    }

    /// This case, expecting what was found.
    fn with(&self, found: &Outcome) -> Case {
        let mut case = self.clone();
        case.exit = found.exit;
        case.sections.retain(|section| section.name != "stdout" && section.name != "stderr");
        for (name, text) in [("stdout", &found.stdout), ("stderr", &found.stderr)] {
            if !text.is_empty() {
                case.sections.push(Section { name: name.to_owned(), text: text.clone() });
            }
        }
        case
    }

    fn run(&self) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        for Section { name, text } in &self.sections {
            if !matches!(name.as_str(), "stdin" | "stdout" | "stderr") {
                place(folder.path(), name, text);
            }
        }
        let guests = guests_folder();
        let guests = guests.to_str().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo"));
        command.args(self.command().unwrap().iter().map(|word| word.replace("{guests}", guests)));
        command.current_dir(&folder).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        for line in self.preamble.iter().filter_map(|line| line.strip_prefix("env: ")) {
            let (name, value) = line.split_once('=').unwrap();
            command.env(name, value);
        }
        let mut outcome = Outcome::of(command, self.section("stdin"));
        for text in [&mut outcome.stdout, &mut outcome.stderr] {
            *text = text.replace(guests, "{guests}");
            if !text.is_empty() && !text.ends_with('\n') {
                text.push_str("\n(no newline at the end)\n");
            }
        }
        outcome
    }
}

/// Writes one of a case's files: a folder if its name ends with a slash, bytes if it ends with `(hex)`.
fn place(folder: &Path, name: &str, text: &str) {
    let (name, bytes) = match name.strip_suffix(" (hex)") {
        Some(name) => {
            let digits = text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap());
            (name, digits.collect())
        }
        None => (name, text.as_bytes().to_vec()),
    };
    let path = folder.join(name);
    fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
    if !name.ends_with('/') {
        fs::write(path, bytes).unwrap();
    }
}

/// Splits a command into words; quotes hold blanks together.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    if quoted { Err("a quote is not closed".to_owned()) } else { Ok(words) }
}

/// What a command did.
struct Outcome {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn of(mut command: Command, stdin: &str) -> Outcome {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_owned();
        // The command may end without having read everything.
        let writer = thread::spawn(move || drop(pipe.write_all(stdin.as_bytes())));
        let stdout = read_all(child.stdout.take().unwrap());
        let stderr = read_all(child.stderr.take().unwrap());
        let deadline = Instant::now() + TIME_LIMIT;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("{command:?} does not end");
            }
            thread::sleep(Duration::from_millis(2));
        };
        writer.join().unwrap();
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        // A command that a signal ended has no code; no case expects -1.
        Outcome { exit: status.code().unwrap_or(-1), stdout, stderr }
    }

    fn meets(&self, case: &Case) -> bool {
        self.exit == case.exit
            && matches(case.section("stdout"), &self.stdout)
            && matches(case.section("stderr"), &self.stderr)
    }

    fn differences(&self, case: &Case) -> String {
        let mut text = String::new();
        if self.exit != case.exit {
            text += &format!("exit: expected {}, found {}\n", case.exit, self.exit);
        }
        for (name, found) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let expected = case.section(name);
            if !matches(expected, found) {
                text += &format!("{name}, expected:\n{expected}{name}, found:\n{found}");
            }
        }
        text
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Whether `found` is what is `expected`, where a line `…` stands for any number of lines.
fn matches(expected: &str, found: &str) -> bool {
    fn lines_match(expected: &[&str], found: &[&str]) -> bool {
        match expected.split_first() {
            None => found.is_empty(),
            Some((&"…", rest)) => (0..=found.len()).any(|skipped| lines_match(rest, &found[skipped..])),
            Some((line, rest)) => {
                found.split_first().is_some_and(|(first, found)| first == line && lines_match(rest, found))
            }
        }
    }
    lines_match(&expected.lines().collect::<Vec<_>>(), &found.lines().collect::<Vec<_>>())
}

#[test]
fn words_are_split_as_a_shell_would() {
    assert_eq!(words(" a  \"b c\" --d=\"\"").unwrap(), ["a", "b c", "--d="]);
    assert!(words("\"a").is_err());
}

#[test]
fn an_ellipsis_stands_for_any_lines() {
    assert!(matches("a\n…\nd\n", "a\nb\nc\nd\n"));
    assert!(matches("…\n", ""));
    assert!(!matches("a\n…\nd\n", "a\nb\n"));
    assert!(!matches("a\n", "a\nb\n"));
}
