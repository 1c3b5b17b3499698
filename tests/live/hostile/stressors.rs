//! The system call stressors of stress-ng, as a user without privileges and within its own limits:
//! they get the same results while they are watched, and all they do is accounted for.
//!
//! Left out: what eats memory, disk or pids of the machine, what runs for a time instead of a count,
//! and `sysinval`, of which stress-ng itself says that it may hang or reboot the machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::many;
use crate::harness::{Stage, Start, deadline, eventually};

/// A user of this test's own, so that what is counted by user is counted apart.
fn user() -> u32 {
    0x4000_0000 | std::process::id()
}

/// A stressor, how many of its operations are asked for, and what bounds it besides.
type Stressor = (&'static str, usize, &'static [&'static str]);

/// Runs all of them at once, one worker each; returns how it ended, and what each says to have done.
fn stress(
    stage: &Stage,
    name: &str,
    stressors: &[Stressor],
) -> (ExitStatus, BTreeMap<String, u64>) {
    let directory = stage.directory().join(name);
    fs::create_dir(&directory).expect("it is ours");
    chown(&directory, Some(user()), Some(user())).expect("it is ours");
    let report = directory.join("report");
    let mut args = vec!["--stdout".to_owned(), "--metrics".to_owned()];
    for (name, ops, bounds) in stressors {
        args.extend([
            format!("--{name}=1"),
            format!("--{name}-ops={}", many(*ops)),
        ]);
        args.extend(bounds.iter().map(|&bound| bound.to_owned()));
    }
    args.push(format!("--timeout={}", deadline().as_secs()));
    args.push(format!("--temp-path={}", directory.display()));
    args.push(format!("--yaml={}", report.display()));
    let run = stage.start_with(&Start::new().user(user()), text(&stress_ng()), &args);
    let status = run.wait();
    let report = fs::read_to_string(&report).expect("stress-ng reports what it did");
    (status, done(&report))
}

fn stress_ng() -> PathBuf {
    let path = Path::new("/usr/bin/stress-ng");
    assert!(path.exists(), "this test needs stress-ng: `make test-deps`");
    path.to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// The operations of each stressor in a report.
fn done(report: &str) -> BTreeMap<String, u64> {
    let (_, metrics) = report
        .split_once("\nmetrics:")
        .expect("a report has metrics");
    let mut found = BTreeMap::new();
    let mut stressor = String::new();
    for line in metrics.lines() {
        if let Some((_, name)) = line.split_once("- stressor: ") {
            name.trim().clone_into(&mut stressor);
        } else if let Some((_, count)) = line.split_once(" bogo-ops: ") {
            let count = count.trim().parse().expect("a count is a number");
            found.insert(std::mem::take(&mut stressor), count);
        }
    }
    found
}

/// Stresses without a monitor, then with one, and compares.
fn same_with_a_monitor(stressors: &[Stressor]) {
    let stage = Stage::new();
    let (status, without) = stress(&stage, "without", stressors);
    assert!(status.success(), "without a monitor: {status}");
    let names: Vec<_> = without.keys().map(String::as_str).collect();
    let mut asked: Vec<_> = stressors.iter().map(|(name, ..)| *name).collect();
    asked.sort_unstable();
    assert_eq!(names, asked);

    let watch = stage.watch();
    let before = watch.stats().expect("stats can be read").memory;
    let (status, with) = stress(&stage, "with", stressors);
    assert!(status.success(), "{status}");
    for (name, ops, _) in stressors {
        let (with, without, asked) = (with[*name], without[*name], many(*ops) as u64);
        assert!(
            with >= asked,
            "{name}: {with} of {asked} asked for, {without} without"
        );
    }
    eventually("all but the runner to be gone", || {
        let stats = watch.stats().expect("stats can be read");
        (stats.memory == before).then_some(())
    });
    // The runner may be on its way back to where it waits.
    eventually("each call that was recorded to be in some profile", || {
        let profiles = watch.profiles().expect("readable");
        let counts: u64 = profiles.map(|profile| profile.train_count()).sum();
        let recorded = watch.stats().expect("stats can be read").calls.recorded;
        (counts == recorded).then_some(())
    });
    let outcome = watch.finish();
    let stats = &outcome.stats;
    assert!(stats.calls.recorded > 1000, "{:?}", stats.calls);
    // What a stressor may do to itself; nothing else is lost.
    let own = [
        "other_ids",
        "frames_overflow",
        "missed_calls",
        "missed_hooks",
    ];
    let lost: Vec<_> = stats
        .losses()
        .filter(|(name, count)| *count > 0 && !own.contains(name))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// Check that signals of all kinds are delivered and survived as ever.
#[test]
fn signals() {
    same_with_a_monitor(&[
        ("sigfd", 5000, &[]),
        ("sigq", 5000, &[]),
        ("sigsegv", 500, &[]),
        ("sigfpe", 500, &[]),
        ("sigabrt", 100, &[]),
        ("sigtrap", 500, &[]),
        ("sigchld", 500, &[]),
        ("signal", 5000, &[]),
        ("signest", 200, &[]),
        ("sigrt", 1000, &[]),
        ("sigsuspend", 500, &[]),
        ("sigpending", 1000, &[]),
        ("sigpipe", 1000, &[]),
        ("itimer", 200, &["--itimer-freq=1000"]),
        ("context", 300, &[]),
    ]);
}

/// Check that processes and threads come, become others, and go as ever.
#[test]
fn processes() {
    same_with_a_monitor(&[
        ("fork", 500, &[]),
        ("vfork", 500, &[]),
        ("clone", 100, &["--clone-max=32"]),
        ("pthread", 1000, &["--pthread-max=64"]),
        ("exec", 100, &["--exec-max=16"]),
        ("zombie", 300, &["--zombie-max=64"]),
        ("session", 200, &[]),
        ("wait", 300, &[]),
        ("ptrace", 1000, &[]),
        ("pidfd", 300, &[]),
        ("kill", 300, &[]),
    ]);
}

/// Check that calls that do not exist, that have bad addresses, and that the program answers itself
/// fail and succeed as ever.
#[test]
fn calls() {
    same_with_a_monitor(&[
        ("enosys", 1000, &[]),
        ("sysbadaddr", 1000, &[]),
        ("usersyscall", 1000, &[]),
        ("futex", 5000, &[]),
        ("get", 20, &[]),
        ("set", 20, &[]),
        ("personality", 200, &[]),
        ("schedpolicy", 100, &[]),
    ]);
}
