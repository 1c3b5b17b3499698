//! Execs that fail, where the kernel lets them; where it does not, that this is said.

use std::os::unix::process::ExitStatusExt as _;

use ebph::{CheckId, Error, ExecAnswer, ExecResponse, Monitor, ResponseAction, Responses, Status};

use crate::harness::{Stage, Watch, answers, call, getppid};

/// The exit status of `execs` if its exec failed with EPERM.
const REFUSED: Option<i32> = Some(7);
const ODD: &str = "1";

fn denies_from(lfc: u32) -> Responses {
    Responses::default().exec(ExecResponse::new(lfc, ExecAnswer::Deny))
}

/// Whether execs can be denied here, as the report has it.
fn possible() -> bool {
    let report = Monitor::preflight();
    let there = |id| report.check(id).expect("it is looked at").status == Status::Present;
    there(CheckId::BpfLsm) || there(CheckId::FmodRet)
}

/// A stage whose victim `execs` is normal in each of its ways, and cannot execute anything after an
/// odd call. `None` where that cannot be had, which was said by its type.
fn denied(lfc: u32) -> Option<(Stage, Watch)> {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.anomaly_limit(100_000));
    match watch.set_responses(denies_from(lfc)) {
        Ok(()) => assert!(possible(), "the report says that it cannot be had"),
        Err(Error::Unsupported { what, why }) => {
            assert!(!possible(), "the report says that it can be had");
            assert_eq!(what, "denying an exec");
            // Both at once, on arm64 before 6.4.
            let both = why.contains("register_ftrace_direct");
            let each = why.contains("lsm/") && why.contains("fmod_ret/");
            assert!(both || each, "{why}");
            assert_eq!(watch.responses(), Responses::default());
            return None;
        }
        Err(error) => panic!("{error}"),
    }
    for way in ["self", "fork", "vfork", "spawn", "thread"] {
        // More than once, since what follows the exec of a child depends on who is first.
        for _ in 0..3 {
            assert_eq!(run(&stage, way, "0").0, Some(0), "{way}");
        }
    }
    let key = stage.key(&watch, "execs");
    watch.normalize(key).expect("the profile exists");
    Some((stage, watch))
}

fn run(stage: &Stage, way: &str, odd: &str) -> (Option<i32>, Option<i32>) {
    let target = stage.path("calls").display().to_string();
    let status = stage.run("execs", &[way, odd, &target]);
    (status.code(), status.signal())
}

/// Check that who did something odd can execute nothing, in whichever way it tries, and is told of
/// with what it wanted.
#[test]
fn every_way() {
    let Some((stage, watch)) = denied(1) else {
        return;
    };
    let events = watch.events();
    let ways = ["self", "fork", "vfork", "spawn", "thread"];
    for way in ways {
        assert_eq!(
            run(&stage, way, "0").0,
            Some(0),
            "{way}: nothing odd was done"
        );
        assert_eq!(run(&stage, way, ODD).0, REFUSED, "{way}");
    }
    let target = stage.path("calls");
    let outcome = watch.finish();
    let told = answers(&events);
    assert_eq!(told.len(), ways.len(), "{told:?}");
    for response in &told {
        assert_eq!(response.action, ResponseAction::DenyExec);
        assert!(!response.would_have);
        assert_eq!(response.symbol.to_string(), "execve");
        assert_eq!(response.target.as_deref(), Some(target.as_path()));
        assert!(response.max_lfc >= 1);
    }
    assert_eq!(outcome.stats.responses.denied_execs, ways.len() as u64);
}

/// Check that below the threshold, in a dry run, after a false alarm was forgiven and for what is
/// exempt an exec goes on; and that a denied one was seen and learnt all the same.
#[test]
fn who_may() {
    // An odd call and the eight after it: nine.
    let Some((stage, watch)) = denied(10) else {
        return;
    };
    assert_eq!(run(&stage, "self", ODD).0, Some(0));
    let dry = ExecResponse::new(1, ExecAnswer::Deny).dry_run(true);
    watch
        .set_responses(Responses::default().exec(dry))
        .expect("it can be had");
    assert_eq!(run(&stage, "self", ODD).0, Some(0));
    let stats = watch.stats().expect("there are stats").responses;
    assert_eq!((stats.would_deny_exec, stats.denied_execs), (1, 0));

    let exempt = denies_from(1).exempt_executable(stage.path("execs"));
    watch.set_responses(exempt).expect("it is there");
    assert_eq!(run(&stage, "self", ODD).0, Some(0));

    watch.set_responses(denies_from(1)).expect("it can be had");
    let before = stage.profile(&watch, "execs").anomalies();
    assert_eq!(run(&stage, "self", ODD).0, REFUSED);
    assert!(stage.profile(&watch, "execs").anomalies() > before);
    let key = stage.key(&watch, "execs");
    watch.tolerize(key).expect("it is normal");
    assert_eq!(run(&stage, "self", ODD).0, Some(0));
    // What was done meanwhile is normal now.
    watch.normalize(key).expect("the profile exists");
    assert_eq!(run(&stage, "self", ODD).0, Some(0));
    watch.finish();
}

/// Check that the exec of a script is denied once, not once more for its interpreter.
#[test]
fn a_script_once() {
    let Some((stage, watch)) = denied(1) else {
        return;
    };
    let interpreter = stage.path("calls");
    let line = format!("#!{} {}\n", interpreter.display(), getppid(1));
    let script = stage.file("script", &line).display().to_string();
    let dry = ExecResponse::new(1, ExecAnswer::Deny).dry_run(true);
    let dry = Responses::default().exec(dry);
    watch.set_responses(dry).expect("it can be had");
    assert!(stage.run("execs", &["self", ODD, &script]).success());
    watch.set_responses(denies_from(1)).expect("it can be had");
    assert_eq!(stage.run("execs", &["self", ODD, &script]).code(), REFUSED);
    let stats = watch.finish().stats.responses;
    assert_eq!((stats.would_deny_exec, stats.denied_execs), (1, 1));
}

/// Check that a count which was reached long ago still counts: 128 calls later the locality frame is
/// empty, and the exec is denied.
#[test]
fn long_ago() {
    let Some((stage, watch)) = denied(1) else {
        return;
    };
    let target = format!("e{}", stage.path("procs").display());
    let calls = [getppid(300), target.clone()];
    stage.run("calls", &calls);
    let key = stage.key(&watch, "calls");
    watch.normalize(key).expect("the profile exists");
    let odd = [
        getppid(9),
        call(libc::SYS_getuid, 1),
        getppid(300),
        target,
        "q7".to_owned(),
    ];
    assert_eq!(stage.run("calls", &odd).code(), REFUSED);
    watch.finish();
}

/// Check that who tries without end is told of as often as repeats of anomalies are, and each time counted.
#[test]
fn a_storm_is_no_flood() {
    let Some((stage, watch)) = denied(1) else {
        return;
    };
    let exec = format!("e{}", stage.path("procs").display());
    stage.run("calls", &[getppid(9), exec.clone()]);
    let key = stage.key(&watch, "calls");
    watch.normalize(key).expect("the profile exists");
    let limits = watch.limits().thread_report_rate(0);
    watch.set_limits(limits).expect("it can be had");
    let events = watch.events();
    let odd = [getppid(9), call(libc::SYS_getuid, 1), "l100".to_owned()];
    let storm = [&odd[..], &[exec, ".".to_owned(), "q7".to_owned()]].concat();
    assert_eq!(stage.run("calls", &storm).code(), REFUSED);
    let stats = watch.finish().stats.responses;
    assert_eq!(stats.denied_execs, 100);
    assert_eq!(answers(&events).len(), 1);
}

/// Check that asking for it at the start is refused where it cannot be had, with nothing left behind.
#[test]
fn at_the_start() {
    let stage = Stage::new();
    let started = Monitor::builder()
        .scope(stage.scope())
        .responses(denies_from(1))
        .start();
    match started {
        Ok(monitor) => {
            assert!(possible());
            assert_eq!(monitor.responses(), denies_from(1));
        }
        Err(Error::Unsupported { what, .. }) => {
            assert!(!possible());
            assert_eq!(what, "denying an exec");
        }
        Err(error) => panic!("{error}"),
    }
}
