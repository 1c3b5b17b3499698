//! Calls per second of more and more threads: of one program, which share a profile, and of as
//! many programs with a profile each.

use crate::compare::{SAMPLES, Turns, least};
use crate::victim::{Failure, Victim};
use crate::{Bench, normalize_all, watch};

const THREADS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Calls of all threads together.
const CALLS: usize = 500_000;

/// Where the threads are.
#[derive(Clone, Copy, PartialEq)]
enum Profiles {
    One,
    Many,
}

impl Profiles {
    fn name(self) -> &'static str {
        match self {
            Self::One => "one profile",
            Self::Many => "a profile each",
        }
    }

    /// Has all of them make calls at once; seconds until all have done so.
    fn call(self, runner: &mut Victim, threads: usize, calls: usize) -> Result<f64, Failure> {
        let calls = calls / threads;
        runner.ask(&match self {
            Self::One => format!("threads {threads} {calls}"),
            Self::Many => format!("tell 1 0 {calls}"),
        })
    }

    /// Each measurement begins alike, with threads that just ran.
    fn measure(self, runner: &mut Victim, threads: usize) -> Result<f64, Failure> {
        self.call(runner, threads, CALLS / 4)?;
        least(|| self.call(runner, threads, CALLS))
    }
}

/// Seconds learning, and normal.
fn watched(runner: &mut Victim, profiles: Profiles, threads: usize) -> Result<[f64; 2], Failure> {
    let monitor = watch(runner).start()?;
    let learning = profiles.measure(runner, threads)?;
    let least = if profiles == Profiles::Many {
        threads
    } else {
        1
    };
    normalize_all(&monitor, least)?;
    let before = monitor.stats()?.calls.recorded;
    let normal = profiles.measure(runner, threads)?;
    let stats = monitor.stop()?;
    // But for what threads held back.
    let seen = stats.calls.recorded - before;
    let made = (CALLS * SAMPLES) as u64;
    if seen < made * 9 / 10 {
        return Err(format!("of {made} calls only {seen} were seen").into());
    }
    Ok([learning, normal])
}

pub fn measure(bench: &mut Bench) -> Result<(), Failure> {
    for profiles in [Profiles::One, Profiles::Many] {
        for threads in THREADS {
            let mut runner = match profiles {
                Profiles::One => Victim::start()?,
                Profiles::Many => bench.runner_of("programs", threads)?,
            };
            let turns = Turns::measure(
                &mut runner,
                bench.turns,
                |runner| profiles.measure(runner, threads),
                |runner| watched(runner, profiles, threads),
            )?;
            runner.ask("end")?;
            turns.tell(
                bench,
                ("threads", "million/s"),
                |state| format!("{}, {state}", profiles.name()),
                threads,
                |seconds| CALLS as f64 / 1e6 / seconds,
            )?;
        }
    }
    Ok(())
}
