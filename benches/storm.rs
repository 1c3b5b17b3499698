//! What a storm of anomalies costs: a million calls that do not fit, of a program whose profile
//! stays normal all the while.
//!
//! Configurations take turns in one run, so that the machine's drift meets each of them alike; the
//! ratio is to the same calls with nothing attached, turn by turn. A storm of one kind repeats one
//! anomalous call over and over; one of many kinds makes calls at random. `unread` has a handler
//! that blocks.
//!
//! The kernel's maps are allocated whole at the start. What could grow is the monitor's process: if
//! it does by more than its reports can take, the bench fails. Needs root.

#[path = "victim/mod.rs"]
mod victim;

use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use ebph::{Event, Limits, Monitor, Scope, Stats};
use rustix::time::{ClockId, clock_gettime};

use victim::{Failure, Victim};

/// Calls of a storm; `EBPH_CALLS` overrides it.
const CALLS: u32 = 1_000_000;
/// Turns of each configuration; `EBPH_TURNS` overrides it.
const TURNS: usize = 3;
/// What the monitor's process may grow by in a storm, KiB: 8, more than any report takes here, for
/// each of forty calls right after each of forty others.
const MOST_GROWTH: u64 = 8 * 40 * 40;

/// What the victim calls.
#[derive(Clone, Copy, PartialEq)]
enum Calls {
    /// `getppid`, which its profile knows.
    Known,
    /// A number without a call, which it does not.
    OneKind,
    /// Forty such numbers at random.
    ManyKinds,
}

struct Config {
    name: &'static str,
    calls: Calls,
    watched: bool,
    read: bool,
}

const CONFIGS: [Config; 6] = [
    Config::new("nothing attached", Calls::OneKind, false, false),
    Config::new("known calls, normal", Calls::Known, true, true),
    Config::new("storm, one kind", Calls::OneKind, true, true),
    Config::new("storm, one kind, unread", Calls::OneKind, true, false),
    Config::new("storm, many kinds", Calls::ManyKinds, true, true),
    Config::new("storm, many kinds, unread", Calls::ManyKinds, true, false),
];

impl Config {
    const fn new(name: &'static str, calls: Calls, watched: bool, read: bool) -> Self {
        Self {
            name,
            calls,
            watched,
            read,
        }
    }
}

/// Has the victim make calls, and returns the CPU time of one, in nanoseconds.
fn call(victim: &mut Victim, calls: Calls, count: u32) -> Result<f64, Failure> {
    victim.ask(&format!("{} {count}", calls as u8))
}

fn cpu_time() -> Duration {
    // SANITY: a process's own CPU time is never negative.
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// The other side: a line in, calls, the mean of their CPU time out.
fn obey() -> Result<(), Failure> {
    /// Above every call that a kernel has, and below what the monitor tells apart.
    const FIRST: u32 = 471;

    for line in std::io::stdin().lines() {
        let line = line?;
        let (calls, count) = line.split_once(' ').ok_or("two numbers are wanted")?;
        let count: u32 = count.parse()?;
        let mut random = fastrand::Rng::with_seed(1);
        let start = cpu_time();
        for _ in 0..count {
            match calls {
                "0" => {
                    std::hint::black_box(rustix::process::getppid());
                }
                "1" => strange(FIRST),
                _ => strange(random.u32(FIRST..FIRST + 40)),
            }
        }
        let spent = cpu_time() - start;
        println!("{}", spent.as_nanos() as f64 / f64::from(count));
    }
    Ok(())
}

#[allow(unsafe_code)]
fn strange(number: u32) {
    // SAFETY: there is no call of this number, so it does nothing. libc is the only crate that makes
    // calls by their number.
    unsafe { libc::syscall(number.into()) };
}

/// What one turn cost.
struct Turn {
    /// CPU time of the victim, nanoseconds a call.
    ns: f64,
    /// CPU time of the monitor's process, likewise.
    monitor: f64,
    /// Memory of the monitor's process before and after, KiB.
    resident: (u64, u64),
    before: Stats,
    after: Stats,
}

fn turn(config: &Config, count: u32) -> Result<Turn, Failure> {
    let mut victim = Victim::start()?;
    if !config.watched {
        call(&mut victim, config.calls, count / 10)?;
        return Ok(Turn {
            ns: call(&mut victim, config.calls, count)?,
            monitor: 0.0,
            resident: (0, 0),
            before: Stats::default(),
            after: Stats::default(),
        });
    }
    let limits = Limits::default()
        .normal_wait(Duration::from_secs(3600))
        .anomaly_limit(u64::MAX)
        .tolerize_limit(128);
    let (hold, held) = mpsc::channel::<()>();
    let read = config.read;
    let monitor = Monitor::builder()
        .scope(Scope::Tree(victim.pid()))
        .limits(limits)
        .handler(move |_: &Event| {
            if !read {
                // Nothing is ever sent; it ends when the other end is dropped.
                let _released = held.recv();
            }
        })
        .start()?;
    // From here on it is dropped before the monitor, which waits for its handlers.
    let hold = hold;
    // It reads and writes a line as well, which is known from then on.
    for _ in 0..3 {
        call(&mut victim, Calls::Known, count / 100)?;
    }
    let mut profiles = monitor.profiles()?;
    let key = profiles.next().ok_or("the victim has no profile")?.key();
    drop(profiles);
    monitor.normalize(key)?;

    let (before, kib, cpu) = (monitor.stats()?, resident()?, cpu_time());
    let ns = call(&mut victim, config.calls, count)?;
    let spent = cpu_time() - cpu;
    let (after, resident) = (monitor.stats()?, (kib, resident()?));
    if monitor
        .profile(key)?
        .is_none_or(|profile| !profile.is_normal())
    {
        return Err("the profile did not stay normal".into());
    }
    drop(hold);
    monitor.stop()?;
    Ok(Turn {
        ns,
        monitor: spent.as_nanos() as f64 / f64::from(count),
        resident,
        before,
        after,
    })
}

/// The memory that this process holds, in KiB.
fn resident() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS")?.parse()?)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number<T: std::str::FromStr>(variable: &str, default: T) -> Result<T, T::Err> {
    std::env::var(variable).map_or(Ok(default), |text| text.parse())
}

fn print(name: &str, turns: &[Turn], nothing: &[Turn]) {
    let ratios = turns
        .iter()
        .zip(nothing)
        .map(|(turn, none)| turn.ns / none.ns);
    let last = &turns[turns.len() - 1];
    let grown = |count: fn(&Stats) -> u64| count(&last.after) - count(&last.before);
    println!(
        "{name:<26} {:>8.0} {:>6.2} {:>8.1} {:>9} {:>9} {:>7} {:>7} {:>7} {:>8}",
        median(turns.iter().map(|turn| turn.ns)),
        median(ratios),
        median(turns.iter().map(|turn| turn.monitor)),
        grown(|stats| stats.detection.anomalies),
        grown(|stats| stats.detection.suppressed),
        grown(|stats| stats.events.submitted),
        grown(|stats| stats.events.lost_in_ring),
        grown(|stats| stats.events.lost_in_channels),
        format!("{:+}", last.resident.1 as i64 - last.resident.0 as i64),
    );
}

fn main() -> Result<(), Failure> {
    if victim::is_here() {
        return obey();
    }
    let turns = number("EBPH_TURNS", TURNS)?.max(1);
    let count = number("EBPH_CALLS", CALLS)?.max(1000);
    let mut all: Vec<Vec<Turn>> = CONFIGS.iter().map(|_| Vec::new()).collect();
    for _ in 0..turns {
        for (config, turns) in CONFIGS.iter().zip(&mut all) {
            turns.push(turn(config, count)?);
        }
    }
    println!("{count} calls, {turns} turns; medians, and counts of the last turn");
    println!(
        "{:<26} {:>8} {:>6} {:>8} {:>9} {:>9} {:>7} {:>7} {:>7} {:>8}",
        "", "ns/call", "ratio", "monitor", "anomalies", "held back", "sent", "ring", "queue", "KiB"
    );
    for (config, turns) in CONFIGS.iter().zip(&all) {
        print(config.name, turns, &all[0]);
    }
    println!(
        "\nns/call: CPU time of the program; monitor: of the monitor's process, for each call;"
    );
    println!("ring, queue: events lost there; KiB: what the monitor's process grew by");
    for (config, turns) in CONFIGS.iter().zip(&all) {
        for turn in turns {
            let (before, after) = turn.resident;
            if after > before + MOST_GROWTH {
                return Err(format!("{}: {before} KiB became {after}", config.name).into());
            }
        }
    }
    if let Some(turn) = all.last().and_then(|turns| turns.last()) {
        let mib = turn.after.memory.total() as f64 / f64::from(1 << 20);
        println!("memory of the kernel, allocated before the storm: {mib:.1} MiB");
    }
    Ok(())
}
