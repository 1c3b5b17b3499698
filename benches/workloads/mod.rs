//! Real programs doing what they are for, measured in time or in requests a second.

mod build;
mod cpu;
mod git;
mod nginx;
mod postgres;
mod redis;
pub mod runner;
mod shell;
pub mod sources;
mod stage;
pub mod watch;
mod x11;

use std::fmt;

use crate::Failure;

/// What is asked of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A little of everything, so that profiles and caches are warm afterwards.
    Short,
    /// What is measured, of some seconds.
    Full,
}

/// What a workload's figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    /// Something a second.
    Rate(&'static str),
}

impl Unit {
    /// How many times as slow: more than one if `with` is worse than `without`.
    pub fn slowdown(self, with: f64, without: f64) -> f64 {
        match self {
            Self::Seconds => with / without,
            Self::Rate(_) => without / with,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Seconds => "s",
            Self::Rate(unit) => unit,
        })
    }
}

/// A workload that is ready: its services run. What it started ends when it is dropped, and what it
/// wrote goes.
pub trait Workload: Send {
    /// Does it once, and returns the figure, and how many units of work that were: processor time
    /// is compared by the unit.
    fn work(&mut self, size: Size) -> Result<(f64, f64), Failure>;
}

/// A workload that can be begun.
pub struct Kind {
    pub name: &'static str,
    /// In a few words, for the table.
    pub what: &'static str,
    pub unit: Unit,
    begin: fn() -> Result<Box<dyn Workload>, Failure>,
}

/// All there are.
pub const KINDS: [Kind; 7] = [
    build::KIND,
    nginx::KIND,
    redis::KIND,
    postgres::KIND,
    git::KIND,
    x11::KIND,
    shell::KIND,
];

/// The workload of a name.
pub fn of(name: &str) -> Result<&'static Kind, Failure> {
    let names = KINDS.map(|kind| kind.name).join(", ");
    KINDS
        .iter()
        .find(|kind| kind.name == name)
        .ok_or_else(|| format!("no workload is named {name}; there are {names}").into())
}
