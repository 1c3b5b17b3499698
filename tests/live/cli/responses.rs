//! Responses to what a command does that the monitor itself starts.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{json_lines, run};
use crate::harness::{call, getppid, program};

/// Runs a victim that becomes normal while it makes one and the same call, makes two that are not
/// normal then, and ends with 7.
fn watched(options: &[&str]) -> Output {
    let victim = program("calls").to_str().expect("test paths are UTF-8");
    let settled = getppid(20_000);
    let odd = call(libc::SYS_getpid, 2);
    let always = ["--json", "--summary", "--normal-wait", "1us"];
    let command = ["--", victim, &settled, &odd, "q7"];
    run(&[&always[..], options, &command].concat())
}

fn responses(output: &Output) -> Vec<Value> {
    let events = json_lines(output).into_iter();
    events
        .filter(|event| event["event"] == "response")
        .collect()
}

/// The counter of this name in the summary, with the remark after it.
#[track_caller]
fn summary(output: &Output, name: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut lines = errors.lines().map(str::trim_start);
    let line = lines.find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {errors}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Check that a dry run tells what would have been done, with the cause, counts it in the summary,
/// and leaves the command alone.
#[test]
fn dry_run() {
    let output = watched(&[
        "--delay-unit",
        "1h",
        "--delay-cap",
        "24h",
        "--kill",
        "2",
        "--dry-run",
    ]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let told = responses(&output);
    assert!(told.iter().all(|event| event["would_have"] == true));
    let of = |action| told.iter().find(|event| event["response"] == action);
    let delay = of("delay").expect("it would have been delayed");
    assert_eq!(delay["symbol"]["name"], "getpid");
    assert_eq!(delay["lfc"], 1);
    assert_eq!(delay["wait_ns"], 7_200_000_000_000_u64);
    assert_eq!(delay["missed"][0]["previous"], "getppid");
    assert!(delay["ancestors"].is_array(), "{delay}");
    let kill = of("kill").expect("it would have been killed");
    assert_eq!((&kill["lfc"], &kill["wait_ns"]), (&2.into(), &Value::Null));
    let delays = summary(&output, "delays");
    assert!(delays.starts_with("0 and "), "{delays}");
    assert_ne!(delays, "0 and 0 that would have been");
    let kills = summary(&output, "processes killed");
    assert!(kills.starts_with("0 and "), "{kills}");
}

/// Check that a command is slowed down, and ends as it would have.
#[test]
fn delay() {
    let began = Instant::now();
    let output = watched(&["--delay-unit", "20ms", "--delay-cap", "50ms"]);
    let took = began.elapsed();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let told = responses(&output);
    let waits: Vec<_> = told.iter().map(|event| event["wait_ns"].as_u64()).collect();
    // By 2 and 4 units, of which the cap leaves less.
    assert!(
        waits.starts_with(&[Some(40_000_000), Some(50_000_000)]),
        "{waits:?}"
    );
    assert!(took >= Duration::from_millis(90), "{took:?}");
    assert!(told.iter().all(|event| event["would_have"] == false));
    let delays = summary(&output, "delays");
    assert!(delays.ends_with("and 0 that would have been"), "{delays}");
    assert_ne!(summary(&output, "stops ended"), "0");
    assert_eq!(summary(&output, "stopped now"), "0");
}

/// Check that a command is killed, and the monitor says so by its exit status; but not if its
/// executable is exempt.
#[test]
fn kill() {
    let output = watched(&["--kill", "1"]);
    assert_eq!(
        output.status.code(),
        Some(128 + libc::SIGKILL),
        "{output:?}"
    );
    let told = responses(&output);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["response"], "kill");
    assert_eq!(
        summary(&output, "processes killed"),
        "1 and 0 that would have been"
    );

    let victim = program("calls").to_str().expect("test paths are UTF-8");
    let output = watched(&["--kill", "1", "--exempt", victim]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(responses(&output).is_empty(), "{output:?}");
    assert_ne!(summary(&output, "prevented by exemptions"), "0");
}

/// Check that what makes no sense is refused in one line, by the names of the options, with nothing in it that
/// commands a terminal.
#[test]
fn refusals() {
    let nasty = "/nonexistent/\x1b[31m\nred";
    for (options, why) in [
        (
            &["--kill", "14"][..],
            "kill cannot be 14: it must be from 1 to 13",
        ),
        (&["--suspend-exec", "0"], "suspend_exec cannot be 0"),
        (
            &["--suspend-exec", "3", "--suspend-time", "2days"],
            "suspend_time cannot be 2days: it must be from 1ms to 1day",
        ),
        (
            &["--delay-unit", "20s"],
            "delay_cap cannot be 10s: it must be from 20s, the unit, to 1day",
        ),
        (
            &["--kill", "3", "--exempt", nasty],
            r"exempting /nonexistent/\u{1b}[31m\nred: No such file",
        ),
    ] {
        let output = run(&[options, &["--", "true"]].concat());
        assert_eq!(output.status.code(), Some(125), "{options:?}: {output:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors.lines().count(), 1, "{options:?}: {errors}");
        assert!(errors.contains(why), "{options:?}: {errors}");
    }
}
