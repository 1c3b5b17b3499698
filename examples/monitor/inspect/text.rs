//! A profile for people, on 80 columns.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use ebph::{FileIdentity, Letter, Pair, Profile, State};

use super::View;
use super::windows::Windows;
use crate::output::printable;

const COLUMNS: usize = 80;

/// Everything that is to be shown.
pub fn report(view: &View<'_>) -> String {
    let mut out = String::new();
    // SANITY: writing to a string does not fail.
    let _ = write(&mut out, view);
    out
}

fn write(out: &mut String, view: &View<'_>) -> fmt::Result {
    header(out, view)?;
    let calls: Vec<_> = view
        .profile
        .symbols()
        .map(|call| call.to_string())
        .collect();
    writeln!(
        out,
        "\nIts {}, in the order of first sight:",
        count(calls.len(), "call")
    )?;
    let calls: Vec<_> = calls.iter().map(String::as_str).collect();
    wrapped(out, "  ", &calls)?;
    writeln!(
        out,
        "\nIts lookahead pairs. Bit 1 is on the right, bit 8 on the left; bit d is set if\n\
         the call was seen d calls after the other.\n"
    )?;
    table(out, &view.pairs)?;
    if view.closely {
        for pair in &view.pairs {
            closely(out, view, pair)?;
        }
    }
    match view.all - view.pairs.len() {
        0 => Ok(()),
        more => writeln!(out, "\nand {more} more (--limit 0 shows all)"),
    }
}

fn header(out: &mut String, view: &View<'_>) -> fmt::Result {
    let profile = view.profile;
    let path = |path: &Path| printable(&path.to_string_lossy());
    let exe = profile
        .exe()
        .map_or_else(|| "a program without a path".to_owned(), path);
    match profile.script() {
        Some(script) => writeln!(out, "{} (a script of {exe})", path(script))?,
        None => writeln!(out, "{exe}")?,
    }
    let now = SystemTime::now();
    let mut line = |name: &str, value: &str| writeln!(out, "  {name:<12}{value}");
    line("key", &profile.key().to_string())?;
    line("state", &state(profile, now))?;
    line("origin", &printable(&profile.origin().to_string()))?;
    let times = [
        ("made", profile.created_at()),
        ("executed", profile.last_exec_at()),
        ("saved", profile.saved_at()),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            line(name, &when(time, now))?;
        }
    }
    let calls = format!(
        "{} learnt, {} of them since one taught something; {} did",
        profile.train_count(),
        profile.last_mod_count(),
        profile.sequences()
    );
    line("calls", &calls)?;
    if profile.unlearnt() != 0 {
        line(
            "unlearnt",
            &format!("{} for want of room", profile.unlearnt()),
        )?;
    }
    let processes = format!(
        "{}, {} ended",
        count(profile.execs(), "execution"),
        count(profile.processes_ended(), "process"),
    );
    line("runs", &processes)?;
    line("anomalies", &profile.anomalies().to_string())?;
    let known = |known: fn(&Pair) -> u8| profile.pairs().filter(|pair| known(pair) != 0).count();
    let pairs = format!(
        "{} learnt, {} held as normal, of calls up to {} apart",
        known(|pair| pair.train),
        known(|pair| pair.test),
        profile.window() - 1
    );
    line("pairs", &pairs)?;
    let Some(identity) = profile.identity() else {
        return line("file", "was not looked at");
    };
    for (name, file) in [
        ("file", Some(&identity.exe)),
        ("script", identity.script.as_ref()),
    ] {
        if let Some(file) = file {
            about_file(&mut line, name, file)?;
        }
    }
    match &identity.cgroup {
        Some(cgroup) => line("cgroup", &format!("/{}", path(cgroup))),
        None => Ok(()),
    }
}

fn about_file(
    line: &mut impl FnMut(&str, &str) -> fmt::Result,
    name: &str,
    file: &FileIdentity,
) -> fmt::Result {
    line(name, &printable(&file.path.to_string_lossy()))?;
    let changed = humantime::format_rfc3339_seconds(file.changed);
    let (inode, size) = (file.inode, file.size);
    line(
        "",
        &format!("inode {inode}, {size} bytes, changed {changed}"),
    )?;
    match file.sha256 {
        Some(hash) => line("  sha256", &hexadecimal(&hash)),
        None => Ok(()),
    }
}

pub fn hexadecimal(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn state(profile: &Profile, now: SystemTime) -> String {
    let mut text = profile.state().to_string();
    if profile.state() == State::Normal && profile.is_frozen() {
        text += ", and frozen";
    }
    if let Some(time) = profile.normal_at() {
        let _ = write!(text, "; what it learns is normal {}", when(time, now));
    }
    if profile.is_incomplete() {
        text += "; incomplete";
    }
    text
}

/// A time, and how long ago it was or how long it is until then.
fn when(time: SystemTime, now: SystemTime) -> String {
    let rough = |span: Duration| match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    };
    let distance = match now.duration_since(time) {
        Ok(past) => format!("{} ago", rough(past)),
        Err(error) => format!("in {}", rough(error.duration())),
    };
    let time = humantime::format_rfc3339_seconds(time);
    format!("{time}, {distance}")
}

fn table(out: &mut String, pairs: &[Pair]) -> fmt::Result {
    if pairs.is_empty() {
        return writeln!(out, "  none: it was never seen to make them");
    }
    let width = |name: fn(&Pair) -> Letter, least: usize| {
        let names = pairs.iter().map(|pair| name(pair).to_string().len());
        names.max().unwrap_or(0).max(least)
    };
    let after = width(|pair| pair.previous, "after".len());
    let call = width(|pair| pair.current, "call".len());
    writeln!(
        out,
        "  {:<call$}  {:<after$}  learnt    normal",
        "call", "after"
    )?;
    for pair in pairs {
        let (train, test) = (bits(pair.train), bits(pair.test));
        let (current, previous) = (pair.current, pair.previous);
        writeln!(
            out,
            "  {current:<call$}  {previous:<after$}  {train}  {test}"
        )?;
    }
    Ok(())
}

/// The eight bits, the first on the right.
fn bits(bits: u8) -> String {
    format!("{bits:08b}").replace('0', ".")
}

/// One pair, and the windows that set its bits.
fn closely(out: &mut String, view: &View<'_>, pair: &Pair) -> fmt::Result {
    writeln!(out, "\n{} after {}", pair.current, pair.previous)?;
    for windows in Windows::of(&view.planes, pair) {
        let planes = match (windows.train, windows.test) {
            (true, true) => "learnt, normal",
            (true, false) => "learnt",
            _ => "normal",
        };
        let shape = windows.shape(pair);
        let shape: Vec<_> = shape
            .iter()
            .map(|letter| letter.map_or_else(|| "*".to_owned(), |letter| letter.to_string()))
            .collect();
        writeln!(
            out,
            "  bit {}  {planes:<16}{}",
            windows.distance,
            shape.join(" ")
        )?;
        if windows.distance == 1 {
            continue;
        }
        for (number, window) in windows.fitting.iter().enumerate() {
            let lead = match number {
                0 if windows.complete && windows.count == 1 => "the only fit is",
                0 => "which may be",
                _ => "or",
            };
            let window: Vec<_> = window.iter().map(Letter::to_string).collect();
            let window: Vec<_> = window.iter().map(String::as_str).collect();
            wrapped(out, &format!("         {lead:<16}"), &window)?;
        }
        let more = windows.count - windows.fitting.len();
        let rest = match (more, windows.complete) {
            (0, true) if windows.count == 0 => "which no known pairs make up".to_owned(),
            (0, true) => continue,
            (0, false) => "or others".to_owned(),
            (_, true) => format!("or {}", count(more, "other")),
            (_, false) => format!("or more than {more} others"),
        };
        writeln!(out, "         {rest}")?;
    }
    Ok(())
}

/// Words one after the other, in as many lines as they need; the first line begins with `lead`.
fn wrapped(out: &mut String, lead: &str, words: &[&str]) -> fmt::Result {
    out.push_str(lead);
    let mut column = lead.len();
    for word in words {
        if column > lead.len() && column + 1 + word.len() > COLUMNS {
            write!(out, "\n{:indent$}", "", indent = lead.len())?;
            column = lead.len();
        }
        if column > lead.len() {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    writeln!(out)
}

fn count(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let s = match (number, noun) {
        (1, _) => "",
        (_, "process") => "es",
        _ => "s",
    };
    format!("{number} {noun}{s}")
}
