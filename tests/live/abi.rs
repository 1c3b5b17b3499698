//! The alphabet: which letter a call is.

use crate::harness::{Stage, assert_has, call, getppid, learnt};

/// Names with their interfaces, as in `i386:getpid`, of all calls that a profile knows.
#[cfg(target_arch = "x86_64")]
fn symbols(profile: &ebph::Profile) -> Vec<String> {
    let mut names: Vec<_> = profile
        .symbols()
        .map(|symbol| format!("{}:{}", symbol.abi(), symbol.name()))
        .collect();
    names.sort();
    names
}

/// Check that calls through `int 0x80` of a 64-bit program are letters of their own, with the
/// names that their numbers have there.
#[cfg(target_arch = "x86_64")]
#[test]
fn int_0x80_is_another_interface() {
    let stage = Stage::new();
    let watch = stage.watch();
    // 20 is getpid for i386 and writev for x86-64.
    stage.run_ok(2, "calls", &["i20x2".into(), getppid(2)]);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 2 * 5);
    assert_eq!(
        symbols(&profile),
        ["i386:getpid", "x86_64:exit_group", "x86_64:getppid"]
    );
    assert_has(
        &learnt(&profile),
        &["i386:getpid<-i386:getpid@1", "getppid<-i386:getpid@2"],
    );
    watch.normalize(profile.key()).expect("the profile exists");
    stage.run_ok(1, "calls", &[getppid(1), "i20x1".into()]);
    let outcome = watch.finish();
    let anomalies = outcome.of("anomaly", profile.key());
    assert_eq!(anomalies[0].text("symbol.abi"), "i386");
    assert_eq!(anomalies[0].text("symbol.name"), "getpid");
    assert_eq!(anomalies[0].number("symbol.number"), 20);
    assert_eq!(anomalies[0].missed(), ["getppid@1"]);
}

/// Check that all x32 calls are one letter, implemented by the kernel or not.
#[cfg(target_arch = "x86_64")]
#[test]
fn x32_calls_are_one_letter() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "calls", &["x110x2", "x39x2"]);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 5);
    assert_eq!(symbols(&profile), ["x32:any", "x86_64:exit_group"]);
    watch.finish();
}

/// Check that numbers above the table are learnt, as one letter.
#[test]
fn unknown_numbers_are_one_letter() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "calls", &["511x2", "100000x2", "1000000000x1"]);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 6);
    let unknown: Vec<_> = profile
        .symbols()
        .filter(|symbol| symbol.is_unknown())
        .collect();
    assert_eq!(unknown.len(), 1);
    assert_eq!(unknown[0].name(), "unknown");
    assert_has(&learnt(&profile), &["unknown<-unknown@4"]);
    watch.finish();
}

/// Check that a cancelled call, which has a negative number, is no call.
#[test]
fn negative_numbers_are_ignored() {
    let stage = Stage::new();
    let watch = stage.watch();
    let minus_one = format!("{}x3", u64::MAX);
    stage.run_ok(1, "calls", &[getppid(1), minus_one, getppid(1)]);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 3);
    assert_has(&learnt(&profile), &["getppid<-getppid@1"]);
    watch.finish();
}

/// Check that calls which seccomp refuses are not recorded: they never ran.
#[test]
fn refused_calls_are_not_recorded() {
    let stage = Stage::new();
    let watch = stage.watch();
    let getuid = libc::SYS_getuid;
    let arguments = [format!("s{getuid}"), call(getuid, 5), getppid(2)];
    stage.run_ok(1, "calls", &arguments);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 1 + 2 + 1);
    assert_has(&learnt(&profile), &["getppid<-seccomp@1"]);
    watch.finish();
}
