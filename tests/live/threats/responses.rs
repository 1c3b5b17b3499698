//! What responses cannot do.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use ebph::{Delay, Kill, Monitor, Responses, Scope};
use rustix::process::{Pid, Signal, kill_process};

use super::{trained, windows};
use crate::harness::{Pipe, Stage, Start, call, eventually, getppid, helper};

/// Nobody waits for the end of this.
const HOUR: Duration = Duration::from_secs(3600);

/// What is anomalous here can be heard.
fn heard_and_more() -> [String; 3] {
    [getppid(3), "w".into(), getppid(100)]
}

/// Check that the call for which a process is killed is made all the same: here, it is heard.
#[test]
fn killed_after_the_call() {
    let responses = Responses::default().kill(Kill::new(1));
    let (stage, watch, key) = trained(|builder| builder.responses(responses), &[&[getppid(10)]]);
    watch.normalize(key).expect("the profile exists");
    let pipe = Pipe::new();
    let run = stage.start_with(&Start::new().output(&pipe), "calls", &heard_and_more());
    assert_eq!(run.wait().signal(), Some(libc::SIGKILL));
    assert_eq!(&pipe.receive_array(), b".");
    let outcome = watch.finish();
    let found = windows(&outcome, key);
    assert_eq!(found, [["getppid", "getppid", "getppid", "write"]]);
}

/// Check that the call for which a process is delayed is made before.
#[test]
fn delayed_after_the_call() {
    let responses = Responses::default().delay(Delay::new(HOUR, HOUR));
    let (stage, watch, key) = trained(|builder| builder.responses(responses), &[&[getppid(10)]]);
    watch.normalize(key).expect("the profile exists");
    let pipe = Pipe::new();
    let run = stage.start_with(&Start::new().output(&pipe), "calls", &heard_and_more());
    run.until_state('T');
    assert_eq!(&pipe.receive_array(), b".");
    // Who is stopped goes on.
    let outcome = watch.finish();
    assert!(run.wait().success());
    assert_eq!(windows(&outcome, key).len(), 1);
}

/// Check that who does not mind to be killed wears out a profile: once it has had more anomalies than its
/// limit nobody is killed any more. A higher limit answers it.
#[test]
fn worn_out() {
    for (limit, disarmed) in [(12, true), (1000, false)] {
        let responses = Responses::default().kill(Kill::new(4));
        let settings =
            |builder: ebph::MonitorBuilder| builder.responses(responses).anomaly_limit(limit);
        let (stage, watch, key) = trained(settings, &[&[getppid(10)]]);
        watch.normalize(key).expect("the profile exists");
        // None is the same as another, so each is as odd as the first.
        let odd = [
            libc::SYS_getuid,
            libc::SYS_getgid,
            libc::SYS_geteuid,
            libc::SYS_getegid,
        ];
        let ends = odd.map(|number| {
            let run = stage.run("calls", &[getppid(3), call(number, 10)]);
            run.signal()
        });
        let killed = Some(libc::SIGKILL);
        let last = if disarmed { None } else { killed };
        assert_eq!(ends, [killed, killed, killed, last], "a limit of {limit}");
        let outcome = watch.finish();
        let told = outcome.of("stop_normal", key);
        assert_eq!(told.len(), usize::from(disarmed));
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a pid is not 0");
    kill_process(pid, signal).expect("it is there");
}

/// The state of a process in `/proc`, its name and its parent's pid.
fn status(pid: u32) -> Option<(char, String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (start, rest) = text.rsplit_once(") ")?;
    let (_, name) = start.split_once('(')?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, name.to_owned(), fields.next()?.parse().ok()?))
}

fn tell(running: &mut helper::Running, line: &str) {
    let stdin = running.child.stdin.as_mut().expect("it is piped");
    writeln!(stdin, "{line}").expect("it reads lines");
}

/// Check that who kills a monitor and its guardian at once leaves stopped what they had stopped, for
/// anybody who may to continue it.
#[test]
fn both_killed() {
    let stage = Stage::new();
    let mut running = helper::Running::start("threats::responses::part_that_is_killed");
    let own = running.child.id();
    tell(
        &mut running,
        &format!("{} {}", stage.pid(), stage.path("calls").display()),
    );
    running.expect("watches");
    stage.run_ok(2, "calls", &[getppid(10)]);
    tell(&mut running, "normalize");
    running.expect("is normal");
    let run = stage.start(
        "calls",
        &[getppid(3), call(libc::SYS_getuid, 1), getppid(1)],
    );
    run.until_state('T');
    let guardian = eventually("the guardian to be there", || {
        let tasks = fs::read_dir("/proc").expect("/proc is mounted");
        let mut pids = tasks.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.find(|pid| {
            status(*pid).is_some_and(|(_, name, parent)| name == "ebph-guardian" && parent == own)
        })
    });
    // At once: it must not get to do anything in between.
    signal(guardian, Signal::STOP);
    running.child.kill().expect("it runs");
    running.child.wait().expect("it is our child");
    signal(guardian, Signal::KILL);
    eventually("the guardian to be gone", || {
        matches!(status(guardian), None | Some(('Z' | 'X', ..))).then_some(())
    });
    run.until_state('T');
    run.signal(Signal::CONT);
    assert!(run.wait().success());
}

#[test]
fn part_that_is_killed() {
    if !helper::part("threats::responses::part_that_is_killed") {
        return;
    }
    let mut lines = std::io::stdin().lines();
    let mut next = || lines.next().expect("a line").expect("lines are text");
    let whom = next();
    let (root, path) = whom.split_once(' ').expect("a pid and a path");
    let monitor = Monitor::builder()
        .scope(Scope::Tree(root.parse().expect("a pid")))
        .responses(Responses::default().delay(Delay::new(HOUR, HOUR)))
        .start()
        .expect("the monitor starts");
    println!("\nwatches");
    next();
    let key = monitor.key_of(path).expect("it is there");
    monitor.normalize(key).expect("it has run");
    println!("\nis normal");
    // Until the test that started us kills us, or is gone itself.
    let _end = lines.next();
}
