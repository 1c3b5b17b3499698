//! What is done about anomalies, from the command line: at the start, and while it runs.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Service, example};
use crate::harness::{Pipe, Run, Start, call, eventually, getppid, require_root};

/// A service that knows what `calls` normally does: getppid, and an exec of itself.
fn settled(args: &[&str]) -> Service {
    let service = Service::start(args);
    learn(&service, "calls");
    service
}

/// Makes what a copy of `calls` does by itself normal.
fn learn(service: &Service, name: &str) {
    let path = service.stage.copy("calls", name);
    let path = path.to_str().expect("test paths are UTF-8");
    let again = format!("e{path}");
    for _ in 0..2 {
        let run = service.victim(path, &[getppid(10), again.clone()]);
        assert!(run.wait().success());
    }
    service.run_ok(&["admin", "normalize", path]);
}

/// Two calls that are not normal, and an exit status of its own; whatever stands after them is done
/// at an LFC of at least 2.
fn odd(then: &[&str]) -> Vec<String> {
    let mut args = vec![getppid(3), call(libc::SYS_getpid, 2), "q7".to_owned()];
    args.extend(then.iter().map(|arg| (*arg).to_owned()));
    args
}

/// Starts a copy of `calls` that does so.
fn start<'a>(service: &'a Service, name: &str) -> Run<'a> {
    let path = service.stage.copy("calls", name);
    service.victim(path.to_str().expect("test paths are UTF-8"), &odd(&[]))
}

/// The responses so far, waiting for as many as the kernel has told of.
fn responses(service: &Service) -> Vec<Value> {
    eventually("the events to be taken", || {
        let status = service.status();
        (status["stats"]["events"]["submitted"] == status["last_event"]).then_some(())
    });
    let answer = service.ask(json!({"request": "events"}));
    let events = answer["ok"]["events"]["events"].as_array().cloned();
    let events = events.expect("a list").into_iter();
    events
        .filter(|event| event["event"] == "response")
        .collect()
}

fn of<'a>(events: &'a [Value], action: &str) -> Vec<&'a Value> {
    let events = events.iter();
    events.filter(|event| event["response"] == action).collect()
}

fn count(service: &Service, name: &str) -> u64 {
    let status = service.status();
    let count = &status["stats"]["responses"][name];
    count
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {status}"))
}

/// Runs a monitor that must not start, and returns the one line that says why.
#[track_caller]
fn refused(args: &[&str]) -> String {
    require_root();
    let output = Command::new(example("monitor"))
        .args(args)
        .args(["--", "true"])
        .stdin(Stdio::null())
        .output()
        .expect("the example can be run");
    assert_eq!(output.status.code(), Some(125), "{args:?}: {output:?}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(errors.lines().count(), 1, "{args:?}: {errors}");
    errors
}

/// Whether this kernel lets an exec be denied, by what `monitor preflight` says.
fn may_deny() -> bool {
    require_root();
    let output = Command::new(example("monitor"))
        .args(["preflight", "--json"])
        .output()
        .expect("the example can be run");
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let checks = report["checks"].as_array().expect("a list");
    let present = |id: &str| {
        let check = checks.iter().find(|check| check["id"] == id);
        let check = check.unwrap_or_else(|| panic!("no {id} in {report}"));
        check["status"] == "present"
    };
    present("bpf_lsm") || present("fmod_ret")
}

/// Check that a dry run does nothing, and tells and counts what it would have done.
#[test]
fn dry_run() {
    let service = settled(&[
        "--delay-unit",
        "1h",
        "--delay-cap",
        "2h",
        "--suspend-exec",
        "2",
        "--suspend-time",
        "1h",
        "--kill",
        "2",
        "--dry-run",
    ]);
    let own = service.stage.path("calls");
    let again = format!("e{}", own.display());
    let run = service.victim("calls", &odd(&[&again]));
    assert!(run.wait().success(), "what was executed ends well");
    let events = responses(&service);
    for action in ["delay", "suspend_exec", "kill"] {
        let told = of(&events, action);
        assert!(!told.is_empty(), "no {action} in {events:?}");
        assert!(told.iter().all(|event| event["would_have"] == true));
    }
    let hour = 3_600_000_000_000_u64;
    let first = of(&events, "delay")[0];
    assert_eq!(
        (&first["lfc"], &first["wait_ns"]),
        (&json!(1), &json!(2 * hour))
    );
    assert_eq!(first["symbol"]["name"], "getpid");
    assert_eq!(first["target"], Value::Null);
    let suspended = of(&events, "suspend_exec")[0];
    assert_eq!(suspended["target"].as_str(), own.to_str(), "{suspended}");
    assert_eq!(suspended["wait_ns"], hour);
    for name in ["delays", "suspended_execs", "kills", "released"] {
        assert_eq!(count(&service, name), 0, "{name}");
    }
    for name in ["would_delay", "would_suspend_exec", "would_kill"] {
        assert!(count(&service, name) > 0, "{name}");
    }
    let told = service.run_ok(&["admin", "status"]);
    let line = "responses         delay (dry run), suspend exec (dry run), kill (dry run)\n";
    assert!(told.contains(line), "{told}");
    assert!(told.contains("that would have been"), "{told}");
    assert!(service.end().success());
}

/// Check that a program is slowed down by as much as was told, and still does what it should.
#[test]
fn delay() {
    let service = settled(&["--delay-unit", "20ms", "--delay-cap", "60ms"]);
    let began = Instant::now();
    let run = start(&service, "calls");
    assert_eq!(run.wait().code(), Some(7));
    let took = began.elapsed();
    let events = responses(&service);
    let delays = of(&events, "delay");
    let waits = delays.iter().map(|event| {
        assert_eq!(event["would_have"], false, "{event}");
        event["wait_ns"].as_u64().expect("a number")
    });
    let waits: Vec<_> = waits.map(Duration::from_nanos).collect();
    // Both calls of getpid, by 2 and 4 units, of which the cap leaves 3.
    let [unit, cap] = [40, 60].map(Duration::from_millis);
    assert!(waits.starts_with(&[unit, cap]), "{waits:?}");
    assert!(took >= unit + cap, "{took:?}");
    assert!(count(&service, "delays") >= 2);
    eventually("all stops to be over", || {
        let over = count(&service, "released") + count(&service, "interrupted");
        (over >= 2 && count(&service, "held") == 0).then_some(())
    });
    assert!(service.end().success());
}

/// Check that whoever comes near an anomaly is killed, but for what is exempt: an executable by its
/// path, and its profile tells of the anomaly all the same.
#[test]
fn kill_but_for_a_path() {
    require_root();
    let service = Service::start(&[]);
    for name in ["calls", "spared"] {
        learn(&service, name);
    }
    let spared = service.stage.path("spared");
    let spared = spared.to_str().expect("test paths are UTF-8");
    let told = service.run_ok(&["admin", "respond", "--kill", "2", "--exempt", spared]);
    assert_eq!(
        told,
        format!("kill          from LFC 2 on\nexempt        {spared}\n")
    );
    let status = start(&service, "calls").wait();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(libc::SIGKILL), "{status}");
    assert_eq!(start(&service, "spared").wait().code(), Some(7));
    assert_eq!(count(&service, "kills"), 1);
    assert!(count(&service, "exempted") > 0);
    let events = responses(&service);
    let [killed] = of(&events, "kill")[..] else {
        panic!("one was killed: {events:?}");
    };
    assert_eq!(killed["would_have"], false);
    assert_eq!(killed["lfc"], 2);
    let of_spared = service.row("spared");
    assert!(of_spared["anomalies"].as_u64() >= Some(2), "{of_spared}");
    assert!(service.end().success());
}

/// Check that a process is exempt by its pid, and others of its program are not; and that what is
/// done can be looked at, changed and ended while the monitor runs.
#[test]
fn respond_while_running() {
    let service = settled(&[]);
    let nothing = "nothing is done about anomalies\n";
    assert_eq!(service.run_ok(&["admin", "respond"]), nothing);
    assert_eq!(start(&service, "calls").wait().code(), Some(7));
    // Reading is not normal either.
    let gate = Pipe::new();
    let begin = || {
        let mut args = vec!["r".to_owned()];
        args.extend(odd(&[]));
        let run = service.victim_with(Start::new().input(&gate), "calls", &args);
        run.until_blocked_in(libc::SYS_read);
        run
    };
    let (spared, other) = (begin(), begin());
    let pid = spared.pid.to_string();
    let told = service.run_ok(&["admin", "respond", "--kill", "2", "--exempt-pid", &pid]);
    assert_eq!(
        told,
        format!("kill          from LFC 2 on\nexempt        process {pid}\n")
    );
    let request = service.ask(json!({"request": "responses"}));
    assert_eq!(
        request["ok"]["responses"]["exempt_pids"],
        json!([spared.pid]),
        "{request}"
    );
    gate.send(2);
    assert_eq!(spared.wait().code(), Some(7));
    assert!(!other.wait().success(), "it is not exempt");
    assert_eq!(count(&service, "kills"), 1);

    assert_eq!(service.run_ok(&["admin", "respond", "--off"]), nothing);
    assert_eq!(start(&service, "calls").wait().code(), Some(7));
    assert_eq!(count(&service, "kills"), 1);
    let status = service.run_ok(&["admin", "status"]);
    assert!(status.contains("responses         none\n"), "{status}");
    assert!(service.end().success());
}

/// Check that what makes no sense is refused, says why in one line, and changes nothing.
#[test]
fn refusals() {
    let service = Service::start(&["--kill", "13", "--dry-run"]);
    let before = service.run_ok(&["admin", "respond"]);
    assert_eq!(before, "kill          from LFC 13 on (dry run)\n");
    let respond = |words: &[&str], why: &str| {
        service.run_refused(&[&["admin", "respond"], words].concat(), why);
        let errors = refused(words);
        assert!(errors.contains(why), "{words:?}: {errors}");
    };
    respond(&["--kill", "0"], "must be from 1 to 13");
    respond(&["--kill", "14"], "must be from 1 to 13");
    respond(&["--delay-unit", "1us"], "must be from 1ms");
    respond(&["--delay-unit", "20s"], "delay_cap");
    respond(&["--dry-run"], "need something to be done");
    respond(&["--exempt", "/bin/sh"], "need something to be done");
    let absent = "/nonexistent/program";
    respond(
        &["--kill", "3", "--exempt", absent],
        "exempting /nonexistent/program: No such file or directory",
    );
    respond(
        &["--kill", "3", "--exempt", "/usr"],
        "no file that could be executed",
    );
    // Higher than any pid can be.
    respond(
        &["--kill", "3", "--exempt-pid", "4194305"],
        "no process with pid 4194305",
    );
    let unknown = service.ask(json!({"request": "respond", "killl": {"lfc": 3}}));
    assert_eq!(unknown["error"]["code"], "bad_request", "{unknown}");
    let wrong = service.ask(json!({"request": "respond", "kill": {"lfc": 300}}));
    assert_eq!(wrong["error"]["code"], "invalid_setting", "{wrong}");
    let wrong = json!({"request": "respond", "kill": {"lfc": 3}, "exempt_pids": [4_194_305]});
    assert_eq!(service.ask(wrong)["error"]["code"], "no_such_process");
    // A threshold that could not be reached any more.
    service.run_refused(&["admin", "set", "tolerize-limit=11"], "kill cannot be 13");
    let both = service.run(&["admin", "respond", "--off", "--kill", "3"]);
    assert_eq!(both.status.code(), Some(125), "{both:?}");
    for words in [
        &["--deny-exec", "3", "--suspend-exec", "3"][..],
        &["--delay-cap", "3s"],
    ] {
        refused(words);
    }
    assert_eq!(service.run_ok(&["admin", "respond"]), before);
    assert!(service.end().success());
}

/// Check that an exec is denied where the kernel can do that, and that elsewhere it is said at the
/// start, and to who asks for it later, what is missing.
#[test]
fn deny_exec() {
    if may_deny() {
        denied();
    } else {
        cannot_deny();
    }
}

fn denied() {
    let service = settled(&["--deny-exec", "2"]);
    let own = service.stage.path("calls");
    let again = format!("e{}", own.display());
    // As long as there was no anomaly, programs are executed.
    assert!(
        service
            .victim("calls", &[getppid(10), again.clone()])
            .wait()
            .success()
    );
    let status = service.victim("calls", &odd(&[&again])).wait();
    assert_eq!(status.code(), Some(7), "it goes on after its exec failed");
    let events = responses(&service);
    let [event] = of(&events, "deny_exec")[..] else {
        panic!("one exec was denied: {events:?}");
    };
    assert_eq!(
        (&event["would_have"], &event["wait_ns"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(event["target"].as_str(), own.to_str());
    assert!(event["max_lfc"].as_u64() >= Some(2), "{event}");
    assert_eq!(count(&service, "denied_execs"), 1);
    service.run_ok(&["admin", "respond", "--off"]);
    assert!(service.victim("calls", &odd(&[&again])).wait().success());
    assert!(service.end().success());
}

fn cannot_deny() {
    let why = "denying an exec cannot be had here: ";
    let errors = refused(&["--deny-exec", "2"]);
    assert!(
        errors.contains(why)
            && ["bprm_check_security", "register_ftrace_direct"]
                .iter()
                .any(|missing| errors.contains(missing)),
        "{errors}"
    );
    let service = Service::start(&["--kill", "5"]);
    service.run_refused(&["admin", "respond", "--deny-exec", "2"], why);
    let answer = service.ask(json!({"request": "respond", "exec": {"lfc": 2}}));
    assert_eq!(answer["error"]["code"], "unsupported", "{answer}");
    let kept = service.run_ok(&["admin", "respond"]);
    assert_eq!(kept, "kill          from LFC 5 on\n");
    assert!(service.end().success());
}

/// Check that an exec is held before the new program begins, and only for as long as was told.
#[test]
fn suspend_exec() {
    let service = settled(&["--suspend-exec", "2", "--suspend-time", "80ms"]);
    let own = service.stage.path("calls");
    let again = format!("e{}", own.display());
    let began = Instant::now();
    let status = service.victim("calls", &odd(&[&again])).wait();
    assert!(status.success(), "what was executed ends well: {status}");
    assert!(began.elapsed() >= Duration::from_millis(80));
    let events = responses(&service);
    let [event] = of(&events, "suspend_exec")[..] else {
        panic!("one exec was held: {events:?}");
    };
    assert_eq!(event["would_have"], false);
    assert_eq!(event["wait_ns"], 80_000_000);
    assert_eq!(event["target"].as_str(), own.to_str());
    assert_eq!(count(&service, "suspended_execs"), 1);
    assert!(service.end().success());
}
