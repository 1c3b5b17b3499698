//! Start, stop, and what must never be left behind.

use std::fs;

use ebph::{Error, Monitor, Scope};

use crate::harness::kernel::{Objects, descriptors};
use crate::harness::{Gated, Stage, Watch, getppid, helper, program};

/// Check that two monitors in one process watch the same tree without knowing of each other.
#[test]
fn two_monitors_at_once() {
    let stage = Stage::new();
    let (one, two) = (stage.watch(), stage.watch());
    stage.run_ok(2, "calls", &[getppid(10)]);
    let key = stage.key(&one, "calls");
    assert_eq!(stage.key(&two, "calls"), key);
    for watch in [&one, &two] {
        assert_eq!(stage.profile(watch, "calls").train_count(), 22);
    }
    one.normalize(key).expect("the profile exists");
    stage.run_ok(1, "calls", &["39x1".to_owned(), getppid(10)]);
    let one = one.finish();
    assert_eq!(one.of("anomaly", key).len(), 8);
    // The other one goes on alone.
    stage.run_ok(1, "calls", &[getppid(10)]);
    assert_eq!(stage.profile(&two, "calls").train_count(), 22 + 12 + 11);
    let two = two.finish();
    two.none("anomaly", key);
    two.none("start_normal", key);
}

/// Check that a monitor can be used from many threads at once.
#[test]
fn a_monitor_is_shared_by_threads() {
    fn shareable<T: Send + Sync + 'static>(_: &T) {}
    let stage = Stage::new();
    let watch = stage.watch();
    let monitor: &Monitor = &watch;
    shareable(monitor);
    stage.run_ok(1, "calls", &[getppid(10)]);
    let key = stage.key(monitor, "calls");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    monitor.normalize(key).expect("any state will do");
                    let profile = monitor.profile(key).expect("readable").expect("it exists");
                    assert!(profile.is_normal());
                    monitor.stats().expect("stats can be read");
                    monitor
                        .processes()
                        .expect("processes can be listed")
                        .for_each(drop);
                }
            });
        }
    });
    watch.finish_unchecked();
}

/// Check that nothing of a monitor is left after a hundred starts and stops.
#[test]
fn a_hundred_starts_leave_nothing() {
    helper::run("lifecycle::part_that_starts_a_hundred_times");
}

#[test]
fn part_that_starts_a_hundred_times() {
    if !helper::part("lifecycle::part_that_starts_a_hundred_times") {
        return;
    }
    let stage = Stage::new();
    let threads = || {
        fs::read_dir("/proc/self/task")
            .expect("/proc is mounted")
            .count()
    };
    let (fds_before, threads_before) = (descriptors(), threads());
    let mut all = Vec::new();
    for round in 0..100 {
        let monitor = Monitor::builder()
            .scope(stage.scope())
            .max_profiles(16)
            .max_rows(256)
            .start()
            .expect("the monitor starts");
        let events = monitor.events();
        let held = Objects::held();
        assert!(!held.is_empty());
        all.push(held);
        // Half of them are stopped, half just dropped.
        if round % 2 == 0 {
            monitor.stop().expect("it stops");
        } else {
            drop(monitor);
        }
        assert!(events.recv().is_err(), "the end closes the receivers");
    }
    assert_eq!(descriptors(), fds_before);
    assert_eq!(threads(), threads_before);
    for held in all {
        held.until_gone();
    }
}

/// Check that nothing stays attached when the monitoring process dies by SIGKILL.
#[test]
fn sigkill_leaves_nothing() {
    let mut running = helper::Running::start("lifecycle::part_that_waits_for_its_end");
    let held: Objects = running.expect("holds ").parse().expect("ids are numbers");
    assert!(!held.is_empty());
    assert_eq!(
        held.left(),
        held,
        "all of it is there while the monitor lives"
    );
    running.child.kill().expect("it runs");
    running.child.wait().expect("it is our child");
    held.until_gone();
}

#[test]
fn part_that_waits_for_its_end() {
    if !helper::part("lifecycle::part_that_waits_for_its_end") {
        return;
    }
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "calls", &[getppid(10)]);
    assert_eq!(stage.profile(&watch, "calls").train_count(), 11);
    println!("holds {}", Objects::held());
    // Until the test that started us kills us, or is gone itself.
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .expect("stdin is a pipe");
}

/// Check that a start which fails leaves nothing attached, whatever the reason.
#[test]
fn failed_starts_leave_nothing() {
    helper::run("lifecycle::part_that_fails_to_start");
}

#[test]
fn part_that_fails_to_start() {
    if !helper::part("lifecycle::part_that_fails_to_start") {
        return;
    }
    let before = descriptors();
    let mut gone = std::process::Command::new("true")
        .spawn()
        .expect("true is there");
    gone.wait().expect("it ends");
    let bad = [
        Monitor::builder().scope(Scope::Tree(0)),
        // Found out only when the first hooks are attached.
        Monitor::builder().scope(Scope::Tree(u32::MAX / 2)),
        Monitor::builder().scope(Scope::Tree(gone.id())),
        Monitor::builder().scope(Scope::Cgroup("/nonexistent".into())),
        Monitor::builder().scope(Scope::Cgroup("/tmp".into())),
        Monitor::builder().max_profiles(0),
        Monitor::builder().max_rows(u32::MAX),
    ];
    for builder in bad {
        assert!(builder.start().is_err());
        assert!(Objects::held().is_empty());
        assert_eq!(descriptors(), before);
    }
}

/// Check that a monitor can be started again on a tree that another one has watched.
#[test]
fn a_tree_can_be_watched_again() {
    let stage = Stage::new();
    for _ in 0..3 {
        let watch = stage.watch();
        stage.run_ok(1, "calls", &[getppid(10)]);
        assert_eq!(stage.profile(&watch, "calls").train_count(), 11);
        watch.finish();
    }
}

/// Check that the end of the watched tree is no end of the monitor.
#[test]
fn the_tree_may_end_first() {
    let gated = Gated::new(program("calls"), &[getppid(10)]);
    let watch = Watch::start(Monitor::builder().scope(Scope::Tree(gated.pid)));
    let pid = gated.pid;
    assert!(gated.go().wait().expect("it is our child").success());
    assert_eq!(watch.processes().expect("readable").count(), 0);
    assert_eq!(watch.profiles().expect("readable").count(), 1);
    let late = Monitor::builder().scope(Scope::Tree(pid)).start();
    assert!(matches!(late, Err(Error::NoSuchProcess(found)) if found == pid));
    let stats = watch.finish().stats;
    assert_eq!(stats.calls.recorded, 11);
}
