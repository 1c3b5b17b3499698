//! The thesis's example (section 3.6.1), played: a small program is learnt, becomes normal, and is
//! then run with an argument that makes it do one thing more.
//!
//! `make demo` runs it; the one argument is the compiled `examples/programs/anomaly.c`. It fails
//! unless the last run, and no other, is reported.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::ptr::{null, null_mut};
use std::sync::mpsc;
use std::time::Duration;

use ebph::{Anomaly, Event, EventKind, Letter, Monitor, Profile, Scope};

/// A profile freezes when its calls exceed four times those it had when something was last new:
/// the first run is all new, so the fifth freezes it.
const RUNS: usize = 6;
const WAIT: Duration = Duration::from_secs(3);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let Some(program) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: demo PROGRAM");
        return ExitCode::FAILURE;
    };
    match play(&program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(program: &Path) -> Result<()> {
    let (sender, events) = mpsc::channel();
    // A child of this process is watched from its exec on; this process itself never is.
    let monitor = Monitor::builder()
        .scope(Scope::Tree(std::process::id()))
        .normal_wait(WAIT)
        .handler(sender)
        .start()?;

    println!("1. {RUNS} runs without an argument, to learn what is normal.");
    for _ in 0..RUNS {
        run(program, None)?;
    }
    println!("   {}\n", next(&events, EventKind::ProfileFrozen)?);

    println!(
        "2. {} seconds later that is normal, if nothing new turns up.\n",
        WAIT.as_secs()
    );
    std::thread::sleep(WAIT);

    println!("3. One more run without an argument, as a control. Nothing may be reported.");
    run(program, None)?;
    println!("   {}", next(&events, EventKind::StartNormal)?);
    let normal = profile(&monitor, program)?;
    if !normal.is_normal() || normal.anomalies() > 0 {
        let (state, anomalies) = (normal.state(), normal.anomalies());
        return Err(format!("the control run left it {state}, with {anomalies} anomalies").into());
    }
    println!("   Nothing was.\n");

    println!("4. A run with an argument, which opens the back door.");
    let pid = run(program, Some("open"))?;
    monitor.stop()?;
    let anomalies: Vec<_> = events
        .iter()
        .filter_map(|event| event.anomaly().cloned())
        .collect();
    if !anomalies
        .iter()
        .any(|anomaly| anomaly.symbol.name() == "write")
    {
        return Err("the run with an argument was not reported".into());
    }
    for anomaly in &anomalies {
        if anomaly.context.actor.pid != Some(pid) {
            return Err(format!("reported, and not the last run: {anomaly}").into());
        }
        let explained = format!("{anomaly:#}").replace('\n', "\n   ");
        println!("   {explained}\n\n{}", comparison(anomaly, &normal));
    }
    println!(
        "Each place is one lookahead pair: a call, an earlier one, and how far apart they were.\n\
         Marked are the pairs that no run without an argument ever had."
    );
    Ok(())
}

/// Runs the program on a terminal of its own: into a pipe, printf would join both lines to one
/// write.
fn run(program: &Path, argument: Option<&str>) -> Result<u32> {
    let (mut main, terminal) = terminal()?;
    let mut child = Command::new(program)
        .args(argument)
        // What an environment makes the loader look for is not the program's own behaviour.
        .env_clear()
        .stdin(Stdio::null())
        .stdout(terminal.try_clone()?)
        .stderr(terminal)
        .spawn()?;
    let pid = child.id();
    if !child.wait()?.success() {
        return Err(format!("{} failed", program.display()).into());
    }
    let mut said = Vec::new();
    // Ends with an error, as every terminal does whose other side is closed.
    let _ = main.read_to_end(&mut said);
    for line in String::from_utf8_lossy(&said).lines() {
        println!("   | {line}");
    }
    Ok(pid)
}

fn terminal() -> io::Result<(File, OwnedFd)> {
    let (mut main, mut other) = (-1, -1);
    // SAFETY: writes two descriptors; null stands for default settings.
    if unsafe { libc::openpty(&mut main, &mut other, null_mut(), null(), null()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both are open and belong to nobody else.
    Ok(unsafe { (File::from_raw_fd(main), OwnedFd::from_raw_fd(other)) })
}

/// Waits for an event. Anomalies are not expected then.
fn next(events: &mpsc::Receiver<Event>, kind: EventKind) -> Result<Event> {
    loop {
        let event = events
            .recv_timeout(Duration::from_secs(10))
            .map_err(|_| format!("no {kind} event came"))?;
        if event.kind() == kind {
            return Ok(event);
        }
        if event.anomaly().is_some() {
            return Err(format!("reported too early: {event}").into());
        }
    }
}

fn profile(monitor: &Monitor, program: &Path) -> Result<Profile> {
    let path = program.canonicalize()?;
    let found = monitor
        .profiles()?
        .find(|profile| profile.exe() == Some(&path));
    found.ok_or_else(|| format!("no profile of {}", path.display()).into())
}

/// Sets what came before the call beside what normally comes before it.
fn comparison(anomaly: &Anomaly, profile: &Profile) -> String {
    let call = anomaly.symbol.name();
    let current = Letter::Symbol(anomaly.symbol);
    let pairs: Vec<_> = profile
        .pairs()
        .filter(|pair| pair.current == current)
        .collect();
    let normal = |distance| {
        let names: Vec<_> = pairs
            .iter()
            .filter(|pair| pair.test_distances().any(|seen| seen == distance))
            .map(|pair| pair.previous.to_string())
            .collect();
        if names.is_empty() {
            "-".to_owned()
        } else {
            names.join("|")
        }
    };
    let mut lines = [
        "calls before it".to_owned(),
        format!("normal {call}"),
        format!("this {call}"),
        String::new(),
    ]
    .map(|title| format!("     {title:<18}"));
    let before = anomaly.window.len().saturating_sub(1);
    for (place, letter) in anomaly.window[..before].iter().enumerate() {
        // SANITY: a window has at most eight places before the call.
        let distance = u8::try_from(before - place).unwrap_or(u8::MAX);
        let missed = anomaly.missed.iter().any(|pair| pair.distance == distance);
        let mark = if missed { "^ never" } else { "" };
        let cells = [
            distance.to_string(),
            normal(distance),
            letter.to_string(),
            mark.to_owned(),
        ];
        let width = cells.iter().map(String::len).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(&cells) {
            *line += &format!("  {cell:<width$}");
        }
    }
    lines.map(|line| line.trim_end().to_owned() + "\n").concat()
}
