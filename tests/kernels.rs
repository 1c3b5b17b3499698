//! What is so on some kernels only, each test by its name: `make test-kernels`.
//!
//! They look at the whole machine's kernel and at its first process, so they run in guests, and there
//! before the live tests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ebph::{CheckId, Error, Kill, Monitor, Preflight, Responses, Scope, Status};
use serde_json::Value;

fn preflight() -> Preflight {
    assert!(
        rustix::process::geteuid().is_root(),
        "these tests load BPF programs and need root"
    );
    Monitor::preflight()
}

fn status(report: &Preflight, id: CheckId) -> Status {
    report.check(id).expect("it is looked at").status
}

/// The example, as it was built.
fn example() -> Command {
    let own = std::env::current_exe().expect("/proc is mounted");
    let profile = own.ancestors().nth(2).expect("target/<profile>/deps/...");
    Command::new(profile.join("examples/monitor"))
}

/// Check that a kernel without task storage is refused by a typed error, in the library and in the
/// example, and that preflight says which thing is absent and what to do.
#[test]
fn without_task_storage() {
    let report = preflight();
    let release = rustix::system::uname();
    let release = release.release().to_str().expect("a release is ASCII");

    let error = Monitor::builder()
        .scope(Scope::Tree(std::process::id()))
        .start()
        .expect_err("this test is for kernels without task storage");
    let Error::KernelTooOld { needs, found } = &error else {
        panic!("refused otherwise: {error}");
    };
    assert!(needs.contains("task storage"), "{needs}");
    assert_eq!(found, release);

    assert!(!report.ready());
    let required = report.require().expect_err("it is not ready");
    assert_eq!(required.to_string(), error.to_string());
    let check = report.check(CheckId::TaskStorage).expect("it is looked at");
    assert!(check.required);
    assert_eq!(check.status, Status::Absent);
    assert!(check.why.contains("bpf_task_storage_get"), "{}", check.why);
    assert!(check.remedy.contains("Linux 6.1"), "{}", check.remedy);

    let output = example().args(["preflight", "--json"]).output();
    let output = output.expect("the example can be run");
    let said: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert!(!output.status.success());
    assert_eq!(said["ready"], false);
    assert_eq!(said["error"], error.to_string());

    let watch = example().args(["--", "true"]).output();
    let watch = watch.expect("the example can be run");
    assert_eq!(watch.status.code(), Some(125));
    let errors = String::from_utf8_lossy(&watch.stderr);
    assert!(errors.contains(&error.to_string()), "{errors}");
}

/// Check that a kernel with BPF among its security modules denies by that.
#[test]
fn denies_by_lsm() {
    assert_eq!(status(&preflight(), CheckId::BpfLsm), Status::Present);
}

/// Check that a kernel without BPF among its security modules, where a program for them would load and
/// never run, can deny all the same.
#[test]
fn denies_by_fmod_ret() {
    let report = preflight();
    assert_eq!(status(&report, CheckId::BpfLsm), Status::Refused);
    assert_eq!(status(&report, CheckId::FmodRet), Status::Present);
}

/// Check that a kernel to whose functions nothing can be attached is said to deny nothing.
#[test]
fn denies_by_nothing() {
    let report = preflight();
    for id in [CheckId::BpfLsm, CheckId::FmodRet] {
        let check = report.check(id).expect("it is looked at");
        assert_eq!(check.status, Status::Absent);
        assert!(check.why.contains("register_ftrace_direct"), "{check:?}");
    }
}

const FIRST: &str = "/run/kernels/busybox";

/// Leaves the guest's first process a child to wait for.
fn orphan() {
    let status = Command::new("sh").args(["-c", "sleep 0.2 &"]).status();
    assert!(status.expect("there is a shell").success());
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "waited a minute for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Check that the first process of all is not killed for what another of its executable is killed for.
/// If it were, the guest would go down with it.
#[test]
fn the_first_process_is_never_answered() {
    preflight();
    let first = fs::read_link("/proc/1/exe").expect("/proc is mounted");
    assert_eq!(first, PathBuf::from(FIRST), "this test is for guests");
    let responses = Responses::default().kill(Kill::new(1));
    let builder = Monitor::builder().scope(Scope::Tree(1));
    let monitor = builder.responses(responses).start().expect("it starts");
    let key = monitor.key_of(FIRST).expect("it is there");
    let profile = || monitor.profile(key).expect("it can be read");
    let calls = || profile().map_or(0, |profile| profile.train_count());

    // What it does after each child is the same, and new for as long as the window is not full of it.
    orphan();
    eventually("the first process to have waited", || calls() > 0);
    monitor.normalize(key).expect("the profile exists");
    orphan();
    let anomalies = || profile().map_or(0, |profile| profile.anomalies());
    eventually("an anomaly of the first process", || anomalies() > 0);
    let processes = monitor.processes().expect("readable");
    let first = processes.filter(|process| process.pid == 1).count();
    assert_eq!(first, 1);
    assert_eq!(monitor.stats().expect("readable").responses.kills, 0);

    let other = Command::new(FIRST)
        .args(["sh", "-c", "pwd; umask"])
        .status();
    assert!(!other.expect("it can be run").success());
    let stats = monitor.stop().expect("it ends");
    assert_eq!(stats.responses.kills, 1);
}
