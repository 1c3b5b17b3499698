//! What a monitored call costs more than one that is not, beside an empty program's cost, the
//! thesis's design, and other tools.
//!
//! All configurations take turns many times in one run, so that the machine's drift meets each of
//! them alike. Compared are the added costs: nothing attached is the zero, an empty program of the
//! same kind at the same hook is the one. Needs root and clang.
//!
//! After that the kernel accounts for the time of each program, and criterion times `getppid` in each
//! configuration, for its own history and reports. Its benchmarks run one after another, so they are
//! not to be compared with each other.
//!
//! - `EBPH_TURNS`: turns of each configuration.
//! - `EBPH_OPERATIONS`: some operations only, by their names, with commas.
//! - `EBPH_OTHERS=no`: without the other tools.
//! - `EBPH_HOOK=tracepoint`: the hook of kernels from 7.2 on.

#[path = "overhead/objects.rs"]
mod objects;
#[path = "overhead/operations.rs"]
mod operations;
#[path = "overhead/others.rs"]
mod others;
#[path = "record/mod.rs"]
mod record;
#[path = "overhead/runs.rs"]
mod runs;
#[path = "overhead/scene.rs"]
mod scene;
#[path = "overhead/table.rs"]
mod table;
#[path = "victim/mod.rs"]
mod victim;

use std::time::Duration;

use criterion::Criterion;

use operations::{OPERATIONS, Operation};
use others::Other;
use record::Record;
use scene::{Attachment, Config, Scene};
use table::Table;
use victim::Failure;

/// Measurements in one turn of a configuration; the least of them counts.
const SAMPLES: usize = 5;
/// Turns of each configuration.
const TURNS: usize = 25;
/// The other tools take turns as well, in one of so many, and with fewer measurements; they cost enough
/// to be told apart.
const OTHERS_EVERY: usize = 5;
const OTHERS_SAMPLES: usize = 2;

/// What is measured, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Column {
    Config(Config),
    Other(Other),
}

pub const NOTHING: Column = Column::Config(Config::Nothing);
pub const FLOOR: Column = Column::Config(Config::Floor);

pub const COLUMNS: [Column; 12] = [
    NOTHING,
    Column::Config(Config::Again),
    FLOOR,
    Column::Config(Config::Counter),
    Column::Config(Config::Learning),
    Column::Config(Config::Normal),
    Column::Config(Config::OutOfScope),
    Column::Config(Config::Thesis),
    Column::Other(Other::PerfTrace),
    Column::Other(Other::BpftraceByProcess),
    Column::Other(Other::BpftraceByCall),
    Column::Other(Other::Strace),
];

impl Column {
    pub fn name(self) -> &'static str {
        match self {
            Self::Config(config) => config.name(),
            Self::Other(other) => other.name(),
        }
    }

    /// Whose call it is: the victim's, but for what is out of scope.
    fn config(self) -> Config {
        match self {
            Self::Config(config) => config,
            Self::Other(_) => Config::Nothing,
        }
    }

    fn attach(self, scene: &mut Scene) -> Result<Attachment, Failure> {
        match self {
            Self::Config(config) => scene.attach(config),
            Self::Other(other) => Ok(Box::new(other.start(scene.victim.pid())?)),
        }
    }

    fn samples(self) -> usize {
        match self {
            Self::Config(_) => SAMPLES,
            Self::Other(_) => OTHERS_SAMPLES,
        }
    }

    /// Nanoseconds of each operation, the least of some samples.
    fn turn(self, scene: &mut Scene, operations: &[Operation]) -> Result<Vec<f64>, Failure> {
        let attachment = self.attach(scene)?;
        let mut least = Vec::new();
        for operation in operations {
            let mut ns = f64::INFINITY;
            for _ in 0..self.samples() {
                ns = ns.min(scene.perform(self.config(), operation)?);
            }
            least.push(ns);
        }
        drop(attachment);
        Ok(least)
    }
}

fn criterion(scene: &mut Scene, getppid: Operation) -> Result<(), Failure> {
    let mut criterion = Criterion::default().sample_size(20);
    let mut group = criterion.benchmark_group("getppid");
    for column in COLUMNS {
        let Column::Config(config) = column else {
            continue;
        };
        let attachment = scene.attach(config)?;
        let mut failure = None;
        group.bench_function(config.name(), |bencher| {
            bencher.iter_custom(|times| {
                let times = u32::try_from(times).unwrap_or(u32::MAX);
                let asked = scene.perform(config, &Operation { times, ..getppid });
                let mean = asked.unwrap_or_else(|error| {
                    failure = Some(error);
                    1.0
                });
                Duration::from_nanos((mean * f64::from(times)) as u64)
            });
        });
        drop(attachment);
        if let Some(error) = failure {
            return Err(error);
        }
    }
    group.finish();
    Ok(())
}

fn main() -> Result<(), Failure> {
    if victim::is_here() {
        return victim::obey(operations::perform);
    }
    let turns = match std::env::var("EBPH_TURNS") {
        Ok(turns) => turns.parse::<usize>()?.max(1),
        Err(_) => TURNS,
    };
    let others = std::env::var("EBPH_OTHERS").as_deref() != Ok("no");
    let operations = match std::env::var("EBPH_OPERATIONS") {
        Ok(names) => names
            .split(',')
            .map(operations::of)
            .collect::<Result<_, _>>()?,
        Err(_) => OPERATIONS.to_vec(),
    };
    let mut scene = Scene::new(operations.clone(), scene::hook()?)?;
    let mut table = Table::new(operations.clone());
    for turn in 0..turns {
        for step in 0..COLUMNS.len() {
            // Each turn begins with another one, so that none always comes after the same.
            let column = COLUMNS[(turn + step) % COLUMNS.len()];
            let other = matches!(column, Column::Other(_));
            if other && (!others || !turn.is_multiple_of(OTHERS_EVERY)) {
                continue;
            }
            table.add(turn, column, column.turn(&mut scene, &operations)?);
        }
    }
    table.print();
    let mut record = Record::start("syscall_overhead")?;
    table.record(&mut record)?;
    runs::all(&mut scene, &operations, &mut record)?;
    criterion(&mut scene, OPERATIONS[0])
}
