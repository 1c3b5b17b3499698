//! How many anomalies a second are reported without loss, and what is lost when there are more.
//!
//! No report is held back, which is what limits are for. Buffers have their default sizes, and the
//! handler only counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ebph::{Event, EventKind, EventMask, Limits, Monitor, Stats};

use crate::record::Spread;
use crate::victim::{Failure, Victim};
use crate::{Bench, normalize_all, watch};

const THREADS: [usize; 4] = [1, 4, 16, 64];
/// Reports of one storm, if the time allows: several times what ring and queue hold, so that they
/// do not hide that the reader is too slow.
const REPORTS: f64 = 40_000.0;
/// How long a storm is, seconds.
const LEAST: f64 = 0.5;
const MOST: f64 = 4.0;
/// What is surely slow enough, anomalies a second.
const SLOW: f64 = 1000.0;
/// How often what is between that and all they can make is halved, by its logarithm: to some 5 %.
const STEPS: usize = 7;

/// What came of one storm, each a second.
#[derive(Clone, Copy)]
struct Rates {
    submitted: f64,
    delivered: f64,
    lost: u64,
}

/// Waits until what was sent is handed on.
fn settled(monitor: &Monitor) -> Result<Stats, Failure> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let stats = monitor.stats()?;
        let events = &stats.events;
        let waiting: u64 = stats.receivers.iter().map(|one| one.waiting).sum();
        if waiting == 0
            && events.submitted == events.delivered + events.lost_in_ring + events.lost_in_channels
        {
            return Ok(stats);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err("events are still on their way after a minute".into())
}

fn storm(
    monitor: &Monitor,
    runner: &mut Victim,
    threads: usize,
    rate: f64,
) -> Result<Rates, Failure> {
    let time = if rate == 0.0 {
        LEAST
    } else {
        (REPORTS / rate).clamp(LEAST, MOST)
    };
    let before = settled(monitor)?;
    let seconds = runner.ask(&format!("storm {threads} {rate} {time}"))?;
    let after = settled(monitor)?;
    let grown = |count: fn(&Stats) -> u64| count(&after) - count(&before);
    let held_back = grown(|stats| stats.detection.suppressed);
    if held_back > 0 {
        return Err(format!("{held_back} reports were held back").into());
    }
    Ok(Rates {
        submitted: grown(|stats| stats.events.submitted) as f64 / seconds,
        delivered: grown(|stats| stats.events.delivered) as f64 / seconds,
        lost: grown(|stats| stats.events.lost_in_ring + stats.events.lost_in_channels),
    })
}

/// As many as the threads can make, and the highest rate at which nothing was lost.
fn turn(runner: &mut Victim, threads: usize) -> Result<(Rates, f64), Failure> {
    let got = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&got);
    let limits = Limits::default()
        .normal_wait(Duration::from_secs(3600))
        .anomaly_limit(u64::MAX)
        .tolerize_limit(128)
        .report_rate(u64::MAX)
        .thread_report_rate(u64::MAX);
    let monitor = watch(runner)
        .limits(limits)
        .events(EventMask::NONE.with(EventKind::Anomaly))
        .handler(move |_: &Event| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .start()?;
    for rate in [0, 1000] {
        runner.ask(&format!("calm {threads} {rate} 0.2"))?;
    }
    normalize_all(&monitor, 1)?;

    let most = storm(&monitor, runner, threads, 0.0)?;
    let mut lossless = most.submitted;
    if most.lost > 0 {
        let (mut low, mut high) = (SLOW, most.submitted);
        lossless = 0.0;
        for _ in 0..STEPS {
            let middle = (low * high).sqrt();
            let rates = storm(&monitor, runner, threads, middle)?;
            if rates.lost == 0 {
                // What is sent counts, not what was meant to be.
                lossless = rates.delivered.max(lossless);
                low = middle;
            } else {
                high = middle;
            }
        }
    }
    let stats = monitor.stop()?;
    if stats.events.delivered != got.load(Ordering::Relaxed) {
        return Err("what was delivered did not come".into());
    }
    Ok((most, lossless))
}

fn column<T>(turns: &[T], of: impl Fn(&T) -> f64) -> Vec<f64> {
    turns.iter().map(of).collect()
}

pub fn measure(bench: &mut Bench) -> Result<(), Failure> {
    for threads in THREADS {
        let mut runner = Victim::start()?;
        let mut turns = Vec::new();
        for _ in 0..bench.few_turns() {
            turns.push(turn(&mut runner, threads)?);
        }
        let mut add = |name, rates: Vec<f64>| {
            let rates = Spread::of(rates);
            bench.sheet.add("anomalies", name, threads, "/s", rates)
        };
        add("without loss", column(&turns, |(_, lossless)| *lossless))?;
        add(
            "at full speed, sent",
            column(&turns, |(most, _)| most.submitted),
        )?;
        add(
            "at full speed, delivered",
            column(&turns, |(most, _)| most.delivered),
        )?;
    }
    Ok(())
}
