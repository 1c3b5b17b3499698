//! What every program under watch gives: ordinary work, and abuse.

use std::path::PathBuf;

use fastrand::Rng;

use crate::stage::Stage;

/// A program whose profile is trained and then tried.
pub struct Program {
    pub name: &'static str,
    /// The executable that has the profile.
    pub executable: fn() -> PathBuf,
    /// How its version is asked for.
    pub version: &'static [&'static str],
    /// What is ordinary for it, in a few words for the report.
    pub load: &'static str,
    /// How long it is trained.
    pub training: Training,
    /// What it is abused for.
    pub abuses: &'static [Abuse],
    /// Starts it, if it is a service.
    pub begin: for<'a> fn(&'a Stage, Life, &mut Rng) -> Box<dyn Session + 'a>,
}

/// Calls by which a program starts a command.
pub const STARTING: &[&str] = &[
    "clone", "clone3", "execve", "fork", "pipe", "pipe2", "vfork", "wait4",
];

/// What a life is to be like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// A short and calm one, with the settings that the program has by itself: it is at rest before
    /// it is used, and before it is stopped.
    Short,
    /// One under load. What the program does now and then is set to happen often, so that
    /// training meets it.
    Busy,
}

/// One life of a program: for a service from start to stop, for a tool a handful of runs.
pub trait Session {
    /// Does ordinary work. No two times the same: sizes, names, the mix and the order differ.
    fn work(&mut self, rng: &mut Rng);

    /// Does a little of it.
    fn little_work(&mut self, rng: &mut Rng);

    /// Abuses it; must fail if the abuse did not have its effect.
    fn abuse(&mut self, abuse: &Abuse, rng: &mut Rng);

    /// Stops it in the ordinary way.
    fn end(self: Box<Self>);
}

/// Training ends when some rounds in a row brought nothing new, but not before the least number
/// of rounds and not after the largest.
#[derive(Clone, Copy)]
pub struct Training {
    /// Short lives after each busy one.
    pub short: u64,
    pub least: u64,
    pub most: u64,
    pub quiet: u64,
}

impl Training {
    /// What suits most programs that do one thing and end.
    pub const TOOL: Self = Self {
        short: 1,
        least: 30,
        most: 150,
        quiet: 20,
    };
}

/// A way to abuse a program.
pub struct Abuse {
    pub name: &'static str,
    pub what: &'static str,
    /// Calls that the abuse makes: it counts as detected only if one of them was reported, or
    /// stands in the window of one that was.
    pub calls: &'static [&'static str],
    /// Whether it can be detected: one that makes the same calls in the same order as ordinary
    /// work cannot, and is tried to show it.
    pub visible: bool,
}

impl Abuse {
    pub const fn new(
        name: &'static str,
        what: &'static str,
        calls: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            what,
            calls,
            visible: true,
        }
    }

    /// One that looks like ordinary work.
    pub const fn hidden(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            calls: &[],
            visible: false,
        }
    }
}
