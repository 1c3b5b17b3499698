//! Storms of processes and threads.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ebph::{Monitor, Scope};

use super::{accounted, many, map_bytes, nothing_is_left};
use crate::harness::{Gated, Pipe, Stage, Start, Watch, eventually, program};

/// Runs the storm alone in its tree, which must end well; returns its only profile, and the monitor.
fn storm(args: &[usize], mode: &str) -> (ebph::Profile, Watch) {
    let args: Vec<_> = [mode.to_owned()]
        .into_iter()
        .chain(args.iter().map(usize::to_string))
        .collect();
    let gated = Gated::new(program("storm"), &args);
    let watch = Watch::start(Monitor::builder().scope(Scope::Tree(gated.pid)));
    let before = map_bytes(&watch);
    let status = gated.go().wait().expect("it is our child");
    assert!(status.success(), "{status}");
    let profile = watch.profiles().expect("readable").next().expect("one");
    nothing_is_left(&watch, before);
    (profile, watch)
}

/// Check that a fork bomb is followed to its last process and call.
#[test]
fn forks() {
    let (count, each) = (many(2000), 3);
    let (profile, watch) = storm(&[count, each], "forks");
    let outcome = watch.finish();
    accounted(&outcome, (count * (each + 3) + 2) as u64);
    assert_eq!(profile.train_count(), outcome.stats.calls.recorded);
    if outcome.stats.recursion_misses() == 0 {
        assert_eq!(profile.processes_ended(), count as u64 + 1);
    }
    assert_eq!(profile.execs(), 1);
}

/// Check that a bomb which runs into its limit gets as far as without a monitor, and that forks that
/// fail are calls like any other.
#[test]
fn limited_forks() {
    let (limit, attempts) = (20, 200);
    let stage = Stage::new();
    // A user of this test's own.
    let user = Start::new().user(0x4100_0000 | std::process::id());
    let run = || {
        let args = [
            "limited".to_owned(),
            limit.to_string(),
            attempts.to_string(),
        ];
        let status = stage.start_with(&user, "storm", &args).wait();
        u64::try_from(status.code().expect("it ends by itself")).expect("a count")
    };
    let without = run();
    assert!((1..=limit).contains(&without), "{without}");
    let watch = stage.watch();
    assert_eq!(run(), without);
    let profile = stage.profile(&watch, "storm");
    let outcome = watch.finish();
    if outcome.stats.recursion_misses() == 0 {
        // The kernel drops the state of a thread some time after a fork of its has failed so, and with
        // it the calls that it has made since its last one: here the futex, and the waiting.
        let (counted, made) = (profile.train_count(), 4 + attempts + 3 * without);
        let dropped = if outcome.stats.threads.restored > 0 {
            2 + without
        } else {
            0
        };
        let range = made - dropped..=made;
        assert!(range.contains(&counted), "{counted} of {range:?}");
        assert_eq!(profile.processes_ended(), 1 + without);
    }
}

/// Check that a fork which fails at a limit is no way out of the scope and out of what the thread has done:
/// the kernel drops the state of such a thread some time later.
#[test]
fn a_failed_fork_is_no_way_out() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let user = 0x4200_0000 | std::process::id();
    let start = Start::new().user(user).input(&gate);
    let run = stage.start_with(&start, "storm", &["refused", "100"]);
    let states = || {
        let stats = watch.stats().expect("stats can be read");
        let tasks = stats.maps.iter().find(|map| map.name == "tasks");
        tasks.expect("it is listed").used.expect("it is counted")
    };
    eventually("the program to wait", || {
        let path = format!("/proc/{}/syscall", run.pid);
        let text = fs::read_to_string(path).ok()?;
        text.starts_with(&format!("{} ", libc::SYS_read))
            .then_some(())
    });
    // The runner and the program. Not every kernel drops it, so that is waited for, but not to be had.
    let end = Instant::now() + Duration::from_secs(5);
    while states() == 2 && Instant::now() < end {
        thread::sleep(Duration::from_millis(10));
    }
    let dropped = states() == 1;
    gate.send(1);
    assert!(run.wait().success());
    let profile = stage.profile(&watch, "storm");
    let outcome = watch.finish();
    assert_eq!(outcome.stats.threads.restored, u64::from(dropped));
    if outcome.stats.recursion_misses() == 0 {
        // The read may have been held back when the state went.
        let made = 4 + 100;
        let counted = profile.train_count();
        assert!(
            (made - u64::from(dropped)..=made).contains(&counted),
            "{counted}"
        );
        assert_eq!(profile.processes_ended(), 1);
    }
    assert_eq!(profile.execs(), 1);
}

/// Check that a storm of short-lived threads is followed to the last one's last call, and is one
/// process.
#[test]
fn threads() {
    let (count, each) = (many(20_000), 2);
    let (profile, watch) = storm(&[count, 256, each], "threads");
    let outcome = watch.finish();
    accounted(&outcome, (count * (each + 2) + 1) as u64);
    assert_eq!(profile.train_count(), outcome.stats.calls.recorded);
    assert_eq!(profile.processes_ended(), 1);
}

/// Check that each thread that is there takes the same room, and that it is given back.
#[test]
fn room_of_threads_is_counted() {
    let stage = Stage::new();
    let gate = Pipe::new();
    let watch = stage.watch();
    let held = |threads: u64| {
        eventually(&format!("{threads} threads"), || {
            let stats = watch.stats().expect("stats can be read");
            let tasks = stats.maps.iter().find(|map| map.name == "tasks");
            let used = tasks.expect("it is listed").used;
            (used == Some(threads)).then_some(stats.memory)
        })
    };
    // The runner.
    let alone = held(1);
    let run = stage.start_with(&Start::new().input(&gate), "storm", &["held", "200"]);
    let crowd = held(1 + 1 + 200);
    assert_eq!(crowd.threads, 202 * alone.threads);
    assert_eq!(crowd.maps, alone.maps);
    gate.send(1);
    assert!(run.wait().success());
    assert_eq!(held(1), alone);
    watch.finish();
}

/// What the kernel holds for itself and cannot reclaim, in bytes.
fn unreclaimable() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("/proc is mounted");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("SUnreclaim:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .expect("it is there")
        .parse::<u64>()
        .expect("a number")
        * 1024
}

/// Check that the kernel does give it back: what all threads of a storm would have kept is many times
/// what it holds afterwards, measured over the whole machine.
#[test]
fn room_of_threads_is_given_back() {
    let count = many(60_000);
    let stage = Stage::new();
    let watch = stage.watch();
    // The runner's.
    let each = watch.stats().expect("stats can be read").memory.threads;
    assert!(each > 512, "one thread: {each} bytes");
    let before = unreclaimable();
    stage.run_ok(1, "storm", &["threads", &count.to_string(), "64", "1"]);
    let leak = each * count as u64;
    eventually("the kernel to give it back", || {
        (unreclaimable() < before + leak / 2).then_some(())
    });
    let calls = watch.finish().stats.calls;
    assert!(calls.recorded > count as u64, "{calls:?}");
}
