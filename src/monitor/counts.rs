//! The kernel's counters, added up.

use std::time::Duration;

use crate::loader::{Live, Maps, Program, is_entry};
use crate::monitor::keeper::Keeper;
use crate::monitor::worker::Hub;
use crate::profile::State;
use crate::snapshot;
use crate::stats::{ProgramStats, Stats};

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

/// Everything there is to know; `pending` calls are recorded but not yet counted.
pub(crate) fn gather(live: &Live, hub: &Hub, keeper: &Keeper, pending: u64) -> Stats {
    let mut stats = sum(&live.engine.maps);
    stats.calls.recorded += pending;
    let globals = live.engine.maps.globals();
    let profiles = &mut stats.profiles;
    profiles.used = globals.pool.slots_used;
    profiles.capacity = live.engine.maps.profiles.len().into();
    for slot in 0..live.engine.maps.profiles.len() {
        match snapshot::state(&live.engine.maps, slot) {
            Some(State::Training) => profiles.training += 1,
            Some(State::Frozen) => profiles.frozen += 1,
            Some(State::Normal) => profiles.normal += 1,
            None => {}
        }
    }
    stats.rows.used = globals.pool.rows_used;
    // Row 0 stands for none.
    stats.rows.capacity = u64::from(live.engine.maps.rows.len()) - 1;
    stats.rows.bytes = live.engine.maps.rows.bytes() / u64::from(live.engine.maps.rows.len());
    hub.count(&mut stats.events);
    stats.store = keeper.stats();
    stats.memory = live.memory;
    stats.programs = live.programs.iter().filter_map(program).collect();
    stats
}

fn program(program: &Program) -> Option<ProgramStats> {
    let info = program.info().ok()?;
    Some(ProgramStats {
        name: program.name().to_owned(),
        recursion_misses: info.recursion_misses,
        run_count: info.run_count,
        run_time: (info.run_time > Duration::ZERO).then_some(info.run_time),
        verified_instructions: info.verified_instructions,
    })
}
