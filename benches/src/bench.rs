//! A benchmark: rows of the table, and the contestants that fill them.

use anyhow::Result;

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often each figure is taken.
    pub runs: u32,
    /// Whether a run does less.
    pub quick: bool,
}

/// Rows that are measured together.
pub struct Bench {
    /// The rows, in the order in which each contestant reports them.
    pub rows: Vec<Row>,
    /// Who is measured.
    pub contestants: Vec<Contestant>,
}

/// A row of the table.
pub struct Row {
    /// The work.
    pub name: String,
    /// How its figures are written.
    pub unit: Unit,
    /// What Tombolo's figure is to be.
    pub target: Target,
}

/// How a figure, which is a time, is written.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// As the time that it is.
    Time,
    /// As so many bytes per that time.
    Bytes(u64),
    /// As how often it fits into a second.
    PerSecond,
}

/// What a figure of Tombolo's is to be, by PERF.md.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At most so many times wasmtime's; where that is missing, at most so many nanoseconds.
    Wasmtime {
        /// The target by what wasmtime took on the machine of PERF.md.
        ratio: f64,
        /// The target on that machine, if PERF.md has one.
        nanos: Option<f64>,
    },
    /// At most so many times the native figure, and so many nanoseconds more.
    Native {
        /// How many times.
        times: f64,
        /// How many nanoseconds more.
        plus: f64,
    },
    /// PERF.md has none.
    None,
}

impl Target {
    /// A target of `nanos` where wasmtime takes `peer`, both in nanoseconds.
    pub fn of_peer(nanos: f64, peer: f64) -> Self {
        Target::Wasmtime { ratio: nanos / peer, nanos: Some(nanos) }
    }

    /// A target of `rate` GB/s, in pieces of so many bytes, where wasmtime does `peer`.
    pub fn of_peer_rate(bytes: u64, rate: f64, peer: f64) -> Self {
        Target::of_peer(bytes as f64 / rate, bytes as f64 / peer)
    }
}

/// Who is measured, and so the column of its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// This runtime.
    Tombolo,
    /// The peer.
    Wasmtime,
    /// What the machine can do.
    Native,
}

/// A program that does a benchmark's work.
pub struct Contestant {
    /// Whose work it is.
    pub who: Who,
    /// Does it once and reports a sample for each row.
    pub measure: Measure,
}

/// Does a benchmark's work once and reports a sample for each row.
pub type Measure = Box<dyn FnMut() -> Result<Vec<Sample>>>;

/// What one run found.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The time of one piece of work.
    pub nanos: f64,
    /// The most memory that the process had, where it was looked at.
    pub peak_bytes: Option<u64>,
}

impl From<f64> for Sample {
    fn from(nanos: f64) -> Self {
        Sample { nanos, peak_bytes: None }
    }
}

/// What the runs of one contestant found.
#[derive(Clone, Copy, Debug)]
pub struct Median {
    /// The median time, and the largest peak.
    pub sample: Sample,
    /// How many times longer the slowest run took than the fastest.
    pub spread: f64,
}

/// What all runs of a row found.
#[derive(Debug, Default)]
pub struct Figures {
    /// What each contestant that did not fail took.
    pub medians: Vec<(Who, Median)>,
    /// Who failed, and why.
    pub failures: Vec<(Who, String)>,
}

impl Figures {
    /// What a contestant's runs found.
    pub fn median(&self, who: Who) -> Option<Median> {
        self.medians.iter().find(|(contestant, _)| *contestant == who).map(|(_, median)| *median)
    }

    /// The median of a contestant's runs.
    pub fn of(&self, who: Who) -> Option<Sample> {
        self.median(who).map(|median| median.sample)
    }

    /// Whether a contestant took part and failed.
    pub fn failed(&self, who: Who) -> bool {
        self.failures.iter().any(|(contestant, _)| *contestant == who)
    }
}

impl Bench {
    /// A benchmark of one row.
    pub fn of(row: Row, contestants: Vec<Contestant>) -> Self {
        Bench { rows: vec![row], contestants }
    }

    /// Lets the contestants take turns and returns the figures of each row.
    pub fn run(&mut self, settings: Settings) -> Vec<Figures> {
        let mut samples: Vec<Vec<Vec<Sample>>> = self.contestants.iter().map(|_| Vec::new()).collect();
        let mut failures: Vec<Option<String>> = self.contestants.iter().map(|_| None).collect();
        for _ in 0..settings.runs {
            for ((contestant, samples), failure) in
                self.contestants.iter_mut().zip(&mut samples).zip(&mut failures)
            {
                // Who failed once would fail again.
                if failure.is_none() {
                    match (contestant.measure)() {
                        Ok(found) => samples.push(found),
                        Err(error) => *failure = Some(format!("{error:#}")),
                    }
                }
            }
        }
        let figures = |row: usize| {
            let mut figures = Figures::default();
            for ((contestant, samples), failure) in self.contestants.iter().zip(&samples).zip(&failures) {
                let of_row = samples.iter().filter_map(|found| found.get(row).copied()).collect();
                match (failure, median(of_row)) {
                    (Some(failure), _) => figures.failures.push((contestant.who, failure.clone())),
                    (None, Some(median)) => figures.medians.push((contestant.who, median)),
                    (None, None) => {}
                }
            }
            figures
        };
        (0..self.rows.len()).map(figures).collect()
    }
}

fn median(mut samples: Vec<Sample>) -> Option<Median> {
    samples.sort_by(|a, b| a.nanos.total_cmp(&b.nanos));
    let peak_bytes = samples.iter().filter_map(|sample| sample.peak_bytes).max();
    let (fastest, slowest) = (samples.first()?, samples.last()?);
    let middle = samples.get(samples.len() / 2)?;
    let sample = Sample { nanos: middle.nanos, peak_bytes };
    Some(Median { sample, spread: slowest.nanos / fastest.nanos })
}
