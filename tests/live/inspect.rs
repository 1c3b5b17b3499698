//! `monitor inspect` of a monitor that runs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Stage, eventually, example, getppid};
use crate::restricted::Ended;

/// Check that a profile in the kernel can be looked into by the path of its program and by its key,
/// while it is in use, and that its pairs are those of the calls that were made.
#[test]
fn of_a_running_monitor() {
    let stage = Stage::new();
    let victim = stage.path("calls");
    let victim = victim.to_str().expect("test paths are UTF-8");
    let socket = stage.directory().join("socket");
    let child = Command::new(example("monitor"))
        .arg("--socket")
        .arg(&socket)
        .args(["--", "sh", "-c", "\"$0\" \"$1\" && read end", victim])
        .arg(getppid(20))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the example can be run");
    let mut child = Ended(child);
    let inspect = |profile: &str, options: &[&str]| -> Option<Value> {
        let mut command = Command::new(example("monitor"));
        command.args(["inspect", "--json", "--socket"]).arg(&socket);
        let output = command.arg(profile).args(options).output();
        let output = output.expect("the example can be run");
        let ok = output.status.success();
        ok.then(|| serde_json::from_slice(&output.stdout).expect("it prints JSON"))
    };
    let pair = ["--pair", "getppid,getppid"];
    let by_path = eventually("the victim to have made its calls", || {
        let seen = inspect(victim, &pair)?;
        (seen["pairs"][0]["train"].as_array()?.len() == 8).then_some(seen)
    });
    let windows = by_path["pairs"][0]["windows"].as_array().expect("a list");
    assert_eq!(windows.len(), 8);
    for (window, distance) in windows.iter().zip(1..) {
        assert_eq!(window["distance"], distance);
        let all = vec!["getppid"; distance + 1];
        let fitting = window["fitting"].as_array().expect("a list");
        assert!(fitting.contains(&json!(all)), "{window}");
    }
    let key = by_path["profile"]["key"].as_str().expect("it has a key");
    let by_key = inspect(key, &pair).expect("it is there");
    assert_eq!(by_key["pairs"], by_path["pairs"]);
    assert_eq!(by_key["profile"]["exe"], victim);
    assert_eq!(inspect("/nonexistent/program", &[]), None);
    let mut input = child.0.stdin.take().expect("it is piped");
    input.write_all(b"end\n").expect("the shell reads");
    let status = child.0.wait().expect("it is our child");
    assert!(status.success(), "{status}");
    assert!(!Path::new(&socket).exists());
}
