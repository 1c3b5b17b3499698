//! To whom nothing is done, though it is asked for: the monitor itself, and those who help it.

use std::fs;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use ebph::{Delay, ExecAnswer, ExecResponse, Kill, Monitor, Responses, Scope};

use super::killed;
use crate::harness::{Watch, call, eventually, getppid, helper, program};

const HOUR: Duration = Duration::from_secs(3600);

/// Check that the monitor's own process is not answered, though its executable has a profile that is
/// normal, and is in the scope; another process of the same executable is.
#[test]
fn the_monitor() {
    helper::run("response::never::part_that_watches_itself");
}

/// This executable in another process: it says what it is, and with `other` does something else.
fn own(other: bool) -> ExitStatus {
    let path = std::env::current_exe().expect("/proc is mounted");
    let mut command = Command::new(path);
    command.arg(if other { "--list" } else { "--help" });
    let output = command.output().expect("it can be run");
    output.status
}

#[test]
fn part_that_watches_itself() {
    if !helper::part("response::never::part_that_watches_itself") {
        return;
    }
    let builder = Monitor::builder().scope(Scope::Tree(std::process::id()));
    let watch = Watch::start(builder.responses(Responses::default().kill(Kill::new(1))));
    for _ in 0..3 {
        assert!(own(false).success());
    }
    let path = std::env::current_exe().expect("/proc is mounted");
    let key = watch.key_of(&path).expect("it is there");
    watch.normalize(key).expect("it has run");
    // None of these is like anything that its other processes did.
    for _ in 0..20 {
        let _ = rustix::process::getppid();
        let _ = rustix::process::getgid();
        let _ = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o22));
    }
    std::thread::spawn(rustix::thread::sched_yield)
        .join()
        .expect("it does not panic");
    let stats = watch.stats().expect("there are stats").responses;
    assert_eq!(stats.kills, 0);
    assert!(killed(own(true)));
    assert_eq!(watch.finish().stats.responses.kills, 1);
}

/// Processes of this one's that continue what is stopped.
fn guardians() -> usize {
    let own = std::process::id();
    let tasks = fs::read_dir("/proc").expect("/proc is mounted");
    let status =
        tasks.filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("status")).ok());
    let parent = format!("PPid:\t{own}");
    status
        .filter(|text| {
            let has = |line: &str| text.lines().any(|other| other == line);
            has("Name:\tebph-guardian") && has(&parent)
        })
        .count()
}

/// Check that there is a guardian only while something may be stopped: not for what is killed or denied, nor for a
/// dry run; and that it is not watched, so that nothing can be done to it.
#[test]
fn the_guardian() {
    helper::run("response::never::part_with_a_guardian");
}

#[test]
fn part_with_a_guardian() {
    if !helper::part("response::never::part_with_a_guardian") {
        return;
    }
    let delay = Responses::default().delay(Delay::new(HOUR, HOUR));
    let suspend = ExecResponse::new(1, ExecAnswer::Suspend(HOUR));
    let suspend = Responses::default().exec(suspend);
    let kill = Responses::default().kill(Kill::new(1));
    let watch = Watch::start(Monitor::builder().scope(Scope::Tree(std::process::id())));
    assert_eq!(guardians(), 0);
    let set = |responses: &Responses| {
        watch
            .set_responses(responses.clone())
            .expect("it can be had")
    };
    for responses in [&delay, &suspend] {
        set(responses);
        assert_eq!(guardians(), 1, "{responses:?}");
        // Another one is not needed.
        set(&responses.clone().kill(Kill::new(1)));
        assert_eq!(guardians(), 1);
        for none in [
            &kill,
            &responses.clone().dry_run(true),
            &Responses::default(),
        ] {
            set(none);
            assert_eq!(guardians(), 0, "{none:?}");
        }
    }
    set(&delay);
    let status = Command::new(program("calls")).arg(getppid(3)).status();
    assert!(status.expect("it can be run").success());
    // It has looked more than once by now at what it guards.
    let processes = watch.processes().expect("readable");
    assert_eq!(processes.count(), 0, "of what runs none is watched");
    assert_eq!(watch.profiles().expect("readable").count(), 1);
    watch.finish();
    eventually("the guardian to be gone", || {
        (guardians() == 0).then_some(())
    });
}

/// Check that the children of an exempt process are not exempt.
#[test]
fn a_child_of_the_exempt() {
    let stage = super::Stage::new();
    let watch = stage.watch();
    stage.run_ok(2, "calls", &[getppid(9)]);
    super::normalize(&stage, &watch);
    let responses = Responses::default().kill(Kill::new(1));
    // The runner, of which all that runs on a stage is a child.
    watch
        .set_responses(responses.exempt_pid(stage.pid()))
        .expect("it is there");
    let odd = [getppid(9), call(libc::SYS_getuid, 1)];
    assert!(killed(stage.run("calls", &odd)));
    watch.finish();
}
