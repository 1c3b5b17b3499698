//! The example agent: what it learnt outlives it, also when it is told to end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use ebph::Profile;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Stage, example, require_root};

/// Runs the agent with a service until that says it is at work, and has it end both; returns what
/// it told before, and its output from there on.
fn run(folder: &Path, service: &Path) -> String {
    require_root();
    let mut agent = Command::new(example("agent"))
        .args([folder, service])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example can be run");
    let output = agent.stdout.take().expect("it is piped");
    let mut line = String::new();
    BufReader::new(output)
        .read_line(&mut line)
        .expect("the service prints text");
    assert_eq!(line, "at work\n");
    let pid = Pid::from_child(&agent);
    kill_process(pid, Signal::TERM).expect("it is our child");
    let ended = agent.wait_with_output().expect("it is our child");
    assert!(ended.status.success(), "{}", ended.status);
    String::from_utf8(ended.stderr).expect("it prints text")
}

/// Check that an agent which is told to end ends its service, saves and exports what was learnt, and
/// goes on from there the next time.
#[test]
fn ends_and_goes_on() {
    let stage = Stage::new();
    let folder = stage.directory().join("agent");
    let service = stage.file("service", "#!/bin/sh\necho at work\nexec sleep 1000\n");
    let told = run(&folder, &service);
    assert!(told.contains("is training"), "{told}");
    let exported = Profile::read_from(folder.join("service.json")).expect("it was exported");
    assert_eq!(exported.script(), Some(&*service));
    let first = exported.train_count();
    assert!(first > 0);

    let told = run(&folder, &service);
    assert!(told.contains("loaded: "), "{told}");
    let exported = Profile::read_from(folder.join("service.json")).expect("it was exported");
    // Not twice as many: the shell may be ended before or after it executes `sleep`.
    assert!(exported.train_count() > first);
}
