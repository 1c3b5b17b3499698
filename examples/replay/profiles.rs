//! Profiles as files: reading, writing, and what is done with whole ones.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use ebph::{FileIdentity, Letter, Pair, Profile};

use crate::input::is_standard_input;
use crate::output::{Failure, Outcome, count, printable};

/// Longer than any profile that can be read.
const LIMIT: u64 = 64 << 20;

pub fn read(path: &Path) -> Result<Profile, Failure> {
    if !is_standard_input(path) {
        return Ok(Profile::read_from(path)?);
    }
    let mut text = Vec::new();
    let read = io::stdin().lock().take(LIMIT).read_to_end(&mut text);
    let fault =
        |error: &dyn std::error::Error| Failure::Message(format!("standard input: {error}"));
    read.map_err(|error| fault(&error))?;
    Profile::from_json(&text).map_err(|error| fault(&error))
}

pub fn write(profile: &Profile, path: &Path) -> Result<(), Failure> {
    if !is_standard_input(path) {
        return Ok(profile.write_to(path)?);
    }
    let mut out = io::stdout().lock();
    out.write_all(profile.to_json().as_bytes())?;
    Ok(out.flush()?)
}

pub fn merge(out: &Path, paths: &[PathBuf]) -> Result<Outcome, Failure> {
    let mut merged: Option<Profile> = None;
    for path in paths {
        let next = read(path)?;
        merged = Some(match merged {
            None => next,
            Some(merged) => merged
                .merge(&next)
                .map_err(|error| Failure::Message(format!("{}: {error}", path.display())))?,
        });
    }
    // SANITY: the command line asks for two at least.
    let merged = merged.ok_or(Failure::Said)?;
    if merged.exe().is_none() && merged.identity().is_none() {
        crate::output::note(&"the result is of no particular program: a monitor will not load it");
    }
    write(&merged, out)?;
    Ok(Outcome::Complete)
}

pub fn diff(old: &Path, new: &Path) -> Result<Outcome, Failure> {
    let difference = read(old)?.diff(&read(new)?);
    let mut out = BufWriter::new(io::stdout().lock());
    let text = difference.to_string();
    if difference.is_empty() {
        writeln!(out, "both know the same")?;
    } else {
        writeln!(out, "{}", text.trim_end())?;
    }
    out.flush()?;
    Ok(Outcome::Complete)
}

/// How many pairs and distances a profile has, in either plane.
pub fn sizes(profile: &Profile) -> (u64, u64) {
    let each = |pair: Pair| u64::from((pair.train | pair.test).count_ones());
    profile
        .pairs()
        .fold((0, 0), |(pairs, bits), pair| (pairs + 1, bits + each(pair)))
}

pub fn show(path: &Path) -> Result<Outcome, Failure> {
    let profile = read(path)?;
    let mut out = BufWriter::new(io::stdout().lock());
    identity(&profile, &mut out)?;
    writeln!(out, "made      {}", profile.origin())?;
    let times = [
        ("begun", profile.created_at()),
        ("executed", profile.last_exec_at()),
        ("saved", profile.saved_at()),
        ("normal at", profile.normal_at()),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            let time = humantime::format_rfc3339_seconds(time);
            writeln!(out, "{name:<9} {time}")?;
        }
    }
    write!(out, "state     {}", profile.state())?;
    if profile.is_normal() && profile.is_frozen() {
        write!(out, ", frozen")?;
    }
    if profile.is_incomplete() {
        let lost = count(profile.unlearnt(), "call");
        write!(out, ", incomplete: {lost} not learnt for want of room")?;
    }
    writeln!(
        out,
        "\nwindow    {}",
        count(profile.window().into(), "call")
    )?;
    // A profile that becomes normal begins to count anew.
    let since = match profile.is_normal() {
        true => " since it became normal",
        false => "",
    };
    writeln!(
        out,
        "counts    {} learnt{since}, {} since the last new one, {} new in all, {} anomalous",
        count(profile.train_count(), "call"),
        profile.last_mod_count(),
        profile.sequences(),
        profile.anomalies(),
    )?;
    writeln!(
        out,
        "programs  {} begun, {} ended",
        profile.execs(),
        profile.processes_ended()
    )?;
    let (pairs, bits) = sizes(&profile);
    writeln!(
        out,
        "knows     {} that differ, {} at {}",
        profile.symbols().count(),
        count(pairs, "pair"),
        count(bits, "distance")
    )?;
    planes(&profile, &mut out)?;
    out.flush()?;
    Ok(Outcome::Complete)
}

fn identity(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let known = profile.identity();
    let exe = known.map(|known| &known.exe);
    file("program", profile.exe(), exe, out)?;
    if profile.script().is_some() {
        let script = known.and_then(|known| known.script.as_ref());
        file("script", profile.script(), script, out)?;
    }
    if let Some(cgroup) = known.and_then(|known| known.cgroup.as_ref()) {
        writeln!(out, "cgroup    {}", printable(cgroup.as_os_str()))?;
    }
    Ok(())
}

fn file(
    name: &str,
    path: Option<&Path>,
    known: Option<&FileIdentity>,
    out: &mut impl Write,
) -> io::Result<()> {
    let Some(path) = path.or(known.map(|known| &*known.path)) else {
        return writeln!(out, "{name:<9} not known");
    };
    writeln!(out, "{name:<9} {}", printable(path.as_os_str()))?;
    let Some(known) = known else {
        return Ok(());
    };
    let modified = humantime::format_rfc3339_seconds(known.modified);
    let (inode, size) = (known.inode, known.size);
    writeln!(
        out,
        "          inode {inode}, {size} bytes, changed {modified}"
    )?;
    if let Some(hash) = known.sha256 {
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "          SHA-256 {digits}")?;
    }
    Ok(())
}

/// For each call the calls before it, and how far before.
fn planes(profile: &Profile, out: &mut impl Write) -> io::Result<()> {
    let normal = profile.is_normal();
    let mut order = Vec::new();
    let mut rows: BTreeMap<Letter, Vec<Pair>> = BTreeMap::new();
    for pair in profile.pairs() {
        rows.entry(pair.current).or_insert_with(|| {
            order.push(pair.current);
            Vec::new()
        });
        rows.entry(pair.current).or_default().push(pair);
    }
    if normal && rows.values().flatten().any(|pair| pair.train != pair.test) {
        writeln!(
            out,
            "\nDistances in brackets were learnt since it became normal, and are not yet held as normal."
        )?;
    }
    for current in order {
        writeln!(out, "\n{current} after")?;
        for pair in rows.get(&current).into_iter().flatten() {
            let digits = |bits: u8| -> String {
                let set = (1..=8).filter(|distance| bits & (1 << (distance - 1)) != 0);
                let digits = set.map(|distance: u8| distance.to_string());
                digits.collect::<Vec<_>>().join(" ")
            };
            let (held, learnt) = match normal {
                true => (pair.test, pair.train & !pair.test),
                false => (pair.train | pair.test, 0),
            };
            let held = digits(held);
            let learnt = match learnt {
                0 => String::new(),
                bits => format!(" [{}]", digits(bits)),
            };
            writeln!(
                out,
                "  {:<24} {}",
                pair.previous,
                format!("{held}{learnt}").trim()
            )?;
        }
    }
    Ok(())
}
