//! Calls that a tracer alters: what is recorded is the call as it is made, in the profile of the
//! program that makes it.

use std::collections::BTreeSet;

use ebph::Profile;

use crate::harness::watch::Outcome;
use crate::harness::{Stage, assert_has, call, getppid, learnt};

/// Runs the victim under the tracer, and returns what was learnt of the victim.
fn altered(how: &[&str], calls: &[String]) -> (Profile, Outcome) {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "altered", &arguments(&stage, how, calls));
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.processes_ended(), 1);
    (profile, watch.finish())
}

fn arguments(stage: &Stage, how: &[&str], calls: &[String]) -> Vec<String> {
    let path = stage.path("calls");
    let path = path.to_str().expect("test paths are UTF-8");
    let how = how.iter().copied().chain([path]).map(str::to_owned);
    how.chain(calls.iter().cloned()).collect()
}

fn names(profile: &Profile) -> BTreeSet<String> {
    profile
        .symbols()
        .map(|symbol| symbol.name().to_string())
        .collect()
}

fn getuid(times: usize) -> String {
    call(libc::SYS_getuid, times)
}

const GETUID: i64 = libc::SYS_getuid;
const GETGID: i64 = libc::SYS_getgid;

/// Check that a call which a tracer makes another one is recorded as that one.
#[test]
fn changed() {
    let calls = [getppid(1), getuid(3), getppid(1)];
    let (from, to) = (GETUID.to_string(), GETGID.to_string());
    let (profile, _) = altered(&["change", &from, &to], &calls);
    assert_eq!(profile.train_count(), 1 + 3 + 1 + 1);
    assert_eq!(names(&profile), set(["exit_group", "getgid", "getppid"]));
    assert_has(
        &learnt(&profile),
        &["getgid<-getppid@1", "getgid<-getgid@2"],
    );
}

/// Check that a call which a tracer cancels is counted as ignored, and leaves no gap in the order.
#[test]
fn cancelled() {
    let calls = [getppid(1), getuid(3), getppid(1)];
    let (profile, outcome) = altered(&["cancel", &GETUID.to_string()], &calls);
    assert_eq!(profile.train_count(), 1 + 1 + 1);
    assert_eq!(outcome.stats.calls.ignored, 3);
    assert_has(&learnt(&profile), &["getppid<-getppid@1"]);
}

/// Check that calls which a tracer keeps from the kernel are not seen at all.
#[test]
fn emulated() {
    let calls = [getuid(3), getppid(2)];
    let (profile, outcome) = altered(&["emulate", "3"], &calls);
    assert_eq!(profile.train_count(), 2 + 1);
    assert_eq!(names(&profile), set(["exit_group", "getppid"]));
    assert_eq!(outcome.stats.calls.ignored, 0);
}

/// Check that a call which a tracer makes its tracee issue is the tracee's.
#[test]
fn injected() {
    let calls = [getuid(1), getppid(1)];
    let (after, call) = (GETUID.to_string(), GETGID.to_string());
    let (profile, _) = altered(&["inject", &after, &call], &calls);
    assert_eq!(profile.train_count(), 1 + 1 + 1 + 1);
    assert_has(
        &learnt(&profile),
        &["getgid<-getuid@1", "getppid<-getgid@1"],
    );
}

/// Check that what a tracer changes or injects is judged as the tracee's own doing.
#[test]
fn judged() {
    let stage = Stage::new();
    let watch = stage.watch();
    let calls = [getuid(1), getppid(3)];
    stage.run_ok(2, "calls", &calls);
    let key = stage.key(&watch, "calls");
    watch.normalize(key).expect("the profile exists");
    stage.run_ok(1, "calls", &calls);
    let (from, to) = (libc::SYS_getppid.to_string(), GETGID.to_string());
    for how in [["change", &from, &to], ["inject", &from, &to]] {
        stage.run_ok(1, "altered", &arguments(&stage, &how, &calls));
    }
    let outcome = watch.finish();
    let anomalies = outcome.of("anomaly", key);
    let first = anomalies.first().expect("there are anomalies");
    assert_eq!(first.window(), ["getuid", "getgid"]);
    let injected = anomalies
        .iter()
        .any(|seen| seen.window() == ["getuid", "getppid", "getgid"]);
    assert!(injected, "{anomalies:#?}");
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}
