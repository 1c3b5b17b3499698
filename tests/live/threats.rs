//! What evades the detector, shown by programs that do; and what answers it, where something does.
//! `docs/threats.md` tells of each and names its test.

mod responses;

use std::fs;
use std::path::Path;
use std::time::Duration;

use ebph::{Key, MonitorBuilder, Partition, State};

use crate::harness::watch::Outcome;
use crate::harness::{Stage, Start, Watch, assert_has, call, eventually, getppid, held, learnt};

fn getuid(times: usize) -> String {
    call(libc::SYS_getuid, times)
}

fn getgid(times: usize) -> String {
    call(libc::SYS_getgid, times)
}

fn getpid(times: usize) -> String {
    call(libc::SYS_getpid, times)
}

/// A monitor, and `calls` in training with each of these.
fn trained(
    settings: impl FnOnce(MonitorBuilder) -> MonitorBuilder,
    lessons: &[&[String]],
) -> (Stage, Watch, Key) {
    let stage = Stage::new();
    let watch = stage.watch_with(settings);
    for lesson in lessons {
        stage.run_ok(2, "calls", lesson);
    }
    let key = stage.key(&watch, "calls");
    (stage, watch, key)
}

/// The same, normal by now.
fn normal(lessons: &[&[String]]) -> (Stage, Watch, Key) {
    let (stage, watch, key) = trained(|builder| builder, lessons);
    watch.normalize(key).expect("the profile exists");
    (stage, watch, key)
}

/// The anomalous calls of a profile, by their windows.
fn windows(outcome: &Outcome, key: Key) -> Vec<Vec<&str>> {
    let anomalies = outcome.of("anomaly", key);
    anomalies.into_iter().map(|seen| seen.window()).collect()
}

/// The number of anomalies so far.
fn anomalies(stage: &Stage, watch: &Watch) -> u64 {
    stage.profile(watch, "calls").anomalies()
}

/// Check that a call that does not fit is an anomaly, and none when calls that harm nobody are put in
/// between so that every pair is a known one.
#[test]
fn mimicry() {
    let lesson = ["l8".into(), getuid(1), getgid(1), getpid(1), ".".into()];
    let (stage, watch, _) = normal(&[&lesson]);
    stage.run_ok(1, "calls", &[getuid(1), getgid(2), getpid(1)]);
    let direct = anomalies(&stage, &watch);
    assert!(direct > 0);
    // The second getgid is what the attacker is after.
    let padded = [
        getuid(1),
        getgid(1),
        getpid(1),
        getuid(1),
        getgid(1),
        getpid(1),
    ];
    stage.run_ok(1, "calls", &padded);
    assert_eq!(anomalies(&stage, &watch), direct);
    watch.finish();
}

/// Check that what lies more than eight calls back is forgotten: one call's past ends in another's.
#[test]
fn beyond_the_window() {
    let one = [getuid(1), getppid(8), getgid(1)];
    let two = [getpid(1), getppid(8), call(libc::SYS_geteuid, 1)];
    let (stage, watch, key) = normal(&[&one, &two]);
    stage.run_ok(
        1,
        "calls",
        &[getuid(1), getppid(8), call(libc::SYS_geteuid, 1)],
    );
    let outcome = watch.finish();
    // Of exit_group, which sees one call less far.
    assert_eq!(windows(&outcome, key), Vec::<Vec<&str>>::new());
}

/// Check that a program which reads another file than ever does what it always does.
#[test]
fn other_arguments() {
    let stage = Stage::new();
    let watch = stage.watch();
    let cat = stage.directory().join("cat");
    fs::copy("/bin/cat", &cat).expect("it can be copied");
    let cat = cat.to_str().expect("test paths are UTF-8");
    let files = ["public", "secret"].map(|name| {
        let path = stage.directory().join(name);
        fs::write(&path, name).expect("there is room");
        path.display().to_string()
    });
    stage.run_ok(2, cat, &files[..1]);
    let key = stage.key(&watch, cat);
    watch.normalize(key).expect("the profile exists");
    stage.run_ok(1, cat, &files[1..]);
    watch.finish().none("anomaly", key);
}

/// Check that a program's first call is never judged, and the second is.
#[test]
fn first_call() {
    let (stage, watch, key) = normal(&[&[getppid(10)]]);
    stage.run_ok(1, "calls", &[getuid(1)]);
    let outcome = watch.finish();
    assert_eq!(windows(&outcome, key), [["getuid", "exit_group"]]);
}

/// Check that the time is asked for without a system call, so nothing is seen of it.
#[test]
fn vdso() {
    let counted = |args: &[&str]| {
        let stage = Stage::new();
        let watch = stage.watch();
        stage.run_ok(1, "clock", args);
        let profile = stage.profile(&watch, "clock");
        watch.finish();
        profile.train_count()
    };
    let never = counted(&["0"]);
    assert_eq!(counted(&["1000"]), never);
    assert_eq!(counted(&["1000", "call"]), never + 1000);
}

/// Check that what an attacker does while a profile trains is normal later; and that where each user
/// has own profiles, it is normal for that user alone.
#[test]
fn taught_in_training() {
    let (usual, evil) = ([getppid(10)], [getuid(3), getppid(3)]);
    let attacker = Start::new().user(65534);
    for (partition, noticed) in [(Partition::Executable, false), (Partition::User, true)] {
        let (stage, watch, _) = trained(|builder| builder.partition(partition), &[&usual]);
        assert!(stage.start_with(&attacker, "calls", &evil).wait().success());
        let exe = stage.path("calls");
        let profiles: Vec<_> = watch.profiles().expect("readable").collect();
        for profile in profiles
            .iter()
            .filter(|profile| profile.exe() == Some(&exe))
        {
            watch.normalize(profile.key()).expect("it exists");
        }
        stage.run_ok(1, "calls", &evil);
        let outcome = watch.finish();
        let anomalies = outcome.all("anomaly").filter(|seen| seen.is_of(&exe));
        assert_eq!(anomalies.count() > 0, noticed, "{partition:?}");
    }
}

/// Check that a normal profile that goes on training holds in time as normal what was anomalous and
/// went on: it is reported at first, and then no more.
#[test]
fn repeated_until_normal() {
    let evil = [getuid(1), getppid(10)];
    let (stage, watch, key) = trained(
        |builder| builder.normal_wait(Duration::ZERO).anomaly_limit(1000),
        &[&[getppid(10)]],
    );
    watch.normalize(key).expect("the profile exists");
    stage.run_ok(1, "calls", &evil);
    let first = watch.wait_for_kind("anomaly", key);
    assert_eq!(first.window(), ["getuid", "getppid"]);
    eventually("it to be normal", || {
        stage.run_ok(1, "calls", &evil);
        held(&stage.profile(&watch, "calls"))
            .contains("getppid<-getuid@1")
            .then_some(())
    });
    let before = anomalies(&stage, &watch);
    stage.run_ok(1, "calls", &evil);
    assert_eq!(anomalies(&stage, &watch), before);
    let outcome = watch.finish();
    let refreshed = outcome.of("start_normal", key).into_iter();
    assert!(refreshed.filter(|seen| seen.is_true("refresh")).count() > 0);
}

/// Check that a call for which there is no row any more is an anomaly in a normal profile.
#[test]
fn without_a_row() {
    let (stage, watch, key) = trained(|builder| builder.max_rows(64), &[&[getppid(10)]]);
    watch.normalize(key).expect("the profile exists");
    let greedy = stage.copy("calls", "greedy");
    let many: Vec<_> = (440..510).map(|number| call(number, 1)).collect();
    for half in many.chunks(50) {
        stage.run_ok(1, text(&greedy), half);
    }
    let rows = watch.stats().expect("stats can be read").rows;
    assert_eq!(rows.used, rows.capacity);
    stage.run_ok(1, "calls", &[getppid(3), getuid(1)]);
    let outcome = watch.finish();
    let found = windows(&outcome, key);
    assert_eq!(found[0], ["getppid", "getppid", "getppid", "getuid"]);
    assert!(outcome.stats.calls.unlearnt > 0);
}

/// Check that a copy of a program, or one without a name, is another program, which nobody has taught
/// and nobody judges.
#[test]
fn unknown_programs_train() {
    let (stage, watch, key) = normal(&[&[getppid(10)]]);
    let evil = [getuid(3), getppid(3)];
    let copy = stage.copy("calls", "copy");
    stage.run_ok(1, text(&copy), &evil);
    let nameless = Start::new().nameless();
    for _ in 0..2 {
        assert!(stage.start_with(&nameless, "calls", &evil).wait().success());
    }
    let others: Vec<_> = watch
        .profiles()
        .expect("readable")
        .filter(|profile| profile.train_count() == 7)
        .map(|profile| (profile.key() == key, profile.state()))
        .collect();
    assert_eq!(others, [(false, State::Training); 3]);
    let outcome = watch.finish();
    assert_eq!(outcome.all("anomaly").count(), 0);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Check that a script has another profile under another spelling of its path, and that of its
/// interpreter when the interpreter is told to run it.
#[test]
fn script_by_another_name() {
    let stage = Stage::new();
    let watch = stage.watch();
    let exe = stage.path("calls");
    let script = stage.file("script", &format!("#!{} {}\n", exe.display(), getppid(10)));
    let directory = stage.directory().join("directory");
    fs::create_dir(&directory).expect("it is ours");
    let spelt = directory.join("../script");
    for path in [&script, &spelt, &script] {
        stage.run_ok::<&str>(1, text(path), &[]);
    }
    let arguments = [getppid(30), script.display().to_string()];
    stage.run_ok(1, "calls", &arguments);
    let count = |script: Option<&Path>| {
        let mut all = watch.profiles().expect("readable");
        let found = all.find(|profile| profile.exe() == Some(&exe) && profile.script() == script);
        found.map(|profile| profile.train_count())
    };
    assert_eq!(count(Some(&script)), Some(22));
    assert_eq!(count(Some(&spelt)), Some(11));
    assert_eq!(count(None), Some(31));
    watch.finish();
}

/// Check what a jump out of a handler looks like when the next call comes from deeper down the stack:
/// that call is taken for the handler's, and the one after it is not.
#[test]
fn a_jump_unnoticed() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "sigstorm", &["deeper", "1", "1"]);
    let pairs = learnt(&stage.profile(&watch, "sigstorm"));
    assert_has(&pairs, &["getuid<-getppid@1", "getgid<-kill@1"]);
    assert_eq!(watch.finish().stats.threads.frames_dropped, 1);
}

/// Check that a return from a handler is taken for one wherever a handler runs, whoever made it up.
#[test]
fn sigreturn_within_a_handler() {
    let stage = Stage::new();
    let watch = stage.watch();
    let status = stage.run("sigstorm", &["within", "1", "1"]);
    assert!(!status.success(), "the kernel refuses the frame");
    let key = stage.key(&watch, "sigstorm");
    let outcome = watch.finish();
    assert_eq!(outcome.stats.threads.signals, 1);
    outcome.none("unbalanced_sigreturn", key);
}

/// Check that an anomaly beneath a flood of others is reported, if it is of a kind of its own, and
/// that of the flood the number is told.
#[test]
fn hidden_in_a_flood() {
    let (stage, watch, key) = trained(
        |builder| builder.report_rate(0).anomaly_limit(u64::MAX),
        &[&[getppid(10)]],
    );
    watch.normalize(key).expect("the profile exists");
    let flood = ["l500".to_owned(), getpid(1), getppid(1), ".".into()];
    stage.run_ok(1, "calls", &flood);
    stage.run_ok(1, "calls", &[getppid(3), getuid(1)]);
    let outcome = watch.finish();
    let found = windows(&outcome, key);
    assert!(
        found.iter().any(|window| window.ends_with(&["getuid"])),
        "{found:?}"
    );
    let detection = &outcome.stats.detection;
    assert!(detection.anomalies > 900, "{detection:?}");
    assert_eq!(
        found.len() as u64 + detection.suppressed,
        detection.anomalies
    );
}
