//! That a stop lasts no longer than its reason, and comes to nobody who is exempt.

use std::path::Path;

use ebph::{ExecAnswer, ExecResponse, Responses};
use rustix::process::Signal;

use super::{HOUR, delays, held, ms, normalize, odd, offence, slowed, usual};
use crate::harness::pipe::Pipe;
use crate::harness::{Stage, Start, Watch, answers, call, eventually, getppid};

fn suspends() -> Responses {
    let suspend = ExecResponse::new(1, ExecAnswer::Suspend(HOUR));
    Responses::default().exec(suspend)
}

/// A victim's arguments: its odd call, and then an exec of that program.
fn exec(next: &Path) -> Vec<String> {
    [offence(), vec![format!("e{}", next.display())]].concat()
}

/// Check that an exec that is held goes on when the profile of the program that made it is tolerized, and
/// that the next one of that program is not held.
#[test]
fn tolerize_ends_a_suspension() {
    let (stage, watch) = slowed(suspends());
    let next = stage.copy("paced", "next");
    let run = held(&stage, &watch, &exec(&next));
    let key = stage.key(&watch, "paced");
    watch.tolerize(key).expect("it is normal");
    assert!(run.wait().success());
    stage.run_ok(1, "paced", &exec(&next));
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.suspended_execs, stats.released), (1, 1));
    assert!(stats.observed_ns < stats.requested_ns);
}

/// Check that a profile with too many anomalies has nobody stopped any more: neither the process that made
/// the one too many, nor another, which is stopped already.
#[test]
fn too_many_anomalies() {
    let (stage, watch) = slowed(delays(HOUR, HOUR));
    let limits = watch.limits().anomaly_limit(1);
    watch.set_limits(limits).expect("it can be had");
    let first = held(&stage, &watch, &offence());
    assert!(stage.profile(&watch, "paced").is_normal());
    stage.run_ok(1, "paced", &offence());
    assert!(first.wait().success());
    assert!(!stage.profile(&watch, "paced").is_normal());
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.delays, stats.released, stats.held), (1, 1, 0));
}

/// Check that neither a delay nor a held exec comes to an executable or a process that is exempt.
#[test]
fn exempt() {
    let (stage, watch) = slowed(Responses::default());
    let next = stage.copy("paced", "next");
    let args = [vec!["r".to_owned()], exec(&next)].concat();
    let set = |responses: Responses| watch.set_responses(responses).expect("it can be had");
    let mut exempted = 0;
    for responses in [delays(HOUR, HOUR), suspends()] {
        for by_pid in [false, true] {
            let gate = Pipe::new();
            let run = stage.start_with(&Start::new().input(&gate), "paced", &args);
            run.until_blocked_in(libc::SYS_read);
            set(match by_pid {
                true => responses.clone().exempt_pid(run.pid),
                false => responses.clone().exempt_executable(stage.path("paced")),
            });
            gate.send(1);
            assert!(run.wait().success());
            let stats = watch.stats().expect("there are stats").responses;
            assert!(stats.exempted > exempted, "{responses:?}, by pid: {by_pid}");
            exempted = stats.exempted;
        }
    }
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.delays, stats.suspended_execs), (0, 0));
}

/// Check that a process which stops itself by the very call that it is delayed for is not continued.
#[test]
fn stops_itself() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.responses(delays(ms(50), ms(100))));
    stage.run_ok(2, "calls", &[getppid(9), call(libc::SYS_getpid, 1)]);
    normalize(&stage, &watch, "calls");
    let events = watch.events();
    let stop = libc::SIGSTOP;
    let run = stage.start("calls", &[getppid(9), format!("k{stop}")]);
    let stats = until_over(&watch, 1);
    assert_eq!(stats.left_stopped, 1, "{stats:?}");
    run.until_state('T');
    run.signal(Signal::CONT);
    assert!(run.wait().success());
    watch.finish();
    // The signal, and the end, which is not delayed.
    let symbols = answers(&events)
        .into_iter()
        .map(|one| one.symbol.to_string());
    assert_eq!(symbols.collect::<Vec<_>>(), ["kill"]);
}

fn until_over(watch: &Watch, count: u64) -> ebph::ResponseStats {
    eventually("the stops to be over", || {
        let stats = watch.stats().expect("there are stats").responses;
        (stats.released == count && stats.held == 0).then_some(stats)
    })
}

/// Check that delays are of the thread with the anomalies: another process of the same program, which did nothing
/// odd, is not stopped.
#[test]
fn others_go_on() {
    let (stage, watch) = slowed(delays(HOUR, HOUR));
    let run = held(
        &stage,
        &watch,
        &[vec!["t1".to_owned(), odd()], usual()].concat(),
    );
    stage.run_ok(3, "paced", &usual());
    let stats = watch.stats().expect("there are stats").responses;
    assert_eq!((stats.delays, stats.held), (1, 1));
    watch.finish();
    assert!(run.wait().success());
}

/// Check that a process which somebody else's stop signal waits for already is not stopped, and that
/// this is counted.
#[test]
fn stopping_already() {
    let (stage, watch) = slowed(delays(HOUR, HOUR));
    let at = libc::SYS_getpid.to_string();
    let path = stage.path("paced").display().to_string();
    let args = [vec!["stop".to_owned(), at, path], offence()].concat();
    stage.run_ok(1, "altered", &args);
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.already_stopping, stats.delays), (1, 0), "{stats:?}");
}
