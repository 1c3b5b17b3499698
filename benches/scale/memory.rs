//! What a profile takes, by how many different calls its program makes; what some programs make;
//! and what the pools take.

use std::path::Path;

use ebph::{Key, Monitor, Stats};

use crate::victim::{Failure, Victim};
use crate::{Bench, KINDS, watch};

/// Different calls besides a read and a write.
const OTHERS: [u32; 6] = [3, 8, 18, 43, 68, 98];
/// What each profile of the thesis takes: 450 x 450 pairs of two bytes.
const THESIS: f64 = 405_000.0;
/// What a profile of pH takes, about.
const PH: f64 = 80_000.0;
/// What those with so many profiles take.
const PROFILES: [u32; 6] = [10, 100, 400, 1000, 2000, 4000];
/// Programs of most systems, and what they are given to do.
const COMMANDS: [&str; 8] = [
    "/usr/bin/true",
    "/usr/bin/cat /etc/passwd",
    "/usr/bin/ls -l /usr",
    "/usr/bin/sh -c true|cat",
    "/usr/bin/find /etc",
    "/usr/bin/tar -c -O /etc",
    "/usr/bin/perl -e opendir(D,'/etc');readdir(D);system('true')",
    "/usr/bin/python3 -c __import__('subprocess').run('true')",
];

/// What a profile takes in the kernel: rows in use, and what each has besides.
fn bytes(monitor: &Monitor, key: Key) -> Result<(usize, f64), Failure> {
    let profile = monitor.profile(key)?.ok_or("there is no profile")?;
    let stats = monitor.stats()?;
    let rows = profile.rows() * stats.rows.bytes;
    Ok((profile.symbols().count(), rows as f64 + header(&stats)))
}

/// What a profile has besides its rows: counts and ids, and paths.
fn header(stats: &Stats) -> f64 {
    let maps = stats.maps.iter();
    let own = maps.filter(|map| map.name == "profiles" || map.name == "names");
    own.map(|map| map.bytes as f64).sum::<f64>() / stats.profiles.capacity as f64
}

/// Profiles by how many different calls they know.
fn by_calls(bench: &mut Bench) -> Result<(), Failure> {
    for others in OTHERS {
        let mut runner = bench.runner_of("programs", 1)?;
        let monitor = watch(&runner).start()?;
        runner.ask(&format!("tell 2 {others} 0"))?;
        let key = monitor.key_of(bench.first_copy())?;
        let (calls, bytes) = bytes(&monitor, key)?;
        runner.ask("end")?;
        for (series, bytes) in [("ebph", bytes), ("pH", PH), ("the thesis's ebpH", THESIS)] {
            bench
                .sheet
                .exact("memory", series, calls, "KB", bytes / 1000.0)?;
        }
    }
    Ok(())
}

/// Profiles of programs that most systems have.
fn by_program(bench: &mut Bench) -> Result<(), Failure> {
    let mut runner = Victim::start()?;
    let monitor = watch(&runner).start()?;
    for command in COMMANDS {
        let program = Path::new(command.split(' ').next().unwrap_or_default());
        if !program.exists() {
            continue;
        }
        runner.ask(&format!("run {command}"))?;
        let (calls, bytes) = bytes(&monitor, monitor.key_of(program)?)?;
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let table = "memory of programs";
        bench
            .sheet
            .exact(table, "different calls", &name, "", calls as f64)?;
        bench
            .sheet
            .exact(table, "memory", &name, "KB", bytes / 1000.0)?;
    }
    Ok(())
}

/// What is allocated at the start, by default and for more and more profiles.
fn pools(bench: &mut Bench) -> Result<(), Failure> {
    /// Less is summed up, bytes.
    const SMALL: u64 = 100_000;

    let runner = Victim::start()?;
    let stats = watch(&runner).start()?.stats()?;
    let (large, small): (Vec<_>, Vec<_>) = stats.maps.iter().partition(|map| map.bytes >= SMALL);
    let small = small.iter().map(|map| map.bytes).sum();
    let named = large.iter().map(|map| (map.name.as_str(), map.bytes));
    let rest = [
        ("other maps", small),
        ("programs", stats.memory.programs),
        ("in all", stats.memory.maps + stats.memory.programs),
    ];
    for (name, bytes) in named.chain(rest) {
        let kb = bytes as f64 / 1000.0;
        bench.sheet.exact("pools", "by default", name, "KB", kb)?;
    }
    for profiles in PROFILES {
        let rows = profiles * KINDS;
        let builder = watch(&runner).max_profiles(profiles).max_rows(rows);
        let stats = builder.start()?.stats()?;
        for (series, bytes) in [
            ("ebph", stats.memory.total() as f64),
            ("pH", PH * f64::from(profiles)),
            ("the thesis's ebpH", THESIS * f64::from(profiles)),
        ] {
            bench
                .sheet
                .exact("pools by profiles", series, profiles, "MB", bytes / 1e6)?;
        }
    }
    Ok(())
}

pub fn measure(bench: &mut Bench) -> Result<(), Failure> {
    by_calls(bench)?;
    by_program(bench)?;
    pools(bench)
}
