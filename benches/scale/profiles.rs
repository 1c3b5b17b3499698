//! The time of a call while more and more programs, each with a profile of its own, take turns:
//! each makes a few calls and wakes the next, so that with many of them none finds its profile in
//! the processor's caches.

use crate::compare::{Turns, least};
use crate::victim::{Failure, Victim};
use crate::{Bench, KINDS, normalize_all, watch_many};

/// How many programs.
pub const PROGRAMS: [usize; 5] = [10, 100, 400, 1000, 4000];
/// What a program calls in its turn, besides a read and a write.
const CALLS: u32 = 14;
/// Turns of programs in one measurement.
const HOPS: usize = 10_000;

/// Has the order go around until it changes nothing any more.
pub fn teach(runner: &mut Victim) -> Result<(), Failure> {
    runner.ask(&format!("tell 3 {KINDS} {CALLS}"))?;
    runner.ask(&format!("tell 3 0 {CALLS}"))?;
    Ok(())
}

/// Nanoseconds a call, with its part of the change from one program to the next.
fn laps(runner: &mut Victim, programs: usize) -> Result<f64, Failure> {
    teach(runner)?;
    let laps = HOPS.div_ceil(programs);
    let seconds = least(|| runner.ask(&format!("tell {laps} 0 {CALLS}")))?;
    let calls = laps * programs * (CALLS as usize + 2);
    Ok(seconds * 1e9 / calls as f64)
}

/// The same learning, and normal.
fn watched(runner: &mut Victim, programs: usize) -> Result<[f64; 2], Failure> {
    let monitor = watch_many(runner, programs)?.start()?;
    let learning = laps(runner, programs)?;
    normalize_all(&monitor, programs)?;
    let normal = laps(runner, programs)?;
    monitor.stop()?;
    Ok([learning, normal])
}

pub fn measure(bench: &mut Bench) -> Result<(), Failure> {
    for programs in PROGRAMS {
        let mut runner = bench.runner_of("ring", programs)?;
        let turns = Turns::measure(
            &mut runner,
            bench.turns,
            |runner| laps(runner, programs),
            |runner| watched(runner, programs),
        )?;
        runner.ask("end")?;
        turns.tell(bench, ("profiles", "ns"), str::to_owned, programs, |ns| ns)?;
    }
    Ok(())
}
