//! `monitor ps`, and the events that can be asked for.

use serde_json::json;

use super::Service;
use crate::harness::{Pipe, Start, call, eventually, getppid};

/// The cells of the line of a table that begins with this one.
#[track_caller]
fn line<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let mut lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = lines.find(|cells| cells.first() == Some(&first));
    found.unwrap_or_else(|| panic!("no line of {first} in {table}"))
}

/// Check the list of processes, of profiles, and of threads, of which there may be several.
#[test]
fn tables() {
    let service = Service::start(&[]);
    let gate = Pipe::new();
    let start = Start::new().input(&gate);
    let run = service.victim_with(start.clone(), "calls", &[getppid(5), "r".into()]);
    run.until_blocked_in(libc::SYS_read);
    let table = service.run_ok(&["ps"]);
    let titles: Vec<_> = table
        .lines()
        .next()
        .expect("titles")
        .split_whitespace()
        .collect();
    let wanted = "PID COMM STATUS COUNT LAST_MOD ANOMALIES NORMAL TIME";
    assert_eq!(titles.join(" "), wanted);
    let pid = run.pid.to_string();
    let cells = line(&table, &pid);
    assert_eq!(
        (cells[1], cells[2], cells[5], cells[6]),
        ("calls", "training", "0", "-")
    );
    assert_eq!(table.lines().count(), 2, "{table}");

    let loops = service.victim_with(start, "threads", &["loop", "3"]);
    let pid = loops.pid.to_string();
    let table = eventually("three threads and their leader", || {
        let table = service.run_ok(&["ps", "-t"]);
        let own = |line: &&str| line.split_whitespace().next() == Some(&pid);
        (table.lines().filter(own).count() == 4).then_some(table)
    });
    let titles: Vec<_> = table
        .lines()
        .next()
        .expect("titles")
        .split_whitespace()
        .collect();
    let wanted = "PID TID COMM STATUS CALLS ANOMALIES LFC MAX_LFC NORMAL TIME";
    assert_eq!(titles.join(" "), wanted);
    let cells = line(&table, &pid);
    assert_eq!((cells[1], cells[2]), (pid.as_str(), "threads"));
    // It makes the same calls over and over.
    assert!(["training", "frozen"].contains(&cells[3]), "{table}");

    let table = service.run_ok(&["ps", "-p"]);
    let key = service.row("threads")["key"]
        .as_str()
        .expect("a key")
        .to_owned();
    assert_eq!(line(&table, &key)[1], "threads");
    let calls = service.row("calls")["key"]
        .as_str()
        .expect("a key")
        .to_owned();
    assert!(table.starts_with("KEY "), "{table}");
    assert_eq!(line(&table, &calls)[1], "calls");

    let rows: serde_json::Value =
        serde_json::from_str(&service.run_ok(&["ps", "-t", "--json"])).expect("JSON");
    let rows = rows.as_array().expect("a list");
    let row = rows
        .iter()
        .find(|row| row["pid"] == loops.pid)
        .expect("it runs");
    assert_eq!(row["threads"].as_array().map(Vec::len), Some(4));
    assert_eq!(row["profile"]["key"], key.as_str());
    // One byte for each.
    gate.send(1);
    gate.send(1);
    assert!(run.wait().success() && loops.wait().success());
    assert_eq!(service.run_ok(&["ps"]).lines().count(), 1);
    assert!(service.end().success());
}

/// Check that a name which would command a terminal does not reach it.
#[test]
fn names_are_escaped() {
    let service = Service::start(&[]);
    let odd = service.stage.copy("calls", "\u{1b}[31mred");
    let gate = Pipe::new();
    let start = Start::new().input(&gate);
    let run = service.victim_with(start, odd.to_str().expect("UTF-8"), &["r"]);
    run.until_blocked_in(libc::SYS_read);
    for words in [&["ps"][..], &["ps", "-t"], &["ps", "-p"], &["ps", "--json"]] {
        let text = service.run_ok(words);
        assert!(
            text.contains("[31mred") && !text.contains('\u{1b}'),
            "{text:?}"
        );
    }
    let path = format!("{}\u{1b}x", odd.display());
    let output = service.run(&["admin", "reset", &path]);
    assert!(!output.stderr.contains(&0x1b), "{output:?}");
    gate.send(1);
    assert!(run.wait().success());
    assert!(service.end().success());
}

/// Check that events are numbered without a gap, and that those no longer kept are counted.
#[test]
fn events() {
    let service = Service::start(&["--events", "new_sequence,profile_created"]);
    assert_eq!(
        service.ask(json!({"request": "events"}))["ok"]["events"],
        json!({"first": 1, "events": [], "gone": 0})
    );
    let known = [
        libc::SYS_getpid,
        libc::SYS_getuid,
        libc::SYS_getgid,
        libc::SYS_getppid,
        libc::SYS_geteuid,
        libc::SYS_getegid,
        libc::SYS_gettid,
    ];
    // In an order that keeps bringing new pairs.
    let calls: Vec<_> = (0..40)
        .map(|i| known[(i * i + i / 3) % known.len()])
        .collect();
    assert!(service.victim("calls", &calls).wait().success());
    let all_kept = || {
        eventually("all events to be kept", || {
            let status = service.status();
            let (sent, kept) = (
                &status["stats"]["events"]["submitted"],
                &status["last_event"],
            );
            (sent == kept).then(|| kept.as_u64().expect("a number"))
        })
    };
    let wanted = all_kept();
    assert!(wanted >= 20, "{wanted}");
    let batch = service.ask(json!({"request": "events"}))["ok"]["events"].clone();
    assert_eq!(
        batch["events"].as_array().map(Vec::len),
        usize::try_from(wanted).ok()
    );
    assert_eq!(batch["events"][0]["event"], "profile_created");
    let rest = service.ask(json!({"request": "events", "after": 3}))["ok"]["events"].clone();
    assert_eq!((&rest["first"], &rest["gone"]), (&json!(4), &json!(0)));
    assert_eq!(rest["events"][0], batch["events"][3]);

    // More than are kept: each copy is a new executable.
    let mut copies = 0;
    while service.status()["last_event"].as_u64() <= Some(1000) {
        let copy = service.stage.copy("calls", &format!("copy-{copies}"));
        let run = service.victim(copy.to_str().expect("UTF-8"), &calls);
        assert!(run.wait().success());
        copies += 1;
        assert!(copies < 60, "there is room for 64 profiles");
    }
    let last = all_kept();
    let batch = service.ask(json!({"request": "events"}))["ok"]["events"].clone();
    let (first, gone) = (batch["first"].as_u64(), batch["gone"].as_u64());
    let count = batch["events"].as_array().expect("a list").len() as u64;
    assert_eq!(count, 1000);
    assert_eq!(first, gone.map(|gone| gone + 1));
    assert_eq!(first.expect("a number") + count, last + 1);
    assert!(service.end().success());
}

/// Check that arguments are in the reports of anomalies unless they are to be left out.
#[test]
fn arguments() {
    for (option, told) in [(&[][..], true), (&["--redact-args"][..], false)] {
        let service = Service::start(&[option, &["--events", "anomaly"]].concat());
        assert!(service.victim("calls", &[getppid(10)]).wait().success());
        let path = service.stage.path("calls");
        let path = path.to_str().expect("test paths are UTF-8");
        service.run_ok(&["admin", "normalize", path]);
        let odd = [getppid(1), call(libc::SYS_getpid, 1)];
        assert!(service.victim("calls", &odd).wait().success());
        let event = eventually("an anomaly", || {
            let batch = service.ask(json!({"request": "events"}))["ok"]["events"].clone();
            batch["events"].get(0).cloned()
        });
        assert_eq!(event["event"], "anomaly");
        assert_eq!(event.to_string().contains(&odd[1]), told, "{event}");
        assert!(service.end().success());
    }
}
