//! With ebph and without, in turn.

use crate::record::Spread;
use crate::victim::{Failure, Victim};
use crate::{Bench, settle};

/// States of a profile, by the places of a watched turn's times.
const STATES: [&str; 2] = ["learning", "normal"];

/// Measurements of one time.
pub const SAMPLES: usize = 3;

/// The least of some measurements: what else runs only ever adds.
pub fn least(mut measure: impl FnMut() -> Result<f64, Failure>) -> Result<f64, Failure> {
    let mut least = f64::INFINITY;
    for _ in 0..SAMPLES {
        least = least.min(measure()?);
    }
    Ok(least)
}

/// The times of turns: without, with, without, with, and so on, and without once more.
pub struct Turns {
    without: Vec<f64>,
    watched: Vec<[f64; 2]>,
}

impl Turns {
    pub fn measure(
        runner: &mut Victim,
        turns: usize,
        without: impl Fn(&mut Victim) -> Result<f64, Failure>,
        watched: impl Fn(&mut Victim) -> Result<[f64; 2], Failure>,
    ) -> Result<Self, Failure> {
        let mut made = Self {
            without: vec![without(runner)?],
            watched: Vec::new(),
        };
        for _ in 0..turns {
            made.watched.push(watched(runner)?);
            settle();
            made.without.push(without(runner)?);
        }
        Ok(made)
    }

    /// Tells the times, as what `figure` makes of them, and in another table their ratios to those
    /// without ebph before and after, which drift alike.
    pub fn tell(
        &self,
        bench: &mut Bench,
        (table, unit): (&str, &str),
        series: impl Fn(&str) -> String,
        at: usize,
        figure: impl Fn(f64) -> f64,
    ) -> Result<(), Failure> {
        let sheet = &mut bench.sheet;
        let ratios = format!("{table} ratio");
        let without = Spread::of(self.without.iter().map(|time| figure(*time)));
        sheet.add(table, &series("without ebph"), at, unit, without)?;
        let around = || self.without.windows(2);
        for (i, state) in STATES.iter().enumerate() {
            let times = Spread::of(self.watched.iter().map(|times| figure(times[i])));
            sheet.add(table, &series(state), at, unit, times)?;
            let pairs = self.watched.iter().zip(around());
            let pairs = pairs.map(|(times, around)| times[i] * 2.0 / (around[0] + around[1]));
            sheet.add(&ratios, &series(state), at, "x", Spread::of(pairs))?;
        }
        // What the method says where there is nothing to say.
        let nothing = Spread::of(around().map(|around| around[1] / around[0]));
        sheet.add(&ratios, &series("A/A"), at, "x", nothing)
    }
}
