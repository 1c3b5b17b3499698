//! The example monitor, whose command line is a contract.

mod responses;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{Stage, eventually, example, getppid, program, require_root};

fn monitor() -> Command {
    require_root();
    Command::new(example("monitor"))
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

/// Check each form of events: for programs on standard output, for people on standard error.
#[test]
fn formats() {
    let of = |format: &str| run(&["--format", format, "--", "true"]);
    for (format, field) in [("json", "event"), ("ecs", "ecs"), ("ocsf", "class_uid")] {
        let lines = json_lines(&of(format));
        assert!(!lines.is_empty());
        for line in lines {
            assert!(!line[field].is_null(), "{line}");
        }
    }
    let syslog = String::from_utf8(of("syslog").stdout).expect("it is UTF-8");
    let lines: Vec<_> = syslog.lines().collect();
    assert!(
        !lines.is_empty() && lines.iter().all(|line| line.starts_with('<')),
        "{lines:?}"
    );
    for format in ["text", "explain"] {
        let output = of(format);
        assert!(output.stdout.is_empty());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("new profile: "), "{errors}");
    }
    assert_eq!(code(&["--format", "xml", "--", "true"]), 125);
    assert_eq!(code(&["--format", "ecs", "--json", "--", "true"]), 125);
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

/// Check that profiles are kept where the command line says, saved at the interval it says, and in
/// force when it is given again.
#[test]
fn profile_dir() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let folder = scratch.path().join("profiles");
    let text = folder.to_str().expect("test paths are UTF-8");
    let keeping = ["--json", "--profile-dir", text];
    let run_kept = |more: &[&str]| run(&[&keeping[..], more].concat());
    let output = run_kept(&["--", "ls", "/"]);
    assert!(output.status.success(), "{output:?}");
    let of_ls = || {
        let store = ebph::Store::open(&folder).expect("the folder is ours");
        let loaded = store.load().expect("it can be read");
        let mut profiles = loaded.profiles.into_iter().map(|stored| stored.profile);
        profiles.find(|profile| profile.exe().is_some_and(|exe| exe.ends_with("ls")))
    };
    let first = of_ls().expect("it was saved at the end");
    let output = run_kept(&["--", "ls", "/"]);
    let loaded = json_lines(&output)
        .into_iter()
        .any(|line| line["event"] == "profile_loaded" && line["profile"]["state"] == "training");
    assert!(loaded, "{output:?}");
    assert_eq!(of_ls().expect("it is there").execs(), first.execs() + 1);

    let mut child = monitor()
        .args(keeping)
        .args(["--save-interval", "50ms", "--"])
        .args(["sh", "-c", "ls /; read wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the example can be run");
    eventually("the next run to be saved meanwhile", || {
        (of_ls()?.execs() == first.execs() + 2).then_some(())
    });
    drop(child.stdin.take());
    child.wait().expect("it is our child");
    assert_eq!(code(&["--save-interval", "1s", "--", "true"]), 125);
}

/// Check that what was learnt from traces, without privileges, is in force from the first call of
/// a program, and of a script, which is not taken for its interpreter.
#[test]
fn train_here_ship_there() {
    let stage = Stage::new();
    let folder = stage.directory().join("profiles");
    ebph::Store::open(&folder).expect("it can be made");
    let script = stage.file("service", "#!/bin/sh\nread word </etc/hostname\n");
    for (i, program) in [PathBuf::from("/usr/bin/sort"), script.clone()]
        .iter()
        .enumerate()
    {
        let trace = stage.directory().join("trace");
        let record = Command::new("strace")
            .args(["-f", "-n", "-o"])
            .args([&trace, program])
            .stdin(Stdio::null())
            .status()
            .expect("this test needs strace");
        assert!(record.success());
        let trained = Command::new(example("replay"))
            .args(["train", "--format", "strace", "--out"])
            .args([&folder.join(format!("{i}.json")), &trace])
            .status()
            .expect("the example replay was built");
        assert!(trained.success());
    }
    let watch = stage.watch_with(|builder| builder.profile_dir(&folder));
    let profiles: Vec<_> = watch.profiles().expect("readable").collect();
    let of = |script: Option<&std::path::Path>| {
        profiles
            .iter()
            .find(move |profile| profile.script() == script)
    };
    let of_script = of(Some(&script)).expect("it was loaded");
    let of_sort = of(None).expect("it was loaded");
    assert!(of_script.is_normal() && of_sort.is_normal());
    assert_eq!(of_sort.exe(), Some(std::path::Path::new("/usr/bin/sort")));
    assert_eq!(profiles.len(), 2, "the shell itself has none");
    stage.run_ok(1, script.to_str().expect("UTF-8"), &[""; 0]);
    let after = watch.profile(of_script.key()).expect("readable");
    let after = after.expect("it has the key that the kernel gives it");
    assert_eq!(after.execs(), of_script.execs() + 1);
    watch.finish();
}
