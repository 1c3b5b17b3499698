//! Calls that seccomp decides upon, which it does before the monitor sees them.

use std::os::unix::process::ExitStatusExt;

use ebph::Profile;

use crate::harness::watch::Outcome;
use crate::harness::{Stage, assert_has, assert_lacks, learnt};

/// getppid twice, seccomp, getgid twice, exit_group.
const OTHERS: u64 = 2 + 1 + 2 + 1;

/// What the victim tries three times.
const TRIED: u64 = 3;

fn run(mode: &str, ends: Option<i32>) -> (Profile, Outcome) {
    let stage = Stage::new();
    let watch = stage.watch();
    let status = stage.run("refused", &[mode]);
    match ends {
        None => assert!(status.success(), "{mode}: {status}"),
        signal => assert_eq!(status.signal(), signal, "{mode}: {status}"),
    }
    let profile = stage.profile(&watch, "refused");
    assert_eq!(profile.processes_ended(), 1, "{mode}");
    let outcome = watch.finish();
    assert_eq!(outcome.stats.calls.ignored, 0, "{mode}");
    outcome.none("unbalanced_sigreturn", profile.key());
    (profile, outcome)
}

/// Check that a call that is let through is recorded, whether or not it is logged.
#[test]
fn allowed() {
    for mode in ["allow", "log"] {
        let (profile, _) = run(mode, None);
        assert_eq!(profile.train_count(), OTHERS + TRIED, "{mode}");
        assert_has(
            &learnt(&profile),
            &["getuid<-seccomp@1", "getgid<-getuid@1"],
        );
    }
}

/// Check that a call that fails by seccomp is not seen: those around it follow each other.
#[test]
fn failed() {
    for mode in ["errno", "trace"] {
        let (profile, _) = run(mode, None);
        assert_eq!(profile.train_count(), OTHERS, "{mode}");
        assert_has(&learnt(&profile), &["getgid<-seccomp@1"]);
        assert_lacks(&learnt(&profile), &["getuid<-"]);
    }
}

/// Check that of a call that seccomp turns into a signal only the signal's handler is seen, which
/// has its own window.
#[test]
fn trapped() {
    let (profile, outcome) = run("trap", None);
    // rt_sigaction, and for each try getpid and rt_sigreturn.
    assert_eq!(profile.train_count(), OTHERS + 1 + 2 * TRIED);
    let pairs = learnt(&profile);
    assert_has(&pairs, &["rt_sigreturn<-getpid@1", "getgid<-seccomp@1"]);
    assert_lacks(&pairs, &["getuid<-", "getpid<-", "getgid<-rt_sigreturn"]);
    assert_eq!(outcome.stats.threads.signals, TRIED);
}

/// Check that a call for which seccomp ends the thread or the process is not seen, and its end is.
#[test]
fn killed() {
    for mode in ["killthread", "killprocess"] {
        let (profile, _) = run(mode, Some(libc::SIGSYS));
        assert_eq!(profile.train_count(), 2 + 1, "{mode}");
        assert_lacks(&learnt(&profile), &["getuid<-"]);
    }
}

/// Check that a call about which another thread is asked is recorded if it is let through, and not
/// seen if it is not; what that thread does is recorded like anything else.
#[test]
fn asked() {
    // clone, two ioctl for each question, exit.
    let asking = 1 + 2 * TRIED + 1;
    let (profile, _) = run("deny", None);
    assert_eq!(profile.train_count(), OTHERS + asking);
    assert_has(&learnt(&profile), &["getgid<-seccomp@1"]);
    let (profile, _) = run("continue", None);
    assert_eq!(profile.train_count(), OTHERS + asking + TRIED);
    assert_has(&learnt(&profile), &["getuid<-seccomp@1"]);
}
