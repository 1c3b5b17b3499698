//! How costs grow: with threads, with profiles, with anomalies, and what memory and starting take.
//!
//! `cargo bench --bench scale -- threads memory` measures these parts only. What has a comparison
//! is measured without ebph and with it in turn, so that the machine's drift meets both alike. Needs
//! root and cc. It watches only what it starts.

#[path = "scale/anomalies.rs"]
mod anomalies;
#[path = "scale/compare.rs"]
mod compare;
#[path = "scale/memory.rs"]
mod memory;
#[path = "scale/profiles.rs"]
mod profiles;
#[path = "record/mod.rs"]
mod record;
#[path = "scale/runner.rs"]
mod runner;
#[path = "scale/sheet.rs"]
mod sheet;
#[path = "scale/start.rs"]
mod start;
#[path = "scale/threads.rs"]
mod threads;
#[path = "victim/mod.rs"]
mod victim;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use ebph::{Limits, Monitor, MonitorBuilder, Scope};

use sheet::Sheet;
use victim::{Failure, Victim};

/// Turns of what is compared; `EBPH_TURNS` overrides it.
const TURNS: usize = 9;
/// Different calls of a typical program.
const KINDS: u32 = 45;
/// Rows that a profile may need here.
const ROWS: u32 = 64;

/// What all parts need.
struct Bench {
    sheet: Sheet,
    turns: usize,
    /// The small program, of which there are copies beside it.
    program: PathBuf,
    copies: usize,
}

type Part = fn(&mut Bench) -> Result<(), Failure>;

const PARTS: [(&str, Part); 5] = [
    ("threads", threads::measure),
    ("profiles", profiles::measure),
    ("start", start::measure),
    ("anomalies", anomalies::measure),
    ("memory", memory::measure),
];

impl Bench {
    /// Makes sure that there are as many copies of the small program.
    fn copies(&mut self, wanted: usize) -> Result<(), Failure> {
        if self.copies < wanted {
            runner::copies(&self.program, self.copies..wanted)?;
            self.copies = wanted;
        }
        Ok(())
    }

    /// A runner with as many copies of the small program, `ring` or `programs`.
    fn runner_of(&mut self, kind: &str, count: usize) -> Result<Victim, Failure> {
        self.copies(count)?;
        let mut runner = Victim::start()?;
        runner.ask(&format!("{kind} {count} {}", self.program.display()))?;
        Ok(runner)
    }

    fn first_copy(&self) -> PathBuf {
        runner::copy(&self.program, 0)
    }

    /// Turns of what takes long and is compared with nothing.
    fn few_turns(&self) -> usize {
        self.turns.div_ceil(3)
    }
}

/// Lets the kernel take back what the monitor of the turn before held, which it does afterwards.
fn settle() {
    thread::sleep(Duration::from_millis(100));
}

/// A monitor of the runner's tree, which does nothing about what it sees: no profile ceases to be
/// normal, none becomes so but by command.
fn watch(runner: &Victim) -> MonitorBuilder {
    let limits = Limits::default()
        .normal_wait(Duration::from_secs(3600))
        .anomaly_limit(u64::MAX)
        .tolerize_limit(128);
    Monitor::builder()
        .scope(Scope::Tree(runner.pid()))
        .limits(limits)
}

/// With room for as many programs, for what runs them, and for the share of each pool that the monitor
/// keeps free for new ones.
fn watch_many(runner: &Victim, programs: usize) -> Result<MonitorBuilder, Failure> {
    let profiles = u32::try_from(programs)? * 5 / 4 + 4;
    Ok(watch(runner)
        .max_profiles(profiles)
        .max_rows(profiles * ROWS))
}

/// Makes every profile normal; there must be at least as many.
fn normalize_all(monitor: &Monitor, least: usize) -> Result<(), Failure> {
    let keys: Vec<_> = monitor.profiles()?.map(|profile| profile.key()).collect();
    if keys.len() < least {
        return Err(format!("{} profiles, not {least}", keys.len()).into());
    }
    for key in keys {
        monitor.normalize(key)?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    if victim::is_here() {
        return runner::obey();
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    if let Some(unknown) = wanted
        .iter()
        .find(|part| PARTS.iter().all(|(name, _)| name != part))
    {
        return Err(format!("there is no part {unknown}").into());
    }
    let turns = match std::env::var("EBPH_TURNS") {
        Ok(turns) => turns.parse::<usize>()?.max(1),
        Err(_) => TURNS,
    };
    let folder = tempfile::tempdir()?;
    let mut bench = Bench {
        program: runner::compile(folder.path())?,
        sheet: Sheet::start()?,
        turns,
        copies: 0,
    };
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|part| part == name) {
            part(&mut bench)?;
        }
    }
    Ok(())
}
