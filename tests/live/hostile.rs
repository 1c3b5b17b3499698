//! Programs that mean no good, and programs that overdo it: the monitor accounts for what they do,
//! they get the same results as without it, and nothing of them stays behind.
//!
//! Each storm has a count that it never passes, and runs in a tree of its own.

mod altered;
mod execs;
mod mixed;
mod refused;
mod signals;
mod storms;
mod stressors;

use std::time::Duration;

use ebph::Monitor;

use crate::harness::watch::Outcome;
use crate::harness::{Watch, deadline, eventually, kernel};

/// The size of a storm: an eighth where `EBPH_TEST_DEADLINE` allows tests more time than by default,
/// since such machines are emulated.
fn many(count: usize) -> usize {
    match deadline() > Duration::from_secs(60) {
        true => count / 8,
        false => count,
    }
}

/// Checks that of so many calls each was seen, or missed by a program that the kernel skipped.
#[track_caller]
fn accounted(outcome: &Outcome, made: u64) {
    let seen = outcome.stats.calls.seen();
    assert!(seen <= made, "{seen} calls seen, {made} made");
    if !kernel::counts_hidden_calls() {
        return;
    }
    // The kernel counts over all processes of the machine, so there may be more. A skipped exit takes
    // with it what its thread held back.
    let skipped = outcome.stats.programs.iter().map(|program| {
        let each = if program.name.contains("sys_enter") {
            1
        } else {
            64
        };
        each * program.recursion_misses
    });
    let skipped: u64 = skipped.sum();
    assert!(
        seen + skipped >= made,
        "{made} calls made, {seen} seen, {skipped} skipped by the kernel: the rest is unaccounted for"
    );
}

/// Checks that nothing is held for threads any more, and that every profile can be forgotten, after
/// which nothing is held for programs either; what maps take is as `before`.
#[track_caller]
fn nothing_is_left(watch: &Watch, before: u64) {
    eventually("every thread to be gone", || {
        let stats = watch.stats().expect("stats can be read");
        (stats.memory.threads == 0).then_some(())
    });
    assert_eq!(watch.processes().expect("readable").count(), 0);
    forget_all(watch);
    let stats = watch.stats().expect("stats can be read");
    assert_eq!((stats.profiles.used, stats.rows.used), (0, 0));
    assert_eq!(stats.memory.maps, before);
}

fn forget_all(monitor: &Monitor) {
    let keys: Vec<_> = monitor.profiles().expect("readable").collect();
    for profile in keys {
        monitor
            .forget(profile.key())
            .expect("its processes have ended");
    }
}

fn map_bytes(monitor: &Monitor) -> u64 {
    monitor.stats().expect("stats can be read").memory.maps
}
