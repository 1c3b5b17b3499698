//! Several storms at once, while the monitor is told what to do from all sides.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ebph::{Delay, Error, Key, Monitor, Responses};

use super::{many, nothing_is_left};
use crate::harness::kernel::Objects;
use crate::harness::pipe::End;
use crate::harness::{Pipe, Stage, call, eventually, getppid, helper, require_root};

/// Storms in one tree, each of which must end well; `part`: this fraction of their usual size.
fn storms(stage: &Stage, rounds: usize, part: usize) {
    let sink = Pipe::new();
    let path = sink.path(End::Write);
    let path = path.to_str().expect("test paths are UTF-8");
    let text = |count: usize| (many(count) / part).max(1).to_string();
    for _ in 0..rounds {
        let runs = [
            stage.start("storm", &["forks", &text(400), "20"]),
            stage.start("storm", &["threads", &text(2000), "32", "20"]),
            stage.start("sigstorm", &["queue", &text(800), "30"]),
            stage.start("sigstorm", &["leave", &text(400), "5"]),
            stage.start("sigstorm", &["children", &text(200), path]),
            stage.start("calls", &[getppid(500), call(libc::SYS_getuid, 500)]),
        ];
        for run in runs {
            let status = run.wait();
            assert!(status.success(), "{status}");
        }
        let _calls: [u8; 8] = sink.receive_array();
    }
}

/// A command that may come at a bad moment, and must not fail for another reason.
#[track_caller]
fn told(result: ebph::Result<()>) {
    match result {
        Ok(())
        | Err(
            Error::NoSuchProfile(_)
            | Error::ProfileInUse { .. }
            | Error::NotNormal(_)
            | Error::NotFrozen(_)
            | Error::AlreadyFrozen(_)
            | Error::Busy(_),
        ) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Check that commands of every kind, given all the time from several threads, change nothing for the
/// programs, and that everything is accounted for and given back afterwards.
#[test]
fn commands() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.max_profiles(8).max_rows(256));
    let monitor: &Monitor = &watch;
    let keys = ["storm", "sigstorm", "calls"].map(|name| stage.key(monitor, name));
    let done = AtomicBool::new(false);
    let until_done = |what: &(dyn Fn(&Key) + Sync)| {
        while !done.load(Ordering::Relaxed) {
            keys.iter().for_each(what);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| until_done(&|key| told(monitor.normalize(*key))));
        scope.spawn(|| {
            until_done(&|key| {
                told(monitor.reset(*key));
                told(monitor.sensitize(*key));
                told(monitor.tolerize(*key));
            });
        });
        scope.spawn(|| until_done(&|key| told(monitor.forget(*key))));
        scope.spawn(|| {
            until_done(&|key| {
                told(monitor.freeze(*key));
                told(monitor.thaw(*key));
                told(monitor.profile(*key).map(drop));
                told(monitor.stats().map(drop));
            });
        });
        scope.spawn(|| {
            until_done(&|_| {
                let seen = || monitor.stats().expect("stats can be read").calls.seen();
                // A pause each now and then: what spans one is not judged.
                let next = seen() + 5000;
                while seen() < next && !done.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                monitor.pause().expect("it can be paused");
                monitor.resume().expect("it goes on");
            });
        });
        scope.spawn(|| {
            let briefly = Duration::from_millis(1);
            let all = Responses::default().delay(Delay::new(briefly, briefly));
            until_done(&|_| {
                told(monitor.set_responses(all.clone()));
                told(monitor.set_responses(Responses::default()));
            });
        });
        scope.spawn(|| {
            until_done(&|_| {
                for limit in [0, 2, 30] {
                    let limits = monitor.limits().anomaly_limit(limit);
                    told(monitor.set_limits(limits.tolerize_limit(limit)));
                }
            });
        });
        storms(&stage, 2, 1);
        done.store(true, Ordering::Relaxed);
    });
    let maps = super::map_bytes(&watch);
    // What the runner did meanwhile goes with it.
    drop(stage);
    nothing_is_left(&watch, maps);
    let outcome = watch.finish();
    assert!(outcome.stats.calls.recorded > 0);
    assert_eq!(outcome.stats.calls.no_state, 0);
}

/// Check that storms end well while calls of theirs are delayed, and that nobody is left stopped.
#[test]
fn delays() {
    let briefly = Duration::from_millis(1);
    let responses = Responses::default().delay(Delay::new(briefly, briefly));
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| {
        builder
            .responses(responses)
            .anomaly_limit(u64::MAX)
            .tolerize_limit(128)
    });
    let maps = super::map_bytes(&watch);
    storms(&stage, 1, 20);
    for name in ["storm", "sigstorm", "calls"] {
        let key = stage.key(&watch, name);
        // Nothing is normal that they do.
        watch.reset(key).expect("the profile exists");
        watch.normalize(key).expect("the profile exists");
    }
    eventually("many calls to be delayed", || {
        storms(&stage, 1, 20);
        let stats = watch.stats().expect("stats can be read").responses;
        (stats.delays > 200).then_some(())
    });
    drop(stage);
    nothing_is_left(&watch, maps);
    let outcome = watch.finish();
    let stats = &outcome.stats.responses;
    assert_eq!((stats.held, stats.left_stopped), (0, 0), "{stats:?}");
}

/// Check that monitors which start and stop again and again beneath a storm change nothing for it,
/// and leave nothing behind.
#[test]
fn starts_and_stops() {
    require_root();
    helper::run("hostile::mixed::part_that_starts_and_stops");
}

#[test]
fn part_that_starts_and_stops() {
    if !helper::part("hostile::mixed::part_that_starts_and_stops") {
        return;
    }
    let stage = Stage::new();
    let enough = AtomicBool::new(false);
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                storms(&stage, 1, 1);
            }
        });
        for round in 0..8 {
            let monitor = stage.watch_with(|builder| builder.max_profiles(16).max_rows(512));
            all.push(Objects::held());
            eventually("it to be in the midst of it", || {
                let stats = monitor.stats().expect("stats can be read");
                (stats.calls.seen() > 1000 || storm.is_finished()).then_some(())
            });
            // Half of them are stopped, half just dropped.
            if round % 2 == 0 {
                monitor.finish_unchecked();
            }
        }
        enough.store(true, Ordering::Relaxed);
        storm.join().expect("every program ended well");
    });
    for held in all {
        held.until_gone();
    }
}
