//! Tables of profiles and processes.

use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;

use ebph::{Key, Process, Profile};

/// One line per profile.
pub fn profiles(profiles: &[Profile]) -> String {
    let mut rows: Vec<_> = profiles
        .iter()
        .map(|profile| {
            let counts = counts(Some(profile));
            [vec![profile.key().to_string(), name(profile)], counts].concat()
        })
        .collect();
    rows.sort_by(|a, b| (&a[1], &a[0]).cmp(&(&b[1], &b[0])));
    table(
        [
            "KEY",
            "COMM",
            "STATUS",
            "TRAIN_COUNT",
            "LAST_MOD",
            "ANOMALIES",
            "NORMAL TIME",
        ],
        rows,
    )
}

/// One line per process; the counts are those of its profile, which others may share.
pub fn processes(processes: &[Process], profiles: &[Profile]) -> String {
    let by_key: HashMap<Key, &Profile> = profiles
        .iter()
        .map(|profile| (profile.key(), profile))
        .collect();
    let rows = processes
        .iter()
        .map(|process| {
            let profile = process.key.and_then(|key| by_key.get(&key).copied());
            [
                vec![process.pid.to_string(), printable(&process.comm)],
                counts(profile),
            ]
            .concat()
        })
        .collect();
    table(
        [
            "PID",
            "COMM",
            "STATUS",
            "COUNT",
            "LAST_MOD",
            "ANOMALIES",
            "NORMAL TIME",
        ],
        rows,
    )
}

/// Status, calls, calls since something new, anomalies, and when it becomes normal.
fn counts(profile: Option<&Profile>) -> Vec<String> {
    let Some(profile) = profile else {
        return ["-"; 5].map(str::to_owned).to_vec();
    };
    vec![
        profile.state().to_string(),
        profile.train_count().to_string(),
        profile.last_mod_count().to_string(),
        profile.anomalies().to_string(),
        profile.normal_at().map_or_else(|| "-".to_owned(), date),
    ]
}

fn name(profile: &Profile) -> String {
    let path = profile.script().or(profile.exe());
    let name = path
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy());
    name.map_or_else(|| "?".to_owned(), |name| printable(&name))
}

/// Programs choose these names, so nothing in them may reach a terminal as a command.
fn printable(name: &str) -> String {
    name.escape_debug().to_string()
}

/// Date and time, UTC, as in `2026-11-22 09:00:00`.
fn date(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

/// Columns as wide as they need to be; numbers on the right.
fn table(titles: [&str; 7], rows: Vec<Vec<String>>) -> String {
    let numbers = 3..6;
    let mut lines = vec![titles.map(str::to_owned).to_vec()];
    lines.extend(rows);
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut out = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if numbers.contains(&column) {
                out += &format!("{cell:>width$}  ");
            } else {
                out += &format!("{cell:<width$}  ");
            }
        }
        text += out.trim_end();
        text.push('\n');
    }
    text
}
