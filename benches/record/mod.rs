//! What benchmarks measured, for `cargo bench --bench report` to make tables and plots of.

mod spread;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

#[allow(unused_imports, reason = "not every benchmark has samples of its own")]
pub use spread::Spread;

use crate::Failure;

/// What was measured where: the first line of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    pub bench: String,
    /// The commit that was built, with `+` if there was more than is in it.
    pub commit: String,
    pub kernel: String,
    pub processor: String,
    pub processors: usize,
    /// When it began, seconds since 1970.
    pub began: u64,
}

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub table: String,
    pub series: String,
    /// Of the series: the name of an operation, or a number on an axis.
    pub at: String,
    pub unit: String,
    pub value: f64,
    /// Between which it is to be expected (95 %); the value itself, if that was not estimated.
    pub low: f64,
    pub high: f64,
    pub samples: usize,
}

/// A record that is being written, a line of JSON for each figure.
#[derive(Debug)]
pub struct Record(File);

/// Where records are.
pub fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    target.join("ebph-bench")
}

fn said_by(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

impl Place {
    fn here(bench: &str) -> Result<Self, Failure> {
        let commit = said_by("git", &["rev-parse", "--short", "HEAD"]).unwrap_or_default();
        let changed = said_by("git", &["status", "--porcelain", "--untracked-files=no"]);
        let more = changed.is_some_and(|text| !text.is_empty());
        let cpus = fs::read_to_string("/proc/cpuinfo")?;
        let model = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let model = model.unwrap_or(std::env::consts::ARCH);
        Ok(Self {
            bench: bench.to_owned(),
            commit: format!("{commit}{}", if more { "+" } else { "" }),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            processor: model.trim_start_matches(['\t', ' ', ':']).to_owned(),
            processors: std::thread::available_parallelism()?.get(),
            began: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        })
    }
}

impl Row {
    #[allow(dead_code, reason = "not every benchmark has samples of its own")]
    pub fn of(table: &str, [series, at, unit]: [&str; 3], spread: Spread) -> Self {
        Self {
            table: table.to_owned(),
            series: series.to_owned(),
            at: at.to_owned(),
            unit: unit.to_owned(),
            value: spread.median,
            low: spread.low,
            high: spread.high,
            samples: spread.samples,
        }
    }
}

impl Record {
    /// Begins the record of a benchmark, in place of the one before.
    pub fn start(bench: &str) -> Result<Self, Failure> {
        fs::create_dir_all(folder())?;
        let mut file = File::create(folder().join(bench).with_extension("jsonl"))?;
        writeln!(file, "{}", serde_json::to_string(&Place::here(bench)?)?)?;
        Ok(Self(file))
    }

    pub fn add(&mut self, row: &Row) -> Result<(), Failure> {
        Ok(writeln!(self.0, "{}", serde_json::to_string(row)?)?)
    }
}
