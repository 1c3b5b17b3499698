//! How long it takes to start, to save, to start with what was saved, and to stop, by how many
//! programs run and have a profile.

use std::time::Instant;

use ebph::{Monitor, MonitorBuilder};

use crate::profiles::{PROGRAMS, teach};
use crate::record::Spread;
use crate::victim::{Failure, Victim};
use crate::{Bench, watch_many};

const NAMES: [&str; 5] = [
    "start",
    "stop",
    "save all",
    "start with all saved",
    "stop, nothing new to save",
];

fn timed<T>(work: impl FnOnce() -> ebph::Result<T>) -> Result<(T, f64), Failure> {
    let start = Instant::now();
    let made = work()?;
    Ok((made, start.elapsed().as_secs_f64()))
}

fn start(builder: MonitorBuilder) -> Result<(Monitor, f64), Failure> {
    timed(|| builder.start())
}

/// Seconds of each of `NAMES`.
fn turn(runner: &mut Victim, programs: usize) -> Result<[f64; NAMES.len()], Failure> {
    let (monitor, started) = start(watch_many(runner, programs)?)?;
    teach(runner)?;
    let (_, stopped) = timed(|| monitor.stop())?;

    let folder = tempfile::tempdir()?;
    let builder = || {
        Ok::<_, Failure>(watch_many(runner, programs)?.profile_dir(folder.path().join("profiles")))
    };
    let first = builder()?;
    let again = builder()?;
    let monitor = first.start()?;
    teach(runner)?;
    let (files, saved) = timed(|| monitor.save())?;
    if files < programs {
        return Err(format!("{files} profiles were saved, not {programs}").into());
    }
    monitor.stop()?;
    let (monitor, loaded) = start(again)?;
    let (stats, ended) = timed(|| monitor.stop())?;
    if stats.store.loaded < programs as u64 {
        return Err(format!(
            "{} profiles were loaded, not {programs}",
            stats.store.loaded
        )
        .into());
    }
    Ok([started, stopped, saved, loaded, ended])
}

pub fn measure(bench: &mut Bench) -> Result<(), Failure> {
    for programs in PROGRAMS {
        let mut runner = bench.runner_of("ring", programs)?;
        let mut turns = Vec::new();
        for _ in 0..bench.few_turns() {
            turns.push(turn(&mut runner, programs)?);
        }
        runner.ask("end")?;
        for (i, name) in NAMES.iter().enumerate() {
            let times = Spread::of(turns.iter().map(|times| times[i]));
            bench.sheet.add("start", name, programs, "s", times)?;
        }
    }
    Ok(())
}
