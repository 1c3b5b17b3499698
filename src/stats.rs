//! What the monitor has seen, holds, and has lost.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::skel::types;

/// A snapshot of all counters. Every count only grows while the monitor runs; what is in use may
/// shrink.
///
/// Display is a table. As serde data it is plain numbers under the names of the fields, so any
/// exporter can take it.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// System calls of watched threads, seen at their entry.
    pub calls: CallStats,
    /// Threads and their signal handlers.
    pub threads: ThreadStats,
    /// What was judged.
    pub detection: DetectionStats,
    /// Profiles: how many there are, by state, and what there was no room for.
    pub profiles: ProfileStats,
    /// Rows of the pool, one for each different call of each profile.
    pub rows: RowStats,
    /// Events on their way to handlers and receivers.
    pub events: EventStats,
    /// Profile files.
    pub store: StoreStats,
    /// Failures within the kernel's part; 0 on a healthy system.
    pub failures: FailureStats,
    /// The programs attached, with the loss counter that the kernel keeps for each.
    pub programs: Vec<ProgramStats>,
    /// Kernel memory that maps and programs hold, in bytes, allocated whole at the start. Each
    /// watched thread takes about 600 bytes more.
    pub memory: u64,
}

/// System calls of watched threads. They divide into [`CallStats::PARTS`].
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallStats {
    /// Learnt or judged.
    pub recorded: u64,
    /// Never recorded: cancelled by ptrace or seccomp, or `restart_syscall`.
    pub ignored: u64,
    /// Issued again by the kernel after a signal, and recorded the first time.
    pub restarts: u64,
    /// Of programs for which there was no room for a profile.
    pub unprofiled: u64,
    /// Made while the monitor was paused.
    pub paused: u64,
    /// Of threads whose state could not be made or reached.
    pub no_state: u64,
    /// Recorded ones that could not be learnt for want of a row.
    pub unlearnt: u64,
    /// Different calls that came after a profile's 254th, and share a place in it.
    pub other_ids: u64,
}

impl CallStats {
    /// The names of the fields that each call seen is counted in exactly one of.
    pub const PARTS: [&str; 6] = [
        "recorded",
        "ignored",
        "restarts",
        "unprofiled",
        "paused",
        "no_state",
    ];

    /// Returns all system calls seen.
    ///
    /// Calls of watched threads that the kernel did not show to the monitor are not among them:
    /// see [`ProgramStats::recursion_misses`].
    pub fn seen(&self) -> u64 {
        [
            self.recorded,
            self.ignored,
            self.restarts,
            self.unprofiled,
            self.paused,
            self.no_state,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

/// Threads, and the signal handlers they enter.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadStats {
    /// First noticed at a call, because their creation was not seen.
    pub late_tasks: u64,
    /// Executions first noticed at a call of the new program.
    pub late_execs: u64,
    /// Threads given a profile anew, after theirs was forgotten.
    pub late_binds: u64,
    /// Signal handlers entered.
    pub signals: u64,
    /// Handlers nested too deep for the interrupted window to be kept.
    pub frames_overflow: u64,
    /// Jumps out of handlers, as far as the stack pointer tells.
    pub frames_dropped: u64,
    /// Returns from a handler that was not entered.
    pub unbalanced: u64,
}

/// What was judged.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DetectionStats {
    /// Calls that did not fit.
    pub anomalies: u64,
    /// Those not reported, because their kind was and the report rate was used up.
    pub suppressed: u64,
}

/// Profiles.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProfileStats {
    /// Made since the start.
    pub created: u64,
    /// There now.
    pub used: u64,
    /// As many as there is room for.
    pub capacity: u64,
    /// There now and training.
    pub training: u64,
    /// There now, frozen and not normal.
    pub frozen: u64,
    /// There now and normal.
    pub normal: u64,
    /// Not made for want of room.
    pub refused: u64,
    /// Executables that were found rewritten.
    pub changed: u64,
}

/// Profile files.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreStats {
    /// Profiles that were in force before the first call was seen.
    pub loaded: u64,
    /// Profiles that came back when their programs were executed.
    pub returned: u64,
    /// Profiles of programs that had changed: they train on from what was seen.
    pub changed: u64,
    /// Files written.
    pub saved: u64,
    /// Profiles that made room for others.
    pub evicted: u64,
    /// Of these, those that could not be saved, because their programs could not be found again.
    pub dropped: u64,
    /// Files put out of the way.
    pub set_aside: u64,
    /// Files that could not be written or read, each time counted.
    pub failures: u64,
}

/// Rows of the pool.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RowStats {
    /// In use.
    pub used: u64,
    /// As many as there are.
    pub capacity: u64,
    /// Size of one, in bytes.
    pub bytes: u64,
    /// Not had when they were needed.
    pub refused: u64,
}

/// Events. When the monitor has stopped, `submitted` equals `read + lost_in_ring`, and for each
/// handler and receiver that was there all the time and wants every kind, what it got and what it
/// lost add up to `read - undecodable`. With one of them, `submitted` is
/// `delivered + lost_in_ring + lost_in_channels`, but for what could not be decoded.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventStats {
    /// Sent by the kernel's part.
    pub submitted: u64,
    /// Read from the buffer.
    pub read: u64,
    /// Put into a queue, added over all handlers and receivers.
    pub delivered: u64,
    /// Found the buffer full.
    pub lost_in_ring: u64,
    /// Found a queue full, added over all handlers and receivers.
    pub lost_in_channels: u64,
    /// Read, and not understood.
    pub undecodable: u64,
    /// Handler calls that panicked.
    pub handler_panics: u64,
}

/// Failures within the kernel's part.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FailureStats {
    /// Updates that gave up because others got in between too often.
    pub contended: u64,
    /// Thread states that could not be made.
    pub storage: u64,
    /// Failed uses of the index of profiles.
    pub index: u64,
    /// Failed reads of kernel memory.
    pub read: u64,
}

/// One program attached to the kernel.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramStats {
    /// Its name.
    pub name: String,
    /// How often the kernel skipped it because it was running already on that CPU: a loss.
    pub recursion_misses: u64,
    /// How often it ran; counted by the kernel only while `kernel.bpf_stats_enabled` is set.
    pub run_count: u64,
    /// How long it ran, likewise.
    pub run_time: Option<Duration>,
    /// Instructions the verifier walked through when it was loaded.
    pub verified_instructions: u32,
}

impl Stats {
    /// Returns how often the kernel skipped any of the programs.
    pub fn recursion_misses(&self) -> u64 {
        self.programs.iter().fold(0, |sum, program| {
            sum.saturating_add(program.recursion_misses)
        })
    }
}

impl Stats {
    /// Adds one CPU's cell of the kernel's counters.
    pub(crate) fn add(&mut self, cell: &types::ebph_counters) {
        let Self {
            calls,
            threads,
            detection,
            profiles,
            rows,
            events,
            failures,
            ..
        } = self;
        for (sum, count) in [
            (&mut calls.recorded, cell.recorded),
            (&mut calls.ignored, cell.ignored),
            (&mut calls.restarts, cell.restarts),
            (&mut calls.unprofiled, cell.unprofiled),
            (&mut calls.paused, cell.paused),
            (&mut calls.no_state, cell.no_state),
            (&mut calls.unlearnt, cell.unlearnt),
            (&mut calls.other_ids, cell.other_ids),
            (&mut threads.late_tasks, cell.late_tasks),
            (&mut threads.late_execs, cell.late_execs),
            (&mut threads.late_binds, cell.late_binds),
            (&mut threads.signals, cell.signals),
            (&mut threads.frames_overflow, cell.frames_overflow),
            (&mut threads.frames_dropped, cell.frames_dropped),
            (&mut threads.unbalanced, cell.unbalanced),
            (&mut detection.anomalies, cell.anomalies),
            (&mut detection.suppressed, cell.suppressed),
            (&mut events.submitted, cell.submitted),
            (&mut events.lost_in_ring, cell.ring_lost),
            (&mut profiles.created, cell.created),
            (&mut profiles.refused, cell.no_slot),
            (&mut profiles.changed, cell.changed),
            (&mut rows.refused, cell.no_row),
            (&mut failures.contended, cell.contended),
            (&mut failures.storage, cell.failed_storage),
            (&mut failures.index, cell.failed_index),
            (&mut failures.read, cell.failed_read),
        ] {
            *sum = sum.saturating_add(count);
        }
    }
}

/// The lines of the table: a title, then names with values and remarks.
type Section = (&'static str, Vec<(&'static str, u64, String)>);

impl Stats {
    fn sections(&self) -> Vec<Section> {
        let Self {
            calls,
            threads,
            detection,
            profiles,
            rows,
            events,
            store,
            failures,
            ..
        } = self;
        let line = |name, value| (name, value, String::new());
        let of = |name, used, capacity: u64, unit| (name, used, format!("of {capacity}{unit}"));
        let pool = format!(", {} bytes each", rows.bytes);
        vec![
            (
                "system calls",
                vec![
                    line("seen", calls.seen()),
                    line("recorded", calls.recorded),
                    line("restarted by the kernel", calls.restarts),
                    line("ignored", calls.ignored),
                    line("while paused", calls.paused),
                    line("without a profile", calls.unprofiled),
                    line("without thread state", calls.no_state),
                    line("recorded, not learnt", calls.unlearnt),
                    line("different, not told apart", calls.other_ids),
                    line("hook skipped by the kernel", self.recursion_misses()),
                ],
            ),
            (
                "detection",
                vec![
                    line("anomalies", detection.anomalies),
                    line("repeats not reported", detection.suppressed),
                ],
            ),
            (
                "profiles",
                vec![
                    of("in use", profiles.used, profiles.capacity, ""),
                    line("training", profiles.training),
                    line("frozen", profiles.frozen),
                    line("normal", profiles.normal),
                    line("made", profiles.created),
                    line("refused", profiles.refused),
                    line("file changed", profiles.changed),
                    of("rows in use", rows.used, rows.capacity, &pool),
                    line("rows refused", rows.refused),
                ],
            ),
            (
                "threads",
                vec![
                    line("noticed late", threads.late_tasks),
                    line("execs noticed late", threads.late_execs),
                    line("bound to a profile anew", threads.late_binds),
                    line("signal handlers entered", threads.signals),
                    line("handlers nested too deep", threads.frames_overflow),
                    line("jumps out of handlers", threads.frames_dropped),
                    line("unbalanced sigreturns", threads.unbalanced),
                ],
            ),
            (
                "events",
                vec![
                    line("submitted", events.submitted),
                    line("delivered", events.delivered),
                    line("lost in the ring buffer", events.lost_in_ring),
                    line("lost in queues", events.lost_in_channels),
                    line("not understood", events.undecodable),
                    line("handler panics", events.handler_panics),
                ],
            ),
            (
                "profile files",
                vec![
                    line("loaded at the start", store.loaded),
                    line("returned", store.returned),
                    line("of changed programs", store.changed),
                    line("written", store.saved),
                    line("evicted", store.evicted),
                    line("evicted, not kept", store.dropped),
                    line("set aside", store.set_aside),
                    line("failures", store.failures),
                ],
            ),
            (
                "failures",
                vec![
                    line("contended updates", failures.contended),
                    line("thread states", failures.storage),
                    line("profile index", failures.index),
                    line("kernel reads", failures.read),
                ],
            ),
            ("memory", vec![line("bytes in the kernel", self.memory)]),
        ]
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, lines) in self.sections() {
            writeln!(f, "{title}")?;
            for (name, value, remark) in lines {
                let line = format!("  {name:<27} {value:>14} {remark}");
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        writeln!(
            f,
            "{:<29} {:>14} {:>14} {:>14}",
            "programs", "skipped", "runs", "verified insns"
        )?;
        for program in &self.programs {
            writeln!(
                f,
                "  {:<27} {:>14} {:>14} {:>14}",
                program.name,
                program.recursion_misses,
                program.run_count,
                program.verified_instructions
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> Stats {
        let calls = CallStats {
            recorded: 10,
            restarts: 2,
            unlearnt: 1,
            ..CallStats::default()
        };
        let rows = RowStats {
            used: 3,
            capacity: 64,
            bytes: 512,
            refused: 0,
        };
        let programs = ["sys_enter", "sched_process_fork"].map(|name| ProgramStats {
            name: name.to_owned(),
            recursion_misses: 4,
            ..ProgramStats::default()
        });
        Stats {
            calls,
            rows,
            programs: programs.into(),
            ..Stats::default()
        }
    }

    /// Check that a call is counted once in the sum of those seen.
    #[test]
    fn sums() {
        assert_eq!(stats().calls.seen(), 12);
        assert_eq!(stats().recursion_misses(), 8);
    }

    /// Check that cells of all CPUs add up.
    #[test]
    fn cells() {
        let mut stats = Stats::default();
        let cell = types::ebph_counters {
            recorded: 2,
            changed: 1,
            ..Default::default()
        };
        stats.add(&cell);
        stats.add(&cell);
        assert_eq!((stats.calls.seen(), stats.profiles.changed), (4, 2));
    }

    /// Check that the numbers of the table stand in one column.
    #[test]
    fn table() {
        let text = stats().to_string();
        for line in text.lines().filter(|line| line.starts_with("  ")) {
            let number = &line[30..44];
            assert!(number.trim().parse::<u64>().is_ok(), "{line}");
        }
        assert!(text.contains("rows in use                              3 of 64, 512 bytes each"));
    }

    /// Check that an exporter gets back what was written, also from an older version.
    #[test]
    fn json() {
        let json = serde_json::to_value(stats()).unwrap();
        for part in CallStats::PARTS {
            assert!(json["calls"][part].is_u64(), "{part}");
        }
        assert_eq!(serde_json::from_value::<Stats>(json).unwrap(), stats());
        assert_eq!(
            serde_json::from_str::<Stats>("{}").unwrap(),
            Stats::default()
        );
    }
}
