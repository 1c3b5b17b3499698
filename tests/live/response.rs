//! What is done about anomalies, and what is only said: kills, dry runs, exemptions.

mod never;
mod operations;

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use ebph::{Delay, Error, ExecAnswer, ExecResponse, Kill, Limits, ResponseAction, Responses};

use crate::harness::{Stage, Start, Watch, answers, call, eventually, getppid};

/// Calls of which each odd one, and the eight after it, is an anomaly: `odd` of them.
fn calls(odd: usize) -> Vec<String> {
    let mut calls = vec![getppid(9)];
    for _ in 0..odd {
        calls.push(call(libc::SYS_getpid, 1));
        calls.push(getppid(1));
    }
    calls.push(getppid(20));
    calls
}

/// The same with another odd call.
fn odd(number: libc::c_long) -> Vec<String> {
    vec![getppid(9), call(number, 1), getppid(9)]
}

/// A stage whose victim `calls` is normal, and answered so.
fn answered(responses: Responses) -> (Stage, Watch) {
    let stage = Stage::new();
    let watch = stage.watch_answering(responses);
    stage.run_ok(2, "calls", &calls(0));
    normalize(&stage, &watch);
    (stage, watch)
}

fn normalize(stage: &Stage, watch: &Watch) {
    watch
        .normalize(stage.key(watch, "calls"))
        .expect("the profile exists");
}

fn killed(status: std::process::ExitStatus) -> bool {
    status.signal() == Some(libc::SIGKILL)
}

/// Check that a process is killed at the call whose count reaches the threshold, once, and not
/// before; and that what led to it was learnt all the same.
#[test]
fn kill() {
    let (stage, watch) = answered(Responses::default().kill(Kill::new(4)));
    let events = watch.events();
    stage.run_ok(1, "calls", &calls(0));
    let before = stage.profile(&watch, "calls").sequences();
    let run = stage.start("calls", &calls(1));
    let pid = run.pid;
    assert!(killed(run.wait()));
    // getpid, and of the calls after it the first three: none of these was ever seen after it.
    assert_eq!(stage.profile(&watch, "calls").anomalies(), 4);
    assert_eq!(stage.profile(&watch, "calls").sequences(), before + 4);
    let outcome = watch.finish();
    let told = answers(&events);
    assert_eq!(told.len(), 1, "{told:?}");
    let response = &told[0];
    assert_eq!(response.action, ResponseAction::Kill);
    assert!(!response.would_have);
    assert_eq!((response.lfc, response.max_lfc), (4, 4));
    assert_eq!(response.symbol.to_string(), "getppid");
    assert_eq!(response.missed.len(), 1);
    assert_eq!(response.missed[0].distance, 3);
    assert_eq!(response.context.actor.pid, Some(pid));
    assert!(response.context.circumstances.is_some());
    assert_eq!(outcome.stats.responses.kills, 1);
    assert_eq!(outcome.stats.responses.would_kill, 0);
}

/// Check that a dry run says what would have been done, as often as it would have, and does nothing.
#[test]
fn dry_run() {
    let delay = Delay::new(Duration::from_millis(10), Duration::from_millis(70));
    let responses = Responses::default()
        .delay(delay)
        .exec(ExecResponse::new(
            5,
            ExecAnswer::Suspend(Duration::from_secs(5)),
        ))
        .kill(Kill::new(8))
        .dry_run(true);
    let (stage, watch) = answered(responses.clone());
    assert_eq!(watch.responses(), responses);
    let events = watch.events();
    stage.run_ok(1, "calls", &calls(1));
    let outcome = watch.finish();
    let told = answers(&events);
    assert!(told.iter().all(|response| response.would_have));
    // The odd call and all 22 after it, up to a count of seven a delay, then a single death.
    let waits: Vec<_> = told
        .iter()
        .filter_map(|response| response.action.wait())
        .collect();
    let expected: Vec<_> = (1..=7).map(|lfc| delay.wait(lfc)).collect();
    assert_eq!(waits, expected);
    assert_eq!(waits[2], Duration::from_millis(70));
    let kills = told
        .iter()
        .filter(|response| response.action == ResponseAction::Kill);
    assert_eq!(kills.count(), 1);
    let stats = &outcome.stats.responses;
    assert_eq!((stats.would_delay, stats.would_kill), (7, 1));
    assert_eq!((stats.delays, stats.kills, stats.held), (0, 0, 0));
}

/// Check that a death of which it is only said that it would have been keeps nobody from being delayed.
#[test]
fn a_dry_kill_beside_a_delay() {
    let unit = Duration::from_millis(1);
    let (stage, watch) = answered(
        Responses::default()
            .delay(Delay::new(unit, unit))
            .kill(Kill::new(1).dry_run(true)),
    );
    stage.run_ok(1, "calls", &calls(1));
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.would_kill, stats.kills), (1, 0));
    // All but the exit.
    assert_eq!((stats.delays, stats.would_delay), (22, 0));
}

/// Check that what is only said is limited like repeats of anomalies, and that the counts know all of it.
#[test]
fn a_dry_run_is_no_flood() {
    let stage = Stage::new();
    let unit = Duration::from_millis(1);
    let responses = Responses::default().delay(Delay::new(unit, unit).dry_run(true));
    let watch = stage.watch_with(|builder| builder.responses(responses));
    stage.run_ok(2, "calls", &calls(0));
    normalize(&stage, &watch);
    let events = watch.events();
    stage.run_ok(1, "calls", &[&calls(1)[..], &[getppid(90)]].concat());
    let outcome = watch.finish();
    let told = answers(&events);
    // All but the exit.
    assert_eq!(outcome.stats.responses.would_delay, 22 + 90);
    assert!(told.len() < 112, "{}", told.len());
    let left_out: u64 = told.iter().map(|response| response.suppressed).sum();
    assert!(left_out + (told.len() as u64) <= 112);
}

/// Check that what would have been done once is told although the thread has used up its share by what
/// would have been done at each call.
#[test]
fn a_dry_run_tells_the_first_of_each() {
    let stage = Stage::new();
    let second = Duration::from_secs(1);
    let responses = Responses::default()
        .delay(Delay::new(second, second))
        .exec(ExecResponse::new(1, ExecAnswer::Suspend(second)))
        .dry_run(true);
    // A share of nothing is used up on slow machines too.
    let watch = stage.watch_with(|builder| builder.responses(responses).thread_report_rate(0));
    stage.run_ok(2, "calls", &calls(0));
    normalize(&stage, &watch);
    let events = watch.events();
    let again = format!("e{}", stage.path("calls").display());
    stage.run_ok(1, "calls", &[&calls(1)[..], &[again]].concat());
    let outcome = watch.finish();
    let stats = &outcome.stats.responses;
    assert!(stats.would_delay > 1, "{stats:?}");
    assert_eq!(stats.would_suspend_exec, 1);
    let told: Vec<_> = answers(&events)
        .iter()
        .map(|response| response.action)
        .collect();
    let expected = [
        ResponseAction::Delay(second),
        ResponseAction::SuspendExec(second),
    ];
    assert_eq!(told, expected);
}

/// Check that a process whose executable is exempt, also when another file takes its place, or which is exempt by
/// its pid, is told of and left alone.
#[test]
fn exemptions() {
    let stage = Stage::new();
    let path = stage.path("calls");
    let responses = Responses::default().kill(Kill::new(1));
    let watch =
        stage.watch_with(|builder| builder.responses(responses.clone().exempt_executable(&path)));
    stage.run_ok(2, "calls", &calls(0));
    normalize(&stage, &watch);
    stage.run_ok(1, "calls", &calls(1));
    let exempted = watch.stats().expect("there are stats").responses.exempted;
    assert!(exempted > 0);

    let new = stage.copy("calls", "new");
    std::fs::rename(&new, &path).expect("a file can take another's place");
    stage.run_ok(2, "calls", &calls(0));
    normalize(&stage, &watch);
    // It is noticed when the profile's event is read.
    watch.wait_for_kind("start_normal", stage.key(&watch, "calls"));
    // What the old file did is known of the new one.
    stage.run_ok(1, "calls", &odd(libc::SYS_getuid));
    let stats = watch.stats().expect("there are stats");
    assert!(stats.responses.exempted > exempted);
    assert_eq!(stats.responses.kills, 0);

    watch
        .set_responses(responses.clone())
        .expect("no exemption is needed");
    assert!(killed(stage.run("calls", &odd(libc::SYS_geteuid))));

    let pipe = crate::harness::Pipe::new();
    let mut args = vec!["r".to_owned()];
    args.extend(odd(libc::SYS_getgid));
    let run = stage.start_with(&Start::new().input(&pipe), "calls", &args);
    run.until_blocked_in(libc::SYS_read);
    watch
        .set_responses(responses.exempt_pid(run.pid))
        .expect("the process is there");
    pipe.send(1);
    assert!(run.wait().success());
    let outcome = watch.finish();
    assert_eq!(outcome.stats.responses.kills, 1);
}

/// Check that a script is exempt by its own path, whatever runs it, and its interpreter with all that it runs.
#[test]
fn exempt_scripts() {
    let stage = Stage::new();
    let interpreter = stage.path("calls");
    let text = |odd| {
        format!(
            "#!{} {}\n",
            interpreter.display(),
            call(libc::SYS_getpid, odd)
        )
    };
    let script = stage.file("script", &text(1));
    let name = script.to_str().expect("test paths are UTF-8").to_owned();
    let responses = Responses::default().kill(Kill::new(1));
    let watch = stage.watch_with(|builder| builder.responses(responses.clone()));
    stage.run_ok(2, &name, &[getppid(9)]);
    let profile = eventually("the script's profile", || {
        let mut all = watch.profiles().expect("there are profiles");
        all.find(|profile| profile.script() == Some(&script))
    });
    watch.normalize(profile.key()).expect("it is there");
    let odd = [getppid(9), call(libc::SYS_getuid, 1)];
    assert!(killed(stage.run(&name, &odd)));
    for path in [&script, &interpreter] {
        let exempt = responses.clone().exempt_executable(path);
        watch.set_responses(exempt).expect("it is there");
        stage.run_ok(1, &name, &odd);
    }
    watch.set_responses(responses).expect("nothing is exempt");
    assert!(killed(stage.run(&name, &odd)));
    assert_eq!(watch.finish().stats.responses.kills, 2);
}

/// Check that everything can be switched while the monitor runs, and that a profile which is no longer
/// normal has nobody killed.
#[test]
fn switches() {
    let (stage, watch) = answered(Responses::default());
    stage.run_ok(1, "calls", &calls(1));
    normalize(&stage, &watch);
    watch
        .set_responses(Responses::default().kill(Kill::new(1)))
        .expect("it can be had");
    assert!(killed(stage.run("calls", &odd(libc::SYS_getuid))));
    watch
        .tolerize(stage.key(&watch, "calls"))
        .expect("it is normal");
    stage.run_ok(1, "calls", &odd(libc::SYS_getgid));
    normalize(&stage, &watch);
    // What it did while nothing was done to it is normal now.
    stage.run_ok(1, "calls", &odd(libc::SYS_getgid));
    assert!(killed(stage.run("calls", &odd(libc::SYS_geteuid))));
    watch
        .set_responses(Responses::default())
        .expect("nothing can always be done");
    stage.run_ok(1, "calls", &odd(libc::SYS_getegid));
    assert_eq!(watch.finish().stats.responses.kills, 2);
}

/// Check that nothing is done to those who are not watched, though they do what is not normal.
#[test]
fn outside_the_scope() {
    let (stage, watch) = answered(Responses::default().kill(Kill::new(1)));
    let outside = std::process::Command::new(stage.path("calls"))
        .args(calls(2))
        .status()
        .expect("it can be started");
    assert!(outside.success());
    assert!(killed(stage.run("calls", &calls(2))));
    watch.finish();
}

/// Check that what makes no sense is refused by its name, and that what was in force stays so.
#[test]
fn refusals() {
    let (_stage, watch) = answered(Responses::default().kill(Kill::new(5)));
    let before = watch.responses();
    let none = Responses::default;
    let second = Duration::from_secs(1);
    let named = [
        ("kill", none().kill(Kill::new(0))),
        ("kill", none().kill(Kill::new(14))),
        (
            "deny_exec",
            none().exec(ExecResponse::new(14, ExecAnswer::Deny)),
        ),
        (
            "suspend_exec",
            none().exec(ExecResponse::new(14, ExecAnswer::Suspend(second))),
        ),
        (
            "suspend_time",
            none().exec(ExecResponse::new(1, ExecAnswer::Suspend(Duration::ZERO))),
        ),
        (
            "delay_unit",
            none().delay(Delay::new(Duration::from_micros(1), second)),
        ),
        ("delay_cap", none().delay(Delay::new(second, second / 2))),
    ];
    for (setting, responses) in named {
        match watch.set_responses(responses.clone()) {
            Err(Error::InvalidSetting { name, .. }) => assert_eq!(name, setting),
            other => panic!("{responses:?}: {other:?}"),
        }
    }
    let gone = none().exempt_executable("/nonexistent");
    assert!(matches!(watch.set_responses(gone), Err(Error::Io { .. })));
    let gone = none().exempt_pid(u32::MAX);
    assert!(matches!(
        watch.set_responses(gone),
        Err(Error::NoSuchProcess(_))
    ));
    let tight = Limits::default().tolerize_limit(3);
    assert!(matches!(
        watch.set_limits(tight),
        Err(Error::InvalidSetting { .. })
    ));
    assert_eq!(watch.responses(), before);
    watch.finish();
}

/// Check that waits double with each anomaly up to the cap, also where doubling would be more than any number holds.
#[test]
fn doubling() {
    let stage = Stage::new();
    // As long as a wait may be: 26 doublings of the unit.
    let delay = Delay::new(Duration::from_millis(1), Duration::from_secs(24 * 3600));
    let responses = Responses::default().delay(delay.dry_run(true));
    let watch = stage.watch_with(|builder| {
        builder
            .responses(responses)
            .anomaly_limit(1000)
            .tolerize_limit(128)
            .report_rate(100_000)
            .thread_report_rate(100_000)
    });
    stage.run_ok(2, "calls", &calls(0));
    normalize(&stage, &watch);
    let events = watch.events();
    stage.run_ok(1, "calls", &calls(40));
    watch.finish();
    let told = answers(&events);
    let most = told.iter().map(|response| response.lfc).max();
    assert!(most > Some(40), "{most:?}");
    for response in &told {
        let wait = delay.wait(response.lfc);
        assert_eq!(response.action, ResponseAction::Delay(wait));
        let doubled = 1_u128 << response.lfc.min(100);
        assert_eq!(wait.as_millis(), doubled.min(delay.cap.as_millis()));
    }
}

/// Check that each thing that would have been done is told of, however often another would have been: an exec that would
/// have been held is not lost among delays, nor is a death.
#[test]
fn a_dry_run_tells_of_each() {
    let stage = Stage::new();
    let long = Duration::from_secs(5);
    let responses = Responses::default()
        .delay(Delay::new(long, long))
        .exec(ExecResponse::new(9, ExecAnswer::Suspend(long)))
        .kill(Kill::new(9))
        .dry_run(true);
    let watch = stage.watch_with(|builder| builder.responses(responses));
    stage.run_ok(2, "calls", &calls(0));
    normalize(&stage, &watch);
    let events = watch.events();
    let again = format!("e{}", stage.path("calls").display());
    stage.run_ok(1, "calls", &[&calls(1)[..], &[again]].concat());
    let stats = watch.finish().stats.responses;
    let told = answers(&events);
    assert!(told.iter().all(|response| response.would_have));
    let of = |action| told.iter().any(|response| response.action == action);
    assert!(stats.would_delay > 0 && of(ResponseAction::Delay(long)));
    assert!(
        stats.would_kill > 0 && of(ResponseAction::Kill),
        "{told:#?}"
    );
    assert!(
        stats.would_suspend_exec > 0 && of(ResponseAction::SuspendExec(long)),
        "{told:#?}"
    );
}
