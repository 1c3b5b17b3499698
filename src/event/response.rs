//! What was done about anomalies, as an event tells it.

use std::path::PathBuf;
use std::time::Duration;

use super::{Context, MissedPair};
use crate::syscall::{Letter, Symbol};

/// What was done about a thread's anomalies.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// When, to whom, and by which profile.
    pub context: Context,
    /// What was done.
    pub action: ResponseAction,
    /// Whether it was not done after all, because it is only to be said what would have been.
    pub would_have: bool,
    /// The call at which it was done.
    pub symbol: Symbol,
    /// The call and up to eight before it, oldest first; the call itself is the last.
    pub window: Vec<Letter>,
    /// The pairs of this call that are not normal, nearest first; none if an earlier call is the cause.
    pub missed: Vec<MissedPair>,
    /// Locality frame count: anomalous calls among the thread's last 128 that were judged.
    pub lfc: u32,
    /// The count that an exec is answered by: the largest of the process and those it descends from,
    /// since they became the program that they are.
    pub max_lfc: u32,
    /// What was to be executed, where an exec was answered.
    pub target: Option<PathBuf>,
    /// What would have been done to this thread, and execs of its that were denied, that were left out since it was
    /// last told of any.
    pub suppressed: u64,
}

/// What is done about anomalies.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseAction {
    /// The process is stopped for this long.
    Delay(Duration),
    /// The process is stopped for this long before the first instruction of what it has executed.
    SuspendExec(Duration),
    /// `execve` failed with `EPERM`.
    DenyExec,
    /// The process was killed.
    Kill,
}

impl ResponseAction {
    /// Returns the name that JSON uses, as in `deny_exec`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::SuspendExec(_) => "suspend_exec",
            Self::DenyExec => "deny_exec",
            Self::Kill => "kill",
        }
    }

    /// Returns how long the process is stopped for, if it is.
    pub const fn wait(self) -> Option<Duration> {
        match self {
            Self::Delay(wait) | Self::SuspendExec(wait) => Some(wait),
            Self::DenyExec | Self::Kill => None,
        }
    }
}
