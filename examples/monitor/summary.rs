//! Tables of processes, threads and profiles.

use std::time::SystemTime;

use crate::rows::{ProcessRow, ProfileRow};

const PROFILES: [&str; 8] = [
    "KEY",
    "COMM",
    "STATUS",
    "TRAIN_COUNT",
    "LAST_MOD",
    "ANOMALIES",
    "NORMAL TIME",
    "PROGRAM",
];
const PROCESSES: [&str; 7] = [
    "PID",
    "COMM",
    "STATUS",
    "COUNT",
    "LAST_MOD",
    "ANOMALIES",
    "NORMAL TIME",
];
const THREADS: [&str; 9] = [
    "PID",
    "TID",
    "COMM",
    "STATUS",
    "CALLS",
    "ANOMALIES",
    "LFC",
    "MAX_LFC",
    "NORMAL TIME",
];

/// One line per profile, by name.
pub fn profiles(profiles: &[ProfileRow]) -> String {
    let mut sorted: Vec<_> = profiles.iter().collect();
    sorted.sort_by_key(|row| (row.name(), row.key));
    let rows = sorted.into_iter().map(|row| {
        let [status, count, last_mod, anomalies, normal] = counts(Some(row));
        let name = printable(row.name());
        [
            row.key.to_string(),
            name,
            status,
            count,
            last_mod,
            anomalies,
            normal,
            printable(row.path().unwrap_or("-")),
        ]
    });
    table(PROFILES, rows)
}

/// One line per process; the counts are those of its profile, which others may share.
pub fn processes(processes: &[ProcessRow]) -> String {
    let rows = processes.iter().map(|row| {
        let [status, count, last_mod, anomalies, normal] = counts(row.profile.as_deref());
        let name = printable(&row.comm);
        [
            row.pid.to_string(),
            name,
            status,
            count,
            last_mod,
            anomalies,
            normal,
        ]
    });
    table(PROCESSES, rows)
}

/// One line per thread; the counts are its own, since its program was executed.
pub fn threads(processes: &[ProcessRow]) -> String {
    let rows = processes.iter().flat_map(|row| {
        let [status, _, _, _, normal] = counts(row.profile.as_deref());
        row.threads.iter().map(move |thread| {
            [
                row.pid.to_string(),
                thread.tid.to_string(),
                printable(&thread.comm),
                status.clone(),
                thread.calls.to_string(),
                thread.anomalies.to_string(),
                thread.lfc.to_string(),
                thread.max_lfc.to_string(),
                normal.clone(),
            ]
        })
    });
    table(THREADS, rows)
}

/// Status, calls, calls since something new, anomalies, and when it becomes normal.
fn counts(profile: Option<&ProfileRow>) -> [String; 5] {
    let Some(profile) = profile else {
        return ["-"; 5].map(str::to_owned);
    };
    [
        profile.state.to_string(),
        profile.train_count.to_string(),
        profile.last_mod_count.to_string(),
        profile.anomalies.to_string(),
        profile.normal_at.map_or_else(|| "-".to_owned(), date),
    ]
}

/// Programs choose these names, so nothing in them may reach a terminal as a command.
fn printable(name: &str) -> String {
    name.escape_debug().to_string()
}

/// Date and time, UTC, as in `2026-11-22 09:00:00`.
pub fn date(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

/// Columns as wide as they need to be; numbers on the right.
fn table<const N: usize>(titles: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut lines = vec![titles.map(str::to_owned)];
    lines.extend(rows);
    let is_text = |column: usize| {
        let names = [
            "KEY",
            "PID",
            "TID",
            "COMM",
            "STATUS",
            "NORMAL TIME",
            "PROGRAM",
        ];
        names.contains(&titles[column])
    };
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut out = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if is_text(column) {
                out += &format!("{cell:<width$}  ");
            } else {
                out += &format!("{cell:>width$}  ");
            }
        }
        text += out.trim_end();
        text.push('\n');
    }
    text
}
