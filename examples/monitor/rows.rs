//! Processes, threads, profiles and the monitor itself, as requests are answered with.

use std::path::Path;
use std::time::{Duration, SystemTime};

use ebph::{Key, Process, Profile, State, Stats};
use serde::{Deserialize, Serialize};

use crate::responses::ResponseSettings;
use crate::settings::Settings;

/// How a monitor is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// False while it is paused.
    pub running: bool,
    /// Its process.
    pub pid: u32,
    /// The version of this program.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// Who is watched, as the option `--scope` says it; a tree with its root.
    pub scope: String,
    /// When it began to watch.
    #[serde(with = "time")]
    pub started: SystemTime,
    /// How long it has watched.
    pub uptime_seconds: u64,
    /// Where profiles are kept, if they are.
    pub profile_dir: Option<String>,
    /// Processes that are watched now.
    pub processes: u64,
    /// Their threads.
    pub threads: u64,
    /// System calls that were seen.
    pub calls: u64,
    /// Anomalous calls, reported or not.
    pub anomalies: u64,
    /// Events lost on their way, in the ring or in a queue.
    pub lost: u64,
    /// Bytes in the kernel.
    pub memory: u64,
    /// The number of the newest event that is kept, for the request `events`; 0 if there was none.
    pub last_event: u64,
    /// Events that could not be written to the log file.
    pub log_failures: u64,
    pub limits: Settings,
    /// What is done about anomalies.
    pub responses: ResponseSettings,
    /// Every counter.
    pub stats: Stats,
}

/// A process that is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessRow {
    pub pid: u32,
    /// The name of its first thread, which it chooses itself: escape it.
    pub comm: String,
    #[serde(with = "time")]
    pub started: SystemTime,
    /// The same since boot: with the pid it means this process for ever.
    pub start_boot_ns: u64,
    /// Calls of the threads that still run, since they executed their program.
    pub calls: u64,
    /// Those of them that were anomalous.
    pub anomalies: u64,
    /// The largest locality frame count of its threads, now and ever.
    pub lfc: u32,
    pub max_lfc: u32,
    /// How many threads it has.
    pub thread_count: usize,
    /// Its threads, if they were asked for; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threads: Vec<ThreadRow>,
    /// The profile that it runs on; none before its first call, or for want of room.
    pub profile: Option<Box<ProfileRow>>,
}

/// A thread of a process that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadRow {
    pub tid: u32,
    /// Its name, which it chooses itself: escape it.
    pub comm: String,
    pub calls: u64,
    pub anomalies: u64,
    /// Anomalous calls among the last 128 that were judged, now and at most.
    pub lfc: u32,
    pub max_lfc: u32,
    pub signal_depth: u32,
}

/// A profile, without what it has learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileRow {
    pub key: Key,
    /// The path of the executable; for a script, of its interpreter. What is not UTF-8 is replaced.
    pub exe: Option<String>,
    /// The path of the script, if it is one's.
    pub script: Option<String>,
    pub state: State,
    /// Whether it is frozen, which a normal profile may be as well.
    pub frozen: bool,
    /// Calls learnt since training began.
    pub train_count: u64,
    /// Calls since something new was learnt.
    pub last_mod_count: u64,
    /// Calls that taught something new.
    pub sequences: u64,
    /// Anomalous calls since it became normal.
    pub anomalies: u64,
    /// When it becomes normal, while it is frozen.
    #[serde(with = "time::option")]
    pub normal_at: Option<SystemTime>,
    #[serde(with = "time::option")]
    pub created_at: Option<SystemTime>,
    /// How long ago it was made.
    pub age_seconds: u64,
    #[serde(with = "time::option")]
    pub last_exec_at: Option<SystemTime>,
    pub execs: u64,
    pub processes_ended: u64,
    /// Calls that could not be learnt for want of room.
    pub unlearnt: u64,
    /// Different calls it knows.
    pub symbols: usize,
    /// Rows of the pool that it holds, 512 bytes each.
    pub rows: u64,
    /// What is missing or in doubt: `incomplete`, `no_path`, `exe_lossy`, `script_lossy`,
    /// `script_unnamed`.
    pub marks: Vec<String>,
}

impl ProfileRow {
    pub fn of(profile: &Profile) -> Self {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let lossy = |path: Option<&Path>| path.is_some_and(|path| path.to_str().is_none());
        let marks = [
            ("incomplete", profile.is_incomplete()),
            ("no_path", profile.exe().is_none()),
            ("exe_lossy", lossy(profile.exe())),
            ("script_lossy", lossy(profile.script())),
            (
                "script_unnamed",
                profile.key().script.is_some() && profile.script().is_none(),
            ),
        ];
        let marks = marks.into_iter().filter(|(_, set)| *set);
        let created_at = profile.created_at();
        Self {
            key: profile.key(),
            exe: profile.exe().map(text),
            script: profile.script().map(text),
            state: profile.state(),
            frozen: profile.is_frozen(),
            train_count: profile.train_count(),
            last_mod_count: profile.last_mod_count(),
            sequences: profile.sequences(),
            anomalies: profile.anomalies(),
            normal_at: profile.normal_at(),
            created_at,
            age_seconds: created_at
                .and_then(|at| at.elapsed().ok())
                .unwrap_or_default()
                .as_secs(),
            last_exec_at: profile.last_exec_at(),
            execs: profile.execs(),
            processes_ended: profile.processes_ended(),
            unlearnt: profile.unlearnt(),
            symbols: profile.symbols().count(),
            rows: profile.rows(),
            marks: marks.map(|(name, _)| name.to_owned()).collect(),
        }
    }

    /// Returns the path by which people know the program: the script's, or the executable's.
    pub fn path(&self) -> Option<&str> {
        self.script.as_deref().or(self.exe.as_deref())
    }

    /// Returns the last part of [`ProfileRow::path`], or `?`: a name to escape.
    pub fn name(&self) -> &str {
        let path = self.path().map(Path::new).and_then(Path::file_name);
        path.and_then(|name| name.to_str()).unwrap_or("?")
    }
}

impl ProcessRow {
    pub fn of(process: &Process, threads: bool, profile: Option<&ProfileRow>) -> Self {
        let rows = process.threads().iter().map(|thread| ThreadRow {
            tid: thread.tid,
            comm: thread.comm.clone(),
            calls: thread.calls,
            anomalies: thread.anomalies,
            lfc: thread.lfc,
            max_lfc: thread.max_lfc,
            signal_depth: thread.signal_depth,
        });
        Self {
            pid: process.pid,
            comm: process.comm.clone(),
            started: process.started_at(),
            start_boot_ns: nanos(process.start),
            calls: process.calls(),
            anomalies: process.anomalies(),
            lfc: process.lfc(),
            max_lfc: process.max_lfc(),
            thread_count: process.threads().len(),
            threads: rows.filter(|_| threads).collect(),
            profile: profile.cloned().map(Box::new),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Times of day as RFC 3339 has them, in UTC.
mod time {
    use std::time::SystemTime;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }

    pub mod option {
        use super::*;

        pub fn serialize<S: Serializer>(
            time: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            let parsed = text.map(|text| humantime::parse_rfc3339(&text));
            parsed.transpose().map_err(D::Error::custom)
        }
    }
}
