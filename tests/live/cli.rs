//! The example monitor, whose command line is a contract.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Stage, eventually, getppid, program, require_root};

fn monitor() -> Command {
    require_root();
    let own = std::env::current_exe().expect("/proc is mounted");
    let built = own.ancestors().nth(2).expect("target/<profile>/deps/live");
    let path: PathBuf = built.join("examples/monitor");
    assert!(
        path.exists(),
        "{} is missing: cargo build --examples",
        path.display()
    );
    Command::new(path)
}

fn run(args: &[&str]) -> Output {
    monitor()
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the example can be run")
}

fn json_lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("JSON is UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

fn code(args: &[&str]) -> i32 {
    let output = run(args);
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("{}", output.status))
}

/// Check that a shell and what it runs have their profiles in valid JSON, and that the command's
/// own output is elsewhere.
#[test]
fn json_of_a_shell() {
    let output = run(&["--json", "--", "sh", "-c", "ls /; cat /etc/hostname"]);
    assert!(output.status.success(), "{output:?}");
    let lines = json_lines(&output);
    for line in &lines {
        assert_eq!(line["schema"], 1, "{line}");
        assert!(
            line["event"].is_string() && line["time"].is_string(),
            "{line}"
        );
    }
    for wanted in ["sh", "ls", "cat"] {
        // The shell is dash or bash, perhaps through links.
        let found = lines.iter().any(|line| {
            let exe = line["profile"]["exe"].as_str().unwrap_or_default();
            line["event"] == "profile_created" && exe.ends_with(wanted)
        });
        assert!(found, "no profile of {wanted} in {lines:#?}");
    }
    let hostname = std::fs::read_to_string("/etc/hostname").expect("Debian has one");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains(hostname.trim()), "{errors}");
    assert!(errors.contains("etc"), "{errors}");
}

/// Check that the monitor ends as its command does.
#[test]
fn exit_codes() {
    assert_eq!(code(&["--", "true"]), 0);
    assert_eq!(code(&["--", "false"]), 1);
    assert_eq!(code(&["--", "sh", "-c", "exit 42"]), 42);
    assert_eq!(
        code(&["--", "sh", "-c", "kill -TERM $$"]),
        128 + libc::SIGTERM
    );
    assert_eq!(
        code(&["--", "sh", "-c", "kill -KILL $$"]),
        128 + libc::SIGKILL
    );
    assert_eq!(code(&["--", "/etc/passwd"]), 126);
    assert_eq!(code(&["--", "/nonexistent/program"]), 127);
    assert_eq!(code(&["--", "no-such-program-anywhere"]), 127);
    assert_eq!(code(&["--no-such-option"]), 125);
    assert_eq!(code(&["--normal-wait", "soon", "--", "true"]), 125);
    assert_eq!(code(&["--events", "no_such_event", "--", "true"]), 125);
    assert_eq!(code(&["--scope", "cgroup:/nonexistent", "--", "true"]), 125);
    assert_eq!(code(&["--max-profiles", "0", "--", "true"]), 125);
    assert_eq!(code(&["--help"]), 0);
    assert_eq!(code(&["preflight"]), 0);
}

/// Check that missing privileges are one line that says what is missing and what to do.
#[test]
fn missing_privileges() {
    use std::os::unix::process::CommandExt;
    // The build directory may be closed to other users, so bring a copy.
    let stage = Stage::new();
    let copy = stage.directory().join("monitor");
    std::fs::copy(monitor().get_program(), &copy).expect("the example can be copied");
    let output = eventually("the copy not to be open for writing", || {
        let mut command = Command::new(&copy);
        match command.args(["--", "true"]).uid(65534).gid(65534).output() {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => None,
            other => Some(other.expect("the copy can be run")),
        }
    });
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors.trim_end().lines().count(), 1, "{errors}");
    assert!(errors.contains("CAP_BPF"), "{errors}");
}

/// Check that only the events that were asked for are printed, and that the summary names profiles
/// and processes.
#[test]
fn events_and_summary() {
    let victim = program("calls").to_str().expect("test paths are UTF-8");
    let getppid = getppid(10);
    let output = run(&[
        "--json",
        "--events",
        "anomaly,lost",
        "--summary",
        "--",
        victim,
        &getppid,
    ]);
    assert!(output.status.success(), "{output:?}");
    assert!(json_lines(&output).is_empty(), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("victim-calls"), "{errors}");
    let output = run(&["--", victim, &getppid]);
    assert!(
        output.stdout.is_empty(),
        "events go to standard error: {output:?}"
    );
    assert!(!output.stderr.is_empty());
}

/// Check that a reader which goes away ends nothing by surprise.
#[test]
fn a_closed_pipe_is_no_panic() {
    let mut child = monitor()
        .args(["--json", "--", "sh", "-c", "ls; cat /etc/hostname; exit 3"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example can be run");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it is our child");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    assert_eq!(output.status.code(), Some(3), "{errors}");
}

/// Check that a watch without a command ends by SIGINT, in good order.
#[test]
fn a_watch_ends_by_interrupt() {
    let cgroup = crate::harness::cgroup::Cgroup::new();
    let scope = format!("cgroup:{}", cgroup.path().display());
    let mut child = monitor()
        .args(["--json", "--scope", &scope])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example can be run");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let stage = Stage::new();
    // Run something until the watch has begun.
    let start = crate::harness::Start::new().cgroup(cgroup.path());
    let (sender, first) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(lines.next()));
    let line = eventually("an event", || {
        let run = stage.start_with(&start, "calls", &[getppid(10)]);
        assert!(run.wait().success());
        first.try_recv().ok()
    });
    let line = line.expect("it prints").expect("it is text");
    let event: Value = serde_json::from_str(&line).expect("it is JSON");
    assert_eq!(event["event"], "profile_created");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let status = child.wait().expect("it is our child");
    assert!(status.success(), "{status}");
}
