//! How often each system call is made under a steady mixed load and how long it takes, without and
//! with a monitor: the macro-benchmark of Findlay's thesis (4.2.2, appendix B), over periods that
//! alternate.
//!
//! nginx under wrk, git and a shell script run at once, below a process whose tree is watched. A turn
//! is four periods: nothing, learning, normal, nothing. Each call's mean with a monitor is compared
//! with that of the two periods without in the same turn; those two compared with each other tell
//! what the comparison is worth.
//!
//! The thesis leaves out what is more than three standard deviations from the mean. So does this: a
//! first period without a monitor gives mean and deviation of each call, and calls that take longer
//! than the mean and three deviations are left out of all periods after it, with and without alike.
//! The object that times calls costs something itself, which is in all times.
//!
//! `EBPH_TURNS` is how often, `EBPH_PERIOD` how many seconds a period is. Needs root, clang, and the
//! packages of `scripts/bench-deps.sh`.

#[path = "record/mod.rs"]
mod record;
#[path = "all_calls/table.rs"]
mod table;
#[path = "all_calls/timer.rs"]
mod timer;
#[expect(dead_code, reason = "figures are for `workloads`")]
#[path = "workloads/mod.rs"]
mod workloads;

use std::time::Duration;

use record::Record;
use table::Table;
use timer::{Sums, Timer};
use workloads::runner::{self, Runner};
use workloads::watch::Watch;

type Failure = Box<dyn std::error::Error>;

/// What runs at once.
const WORKLOADS: [&str; 3] = ["nginx", "git", "shell"];
/// Turns; `EBPH_TURNS` overrides it.
const TURNS: u64 = 20;
/// Seconds of a period; `EBPH_PERIOD` overrides it.
const PERIOD: u64 = 5;

/// The calls of one turn, by number.
pub struct Turn {
    /// Before and after there was a monitor.
    pub nothing: [Sums; 2],
    pub learning: Sums,
    pub normal: Sums,
}

fn turn(runner: &mut Runner, timer: &mut Timer, period: Duration) -> Result<Turn, Failure> {
    let before = timer.during(|| runner.mix(period))?;
    let mut watch = Watch::start(runner.pid())?;
    // Each workload once, which its profiles learn.
    runner.mix(Duration::from_millis(1))?;
    let learning = timer.during(|| runner.mix(period))?;
    watch.normalize()?;
    let normal = timer.during(|| runner.mix(period))?;
    watch.stop()?;
    let after = timer.during(|| runner.mix(period))?;
    Ok(Turn {
        nothing: [before, after],
        learning,
        normal,
    })
}

fn number(variable: &str, default: u64) -> Result<u64, Failure> {
    Ok(match std::env::var(variable) {
        Ok(text) => text.parse::<u64>()?.max(1),
        Err(_) => default,
    })
}

fn main() -> Result<(), Failure> {
    if let Some(names) = runner::here() {
        return runner::obey(&names);
    }
    let turns = number("EBPH_TURNS", TURNS)?;
    let period = Duration::from_secs(number("EBPH_PERIOD", PERIOD)?);
    let mut record = Record::start("all_calls")?;
    let mut timer = Timer::start()?;
    let mut runner = Runner::start(&WORKLOADS)?;
    timer.watch(runner.pid())?;
    runner.begin()?;
    runner.mix(Duration::from_millis(1))?;
    let first = timer.during(|| runner.mix(period))?;
    timer.bound(&first)?;
    let turns: Result<Vec<_>, _> = (0..turns)
        .map(|_| turn(&mut runner, &mut timer, period))
        .collect();
    let table = Table::of(&turns?);
    println!("{} at once; times in microseconds", WORKLOADS.join(", "));
    table.print();
    table.keep(&mut record)
}
