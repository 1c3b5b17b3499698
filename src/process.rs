//! A watched process as it was at one moment.

use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::key::Key;

/// A thread of a watched process.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its id in the caller's pid namespace.
    pub tid: u32,
    /// Its name, which it chooses itself; what is not UTF-8 is replaced.
    pub comm: String,
    /// The calls it made since its program was executed, as far as they were recorded.
    pub calls: u64,
    /// How many of them were anomalous.
    pub anomalies: u64,
    /// Anomalous calls among the last 128 that were judged.
    pub lfc: u32,
    /// The largest [`Thread::lfc`] since its locality frame was last emptied.
    pub max_lfc: u32,
    /// Signal handlers entered and not left.
    pub signal_depth: u32,
}

/// A watched process: its threads and the profile they run on.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id in the caller's pid namespace.
    pub pid: u32,
    /// The name of its first thread; what is not UTF-8 is replaced.
    pub comm: String,
    /// When it started, since boot: together with the pid unique, however often a pid is reused.
    pub start: Duration,
    /// Its profile; `None` before its first call, and when there is no room for a profile.
    pub key: Option<Key>,
    pub(crate) threads: Vec<Thread>,
    pub(crate) clock: Clock,
}

/// The clock that they were read by is nothing of theirs.
impl PartialEq for Process {
    fn eq(&self, other: &Self) -> bool {
        let facts = |process: &Self| (process.pid, process.start, process.key);
        facts(self) == facts(other) && self.comm == other.comm && self.threads == other.threads
    }
}

impl Eq for Process {}

impl Process {
    /// Returns its threads, ordered by their ids.
    pub fn threads(&self) -> &[Thread] {
        &self.threads
    }

    /// Returns the calls of all its threads that still run.
    pub fn calls(&self) -> u64 {
        self.threads
            .iter()
            .fold(0, |sum, thread| sum.saturating_add(thread.calls))
    }

    /// Returns the anomalous calls of all its threads that still run.
    pub fn anomalies(&self) -> u64 {
        self.threads
            .iter()
            .fold(0, |sum, thread| sum.saturating_add(thread.anomalies))
    }

    /// Returns the largest locality frame count of its threads.
    pub fn lfc(&self) -> u32 {
        self.threads
            .iter()
            .map(|thread| thread.lfc)
            .max()
            .unwrap_or(0)
    }

    /// Returns the largest locality frame count that any of its running threads had since its frame was last
    /// emptied.
    pub fn max_lfc(&self) -> u32 {
        self.threads
            .iter()
            .map(|thread| thread.max_lfc)
            .max()
            .unwrap_or(0)
    }

    /// Returns the time of day at which it started.
    pub fn started_at(&self) -> SystemTime {
        self.clock
            .wall(i64::try_from(self.start.as_nanos()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u32, calls: u64, lfc: u32) -> Thread {
        Thread {
            tid,
            comm: "t".into(),
            calls,
            anomalies: 1,
            lfc,
            max_lfc: lfc + 1,
            signal_depth: 0,
        }
    }

    /// Check that counts of threads are added, and the worst locality frame stands for all.
    #[test]
    fn sums() {
        let mut process = Process {
            pid: 1,
            comm: "t".into(),
            start: Duration::from_secs(1),
            key: None,
            threads: vec![thread(1, 10, 3), thread(2, u64::MAX, 1)],
            clock: Clock::now(),
        };
        assert_eq!((process.calls(), process.anomalies()), (u64::MAX, 2));
        assert_eq!((process.lfc(), process.max_lfc()), (3, 4));
        process.threads.clear();
        assert_eq!((process.calls(), process.max_lfc()), (0, 0));
    }
}
