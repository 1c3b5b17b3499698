//! Detection on real programs: each is trained under load, the monitor restarted, and the program
//! then used as ever, and abused.
//!
//! Needs root and the programs that `scripts/detection-deps.sh` installs, and takes minutes, so
//! `cargo test` leaves it to `make detection`. Each program runs in a folder and a cgroup of its
//! own; the system's own services are neither used nor disturbed.

#[path = "../live/harness/cgroup.rs"]
#[expect(
    dead_code,
    reason = "shared with the live tests, which need more of it"
)]
mod cgroup;
mod http;
mod program;
mod programs;
mod report;
mod stage;
mod trial;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Parser;

use program::Program;
use report::{Machine, ProgramReport, Report};
use trial::Options;

/// More false alarms than this, per million calls of lives under load, are a failure.
const MOST_FALSE_ALARMS: f64 = 1_000.0;

/// Trains programs, abuses them, and measures what is detected and what is falsely reported.
#[derive(Parser)]
struct Cli {
    /// Only programs whose name contains one of these.
    names: Vec<String>,
    /// What all chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Calm lives after the restart; no more than a third of them may have a false alarm.
    #[arg(long, default_value_t = 6)]
    calm: u64,
    /// Lives under load to measure false alarms with.
    #[arg(long, default_value_t = 5)]
    busy: u64,
    /// How often each abuse is tried.
    #[arg(long, default_value_t = 3)]
    repetitions: u64,
    /// Trains so many times as long.
    #[arg(long, default_value_t = 1)]
    training: u64,
    /// How many programs are tried at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where the figures go, as JSON; `detection.json` beside what cargo builds by default.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let began = Instant::now();
    let wanted = |program: &&&Program| {
        let name = program.name;
        cli.names.is_empty() || cli.names.iter().any(|part| name.contains(part.as_str()))
    };
    let chosen: Vec<_> = programs::ALL.iter().filter(wanted).copied().collect();
    let options = Options {
        seed: cli.seed,
        calm: cli.calm,
        busy: cli.busy,
        repetitions: cli.repetitions,
        training: cli.training,
    };

    let mut failures = Vec::new();
    let mut reports = Vec::new();
    for (program, outcome) in try_all(&chosen, &options, cli.jobs) {
        match outcome {
            Some(report) => {
                failures.extend(complaints(&report));
                reports.push(report);
            }
            None => failures.push(format!("{}: the trial broke off", program.name)),
        }
    }
    let passed = reports.len();
    let report = Report {
        schema: 1,
        machine: Machine::this(),
        seed: cli.seed,
        programs: reports,
        seconds: began.elapsed().as_secs(),
    };
    println!("{report}");
    let json = serde_json::to_string_pretty(&report).expect("it is plain data");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let beside = || target.unwrap_or(Path::new(".")).join("detection.json");
    let path = cli.json.unwrap_or_else(beside);
    if let Err(error) = std::fs::write(&path, json + "\n") {
        failures.push(format!("{}: {error}", path.display()));
    }
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    println!("{passed} programs tried, {} complaints", failures.len());
    ExitCode::from(u8::from(!failures.is_empty() || passed == 0))
}

/// Tries all, some at a time, and returns what came of each in their order.
fn try_all<'a>(
    chosen: &[&'a Program],
    options: &Options,
    jobs: usize,
) -> Vec<(&'a Program, Option<ProgramReport>)> {
    let left = Mutex::new((0..chosen.len()).collect::<std::collections::VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("nothing panics here").pop_front();
                    let Some(index) = next else { break };
                    let program = chosen[index];
                    let trial = || trial::run(program, options);
                    // The panic has been printed; the stage has killed what it started.
                    let outcome = std::panic::catch_unwind(trial).ok();
                    let mut done = done.lock().expect("nothing panics here");
                    done.push((index, program, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nothing panics here");
    done.sort_by_key(|(index, ..)| *index);
    done.into_iter()
        .map(|(_, program, outcome)| (program, outcome))
        .collect()
}

/// What is not as it must be.
fn complaints(report: &ProgramReport) -> Vec<String> {
    let mut complaints = Vec::new();
    // Most programs have none in dozens of lives. But where threads or processes race, each order
    // of calls that training did not meet is reported, and one life in some dozens has such a one.
    if report.calm.alarmed_lives > report.calm.lives / 3 {
        complaints.push(format!(
            "{}: calm lives: {}: {:?}",
            report.name, report.calm, report.calm.kinds
        ));
    }
    if report.busy.rate() > MOST_FALSE_ALARMS {
        complaints.push(format!("{}: busy lives: {}", report.name, report.busy));
    }
    let missed = report.abuses.iter();
    let missed = missed.filter(|abuse| abuse.visible && abuse.detected < abuse.tried);
    complaints.extend(missed.map(|abuse| format!("{}: {abuse}", report.name)));
    complaints
}

/// How long is waited for something that must happen. `EBPH_TEST_DEADLINE` (seconds) overrides
/// the default of a minute.
fn deadline() -> Duration {
    let seconds = std::env::var("EBPH_TEST_DEADLINE").map_or(60, |text| {
        text.parse()
            .expect("EBPH_TEST_DEADLINE is a number of seconds")
    });
    Duration::from_secs(seconds)
}

/// Waits until `probe` answers with something, and panics with `what` when the deadline passes.
#[track_caller]
fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
