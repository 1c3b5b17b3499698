//! What a monitored io_uring operation costs more than one that is not.
//!
//! A NOP does nothing, so what is left is the ring's own work and the monitor's. One turn measures
//! each configuration, so that the machine's drift meets all of them alike; what is compared is
//! paired within turns. Needs root.

#[path = "victim/mod.rs"]
mod victim;

use std::time::{Duration, Instant};

use ebph::{Monitor, Scope};
use io_uring::{IoUring, opcode};

use victim::{Failure, Victim};

const OPERATIONS: u32 = 64_000;
/// Operations in one `io_uring_enter`.
const BATCH: u32 = 32;
/// Measurements in one turn of a configuration; the least of them counts.
const SAMPLES: usize = 5;
/// Turns of each configuration; `EBPH_TURNS` overrides it.
const TURNS: usize = 25;

/// The other side: a line in, `OPERATIONS` NOPs, their mean time out.
fn obey() -> Result<(), Failure> {
    let mut ring = IoUring::new(BATCH)?;
    for line in std::io::stdin().lines() {
        line?;
        let start = Instant::now();
        for _ in 0..OPERATIONS / BATCH {
            for _ in 0..BATCH {
                // SAFETY: a NOP refers to no memory.
                unsafe {
                    ring.submission().push(&opcode::Nop::new().build())?;
                }
            }
            ring.submit_and_wait(BATCH as usize)?;
            std::hint::black_box(ring.completion().count());
        }
        let mean = start.elapsed().as_nanos() as f64 / f64::from(OPERATIONS);
        println!("{mean}");
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Config {
    Nothing,
    Calls,
    Learning,
    Normal,
    OutOfScope,
}

const CONFIGS: [(Config, &str); 5] = [
    (Config::Nothing, "nothing attached"),
    (Config::Calls, "calls only"),
    (Config::Learning, "learning"),
    (Config::Normal, "normal"),
    (Config::OutOfScope, "out of scope"),
];

fn measure(victim: &mut Victim) -> Result<f64, Failure> {
    let mut least = f64::INFINITY;
    for _ in 0..SAMPLES {
        least = least.min(victim.ask("")?);
    }
    Ok(least)
}

/// The bystander was never watched, and is measured while the victim is.
fn turn(victim: &mut Victim, bystander: &mut Victim, config: Config) -> Result<f64, Failure> {
    if config == Config::Nothing {
        return measure(victim);
    }
    let monitor = Monitor::builder()
        .scope(Scope::Tree(victim.pid()))
        .normal_wait(Duration::from_secs(3600))
        .io_uring(config != Config::Calls)
        .start()?;
    if config == Config::OutOfScope {
        return measure(bystander);
    }
    // The first round teaches the loop.
    measure(victim)?;
    if config == Config::Normal {
        let profile = monitor.profiles()?.next();
        monitor.normalize(profile.ok_or("the victim has no profile")?.key())?;
    }
    measure(victim)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Failure> {
    if victim::is_here() {
        return obey();
    }
    let turns = match std::env::var("EBPH_TURNS") {
        Ok(turns) => turns.parse::<usize>()?.max(1),
        Err(_) => TURNS,
    };
    let mut victim = Victim::start()?;
    let mut bystander = Victim::start()?;
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); CONFIGS.len()];
    for _ in 0..turns {
        for (i, (config, _)) in CONFIGS.iter().enumerate() {
            times[i].push(turn(&mut victim, &mut bystander, *config)?);
        }
    }
    println!("NOP, {BATCH} in a call, {turns} turns of {SAMPLES} x {OPERATIONS}, medians");
    println!("{:<20} {:>9} {:>9}", "", "ns each", "added");
    for (i, (_, name)) in CONFIGS.iter().enumerate() {
        let added = times[i].iter().zip(&times[0]).map(|(one, zero)| one - zero);
        let mut added: Vec<f64> = added.collect();
        println!(
            "{name:<20} {:>9.1} {:>9.1}",
            median(&mut times[i].clone()),
            median(&mut added)
        );
    }
    Ok(())
}
