//! The kernel's counters, added up.

use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::loader::{Live, MapSize};
use crate::maps::Maps;
use crate::monitor::hub::Hub;
use crate::monitor::measure::Measurement;
use crate::plan::is_entry;
use crate::profile::State;
use crate::skel::types;
use crate::snapshot;
use crate::stats::{MapStats, MemoryStats, ProgramStats, Stats, StoreStats};
use crate::sys::{Program, ProgramInfo};
use crate::tasks;

/// Adds up what programs counted, over all CPUs.
pub(crate) fn sum(maps: &Maps) -> Stats {
    let mut stats = Stats::default();
    for cpu in 0..maps.counters.len() {
        if let Some(cell) = maps.counters.get(cpu) {
            stats.add(&cell);
        }
    }
    stats
}

/// How often the kernel skipped a program of ours: the one for system calls, and the others.
pub(crate) fn missed(programs: &[Program]) -> (u64, u64) {
    let mut missed = (0, 0);
    for program in programs {
        let Ok(info) = program.info() else { continue };
        if is_entry(program.name()) {
            missed.0 += info.recursion_misses;
        } else {
            missed.1 += info.recursion_misses;
        }
    }
    missed
}

/// Everything there is to know, with what the threads that are watched have not yet counted.
pub(crate) fn gather(live: &Live, hub: &Hub, store: StoreStats) -> Result<Stats> {
    let maps = &live.engine.maps;
    let mut stats = sum(maps);
    // Only now: what a thread hands in between is counted by neither, never by both. It may have
    // been told already, though, and a count that went back would be taken for a new beginning.
    let threads = live.engine.tasks()?;
    stats.calls.recorded += tasks::total_pending(&threads);
    let told = live
        .recorded
        .fetch_max(stats.calls.recorded, Ordering::Relaxed);
    stats.calls.recorded = stats.calls.recorded.max(told);
    let globals = maps.globals();
    let profiles = &mut stats.profiles;
    profiles.used = globals.pool.slots_used;
    profiles.capacity = maps.profiles.len().into();
    for slot in 0..maps.profiles.len() {
        match snapshot::state(maps, slot) {
            Some(State::Training) => profiles.training += 1,
            Some(State::Frozen) => profiles.frozen += 1,
            Some(State::Normal) => profiles.normal += 1,
            None => {}
        }
    }
    stats.rows.used = globals.pool.rows_used;
    // Row 0 stands for none.
    stats.rows.capacity = u64::from(maps.rows.len()) - 1;
    stats.rows.bytes = maps.rows.bytes() / u64::from(maps.rows.len());
    stats.receivers = hub.count(&mut stats.events);
    stats.store = store;
    let threads = threads.len() as u64;
    let map = |size: &MapSize| MapStats {
        name: size.name.clone(),
        used: match size.name.as_str() {
            "profiles" | "names" | "slots" => Some(globals.pool.slots_used),
            "rows" => Some(globals.pool.rows_used + 1),
            "tasks" => Some(threads),
            "events" => Some(maps.ring.waiting()),
            _ => None,
        },
        capacity: (size.capacity > 0).then_some(size.capacity.into()),
        bytes: size.bytes,
    };
    stats.maps = live.sizes.iter().map(map).collect();
    stats.memory = MemoryStats {
        maps: live.sizes.iter().map(|size| size.bytes).sum(),
        programs: live.program_bytes,
        threads: threads * thread_bytes(),
    };
    let measured = Measurement::is_known();
    let programs = live.programs.iter();
    stats.programs = programs.filter_map(|one| program(one, measured)).collect();
    Ok(stats)
}

/// What the kernel takes for one thread's state, as far as can be told from outside: an element of
/// the storage, in the size that its allocator has, and the thread's list of such elements.
fn thread_bytes() -> u64 {
    /// `struct bpf_local_storage_elem` without the value.
    const ELEMENT: usize = 80;
    /// `struct bpf_local_storage`, as allocated.
    const LIST: usize = 192;

    ((size_of::<types::ebph_task>() + ELEMENT).next_power_of_two() + LIST) as u64
}

fn program(program: &Program, measured: bool) -> Option<ProgramStats> {
    let info = program.info().ok()?;
    Some(program_stats(program.name(), &info, measured))
}

/// Runs that were counted say by themselves that they were; 0 is a fact only if it is known.
fn program_stats(name: &str, info: &ProgramInfo, measured: bool) -> ProgramStats {
    let counted = measured || info.run_count > 0;
    ProgramStats {
        name: name.to_owned(),
        recursion_misses: info.recursion_misses,
        run_count: counted.then_some(info.run_count),
        run_time: counted.then_some(info.run_time),
        verified_instructions: info.verified_instructions,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Check that 0 runs are told only where they are known to be counted.
    #[test]
    fn runs() {
        let of = |run_count, measured| {
            let info = ProgramInfo {
                run_count,
                run_time: Duration::from_nanos(10 * run_count),
                recursion_misses: 0,
                verified_instructions: 1,
            };
            let stats = program_stats("ebph_fork", &info, measured);
            (stats.run_count, stats.run_time)
        };
        assert_eq!(of(0, false), (None, None));
        assert_eq!(of(0, true), (Some(0), Some(Duration::ZERO)));
        let counted = (Some(3), Some(Duration::from_nanos(30)));
        assert_eq!(of(3, false), counted);
        assert_eq!(of(3, true), counted);
    }
}
