//! What real programs lose by being watched: building a C project, nginx, redis, PostgreSQL, git, X
//! and a shell script, each with and without a monitor in turn.
//!
//! Each workload runs below a process of its own, clients included, and the monitor watches that
//! tree: both ends of a connection pay, as where a whole machine is watched. A service runs all the
//! time, while monitors come and go. A turn is
//!
//! ```text
//! nothing, nothing again, empty program, [learning, normal], nothing     in even turns
//! nothing, [learning, normal], empty program, nothing again, nothing     in odd ones
//! ```
//!
//! and what is in between is compared with the mean of the first and the last, so that a machine that
//! grows slower or faster meets all of them alike. "Nothing again" tells what the comparison is worth:
//! it differs from one by noise alone. The empty program, where each system call begins, is what any
//! watcher that uses BPF there costs at least; it meets every call of the machine. Both kinds of watching are measured after the profiles have
//! learnt the workload, in one monitor: first while they still learn, then held as normal.
//!
//! Besides time or requests a second there is the processor time of all of a workload's processes, for
//! each request or round: it also tells something where other programs take the processor away.
//!
//! `EBPH_TURNS` is how often, `EBPH_WORKLOADS=nginx,git` which. Needs root, and the packages of
//! `scripts/bench-deps.sh`.

#[expect(dead_code, reason = "other objects are for `syscall_overhead`")]
#[path = "overhead/objects.rs"]
mod objects;
#[path = "record/mod.rs"]
mod record;
#[expect(dead_code, reason = "mixes are for `all_calls`")]
#[path = "workloads/mod.rs"]
mod workloads;

use std::time::Instant;

use ebph::EntryHook;
use objects::Objects;
use record::{Record, Row, Spread};
use workloads::runner::{self, Done, Runner};
use workloads::watch::Watch;
use workloads::{KINDS, Kind, Size};

type Failure = Box<dyn std::error::Error>;

/// Turns of each workload; `EBPH_TURNS` overrides it.
const TURNS: usize = 20;
/// What a workload may lose at most, unless the noise is larger.
const TARGET: f64 = 1.02;

/// What one turn measured.
#[derive(Clone, Copy)]
struct Turn {
    /// Before and after everything else.
    nothing: [Done; 2],
    again: Done,
    empty: Done,
    learning: Done,
    normal: Done,
    /// System calls a second that the monitor saw in the whole workload.
    calls: f64,
}

/// A series: its name, and its figure in a turn.
type Series = (&'static str, fn(&Turn) -> Done);

const SERIES: [Series; 4] = [
    ("nothing again", |turn| turn.again),
    ("empty program", |turn| turn.empty),
    ("learning", |turn| turn.learning),
    ("normal", |turn| turn.normal),
];

impl Turn {
    /// What there would have been without a monitor in the middle of the turn.
    fn middle(&self) -> Done {
        let [first, last] = self.nothing;
        Done {
            figure: (first.figure * last.figure).sqrt(),
            cpu: (first.cpu * last.cpu).sqrt(),
        }
    }
}

/// Learning and normal, and the calls a second.
fn watched(runner: &mut Runner) -> Result<(Done, Done, f64), Failure> {
    let mut watch = Watch::start(runner.pid())?;
    runner.work(Size::Short)?;
    let learning = runner.work(Size::Full)?;
    watch.normalize()?;
    let (before, start) = (watch.stats()?.calls.seen(), Instant::now());
    let normal = runner.work(Size::Full)?;
    let calls = (watch.stats()?.calls.seen() - before) as f64 / start.elapsed().as_secs_f64();
    watch.stop()?;
    Ok((learning, normal, calls))
}

/// With the empty program.
fn hooked(runner: &mut Runner, objects: &Objects) -> Result<Done, Failure> {
    let _empty = objects.floor(EntryHook::TpBtf)?;
    runner.work(Size::Full)
}

fn turn(runner: &mut Runner, objects: &Objects, even: bool) -> Result<Turn, Failure> {
    let first = runner.work(Size::Full)?;
    let (again, empty, (learning, normal, calls)) = if even {
        let again = runner.work(Size::Full)?;
        (again, hooked(runner, objects)?, watched(runner)?)
    } else {
        let watched = watched(runner)?;
        let empty = hooked(runner, objects)?;
        (runner.work(Size::Full)?, empty, watched)
    };
    let last = runner.work(Size::Full)?;
    Ok(Turn {
        nothing: [first, last],
        again,
        empty,
        learning,
        normal,
        calls,
    })
}

fn measure(kind: &Kind, objects: &Objects, turns: usize) -> Result<Vec<Turn>, Failure> {
    let mut runner = Runner::start(&[kind.name])?;
    runner.begin()?;
    // Caches and memory are warm after this.
    runner.work(Size::Full)?;
    (0..turns)
        .map(|number| turn(&mut runner, objects, number % 2 == 0))
        .collect()
}

/// How many times as slow a series is, by the workload's figure and by processor time.
fn slowdowns(kind: &Kind, turns: &[Turn], series: fn(&Turn) -> Done) -> [Spread; 2] {
    let pairs = || turns.iter().map(|turn| (series(turn), turn.middle()));
    [
        Spread::of(pairs().map(|(with, without)| kind.unit.slowdown(with.figure, without.figure))),
        Spread::of(pairs().map(|(with, without)| with.cpu / without.cpu)),
    ]
}

fn keep(record: &mut Record, kind: &Kind, turns: &[Turn]) -> Result<(), Failure> {
    let mut add = |table: &str, series: &str, unit: &str, spread: Spread| {
        record.add(&Row {
            table: table.to_owned(),
            series: series.to_owned(),
            at: kind.name.to_owned(),
            unit: unit.to_owned(),
            value: spread.median,
            low: spread.low,
            high: spread.high,
            samples: spread.samples,
        })
    };
    let unit = kind.unit.to_string();
    let all = [
        [("nothing", Turn::middle as fn(&Turn) -> Done)].as_slice(),
        &SERIES,
    ]
    .concat();
    for (name, series) in all {
        let figures = Spread::of(turns.iter().map(|turn| series(turn).figure));
        let times = Spread::of(turns.iter().map(|turn| series(turn).cpu * 1e6));
        add("workloads, absolute", name, &unit, figures)?;
        add("workloads, processor time of a unit", name, "us", times)?;
    }
    for (name, series) in SERIES {
        let [by_figure, by_cpu] = slowdowns(kind, turns, series);
        add("workloads", name, "x", by_figure)?;
        add("workloads, processor time", name, "x", by_cpu)?;
    }
    let calls = Spread::of(turns.iter().map(|turn| turn.calls));
    add("workloads, calls", "normal", "calls/s", calls)
}

fn print(kind: &Kind, turns: &[Turn]) {
    let nothing = Spread::of(turns.iter().map(|turn| turn.middle().figure)).median;
    let time = Spread::of(turns.iter().map(|turn| turn.middle().cpu * 1e6)).median;
    let calls = Spread::of(turns.iter().map(|turn| turn.calls)).median;
    let compared = SERIES.map(|(_, series)| slowdowns(kind, turns, series));
    let unit = kind.unit.to_string();
    let lines = [
        (kind.name, nothing, unit.as_str(), format!("{calls:.0}")),
        ("", time, "us of processor", String::new()),
    ];
    for (index, (name, nothing, unit, calls)) in lines.into_iter().enumerate() {
        print!("{name:<9} {nothing:>10.2} {unit:<15} {calls:>9}");
        let spreads = compared.map(|both| both[index]);
        for Spread {
            median, low, high, ..
        } in spreads
        {
            print!("  {median:.3} {low:.3}..{high:.3}");
        }
        let [noise, _, _, normal] = spreads;
        println!("  {}", verdict(&noise, &normal));
    }
}

/// What the loss is within.
fn verdict(noise: &Spread, normal: &Spread) -> &'static str {
    if normal.median <= TARGET {
        "2 %"
    } else if normal.median <= noise.high {
        "noise"
    } else {
        "neither"
    }
}

fn chosen() -> Result<Vec<&'static Kind>, Failure> {
    match std::env::var("EBPH_WORKLOADS") {
        Ok(names) => names.split(',').map(workloads::of).collect(),
        Err(_) => Ok(KINDS.iter().collect()),
    }
}

fn main() -> Result<(), Failure> {
    if let Some(names) = runner::here() {
        return runner::obey(&names);
    }
    let turns = match std::env::var("EBPH_TURNS") {
        Ok(turns) => turns.parse::<usize>()?.max(1),
        Err(_) => TURNS,
    };
    let chosen = chosen()?;
    let objects = Objects::compile()?;
    let mut record = Record::start("workloads")?;
    println!(
        "{turns} turns; how many times as slow as with nothing attached, and its 95 % interval"
    );
    println!(
        "{:<9} {:>10} {:<15} {:>9}  {:<18}  {:<18}  {:<18}  {:<18}  within",
        "", "nothing", "", "calls/s", "nothing again", "empty program", "learning", "normal"
    );
    for kind in &chosen {
        let turns = measure(kind, &objects, turns)?;
        keep(&mut record, kind, &turns)?;
        print(kind, &turns);
    }
    println!("\nwithin: 2 %, the noise (the interval of nothing again), or neither, when normal");
    for kind in &chosen {
        println!("{:<9} {}", kind.name, kind.what);
    }
    Ok(())
}
