//! The records of the walk over threads, made into processes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Clock;
use crate::process::{Process, Thread};
use crate::skel::types;
use crate::snapshot;
use crate::tenant::Tenant;

type Record = types::ebph_task_record;

/// Cuts what the walk wrote into records; a cut-off last one is dropped.
pub(crate) fn records(bytes: &[u8]) -> Vec<Record> {
    bytes
        .chunks_exact(size_of::<Record>())
        .filter_map(|chunk| {
            let mut record = Record::default();
            plain::copy_from_bytes(&mut record, chunk).ok()?;
            Some(record)
        })
        .collect()
}

fn comm(record: &Record) -> String {
    let end = record
        .comm
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(record.comm.len());
    String::from_utf8_lossy(&record.comm[..end]).into_owned()
}

fn uses(record: &Record, tenant: Tenant) -> bool {
    record.slot == tenant.slot && record.generation == tenant.generation
}

/// A process that uses a profile, if there is one.
pub(crate) fn user(records: &[Record], tenant: Tenant) -> Option<u32> {
    records
        .iter()
        .find(|record| uses(record, tenant))
        .map(|record| record.pid)
}

/// Calls of a profile that its threads have not counted yet: all, and those since the last novelty.
pub(crate) fn pending(records: &[Record], tenant: Tenant) -> (u64, u64) {
    let held = |wanted: types::ebph_pending| {
        records
            .iter()
            .filter(|record| uses(record, tenant))
            .filter(|record| record.pending_for & wanted.0 != 0)
            .map(|record| record.pending)
            .sum()
    };
    (
        held(types::ebph_pending::EBPH_PENDING_TRAIN),
        held(types::ebph_pending::EBPH_PENDING_LAST_MOD),
    )
}

/// Calls of all profiles that threads have not counted yet.
pub(crate) fn total_pending(records: &[Record]) -> u64 {
    records.iter().map(|record| record.pending).sum()
}

/// Groups threads by process. A pid that was reused while the walk went on does not mix two
/// processes: they differ in their start.
pub(crate) fn processes(records: &[Record]) -> Vec<Process> {
    let clock = Clock::now();
    let mut groups: BTreeMap<(u32, u64), Vec<&Record>> = BTreeMap::new();
    for record in records {
        groups
            .entry((record.pid, record.start))
            .or_default()
            .push(record);
    }
    groups
        .into_iter()
        .map(|((pid, start), mut threads)| {
            threads.sort_by_key(|record| (record.tid != pid, record.tid));
            let first = threads[0];
            Process {
                pid,
                comm: comm(first),
                start: Duration::from_nanos(start),
                key: threads
                    .iter()
                    // A thread whose profile was forgotten has none until its next call.
                    .find(|record| record.key.ino != 0)
                    .map(|record| snapshot::key(&record.key)),
                threads: threads.iter().map(|record| thread(record)).collect(),
                clock,
            }
        })
        .collect()
}

fn thread(record: &Record) -> Thread {
    Thread {
        tid: record.tid,
        comm: comm(record),
        calls: record.calls,
        anomalies: record.anomalies,
        lfc: record.lfc,
        max_lfc: record.max_lfc,
        signal_depth: record.depth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: u32, tid: u32, start: u64) -> Record {
        Record {
            pid,
            tid,
            start,
            slot: 3,
            generation: 1,
            pending: 5,
            pending_for: 3,
            ..Default::default()
        }
    }

    /// Check that a reused pid makes two processes, and threads of one stay together.
    #[test]
    fn grouping() {
        let records = [record(7, 8, 100), record(7, 7, 100), record(7, 7, 200)];
        let processes = processes(&records);
        assert_eq!(processes.len(), 2);
        assert_eq!(processes[0].threads().len(), 2);
        assert_eq!(processes[0].threads()[0].tid, 7);
    }

    /// Check that what threads hold back is found by profile.
    #[test]
    fn held_back() {
        let mut other = record(9, 9, 1);
        other.slot = 4;
        let mut void = record(10, 10, 1);
        void.pending_for = 0;
        let mut old = record(11, 11, 1);
        old.pending_for = 1;
        let records = [record(7, 7, 1), other, void, old];
        let tenant = |slot, generation| Tenant { slot, generation };
        assert_eq!(pending(&records, tenant(3, 1)), (10, 5));
        assert_eq!(total_pending(&records), 20);
        assert_eq!(user(&records, tenant(4, 1)), Some(9));
        assert_eq!(user(&records, tenant(4, 2)), None);
    }

    /// Check that bytes that are no whole record are left out.
    #[test]
    fn cut_off() {
        assert!(records(&[0; 119]).is_empty());
        assert_eq!(records(&[0; 241]).len(), 2);
    }
}
