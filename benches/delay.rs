//! How long delays take that were asked for: requested against observed, as the delayed program itself sees
//! it by the boot-time clock around each call.
//!
//! To be run on a machine that does nothing else: what is shown above the requested time is how long
//! it takes to stop a process, to wake the guardian, and to get the process back onto a processor. Needs
//! root.

#[path = "victim/mod.rs"]
mod victim;

use std::time::Duration;

use ebph::{Delay, Limits, Monitor, Responses, Scope};
use rustix::time::{ClockId, clock_gettime};

use victim::{Failure, Victim};

/// What is asked for, and how often.
const CASES: [(Duration, u32); 4] = [
    (Duration::from_millis(1), 100),
    (Duration::from_millis(10), 100),
    (Duration::from_millis(100), 20),
    (Duration::from_secs(1), 5),
];

fn boot() -> Duration {
    // SANITY: the time since boot is never negative.
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// A call that the program makes from the start on; asking for the time makes none.
fn known() {
    std::hint::black_box(rustix::process::getppid());
}

/// The other side. `usual N`: so many calls; `odd N`: the same after one that does not fit, and then the
/// median of what they took in nanoseconds; `worst`: the longest of them.
fn obey() -> Result<(), Failure> {
    let mut took = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        let (what, count) = line.split_once(' ').unwrap_or((&line, "0"));
        let count: u32 = count.parse()?;
        if what == "odd" {
            std::hint::black_box(rustix::process::getuid());
        }
        if what != "worst" {
            took.clear();
            for _ in 0..count {
                let start = boot();
                known();
                took.push(boot() - start);
            }
            took.sort_unstable();
        }
        let answer = match what {
            "worst" => took.last(),
            _ => took.get(took.len() / 2),
        };
        println!("{}", answer.ok_or("nothing was measured")?.as_nanos());
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    if victim::is_here() {
        return obey();
    }
    let mut victim = Victim::start()?;
    let limits = Limits::default()
        .normal_wait(Duration::from_secs(3600))
        .anomaly_limit(u64::MAX)
        .tolerize_limit(128);
    let monitor = Monitor::builder()
        .scope(Scope::Tree(victim.pid()))
        .limits(limits)
        .start()?;
    for _ in 0..5 {
        victim.ask("usual 200")?;
    }
    let key = monitor.profiles()?.next().ok_or("no profile")?.key();
    monitor.normalize(key)?;
    println!(
        "{:>10} {:>6} {:>12} {:>12} {:>12}",
        "requested", "calls", "median", "worst", "median over"
    );
    for (wait, calls) in CASES {
        let delay = Delay::new(wait, wait);
        monitor.set_responses(Responses::default().delay(delay))?;
        let median = Duration::from_nanos(victim.ask(&format!("odd {calls}"))? as u64);
        monitor.set_responses(Responses::default())?;
        let worst = Duration::from_nanos(victim.ask("worst")? as u64);
        println!(
            "{wait:>10.0?} {calls:>6} {median:>12.3?} {worst:>12.3?} {:>12.1?}",
            median.saturating_sub(wait)
        );
    }
    let stats = monitor.stop()?.responses;
    println!(
        "stops: {}; the longest that one lasted beyond its time, by the kernel's clock: {:.1?}",
        stats.released,
        Duration::from_nanos(stats.worst_excess_ns),
    );
    Ok(())
}
