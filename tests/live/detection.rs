//! From training to normal, and what is reported then.

use std::collections::BTreeSet;
use std::time::Duration;

use ebph::{Limits, State};

use crate::harness::{
    Seen, Stage, Start, Terminal, Watch, call, eventually, getppid, held, learnt,
};

fn getpid(times: usize) -> String {
    call(libc::SYS_getpid, times)
}

/// A stage whose victim `calls` was taught to call getppid, and is normal.
fn normal_stage(
    settings: impl FnOnce(ebph::MonitorBuilder) -> ebph::MonitorBuilder,
) -> (Stage, Watch) {
    let stage = Stage::new();
    let watch = stage.watch_with(settings);
    stage.run_ok(2, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    watch.normalize(key).expect("the profile exists");
    watch.wait_for_kind("start_normal", key);
    (stage, watch)
}

/// Makes the victim deviate: getpid stands in front of what it always does, so each of the eight
/// calls after it misses one pair.
fn deviate(stage: &Stage) {
    stage.run_ok(1, "calls", &[getpid(1), getppid(10)]);
}

/// Check the example of the thesis: a program that prints one line is learnt on a terminal; an
/// extra line is an anomaly, and the missing pair is the two writes.
#[test]
fn the_example_of_the_thesis() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.normal_wait(Duration::from_secs(1)));
    let terminal = Terminal::new();
    let start = Start::new().terminal(&terminal);
    let run = |extra: &[&str]| {
        let run = stage.start_with(&start, "anomaly", extra);
        let pid = run.pid;
        assert!(run.wait().success());
        pid
    };
    let key = stage.key(&watch, "anomaly");
    eventually("the profile to become normal", || {
        run(&[]);
        let profile = stage.profile(&watch, "anomaly");
        (profile.state() == State::Normal).then_some(())
    });
    run(&[]);
    assert_eq!(
        stage.profile(&watch, "anomaly").anomalies(),
        0,
        "control run"
    );

    let pid = run(&["extra"]);
    let anomaly = watch.wait_for_kind("anomaly", key);
    assert_eq!(anomaly.number("pid"), u64::from(pid));
    assert_eq!(anomaly.text("comm"), "anomaly");
    assert_eq!(anomaly.text("symbol.name"), "write");
    assert_eq!(anomaly.text("profile.state"), "normal");
    assert!(anomaly.is_of(&stage.path("anomaly")));
    assert!(
        anomaly.missed().contains(&"write@1".to_owned()),
        "{anomaly:?}"
    );
    let window = anomaly.window();
    assert!(window.ends_with(&["write", "write"]), "{window:?}");
    let outcome = watch.finish();
    for event in outcome.all("anomaly") {
        assert_eq!(
            event.number("pid"),
            u64::from(pid),
            "only that run deviates"
        );
    }
}

/// Check when a profile freezes: once its train count passes four times the count at its last
/// novelty.
#[test]
fn a_settled_profile_freezes() {
    let stage = Stage::new();
    let watch = stage.watch();
    let key = stage.key(&watch, "calls");
    // The last novelty is the first exit_group, call 11.
    stage.run_ok(4, "calls", &[getppid(10)]);
    let profile = stage.profile(&watch, "calls");
    assert_eq!((profile.train_count(), profile.last_mod_count()), (44, 33));
    assert_eq!(profile.state(), State::Training);
    // A thread may hold back up to 64 calls before it looks.
    stage.run_ok(6, "calls", &[getppid(10)]);
    assert_eq!(stage.profile(&watch, "calls").state(), State::Frozen);
    let frozen = watch.wait_for_kind("profile_frozen", key);
    assert_eq!(frozen.text("profile.state"), "frozen");

    deviate(&stage);
    watch.wait_for_kind("profile_thawed", key);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Training);
    let outcome = watch.finish();
    outcome.one("profile_frozen", key);
    outcome.one("profile_thawed", key);
    outcome.none("anomaly", key);
}

/// Check that the floors keep a profile from freezing early.
#[test]
fn floors_delay_freezing() {
    let stage = Stage::new();
    let limits = Limits::default()
        .min_train_calls(150)
        .min_train_processes(20);
    let watch = stage.watch_with(|builder| builder.limits(limits));
    stage.run_ok(19, "calls", &[getppid(10)]);
    assert_eq!(stage.profile(&watch, "calls").state(), State::Training);
    stage.run_ok(10, "calls", &[getppid(10)]);
    assert_eq!(stage.profile(&watch, "calls").state(), State::Frozen);
    watch.finish();
}

/// Check that a frozen profile becomes normal when its wait is over, and not by novelty.
#[test]
fn a_frozen_profile_becomes_normal() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.normal_wait(Duration::ZERO));
    let key = stage.key(&watch, "calls");
    stage.run_ok(10, "calls", &[getppid(10)]);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Normal);
    assert_eq!(held(&profile), learnt(&profile));
    let start = watch.wait_for_kind("start_normal", key);
    assert!(!start.is_true("refresh"));
    assert!(!start.is_true("by_command"));
    // A normal profile goes on training, and its next freeze replaces what it holds as normal.
    let refresh = watch.wait_for("a refresh", |seen| {
        seen.is("start_normal", key) && seen.is_true("refresh")
    });
    assert_eq!(refresh.text("profile.state"), "normal");
    watch.finish_unchecked();
}

/// Check each anomaly of a run: the missing pair, the window, and the counts.
#[test]
fn anomalies_carry_their_evidence() {
    let (stage, watch) = normal_stage(|builder| builder);
    let key = stage.key(&watch, "calls");
    stage.run_ok(1, "calls", &[getppid(10)]);
    deviate(&stage);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.anomalies(), 8);
    let outcome = watch.finish();
    let anomalies = outcome.of("anomaly", key);
    assert_eq!(anomalies.len(), 8, "{anomalies:#?}");
    for (number, anomaly) in (1..).zip(&anomalies) {
        assert_eq!(anomaly.text("symbol.name"), "getppid");
        assert_eq!(anomaly.missed(), [format!("getpid@{number}")]);
        assert_eq!(anomaly.number("misses"), 1);
        assert_eq!(anomaly.number("lfc"), number);
        assert_eq!(anomaly.number("max_lfc"), number);
        assert_eq!(anomaly.number("profile.anomalies"), number);
        let window = anomaly.window();
        assert_eq!(window[0], "getpid");
        assert_eq!(window[1..], vec!["getppid"; number as usize]);
        assert_eq!(anomaly.text("comm"), "calls");
        assert_eq!(anomaly.number("ppid"), u64::from(stage.pid()));
        assert_eq!(anomaly.number("uid"), 0);
        assert_eq!(anomaly.number("suppressed"), 0);
        assert_eq!(anomaly.number("lost_before"), 0);
    }
}

/// Check that `anomalies()` gives the anomalies and nothing else.
#[test]
fn anomalies_alone() {
    let (stage, watch) = normal_stage(|builder| builder);
    let anomalies = watch.anomalies();
    let key = stage.key(&watch, "calls");
    deviate(&stage);
    watch.finish();
    let found: Vec<_> = anomalies.collect();
    assert_eq!(found.len(), 8);
    for anomaly in found {
        let profile = anomaly.context.profile.expect("it has a profile");
        assert_eq!(profile.key, key);
    }
}

/// Check that repeats of a known kind are held back above the rate, and counted; the first of a
/// kind is always sent.
#[test]
fn repeats_are_limited_and_counted() {
    let (stage, watch) = normal_stage(|builder| builder.report_rate(0).anomaly_limit(1000));
    let key = stage.key(&watch, "calls");
    for _ in 0..3 {
        deviate(&stage);
    }
    let profile = stage.profile(&watch, "calls");
    let outcome = watch.finish();
    let sent = outcome.of("anomaly", key).len() as u64;
    assert!(sent >= 1, "the first of a kind is always sent");
    assert_eq!(profile.anomalies(), outcome.stats.detection.anomalies);
    assert_eq!(
        sent + outcome.stats.detection.suppressed,
        outcome.stats.detection.anomalies
    );
    assert!(outcome.stats.detection.suppressed >= 1);
}

/// What makes an anomaly another kind: its call, and the nearest pair that it misses.
fn kind(anomaly: &Seen) -> (String, String) {
    let missed = anomaly.missed();
    (anomaly.text("symbol.name").to_owned(), missed[0].clone())
}

/// Deviates three times under these rates; returns what was sent, how many were held back, and how
/// many were anomalous.
fn sent_and_suppressed(of_profile: u64, of_thread: u64) -> (Vec<(String, String)>, u64, u64) {
    let (stage, watch) = normal_stage(|builder| {
        builder
            .report_rate(of_profile)
            .thread_report_rate(of_thread)
            .anomaly_limit(1000)
    });
    let key = stage.key(&watch, "calls");
    for _ in 0..3 {
        deviate(&stage);
    }
    let outcome = watch.finish();
    let anomalies = outcome.of("anomaly", key);
    let told: u64 = anomalies.iter().map(|seen| seen.number("suppressed")).sum();
    let stats = &outcome.stats.detection;
    assert!(told <= stats.suppressed);
    let sent = anomalies.into_iter().map(kind).collect();
    (sent, stats.suppressed, stats.anomalies)
}

/// Check that repeats are held back by the thread's rate as by the profile's, that with room in both
/// nothing is, and that with room in neither each kind is still sent, once.
#[test]
fn threads_have_a_rate_of_their_own() {
    let (sent, held_back, all) = sent_and_suppressed(u64::MAX, u64::MAX);
    assert_eq!((sent.len() as u64, held_back), (all, 0));
    assert!(all >= 24, "three times eight: {all}");
    let kinds: BTreeSet<_> = sent.into_iter().collect();
    assert!(kinds.len() >= 8, "{kinds:?}");
    for (of_profile, of_thread) in [(u64::MAX, 0), (0, u64::MAX), (0, 0)] {
        let (mut sent, held_back, again) = sent_and_suppressed(of_profile, of_thread);
        assert_eq!(again, all);
        assert_eq!(sent.len() as u64 + held_back, all);
        sent.sort();
        assert!(sent.iter().eq(&kinds), "{sent:?} of {kinds:?}");
    }
}

/// Check that rates change while the monitor runs, and that the next report tells of exactly those
/// that were held back before it.
#[test]
fn rates_change_while_running() {
    let (stage, watch) = normal_stage(|builder| builder.report_rate(0).anomaly_limit(1000));
    let key = stage.key(&watch, "calls");
    for _ in 0..3 {
        deviate(&stage);
    }
    let before = watch.stats().expect("stats can be read").detection;
    assert_eq!((before.anomalies, before.suppressed), (24, 16));
    let limits = watch.limits();
    let limits = limits.report_rate(u64::MAX).thread_report_rate(u64::MAX);
    watch.set_limits(limits).expect("any rate will do");
    deviate(&stage);
    let outcome = watch.finish();
    assert_eq!(outcome.stats.detection.suppressed, 16);
    let anomalies = outcome.of("anomaly", key);
    let told = anomalies.iter().map(|seen| seen.number("suppressed"));
    let told: Vec<_> = told.collect();
    let mut expected = [0; 16];
    expected[8] = 16;
    assert_eq!(told, expected, "eight kinds, then eight repeats");
}

/// Check that a profile with more anomalies than the limit is no longer normal, and goes on
/// learning from what it has.
#[test]
fn too_many_anomalies_stop_normal() {
    let (stage, watch) = normal_stage(|builder| builder.anomaly_limit(3));
    let key = stage.key(&watch, "calls");
    deviate(&stage);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Training);
    let learnt = learnt(&profile);
    assert!(learnt.contains("getppid<-getpid@8") && learnt.contains("getppid<-getppid@8"));
    let outcome = watch.finish();
    assert_eq!(outcome.of("anomaly", key).len(), 4);
    let stop = outcome.one("stop_normal", key);
    assert_eq!(stop.text("cause"), "anomaly_limit");
    assert_eq!(stop.text("profile.state"), "training");
}

/// Check that a thread with too many anomalies in a row has its profile unlearn them, once per
/// excess, and that what is normal stays.
#[test]
fn too_high_a_frame_count_resets_training() {
    let (stage, watch) = normal_stage(|builder| builder.tolerize_limit(2));
    let key = stage.key(&watch, "calls");
    let before = held(&stage.profile(&watch, "calls"));
    deviate(&stage);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Normal);
    assert_eq!(profile.anomalies(), 8);
    assert_eq!(held(&profile), before);
    // Reset at the third and sixth anomaly, calls 4 and 7 of 12.
    assert_eq!(profile.train_count(), 5);
    let outcome = watch.finish();
    assert_eq!(outcome.of("tolerize_limit", key).len(), 2);
    let counts: Vec<_> = outcome
        .of("anomaly", key)
        .iter()
        .map(|anomaly| anomaly.number("lfc"))
        .collect();
    assert_eq!(counts, [1, 2, 3, 1, 2, 3, 1, 2]);
}

/// Check that anomalies of a forked child count from its parent's frame on.
#[test]
fn a_fork_does_not_launder_the_past() {
    let stage = Stage::new();
    let watch = stage.watch();
    let getuid = libc::SYS_getuid.to_string();
    let getgid = libc::SYS_getgid.to_string();
    stage.run_ok(2, "procs", &["before", "1", &getuid, "4"]);
    let key = stage.key(&watch, "procs");
    watch.normalize(key).expect("the profile exists");
    stage.run_ok(1, "procs", &["before", "1", &getgid, "4"]);
    let outcome = watch.finish();
    let anomalies = outcome.of("anomaly", key);
    // clone, the child's 4 getppid and exit_group, the parent's wait4 and exit_group.
    assert_eq!(anomalies.len(), 1 + 5 + 2, "{anomalies:#?}");
    for anomaly in anomalies {
        assert_eq!(anomaly.window()[0], "getgid");
    }
}
