//! Storms of signals: handlers upon handlers, and calls that they interrupt.

use ebph::{Monitor, Profile, Scope};

use super::{accounted, many};
use crate::harness::pipe::End;
use crate::harness::watch::Outcome;
use crate::harness::{Gated, Pipe, Watch, assert_has, assert_lacks, learnt, program};

/// Runs a storm alone in its tree. It must end well, and nothing may be taken for a forged return.
fn storm(args: &[&str]) -> (Profile, Outcome) {
    let gated = Gated::new(program("sigstorm"), args);
    let watch = Watch::start(Monitor::builder().scope(Scope::Tree(gated.pid)));
    let status = gated.go().wait().expect("it is our child");
    assert!(status.success(), "{status}");
    let profile = watch.profiles().expect("readable").next().expect("one");
    let outcome = watch.finish();
    outcome.none("unbalanced_sigreturn", profile.key());
    assert_eq!(outcome.stats.threads.unbalanced, 0);
    (profile, outcome)
}

/// Runs a storm that counts its own calls; returns how many they were, the last one included.
fn self_counting(mode: &str, count: usize) -> (u64, Profile, Outcome) {
    let told = Pipe::new();
    let path = told.path(End::Write);
    let path = path.to_str().expect("test paths are UTF-8");
    let (profile, outcome) = storm(&[mode, &count.to_string(), path]);
    let made = u64::from_ne_bytes(told.receive_array());
    (made + 1, profile, outcome)
}

/// Check that each call of a program is recorded once while its children's ends interrupt it, and
/// the kernel issues again what they interrupt.
#[test]
fn children() {
    let count = many(2000);
    let (made, profile, outcome) = self_counting("children", count);
    let children = count as u64;
    let recorded = outcome.stats.calls.recorded;
    assert_eq!(profile.train_count(), recorded);
    accounted(&outcome, made + children + outcome.stats.calls.restarts);
    assert!(recorded <= made + children, "{recorded} of {made}");
}

/// Check that a wait that a timer interrupts over and over is one call.
#[test]
fn timer() {
    let (made, profile, outcome) = self_counting("timer", many(400));
    let calls = &outcome.stats.calls;
    assert!(calls.restarts > 0, "{calls:?}");
    accounted(&outcome, made + calls.restarts);
    assert!(calls.recorded <= made, "{} of {made}", calls.recorded);
    assert_lacks(&learnt(&profile), &["wait4<-wait4", "wait4<-getppid"]);
}

/// Check that real-time signals that are delivered all at once, thirty handlers deep, are learnt
/// apart from what they interrupt, and are all returned from.
#[test]
fn queue() {
    let (count, numbers) = (many(4000), 30);
    let (profile, outcome) = storm(&["queue", &count.to_string(), &numbers.to_string()]);
    accounted(&outcome, (numbers + 3 + 3 * count + 1 + 1) as u64);
    let pairs = learnt(&profile);
    assert_has(
        &pairs,
        &["getuid<-rt_sigprocmask@1", "getuid<-rt_sigqueueinfo@2"],
    );
    assert_lacks(
        &pairs,
        &["getuid<-getppid", "getuid<-rt_sigreturn", "getppid<-"],
    );
    let threads = &outcome.stats.threads;
    assert_eq!(threads.signals, count as u64);
    // Eight windows are kept; what lies deeper is counted.
    assert!(threads.frames_overflow >= numbers as u64 - 8, "{threads:?}");
}

/// Check that handlers which are left by longjmp thousands of times leave no window behind.
#[test]
fn leave() {
    let (count, depth) = (many(4000), 5);
    let (profile, outcome) = storm(&["leave", &count.to_string(), &depth.to_string()]);
    accounted(&outcome, (1 + count * (3 * depth + 1) + 1) as u64);
    let pairs = learnt(&profile);
    assert_has(&pairs, &["getuid<-kill@1", "getpid<-getuid@1"]);
    assert_lacks(&pairs, &["getuid<-getppid", "getpid<-getppid@2"]);
    let threads = &outcome.stats.threads;
    assert_eq!(threads.signals, (count * depth) as u64);
    assert_eq!(threads.frames_dropped, count as u64);
}
