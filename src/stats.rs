//! What the monitor has seen, holds, and has lost.

mod events;
mod kernel;
mod prometheus;
mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::skel::types;

pub use events::{EventStats, ReceiverKind, ReceiverStats};
pub use kernel::{MapStats, MemoryStats, ProgramStats};

/// A snapshot of all counters. Every count only grows while the monitor runs; what is in use may
/// shrink.
///
/// Display is a table. As serde data it is plain numbers under the names of the fields, so any
/// exporter can take it; [`to_prometheus`](Self::to_prometheus) is what Prometheus reads.
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
    /// What was done about anomalies.
    pub responses: ResponseStats,
    /// Profiles: how many there are, by state, and what there was no room for.
    pub profiles: ProfileStats,
    /// Rows of the pool, one for each different call of each profile.
    pub rows: RowStats,
    /// Events on their way to handlers and receivers.
    pub events: EventStats,
    /// Each handler and receiver that is there, or at the end was. What others got and lost before
    /// they were dropped is in the sums of [`Stats::events`].
    pub receivers: Vec<ReceiverStats>,
    /// Profile files.
    pub store: StoreStats,
    /// Failures within the kernel's part; 0 on a healthy system.
    pub failures: FailureStats,
    /// The programs attached, with the loss counter that the kernel keeps for each.
    pub programs: Vec<ProgramStats>,
    /// The maps in the kernel, and how full they are.
    pub maps: Vec<MapStats>,
    /// What all of this takes of the kernel's memory.
    pub memory: MemoryStats,
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
    /// Threads whose state the kernel had dropped, as it does after a fork that fails at a limit: they
    /// went on in their profile, with an empty window.
    pub restored: u64,
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

/// What was done about anomalies: see [`Responses`](crate::Responses).
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponseStats {
    /// Times that a process was stopped after a call.
    pub delays: u64,
    /// Times that a process was stopped after an exec, or a stop that a delay of the exec had begun was made longer.
    pub suspended_execs: u64,
    /// Execs that failed.
    pub denied_execs: u64,
    /// Processes killed.
    pub kills: u64,
    /// Delays of which only was to be said that there would have been one.
    pub would_delay: u64,
    /// Likewise, of execs that would have been held.
    pub would_suspend_exec: u64,
    /// Likewise, of execs that would have failed.
    pub would_deny_exec: u64,
    /// Processes that would have been killed; one that lives on is counted once, until it executes another
    /// program.
    pub would_kill: u64,
    /// What was not done because of an exemption.
    pub exempted: u64,
    /// Processes that were not stopped because 1,024 were, or their pid is not visible to the monitor; or that the kernel
    /// refused to stop, or to kill.
    pub unheld: u64,
    /// Processes that were not stopped because something else was just stopping them.
    pub already_stopping: u64,
    /// Stops that somebody else's `SIGCONT` ended before they were due.
    pub interrupted: u64,
    /// Stopped now.
    pub held: u64,
    /// Stops that were ended by the monitor.
    pub released: u64,
    /// Of these, those that were not: something else had stopped the process meanwhile.
    pub left_stopped: u64,
    /// How long those that were ended should have taken, in nanoseconds.
    pub requested_ns: u64,
    /// How long they took, in nanoseconds; less where the profile ceased to be normal meanwhile.
    pub observed_ns: u64,
    /// The longest that one took beyond what it should have, in nanoseconds.
    pub worst_excess_ns: u64,
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
    /// Stopped processes that could not be continued, because the kernel refused to send the signal.
    pub signals: u64,
}

impl Stats {
    /// Returns how often the kernel skipped any of the programs.
    pub fn recursion_misses(&self) -> u64 {
        self.skipped(|_| true)
    }

    fn skipped(&self, which: impl Fn(&ProgramStats) -> bool) -> u64 {
        let programs = self.programs.iter().filter(|program| which(program));
        programs.fold(0, |sum, program| {
            sum.saturating_add(program.recursion_misses)
        })
    }

    /// Returns whatever escaped the monitor, by cause; all are 0 while nothing did.
    ///
    /// The names, which will not change, though there may be more: events `lost_in_ring`, `lost_in_channels` and
    /// `undecodable`; `missed_calls` and `missed_hooks`, which the kernel did not show; calls with
    /// `no_state`, `unprofiled`, `unlearnt`, and `other_ids` that could not be told apart; signal
    /// handlers beyond those whose windows are kept, `frames_overflow`; profiles that were `dropped`
    /// unsaved to make room.
    ///
    /// # Examples
    ///
    /// ```
    /// let stats = ebph::Stats::default();
    /// assert!(stats.losses().all(|(_, count)| count == 0));
    /// ```
    pub fn losses(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        [
            ("lost_in_ring", self.events.lost_in_ring),
            ("lost_in_channels", self.events.lost_in_channels),
            ("undecodable", self.events.undecodable),
            ("missed_calls", self.skipped(ProgramStats::is_entry)),
            ("missed_hooks", self.skipped(|program| !program.is_entry())),
            ("no_state", self.calls.no_state),
            ("unprofiled", self.calls.unprofiled),
            ("unlearnt", self.calls.unlearnt),
            ("other_ids", self.calls.other_ids),
            ("frames_overflow", self.threads.frames_overflow),
            ("dropped", self.store.dropped),
        ]
        .into_iter()
    }
}

impl Stats {
    /// Adds one CPU's cell of the kernel's counters.
    pub(crate) fn add(&mut self, cell: &types::ebph_counters) {
        let Self {
            calls,
            threads,
            detection,
            responses,
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
            (&mut threads.restored, cell.restored),
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
            (&mut responses.delays, cell.responses[1]),
            (&mut responses.suspended_execs, cell.responses[2]),
            (&mut responses.denied_execs, cell.responses[3]),
            (&mut responses.kills, cell.responses[4]),
            (&mut responses.would_delay, cell.would_have[1]),
            (&mut responses.would_suspend_exec, cell.would_have[2]),
            (&mut responses.would_deny_exec, cell.would_have[3]),
            (&mut responses.would_kill, cell.would_have[4]),
            (&mut responses.exempted, cell.exempted),
            (&mut responses.unheld, cell.unheld),
            (&mut responses.already_stopping, cell.stopped),
            (&mut responses.interrupted, cell.interrupted),
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
