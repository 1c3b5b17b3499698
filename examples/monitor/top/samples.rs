//! What the tests show.

use std::time::{Duration, SystemTime};

use ebph::{Event, Key, Profile, State, Stats};

use crate::responses::ResponseSettings;
use crate::rows::{ProcessRow, ProfileRow, StatusReport};
use crate::settings::Settings;

pub const KEY: &str = "254:0:10240041:3818136664";

pub fn status() -> StatusReport {
    let mut stats = Stats::default();
    (stats.profiles.used, stats.profiles.capacity) = (5, 2048);
    (stats.profiles.training, stats.profiles.normal) = (4, 1);
    StatusReport {
        running: true,
        pid: 700,
        version: "0.1.0".to_owned(),
        kernel: "6.18.3".to_owned(),
        scope: "system".to_owned(),
        started: SystemTime::UNIX_EPOCH,
        uptime_seconds: 185,
        profile_dir: None,
        processes: 12,
        threads: 34,
        calls: 100_000,
        anomalies: 1,
        lost: 0,
        memory: 30_000_000,
        last_event: 0,
        log_failures: 0,
        limits: Settings::of(&ebph::Limits::default()),
        responses: ResponseSettings::default(),
        stats,
    }
}

/// Three calls: `read` after `openat` is normal in part, `write` after `read` only learnt, `read`
/// after `write` only normal.
pub fn profile() -> Profile {
    let text = r#"{
        "schema": "ebph-profile", "version": 1, "saved": "2026-03-09T17:20:11Z",
        "made": {"how": "live", "crate": "0.1.0", "kernel": "6.18.3"},
        "key": "254:0:10240041:3818136664", "exe": "/usr/bin/cat",
        "abi": "x86_64", "window": 9, "state": "normal", "frozen": false, "incomplete": false,
        "created": "2026-03-01T06:00:00Z", "last_exec": "2026-03-09T17:00:00Z",
        "counts": {"train": 48210, "since_novelty": 48000, "sequences": 5, "anomalies": 2,
                   "unlearnt": 0, "execs": 203, "processes_ended": 202},
        "calls": {"openat": 257, "read": 0, "write": 1}, "others": {},
        "train": {"read": {"openat": "13"}, "write": {"read": "8"}},
        "test": {"read": {"openat": "1", "write": "2"}}
    }"#;
    Profile::from_json(text.as_bytes()).expect("it is a profile")
}

pub fn profile_row(number: u32) -> ProfileRow {
    let mut row = ProfileRow::of(&profile());
    row.key = format!("254:0:{number}:1").parse().expect("it is a key");
    row.exe = Some(format!("/opt/tools/tool-{number:04}"));
    row.state = State::Training;
    row.train_count = u64::from(number);
    row
}

pub fn process_row(pid: u32, comm: &str) -> ProcessRow {
    ProcessRow {
        pid,
        comm: comm.to_owned(),
        started: SystemTime::UNIX_EPOCH,
        start_boot_ns: u64::from(pid) * 1000,
        calls: u64::from(pid) * 10,
        anomalies: 0,
        lfc: 0,
        max_lfc: 0,
        thread_count: 1,
        threads: Vec::new(),
        profile: Some(Box::new(profile_row(pid))),
    }
}

/// So many anomalies of `cat`, whose name is hostile.
pub fn events(count: u64) -> Vec<Event> {
    (0..count).map(anomaly).collect()
}

fn anomaly(number: u64) -> Event {
    let text = format!(
        r#"{{"schema": 1, "event": "anomaly", "time": "2026-03-09T17:20:11.5Z", "boot_ns": 5000,
        "pid": {pid}, "tid": {pid}, "ppid": 1, "start_boot_ns": 4000, "comm": "c\u001bat\u202e",
        "uid": 0, "euid": 0, "gid": 0, "egid": 0, "cgroup_id": 1,
        "profile": {{"key": "{KEY}", "exe": "/usr/bin/cat", "script": null, "state": "normal",
                    "basis": 9000, "train_count": 48210, "last_mod_count": 48000, "anomalies": 2,
                    "age_ns": 86400000000000}},
        "symbol": {{"abi": "x86_64", "number": 1, "name": "write"}}, "window": ["openat", "read", "write"],
        "missed": [{{"distance": 1, "previous": "read"}}], "misses": 1,
        "lfc": 1, "max_lfc": 1, "suppressed": 3, "lost_before": 4}}"#,
        pid = 4000 + number
    );
    serde_json::from_str(&text).expect("it is an event")
}

pub fn key() -> Key {
    KEY.parse().expect("it is a key")
}

pub fn second(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
