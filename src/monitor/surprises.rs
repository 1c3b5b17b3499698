//! Counters that should not grow, turned into warnings when they do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::event::WarningKind;
use crate::maps::Maps;
use crate::monitor::counts;
use crate::monitor::hub::Hub;
use crate::stats::Stats;
use crate::sys::Program;

/// What to watch, and how far it had got.
#[derive(Debug)]
pub(crate) struct Surprises {
    maps: Arc<Maps>,
    programs: Arc<Vec<Program>>,
    seen: [(WarningKind, u64); KINDS.len()],
}

const KINDS: [WarningKind; 7] = [
    WarningKind::MissedCalls,
    WarningKind::MissedHooks,
    WarningKind::ThreadState,
    WarningKind::ProfileIndex,
    WarningKind::KernelRead,
    WarningKind::Contention,
    WarningKind::HandlerPanic,
];

impl Surprises {
    pub(crate) fn new(maps: Arc<Maps>, programs: Arc<Vec<Program>>) -> Self {
        Self {
            maps,
            programs,
            seen: KINDS.map(|kind| (kind, 0)),
        }
    }

    /// Returns how many events found the ring full, ever.
    pub(crate) fn lost_in_ring(&self) -> u64 {
        self.maps.globals().pool.lost
    }

    /// Returns what grew since the last look, and by how much.
    pub(crate) fn look(&mut self, hub: &Hub) -> Vec<(WarningKind, u64)> {
        let stats = counts::sum(&self.maps);
        let (calls, hooks) = counts::missed(&self.programs);
        let mut grown = Vec::new();
        for (kind, seen) in &mut self.seen {
            let now = match *kind {
                WarningKind::MissedCalls => calls,
                WarningKind::MissedHooks => hooks,
                WarningKind::HandlerPanic => hub.panics.load(Ordering::Relaxed),
                other => failures(&stats, other),
            };
            if now > *seen {
                grown.push((*kind, now - *seen));
                *seen = now;
            }
        }
        grown
    }
}

fn failures(stats: &Stats, kind: WarningKind) -> u64 {
    match kind {
        WarningKind::ThreadState => stats.failures.storage + stats.calls.no_state,
        WarningKind::ProfileIndex => stats.failures.index,
        WarningKind::KernelRead => stats.failures.read,
        WarningKind::Contention => stats.failures.contended,
        _ => 0,
    }
}
