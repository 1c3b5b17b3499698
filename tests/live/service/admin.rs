//! Every command of `monitor admin`, and what it changed.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ebph::{Limits, Profile};
use serde_json::json;

use super::Service;
use crate::harness::{Pipe, Start, call, getppid};

/// A service that has learnt a victim, and the key of its profile.
fn trained(args: &[&str]) -> (Service, String) {
    let service = Service::start(args);
    for _ in 0..2 {
        assert!(service.victim("calls", &[getppid(10)]).wait().success());
    }
    let row = service.row("calls");
    assert_eq!(
        (&row["state"], &row["train_count"]),
        (&json!("training"), &json!(22))
    );
    let key = row["key"].as_str().expect("a key").to_owned();
    (service, key)
}

/// Check that freezing and thawing show in the list, with the time that a profile waits for, and
/// that what cannot be done is refused.
#[test]
fn freeze_and_thaw() {
    let (service, key) = trained(&["--normal-wait", "1h"]);
    service.run_refused(&["admin", "thaw", &key], "is not frozen");
    let before = SystemTime::now();
    service.run_ok(&["admin", "freeze", &key]);
    let row = service.row("calls");
    assert_eq!(
        (&row["state"], &row["frozen"]),
        (&json!("frozen"), &json!(true))
    );
    let normal = row["normal_at"].as_str().expect("a time");
    let normal = humantime::parse_rfc3339(normal).expect("RFC 3339");
    let waits = normal.duration_since(before).expect("it is ahead");
    let (least, most) = (Duration::from_secs(3590), Duration::from_secs(3600 + 600));
    assert!(waits > least && waits < most, "{waits:?}");
    service.run_refused(&["admin", "freeze", &key], "is frozen already");
    service.run_ok(&["admin", "thaw", &key]);
    let row = service.row("calls");
    assert_eq!(
        (&row["state"], &row["normal_at"]),
        (&json!("training"), &json!(null))
    );
    assert!(service.end().success());
}

/// Check that a profile is made normal by its program's path, stays so when what it learns is wiped,
/// and trains again when it is tolerized.
#[test]
fn normalize_sensitize_tolerize() {
    let (service, key) = trained(&[]);
    let path = service.stage.path("calls");
    let path = path.to_str().expect("test paths are UTF-8");
    service.run_refused(&["admin", "tolerize", &key], "is not normal");
    let told = service.run_ok(&["admin", "normalize", path]);
    assert_eq!(told, format!("profile {key} is normal\n"));
    assert_eq!(service.row("calls")["state"], "normal");

    // It is judged by: neither getpid nor what follows it was ever seen after getppid.
    let odd = [getppid(1), call(libc::SYS_getpid, 1)];
    assert!(service.victim("calls", &odd).wait().success());
    let row = service.row("calls");
    assert_eq!(row["anomalies"], 2, "{row}");
    assert!(row["train_count"].as_u64() > Some(0), "{row}");

    service.run_ok(&["admin", "sensitize", &key]);
    let row = service.row("calls");
    assert_eq!(
        (&row["state"], &row["train_count"]),
        (&json!("normal"), &json!(0))
    );
    service.run_ok(&["admin", "tolerize", &key]);
    assert_eq!(service.row("calls")["state"], "training");
    assert_eq!(service.status()["anomalies"], 2);
    assert!(service.end().success());
}

/// Check that a reset empties a profile, and that it is forgotten only when nothing runs on it.
#[test]
fn reset_and_forget() {
    let (service, key) = trained(&[]);
    service.run_ok(&["admin", "reset", &key]);
    let row = service.row("calls");
    assert_eq!(
        (&row["train_count"], &row["sequences"]),
        (&json!(0), &json!(0))
    );

    let gate = Pipe::new();
    let run = service.victim_with(Start::new().input(&gate), "calls", &["r"]);
    run.until_blocked_in(libc::SYS_read);
    service.run_refused(&["admin", "forget", &key], "is in use by process");
    gate.send(1);
    assert!(run.wait().success());
    service.run_ok(&["admin", "forget", &key]);
    assert_eq!(service.find("calls"), None);
    service.run_refused(&["admin", "forget", &key], "no profile with key");
    service.run_refused(
        &["admin", "reset", "/no/such/program"],
        "no profile of /no/such/program",
    );
    service.run_refused(&["admin", "reset", "nonsense"], "not a profile key");
    assert!(service.end().success());
}

/// Check that nothing is learnt during a pause, which the status shows.
#[test]
fn pause_and_resume() {
    let (service, _) = trained(&[]);
    assert!(
        service
            .run_ok(&["admin", "status"])
            .contains("status            watching\n")
    );
    service.run_ok(&["admin", "pause"]);
    assert_eq!(service.status()["running"], false);
    assert!(
        service
            .run_ok(&["admin", "status"])
            .contains("status            paused\n")
    );
    assert!(service.victim("calls", &[getppid(50)]).wait().success());
    assert_eq!(service.row("calls")["train_count"], 22);
    service.run_ok(&["admin", "resume"]);
    assert_eq!(service.status()["running"], true);
    assert!(service.victim("calls", &[getppid(50)]).wait().success());
    assert_eq!(service.row("calls")["train_count"], 22 + 51);
    assert!(service.end().success());
}

/// Check that limits are changed one by one, are in force, and that absurd ones change nothing.
#[test]
fn set() {
    let (service, key) = trained(&["--normal-wait", "7d"]);
    let listed = "normal-wait=7days\nanomaly-limit=30\ntolerize-limit=12\nfreeze-factor=128/32\n\
                  min-train-calls=0\nmin-train-processes=0\nreport-rate=10\n\
                  thread-report-rate=5\n";
    assert_eq!(service.run_ok(&["admin", "set"]), listed);
    // All that the library has.
    let fields = format!("{:?}", Limits::default());
    assert_eq!(
        listed.lines().count(),
        fields.matches(": ").count(),
        "{fields}"
    );
    let words = "admin set normal-wait=0s anomaly-limit=1 tolerize-limit=5 freeze-factor=2/1 \
                 min-train-calls=7 min-train-processes=8 report-rate=9 thread-report-rate=4";
    let words: Vec<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let changed = "normal-wait=0s\nanomaly-limit=1\ntolerize-limit=5\nfreeze-factor=2/1\n\
                   min-train-calls=7\nmin-train-processes=8\nreport-rate=9\nthread-report-rate=4\n";
    assert_eq!(service.run_ok(&words), changed);
    service.run_refused(
        &["admin", "set", "freeze-factor=0/1"],
        "freeze_factor cannot be 0/1",
    );
    service.run_refused(&["admin", "set", "tolerize-limit=129"], "tolerize_limit");
    service.run_refused(&["admin", "set", "no-such=1"], "there is no limit");
    service.run_refused(&["admin", "set", "anomaly-limit"], "NAME=VALUE");
    service.run_refused(&["admin", "set", "anomaly-limit=many"], "not a number");
    assert_eq!(service.run_ok(&["admin", "set"]), changed);

    let odd = service.run_ok(&["admin", "set", "normal-wait=1day 1h 1m 1s 500ms"]);
    assert!(odd.starts_with("normal-wait=1day1h1m1s500ms\n"), "{odd}");
    let odd = odd.lines().next().expect("a line");
    assert!(service.run_ok(&["admin", "set", odd]).starts_with(odd));

    // In force: a profile with more than one anomaly is no longer normal.
    service.run_ok(&["admin", "normalize", &key]);
    let odd = [getppid(1), call(libc::SYS_getpid, 2)];
    assert!(service.victim("calls", &odd).wait().success());
    assert_eq!(service.row("calls")["state"], "training");
    assert!(service.end().success());
}

/// Check that profiles are saved and loaded on demand, and that what is no profile is refused.
#[test]
fn save_and_load() {
    let (service, key) = trained(&["--profile-dir", "SCRATCH/profiles"]);
    // The other one is that of the runner, before it became the victim.
    assert_eq!(service.run_ok(&["admin", "save"]), "2 profiles saved\n");
    assert_eq!(service.run_ok(&["admin", "save"]), "0 profiles saved\n");
    let files = std::fs::read_dir(service.path("profiles")).expect("it was made");
    let mut files = files.map(|file| file.expect("it can be listed").path());
    let of_victim = |path: &PathBuf| {
        let profile = Profile::read_from(path);
        profile.is_ok_and(|profile| profile.key().to_string() == key)
    };
    let file = files.find(of_victim).expect("it was saved");
    let kept = service.path("kept.json");
    std::fs::copy(&file, &kept).expect("it can be copied");
    let kept = kept.to_str().expect("test paths are UTF-8");

    service.run_ok(&["admin", "reset", &key]);
    assert_eq!(service.row("calls")["train_count"], 0);
    let told = service.run_ok(&["admin", "load", kept]);
    assert_eq!(told, format!("loaded into profile {key}\n"));
    assert_eq!(service.row("calls")["train_count"], 22);

    let garbage = service.path("garbage");
    std::fs::write(&garbage, "\u{1b}[31m{}").expect("it can be written");
    let garbage = garbage.to_str().expect("test paths are UTF-8");
    service.run_refused(&["admin", "load", garbage], "garbage");
    service.run_refused(&["admin", "load", "/no/such/file"], "/no/such/file");
    service.run_refused(&["admin", "load", "/dev/zero"], "/dev/zero");
    assert!(service.end().success());

    let (service, _) = trained(&[]);
    service.run_refused(&["admin", "save"], "no folder for profiles");
    assert!(service.end().success());
}

/// Check the answers of programs' kind, and that a monitor that is not there is another failure.
#[test]
fn json_and_exit_status() {
    let (service, key) = trained(&[]);
    let json = |words: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&service.run(words).stdout).expect("JSON")
    };
    let status = json(&["admin", "status", "--json"]);
    let status = &status["ok"]["status"];
    assert_eq!(status["pid"], service.child.id());
    assert_eq!(status["stats"]["calls"]["recorded"], status["calls"]);
    assert!(status["memory"].as_u64() > Some(0));
    assert_eq!(json(&["admin", "freeze", &key, "--json"])["ok"], "done");
    let again = json(&["admin", "freeze", &key, "--json"]);
    assert_eq!(again["error"]["code"], "already_frozen");

    let whole = service.ask(json!({"request": "profile", "key": key}));
    let text = whole["ok"]["profile"].to_string();
    let profile = Profile::from_json(text.as_bytes()).expect("a profile file's content");
    assert_eq!(
        (profile.key().to_string(), profile.train_count()),
        (key, 22)
    );

    let socket = service.socket();
    assert!(service.end().success());
    let output = std::process::Command::new(super::example("monitor"))
        .args(["admin", "status", "--socket"])
        .arg(&socket)
        .output()
        .expect("the example can be run");
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
}
